"""Files of weights from elsewhere, in both formats of `torch.save`, whoever wrote them."""

import hashlib
import os
import pickle
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from cgd_lightning.checkpoints.legacy import BEGINNING
from cgd_lightning.checkpoints.state_dicts import Weights, read_state_dict
from cgd_lightning.errors import InputError


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2).half())


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_are_read_as_torch_reads_them(zipped: bool, tmp_path: Path) -> None:
    state = network().state_dict()
    state["shared"], state["part"] = state["0.weight"], state["0.weight"][1:3, :, 0].mT
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    read = read_state_dict(tmp_path / "w.pth")
    wanted = torch.load(tmp_path / "w.pth", weights_only=True)
    assert list(read) == list(wanted)
    for name, tensor in wanted.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


def test_a_file_is_known_by_its_hash(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    torch.save(network().state_dict(), file, _use_new_zipfile_serialization=False)
    digits = hashlib.sha256(file.read_bytes()).hexdigest()
    assert len(Weights(digits[:8], "ours").read(file)) == 9
    with pytest.raises(InputError, match=rf"not ours: its SHA-256 .* {digits[:4]}, and 1234 was"):
        Weights("1234", "ours").read(file)
    for lacking in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(InputError, match="cannot be read as a file of weights"):
            Weights("1234", "ours").read(lacking)


class Harm:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, ("harmed",)


SIZES = pickle.dumps({"protocol_version": 1001, "little_endian": True}, 2)
EMPTY = pickle.dumps({}, 2)


def storage(count: int, shape: int, key: str = "k") -> bytes:
    """A pickle of {"w": a tensor of so many floats of a storage}."""
    name = b"X" + len(key).to_bytes(4, "little") + key.encode()
    number = b"J" + count.to_bytes(4, "little")
    many = b"J" + shape.to_bytes(4, "little")
    reference = b"(X\7\0\0\0storagectorch\nFloatStorage\n" + name + b"X\3\0\0\0cpu" + number
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n((" + reference[1:] + b"NtQK\0" + many
    return b"\x80\2}X\1\0\0\0w" + tensor + b"\x85K\1\x85\x89NtRs."


def legacy(*pickles: bytes, numbers: bytes = b"") -> bytes:
    return BEGINNING + b"".join(pickles) + numbers


def eight(count: int) -> bytes:
    return count.to_bytes(8, "little", signed=True)


KEYS = pickle.dumps(["k"], 2)

HOSTILE = {
    "a call": legacy(SIZES, pickle.dumps(Harm(), 2)),
    "a call in the keys": legacy(SIZES, EMPTY, pickle.dumps(Harm(), 2)),
    "a call in the sizes": legacy(pickle.dumps(Harm(), 2)),
    "another byte order": legacy(pickle.dumps({"little_endian": False}, 2), EMPTY, EMPTY),
    "a list": legacy(SIZES, pickle.dumps([], 2), pickle.dumps([], 2)),
    "a text": legacy(SIZES, pickle.dumps({"w": "x"}, 2), pickle.dumps([], 2)),
    "no keys": legacy(SIZES, storage(2, 2), pickle.dumps([], 2)),
    "keys twice": legacy(SIZES, storage(2, 2), pickle.dumps(["k", "k"], 2), numbers=bytes(99)),
    "other keys": legacy(SIZES, storage(2, 2), pickle.dumps(["j"], 2), numbers=bytes(99)),
    "another count": legacy(SIZES, storage(2, 2), KEYS, numbers=eight(3) + bytes(12)),
    "a count below 0": legacy(SIZES, storage(2, 2), KEYS, numbers=eight(-1) + bytes(8)),
    "too few numbers": legacy(SIZES, storage(2, 2), KEYS, numbers=eight(2) + bytes(7)),
    "more than the file": legacy(SIZES, storage(2**30, 2**30), KEYS, numbers=eight(2**30)),
    "a tensor larger than its storage": legacy(
        SIZES, storage(2, 3), KEYS, numbers=eight(2) + bytes(8)
    ),
    "cut short": legacy(SIZES, storage(2, 2))[:-9],
    "nothing": legacy(),
    "no file of torch": b"PK",
    "empty": b"",
}


def test_the_pickle_that_is_written_here_is_one_of_a_tensor(tmp_path: Path) -> None:
    numbers = eight(2) + torch.tensor([1.5, -2.0]).numpy().tobytes()
    (tmp_path / "w.pth").write_bytes(legacy(SIZES, storage(2, 2), KEYS, numbers=numbers))
    assert read_state_dict(tmp_path / "w.pth")["w"].tolist() == [1.5, -2.0]
    read = torch.load(tmp_path / "w.pth", weights_only=True)
    assert read["w"].tolist() == [1.5, -2.0]


@pytest.mark.parametrize("contents", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_in_one_line_and_nothing_of_it_is_run(
    contents: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "w.pth"
    file.write_bytes(contents)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"w\.pth: not a readable") as refused:
        read_state_dict(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22
    assert str(refused.value).isprintable()
    assert not Path("harmed").exists()


def test_many_views_of_a_large_storage_are_refused_before_room_is_made(tmp_path: Path) -> None:
    large = torch.zeros(2**18)
    state = OrderedDict((f"view{i}", large[:]) for i in range(200))
    for zipped in (True, False):
        torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
        with pytest.raises(InputError, match="larger than the file"):
            read_state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize("contents", [[1], {"w": 1}, {1: torch.zeros(1)}])
def test_a_zip_of_anything_but_tensors_by_name_is_refused(contents: object, tmp_path: Path) -> None:
    torch.save(contents, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth: "):
        read_state_dict(tmp_path / "w.pth")
