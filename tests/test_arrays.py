"""Arrays from outside are read within what their file holds."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cgd_lightning.arrays import Arrays, map_array, open_arrays


def npy(shape: tuple[int, ...], held: int, dtype: str = "<i4") -> bytes:
    """An array whose header says `shape`, and which holds so many bytes."""
    file = io.BytesIO()
    header = {"shape": shape, "fortran_order": False, "descr": dtype}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + bytes(held)


READS: dict[str, Callable[[Arrays], object]] = {
    "header": lambda arrays: arrays.header("x"),
    "read": lambda arrays: arrays.read("x"),
    "parts": lambda arrays: list(arrays.parts("x", 2)),
    "rows": lambda arrays: arrays.rows("x", [0]),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("rows", [1, 4, 2**50])
def test_an_array_that_is_not_as_large_as_it_says_is_not_read(
    rows: int, read: Callable[[Arrays], object], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", npy((rows, 2), held=3 * 8))
    with (
        (tmp_path / "x.npz").open("rb") as file,
        open_arrays(file) as arrays,
        pytest.raises(ValueError, match=rf"x has shape \[{rows}, 2\] in 24 bytes"),
    ):
        read(arrays)


@pytest.mark.parametrize("rows", [1, 4, 2**50])
def test_an_array_that_is_not_as_large_as_it_says_is_not_mapped(rows: int, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(npy((rows, 2), held=3 * 8))
    with (
        (tmp_path / "x.npy").open("rb") as file,
        pytest.raises(ValueError, match=rf"x has shape \[{rows}, 2\] in 24 bytes"),
    ):
        map_array("x", file)


def test_all_ways_of_reading_give_the_same_numbers(tmp_path: Path) -> None:
    wanted: Any = np.arange(14, dtype=np.int32).reshape(7, 2)
    np.savez(tmp_path / "x.npz", x=wanted)
    np.save(tmp_path / "x.npy", wanted)
    with (tmp_path / "x.npz").open("rb") as file, open_arrays(file) as arrays:
        assert arrays.header("x") == ((7, 2), np.dtype(np.int32))
        assert np.array_equal(arrays.read("x"), wanted)
        parts = list(arrays.parts("x", 3))
        assert [len(part) for part in parts] == [3, 3, 1]
        assert np.array_equal(np.concatenate(parts), wanted)
        for places in ([6, 0, 3], [2, 2, 1], [4]):
            assert np.array_equal(arrays.rows("x", places), wanted[places])
    with (tmp_path / "x.npy").open("rb") as file:
        mapped = map_array("x", file)
        assert np.array_equal(mapped, wanted)
        assert not mapped.flags.writeable
