"""What a checkpoint file may hold, opcode by opcode, and what it may claim of its own size."""

import io
import pickle
import resource
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.archive import MOST_PICKLE_BYTES, Archive
from cgd_lightning.checkpoints.pickled import MOST_OPCODES
from cgd_lightning.checkpoints.tensors import Stored
from cgd_lightning.errors import InputError
from cgd_lightning.zips import MOST_ENTRIES


def zipped(
    path: Path, pickled: bytes, entries: dict[str, bytes] | None = None, **options: Any
) -> Path:
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("archive/data.pkl", pickled)
        for name, data in (entries or {}).items():
            file.writestr(name, data)
    return path


def test_everything_that_torch_writes_of_a_training_is_read_as_torch_reads_it(
    tmp_path: Path,
) -> None:
    storage = torch.arange(12.0)
    contents = {
        "ordered": OrderedDict(a=storage[2:8].view(2, 3).T, b=storage[:1]),
        "kinds": [
            torch.tensor(2.5),
            torch.ones(3, dtype=torch.bool),
            torch.arange(3),
            torch.ones(2).bfloat16(),
            torch.empty(0, 3),
        ],
        "plain": {
            0: (1, -1, 2**40, -(2**63)),
            "text": "ü",
            "none": None,
            "flags": [True, False],
            "set": {1, 2},
            "float": float("inf"),
        },
        "parameter": torch.nn.Parameter(torch.ones(2, 2)),
        "size": torch.Size([1, 2]),
    }
    torch.save(contents, tmp_path / "file.pt")
    theirs = torch.load(tmp_path / "file.pt", weights_only=True)
    with Archive(tmp_path / "file.pt") as archive:
        assert list(archive.contents) == list(theirs)
        assert archive.contents["plain"] == theirs["plain"]
        assert archive.contents["size"] == (1, 2)
        pairs = [
            *zip(archive.contents["ordered"].values(), theirs["ordered"].values()),
            *zip(archive.contents["kinds"], theirs["kinds"]),
            (archive.contents["parameter"], theirs["parameter"]),
        ]
        assert len(pairs) == 8
        for mine, value in pairs:
            assert isinstance(mine, Stored)
            tensor = archive.tensor(mine)
            assert tensor.dtype == value.dtype
            assert tensor.stride() == value.stride()
            assert torch.equal(tensor, value)


def program(*words: bytes) -> bytes:
    return b"\x80\x02" + b"".join(words) + b"."


HOSTILE = {
    "a call": program(b"cos\nsystem\nX\x04\x00\x00\x00true\x85R"),
    "a call by the stack": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    "an instance": program(b"(X\x04\x00\x00\x00trueios\nsystem\n"),
    "an object": program(b"(cos\nsystem\nX\x04\x00\x00\x00trueo"),
    "a new object": program(b"ctorch.nn\nLinear\n)\x81"),
    "an extension": program(b"\x82\x01"),
    "a class of torch": program(b"ctorch.nn\nLinear\n"),
    "another rebuilding function": program(b"ctorch._utils\n_rebuild_sparse_tensor\n)R"),
    "a word that is called with something else": program(b"ccollections\nOrderedDict\n]\x85R"),
    "attributes of a list": program(b"]}b"),
    "a key that is a tuple": program(b"}))s"),
    "bytes": b"\x80\x03C\x03abc.",
    "complex numbers": program(b"ctorch\nComplexFloatStorage\n"),
}

DAMAGED = {
    "nothing": b"",
    "no stop": b"\x80\x02}",
    "an empty stack": program(),
    "more than one thing": program(b"}}"),
    "a mark that is missing": program(b"]e"),
    "a memory that was not written": program(b"h\x05"),
    "a number of a thousand digits": program(b"\x8b" + struct.pack("<I", 400) + b"\x01" * 400),
    "a long string that is not there": program(b"X\xff\xff\xff\x7fa"),
    "half a pair": program(b"}(K\x01u"),
    "an odd reference": program(b"K\x01Q"),
    "a tuple of three of one": program(b"K\x01\x87"),
}


@pytest.mark.parametrize("pickled", HOSTILE.values(), ids=HOSTILE)
def test_an_opcode_or_a_name_that_is_not_on_the_list_is_refused_unread(
    pickled: bytes, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"more than plain data|damaged"):
        Archive(zipped(tmp_path / "file.pt", pickled))


