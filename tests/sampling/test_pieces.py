"""What a killed job left among its pieces: batches that are whole stay, and nothing else does."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from cgd_lightning.sampling.claim import claim
from cgd_lightning.sampling.files import SampleFolder
from tests.kills import Killed


@pytest.mark.parametrize("said", [b"", b"0", b"4", b"-1", b"\xc2\xb2", b"\xff", b"1" * 5000])
def test_a_chunk_that_says_no_size_is_made_again(said: bytes, tmp_path: Path) -> None:
    with claim(tmp_path, {}) as own:
        out = SampleFolder(own, [0, 1, 0], {0: "a", 1: "b"}, "png")
        out.add(0, torch.zeros(3, 1, 4, 4, dtype=torch.uint8))
        (own.pieces / "00000000.size").write_bytes(said)
        assert out.taken({0: (3, 4, 4, 1)}) == set()


TWO_OF_TWO = {0: (2, 4, 4, 1), 2: (2, 4, 4, 1)}


def array(*shape: int, kind: type = np.uint8) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, np.zeros(shape, kind))

    return write


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        header = {"shape": (2**20, 2**10, 2**10, 1), "fortran_order": False, "descr": "|u1"}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(2**40)


def full_folder(path: Path) -> None:
    path.mkdir()
    (path / "x").write_text("x")


def linked(path: Path) -> None:
    (path.parents[3] / "elsewhere.npy").write_bytes(b"mine")
    path.symlink_to(path.parents[3] / "elsewhere.npy")


ODD: dict[str, Callable[[Path], object]] = {
    "garbage": lambda path: path.write_bytes(b"garbage"),
    "another height": array(2, 5, 4, 1),
    "colours": array(2, 4, 4, 3),
    "too many": array(4, 4, 4, 1),
    "too few": array(1, 4, 4, 1),
    "other numbers": array(2, 4, 4, 1, kind=np.float32),
    "a terabyte": sparse,
    "a pipe": os.mkfifo,
    "a folder": full_folder,
    "a link": linked,
}


@pytest.mark.parametrize("name", ["00000002", "4", "-0000002", "9" * 30, "00000001", ".x"])
@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_what_is_no_chunk_of_a_job_is_removed_and_made_again(
    make: Callable[[Path], object], name: str, tmp_path: Path
) -> None:
    with claim(tmp_path / "D", {}) as own:
        out = SampleFolder(own, [0, 1, 0, 1], {0: "a", 1: "b"}, "npz")
        out.add(0, torch.zeros(2, 1, 4, 4, dtype=torch.uint8))
        make(own.pieces / f"{name}.npy")
        (own.pieces / "images").mkdir()
        assert out.taken(TWO_OF_TWO) == {0}
        assert os.listdir(own.pieces) == ["00000000.npy"]
    if make is linked:
        assert (tmp_path / "elsewhere.npy").read_bytes() == b"mine"


def test_a_chunk_of_which_something_is_missing_is_made_again(tmp_path: Path) -> None:
    with suppress(Killed), claim(tmp_path, {}, keep=True) as own:
        out = SampleFolder(own, [0, 1, 0, 1], {0: "a", 1: "b"}, "png")
        for first in (0, 2):
            out.add(first, torch.zeros(2, 1, 4, 4, dtype=torch.uint8))
        assert out.taken(TWO_OF_TWO) == {0, 2}
        (own.pieces / "images/0003-b.png").unlink()
        (own.pieces / "images/0009-b.png").write_bytes(b"half")
        (own.pieces / ".00000004.size.tmp").write_bytes(b"")
        raise Killed
    with claim(tmp_path, {}, keep=True) as own:
        out = SampleFolder(own, [0, 1, 0, 1], {0: "a", 1: "b"}, "png")
        assert out.taken(TWO_OF_TWO) == {0}
        assert set(os.listdir(own.pieces)) == {"00000000.size", "images"}
        assert set(os.listdir(own.pieces / "images")) == {"0000-a.png", "0001-b.png"}
