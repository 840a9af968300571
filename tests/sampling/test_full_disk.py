"""A disk that is full leaves nothing under a final name, and with room the same job goes on."""

import os
import re
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from cgd_lightning.sampling.files import SampleFolder
from tests.command_line import status
from tests.sampling.test_files import SAMPLE, Cgd, contents, error_of, start

WORDS = (*SAMPLE, "--batch_size=24", "--num_samples=72")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """disk(SIZE) -> a folder on a disk of its own, of that size, also where it was of another."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = []

    def mount(size: str) -> Path:
        options = f"{'remount,' if mounted else ''}size={size}"
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", f"{folder}"]
        try:
            done = subprocess.run(words, capture_output=True, text=True)
        except FileNotFoundError:
            pytest.skip("there is no mount here")
        if done.returncode:
            pytest.skip(f"wants leave to mount a disk: {done.stderr.strip()}")
        mounted.append(size)
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", f"{folder}"], check=True)


def fill(folder: Path) -> None:
    """Take all room of its disk but a page, as another program may at any time."""
    with (folder / "filler").open("wb", buffering=0) as file:
        with suppress(OSError):
            while file.write(bytes(4096)):
                pass
        file.truncate(file.tell() // 4096 * 4096 - 4096)


@pytest.mark.parametrize("kind", ["png", "npz"])
def test_a_disk_that_fills_up_leaves_no_final_name_and_with_room_the_job_goes_on(
    kind: str,
    workplace: Path,
    cgd: Cgd,
    disk: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words, folder = (*WORDS, f"--format={kind}"), disk("1m")
    add = SampleFolder.add

    def filled_after(self: SampleFolder, start: int, images: torch.Tensor) -> int:
        if start == 48:
            fill(folder)
        return add(self, start, images)

    with monkeypatch.context() as patch:
        patch.setattr(SampleFolder, "add", filled_after)
        code, out, err = cgd(*words, f"--out={folder / 'D'}")
    assert (code, out) == (1, "")
    error = error_of(err)
    assert re.search(r"No space left on device: about \d[\d.]* [kM]B are missing", error)
    assert "what is finished is kept; make room, and give the same command again" in error
    assert set(os.listdir(folder / "D")) == {".unfinished"}
    assert not [name for name in contents(folder / "D") if name.endswith(".tmp")]
    (folder / "filler").unlink()
    code, _, err = cgd(*words, f"--out={folder / 'D'}")
    assert code == 0, err
    assert "2 of 3 batches are there already" in err
    assert status(*words, "--out=clean") == 0
    assert contents(folder / "D") == contents(Path("clean"))


def test_an_npz_that_does_not_fit_is_refused_before_it_is_begun(
    workplace: Path, cgd: Cgd, disk: Callable[[str], Path]
) -> None:
    folder = disk("16k")
    code, out, err = cgd(*WORDS, "--format=npz", f"--out={folder / 'D'}")
    assert (code, out) == (1, "")
    assert "a samples.npz of 72 images, and its batches" in error_of(err)
    assert not (folder / "D").exists()
    disk("1m")
    assert cgd(*WORDS, "--format=npz", f"--out={folder / 'D'}")[0] == 0


def test_a_disk_that_does_not_take_the_whole_npz_leaves_neither_it_nor_a_grid(
    workplace: Path,
) -> None:
    words = (*WORDS, "--format=npz")
    job = start(*words, "--out=D", preexec_fn=limit_files)
    _, err = job.communicate(timeout=60)
    assert job.returncode == 1
    error = error_of(err)
    assert "File too large: what is left takes about 18 kB; what is finished is kept" in error
    assert set(os.listdir("D")) == {".unfinished"}
    assert status(*words, "--out=D") == 0
    assert status(*words, "--out=clean") == 0
    assert contents(Path("D")) == contents(Path("clean"))


def limit_files() -> None:
    """No file that this process writes may have more bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (12000, 12000))