@pytest.mark.parametrize("pickled", DAMAGED.values(), ids=DAMAGED)
def test_a_pickle_that_is_not_whole_is_one_line(pickled: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a readable checkpoint") as error:
        Archive(zipped(tmp_path / "file.pt", pickled))
    assert "\n" not in str(error.value)


def grown() -> int:
    """Peak memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def central_directory(entries: int) -> bytes:
    record = (
        struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
        + b"a"
    )
    directory = record * entries
    return directory + struct.pack(
        "<4s4H2LH",
        b"PK\x05\x06",
        0,
        0,
        min(entries, 0xFFFE),
        min(entries, 0xFFFE),
        len(directory),
        0,
        0,
    )


def doubled(times: int) -> bytes:
    """A tuple of a tuple of ... twice each: a few bytes, and 2^times copies when written out."""
    return b"".join(
        [b"N"] + [b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(times)]
    )


def card_of(words: bytes) -> bytes:
    """The pickle of a checkpoint whose card has the kind `words`."""
    return program(
        b"}(X\x03\x00\x00\x00cgd}X\x04\x00\x00\x00kind" + words + b"sX\x0a\x00\x00\x00state_dict}u"
    )


BOMBS: dict[str, Callable[[Path], object]] = {
    "what is twice itself, sixty times": lambda path: zipped(path, card_of(doubled(60))),
    "a memory of two thousand million": lambda path: zipped(path, program(b"}r\xff\xff\xff\x7f")),
    "many words": lambda path: zipped(path, program(b"N" * (MOST_OPCODES + 10))),
    "many lists": lambda path: zipped(path, program(b"]" * (MOST_OPCODES + 10))),
    "deep lists": lambda path: zipped(path, program(b"]" * 500_000 + b"a" * 499_999)),
    "a long pickle": lambda path: zipped(path, program(b"N" * MOST_PICKLE_BYTES)),
    "a pickle that was pressed": lambda path: zipped(
        path, program(bytes(200_000_000)), compression=zipfile.ZIP_DEFLATED
    ),
    "a directory of a million entries": lambda path: path.write_bytes(central_directory(1_000_000)),
    "a directory in a file of holes": lambda path: sparse(path, 2**33),
}


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFF0, 0xFFF0, 0xFFFFFFF0, 0, 0))


@pytest.mark.parametrize("make", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_before_it_goes_off(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    make(tmp_path / "file.pt")
    before = grown()
    with pytest.raises(InputError, match=r"not a (readable )?checkpoint|is damaged"):
        checkpoints.read(tmp_path / "file.pt")
    assert grown() - before < 200


def tensor(
    numbers: int,
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    offset: int = 0,
    kind: str = "FloatStorage",
) -> bytes:
    """The pickle of a tensor with `numbers` in its storage, as torch writes it."""

    class Persistent:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing: Any) -> Any:
            return (
                ("storage", getattr(torch, kind), "0", "cpu", numbers)
                if isinstance(thing, Persistent)
                else None
            )

    class Rebuilt:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (
                Persistent(),
                offset,
                shape,
                stride,
                False,
                OrderedDict(),
            )

    out = io.BytesIO()
    Pickler(out, 2).dump({"a": Rebuilt()})
    return out.getvalue()


def test_a_tensor_lies_within_its_storage_and_a_storage_within_its_file(tmp_path: Path) -> None:
    whole = {"archive/data/0": torch.arange(6.0).numpy().tobytes()}
    with Archive(zipped(tmp_path / "good.pt", tensor(6, (2, 3), (3, 1)), whole)) as archive:
        assert torch.equal(archive.tensor(archive.contents["a"]), torch.arange(6.0).view(2, 3))
    for name, pickled in {
        "expanded": tensor(6, (10**12,), (0,)),
        "overlapping": tensor(6, (3, 3), (1, 1)),
        "past the end": tensor(6, (2, 3), (3, 1), offset=1),
        "negative": tensor(6, (-2, 3), (3, 1)),
        "of a negative stride": tensor(6, (2, 3), (-3, 1)),
        "of more dimensions than strides": tensor(6, (2, 3), (1,)),
        "of many dimensions": tensor(6, (1,) * 64, (1,) * 64),
        "of a longer storage": tensor(10**12, (2, 3), (3, 1)),
        "of a shorter storage": tensor(5, (2, 2), (2, 1)),
        "of another storage": tensor(6, (2, 3), (3, 1), kind="DoubleStorage"),
    }.items():
        with pytest.raises(InputError, match="not a readable checkpoint"):
            Archive(zipped(tmp_path / f"{name}.pt", pickled, whole))


def test_an_archive_is_no_larger_than_its_file_and_has_each_entry_once(tmp_path: Path) -> None:
    pickled = program(b"}")
    for name, entries in {
        "out of place": {"elsewhere/x": b""},
        "two roots": {"other/data.pkl": pickled},
    }.items():
        with pytest.raises(InputError, match="not a readable checkpoint"):
            Archive(zipped(tmp_path / f"{name}.pt", pickled, entries))
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = zipped(tmp_path / "twice.pt", pickled, {"archive/data.pkl": pickled})
    with pytest.raises(InputError, match=r"no data\.pkl, or several"):
        Archive(twice)
    lying = bytearray(
        zipped(tmp_path / "lying.pt", pickled, {"archive/data/0": b"1234"}).read_bytes()
    )
    place = lying.rindex(b"PK\x01\x02")
    lying[place + 20 : place + 28] = struct.pack("<2L", 2**31, 2**31)
    (tmp_path / "lying.pt").write_bytes(lying)
    with pytest.raises(InputError, match=r"larger than the file|not a readable checkpoint"):
        Archive(tmp_path / "lying.pt")
    assert MOST_ENTRIES < 2**16


def test_numbers_that_were_damaged_are_found_by_their_checksum(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    torch.save({"a": torch.ones(1000)}, path)
    data = bytearray(path.read_bytes())
    data[data.index(b"\x00\x00\x80\x3f" * 100) + 40] ^= 1
    path.write_bytes(data)
    with Archive(path) as archive:
        with pytest.raises(InputError, match=r"file\.pt: not a readable checkpoint, damaged"):
            archive.tensor(archive.contents["a"])
        with pytest.raises(InputError, match="damaged"):
            archive.check()


def test_tensors_that_share_their_numbers_share_them_again(tmp_path: Path) -> None:
    tied = torch.ones(1000)
    torch.save({"a": tied, "b": tied}, tmp_path / "file.pt")
    with Archive(tmp_path / "file.pt") as archive:
        a, b = (archive.tensor(archive.contents[name]) for name in "ab")
    assert a.data_ptr() == b.data_ptr()
