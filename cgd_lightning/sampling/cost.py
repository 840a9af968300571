"""What a sampling job still costs, in time and on the disk: told once its first batches are made.

    time left = batches left x (time per batch)

An npz is as large as its images, and while it is written its batches are beside it. How large a PNG
is, the first ones tell. Edits lie as arrays until all are there, whatever they become.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from cgd_lightning.amounts import duration, size
from cgd_lightning.errors import InputError
from cgd_lightning.files import FULL
from cgd_lightning.sampling.pair import Say

SECONDS = 2.0
"""Batches are timed for at least so long; of a job that ends sooner after it nothing is said."""


@dataclass(frozen=True)
class Finished:
    """What an edited image becomes, with all that belongs to it: bytes on the disk, and files."""

    bytes: int
    files: int


class Cost:
    """Counts the batches that one process makes, and says what those left need.

    folder: where they are kept. image_bytes: of an image as it is. total: of all images, of which
    the processes together have `left` to make, and this one `batches`, one of so many `processes`.
    say: is told the cost. finished: what an edited image becomes; None of samples. clock: seconds
    since some moment.
    """

    def __init__(
        self,
        folder: Path,
        kind: Literal["png", "npz"],
        image_bytes: int,
        total: int,
        left: int,
        batches: int,
        processes: int,
        say: Say,
        finished: Finished | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.folder, self.kind, self.image_bytes, self.total = folder, kind, image_bytes, total
        self.left, self.batches, self.processes = left, batches, processes
        self.finished = finished
        self.say, self.clock, self.start = say, clock, clock()
        self.made = self.images = self.written = 0
        self.first = 0.0
        """Seconds of the first batch, in which networks warm up."""
        self.is_told = self.is_warned = False

    @property
    def needed(self) -> int:
        """Bytes that the images left will take on the disk, about, until all are in their files."""
        left = max(0, self.left - self.processes * self.images)
        if self.finished is not None:
            return left * self.image_bytes + self.total * self.finished.bytes
        if self.kind == "npz":
            return (left + self.total) * self.image_bytes
        return left * (self.written // self.images if self.images else self.image_bytes)

    @property
    def free(self) -> int:
        """Bytes that the disk has room for."""
        return shutil.disk_usage(self.folder).free

    def check(self) -> None:
        """Raises InputError if the disk surely lacks the room for what is left.

        That is known of an npz, whose size is, and where the disk has no names left for files.
        """
        if self.kind == "npz" and self.needed > self.free:
            name = "a samples.npz" if self.finished is None else "an edits.npz"
            raise InputError(
                f"--out {self.folder}: {name} of {self.total} images, and its batches until "
                f"it is written, need {size(self.needed)} of the disk, which has {size(self.free)} "
                "free; make room, give a folder on another disk, or --format png"
            )
        files = _names_left(self.folder)
        wanted = self.left if self.finished is None else self.total * self.finished.files
        if self.kind == "png" and files is not None and wanted > files:
            raise InputError(
                f"--out {self.folder}: {wanted} files, and the disk takes {files} more; make "
                "room, give a folder on another disk, or --format npz"
            )

    def add(self, images: int, written: int) -> None:
        """A batch of so many images is made, and takes so many bytes of the disk."""
        self.made += 1
        self.images += images
        self.written += written
        spent = self.clock() - self.start
        if self.made == 1:
            self.first = spent
        left = self.batches - self.made
        # Of one batch alone there is nothing better than its own time.
        one = spent if self.made == 1 else (spent - self.first) / (self.made - 1)
        if not self.is_told and spent >= SECONDS and left * one >= SECONDS:
            self.is_told = True
            shared = f" on each of {self.processes} processes" if self.processes > 1 else ""
            self._tell(
                f"{duration(one)} a batch: the {left} left{shared} take about "
                f"{duration(left * one)}, and {size(self.needed)} of the {size(self.free)} that "
                f"are free in {self.folder}"
            )
        if not self.is_warned and self.needed > self.free:
            self.is_warned = True
            self._tell(
                f"the disk of {self.folder} will be full before all is made: that needs "
                f"about {size(self.needed)}, and {size(self.free)} are free; make room meanwhile"
            )

    def _tell(self, text: str) -> None:
        with tqdm.external_write_mode(file=sys.stderr):  # above the progress bar, not in it
            self.say(f"cost: {text}")

    @contextmanager
    def told_if_full(self, keep: bool) -> Iterator[None]:
        """In this block the error of a disk that is full says how much room is missing.

        keep: what is finished stays, and the same job goes on with it.
        """
        try:
            yield
        except OSError as error:
            if error.errno not in FULL:
                raise
            missing = self.needed - self.free
            # Of a limit of the account, or of one file, the disk's own room says nothing.
            room = (
                f"about {size(missing)} are missing"
                if missing > 0
                else f"what is left takes about {size(self.needed)}"
            )
            then = (
                "what is finished is kept; make room, and give the same command again"
                if keep
                else "none of it is kept; make room, or give --out FOLDER on another disk"
            )
            told = f"{error.strerror}: {room}; {then}"
            raise OSError(error.errno, told, f"{self.folder}") from error


def _names_left(folder: Path) -> int | None:
    """How many more files the disk takes; None where nobody counts."""
    state = os.statvfs(folder) if hasattr(os, "statvfs") else None
    return state.f_favail if state is not None and state.f_files else None
