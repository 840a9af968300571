"""Models as folders: they come back as they were, and folders that lie are refused in one line."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints import Model, Trust
from cgd_lightning.checkpoints.folder_form import write_folder
from cgd_lightning.checkpoints.tensor_file import TensorFile
from cgd_lightning.errors import InputError
from tests.checkpoints.test_checkpoints import KINDS, answer, denoiser, noisy_classifier, saved

Header = dict[str, Any]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_folder(denoiser(), tmp_path / "model")


def parts(file: Path) -> tuple[Header, bytes]:
    contents = file.read_bytes()
    end = 8 + struct.unpack("<Q", contents[:8])[0]
    return json.loads(contents[8:end]), contents[end:]


def packed(header: Any, numbers: bytes) -> bytes:
    words = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(words)) + words + numbers


def edit_card(weights: Path, **changes: Any) -> None:
    config = weights.with_name("config.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_folder_gives_the_same_model_as_a_checkpoint(
    make: Callable[[], Model], tmp_path: Path
) -> None:
    model = make()
    file = saved(tmp_path / "model.ckpt", model, dataset="digits")
    write_folder(model, tmp_path / "folder", "digits", step=7, training="data: null\n")
    mine, theirs = checkpoints.load(file), checkpoints.load(tmp_path / "folder")
    assert torch.equal(answer(mine), answer(theirs))
    for name, tensor in mine.state_dict().items():
        other = theirs.state_dict()[name]
        assert torch.equal(tensor, other)
        assert (tensor.dtype, tensor.stride()) == (other.dtype, other.stride())
    found = checkpoints.find(tmp_path / "folder")
    as_told = json.loads(json.dumps(vars(checkpoints.read(file))))
    assert json.loads(json.dumps(vars(checkpoints.read(found)))) == as_told
    assert checkpoints.sizes(found) == checkpoints.sizes(file) | {"step": 7}
    assert checkpoints.stored_config(found) == "data: null\n"
    again = saved(tmp_path / "again.ckpt", theirs)
    assert torch.equal(answer(checkpoints.load(again)), answer(mine))


def test_a_folder_is_named_by_itself_or_by_its_weights(weights: Path) -> None:
    wanted = answer(checkpoints.load(weights))
    assert torch.equal(answer(checkpoints.load(weights.parent)), wanted)
    assert checkpoints.find(str(weights.parent)) == weights
    with pytest.raises(InputError, match="holds no raw weights"):
        checkpoints.load(weights, weights="raw")


def test_a_pair_means_its_diffusion_model_and_its_classifier_goes_with_it(tmp_path: Path) -> None:
    diffusion = write_folder(denoiser(), tmp_path / "runs/pair/diffusion")
    classifier = write_folder(noisy_classifier(), tmp_path / "runs/pair/classifier")
    saved(tmp_path / "runs/newer/version_0/best.ckpt", noisy_classifier())
    found = checkpoints.find(tmp_path / "runs/pair")
    assert found == diffusion
    assert checkpoints.find_classifier(found, checkpoints.read(found)) == classifier
    assert checkpoints.paired(classifier) == diffusion
    assert checkpoints.beside(found) == tmp_path / "runs"
    assert checkpoints.results_folder(found) == tmp_path / "runs/pair"
    assert classifier not in checkpoints.newest_first(tmp_path / "runs")


def test_a_model_alone_takes_the_newest_classifier_beside_it(tmp_path: Path) -> None:
    diffusion = write_folder(denoiser(), tmp_path / "runs/mine")
    card = checkpoints.read(diffusion)
    assert checkpoints.find_classifier(diffusion, card) is None
    run = saved(tmp_path / "runs/old/version_0/best.ckpt", noisy_classifier())
    assert checkpoints.find_classifier(diffusion, card) == run
    other = write_folder(noisy_classifier(), tmp_path / "runs/shared")
    os.utime(run, (1, 1))
    assert checkpoints.find_classifier(diffusion, card) == other


def test_weights_that_are_tied_are_stored_for_each(tmp_path: Path) -> None:
    model = denoiser()
    block = model.network.middle_block[0]
    block.out_layers[3].weight = block.in_layers[2].weight
    wanted = answer(model.eval())
    again = checkpoints.load(write_folder(model, tmp_path / "model"))
    assert torch.allclose(answer(again), wanted, atol=1e-5)


CARDS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not a readable description"),
    "no JSON": (b"\x80\x02}", "not a readable description"),
    "a list": (b"[]", "a list, where a mapping was wanted"),
    "deep": (b'{"a":' * 5000 + b"1" + b"}" * 5000, "not a readable description"),
    "wide": (b"[" + b"1," * 2**21 + b"1]", "more than 1,048,576 values"),
    "large": (b" " * (16 * 2**20 + 1), "at most 16777216 are read"),
    "a name twice": (b'{"format": 1, "format": 1}', "there twice"),
    "not a number": (b'{"format": NaN}', "which is no number of JSON"),
    "of another project": (b'{"architectures": ["Bert"]}', "not a description of a model of cgd"),
    "half of ours": (b'{"format": 1}', "its description is damaged"),
    "a later one": (b'{"format": 2, "version": "9.0"}', "update cgd-lightning"),
}


@pytest.mark.parametrize(("contents", "says"), CARDS.values(), ids=CARDS)
def test_a_config_that_is_none_is_refused_in_a_line(
    contents: bytes, says: str, weights: Path
) -> None:
    weights.with_name("config.json").write_bytes(contents)
    for read in (checkpoints.read, checkpoints.load):
        with pytest.raises(InputError, match=says) as error:
            read(weights)
        assert str(weights.with_name("config.json")) in str(error.value)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 600


ENTRIES: dict[str, dict[str, Any]] = {
    "a number of another kind": {"image_shape": ["1", "8", "8"]},
    "half a letter": {"class_names": ["\ud800", "b", "c"]},
    "a class of another package": {"network": {"class_path": "os.system", "init_args": {}}},
    "a network of torch": {
        "network": {"class_path": "torch.nn.Linear", "init_args": {"in_features": 1}}
    },
    "a codec": {"codec": {"class_path": "subprocess.Popen", "init_args": {"args": "true"}}},
    "another kind": {"kind": "judge"},
}


@pytest.mark.parametrize("changes", ENTRIES.values(), ids=ENTRIES)
def test_a_card_in_a_config_meets_the_same_checks(changes: Any, weights: Path) -> None:
    edit_card(weights, **changes)
    with pytest.raises(InputError) as error:
        checkpoints.load(weights)
    assert str(weights.parent) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_config_alone_and_weights_alone_say_what_is_missing(weights: Path) -> None:
    config = weights.with_name("config.json")
    kept = config.read_bytes()
    config.unlink()
    with pytest.raises(InputError, match=r"wants its config\.json beside it"):
        checkpoints.load(weights.parent)
    config.write_bytes(kept)
    weights.unlink()
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        checkpoints.load(weights.parent)


def first(header: Header) -> str:
    return next(name for name in header if name != "__metadata__")


def change(header: Header, **parts: Any) -> Header:
    header[first(header)] = header[first(header)] | parts
    return header


def overlapping(header: Header, numbers: bytes) -> bytes:
    names = [name for name in header if header[name]["shape"] == [8]]
    header[names[1]]["data_offsets"] = header[names[0]]["data_offsets"]
    return packed(header, numbers)


def renamed(header: Header, numbers: bytes) -> bytes:
    entry = header.pop(first(header))
    return packed({**header, "strange": entry}, numbers)


FILES: dict[str, tuple[Callable[[Header, bytes], bytes], str]] = {
    "nothing": (lambda header, numbers: b"", "damaged or cut short"),
    "four bytes": (lambda header, numbers: b"\0\0\0\0", "damaged or cut short"),
    "a header longer than the file": (
        lambda header, numbers: struct.pack("<Q", 2**62) + b"{}",
        "a header of 4,611,686,018,427,387,904 bytes",
    ),
    "a huge header": (
        lambda header, numbers: packed(b"{" + b" " * (16 * 2**20), numbers),
        "a header of",
    ),
    "a wide header": (
        lambda header, numbers: packed(b'{"a":[' + b"0," * 2**21 + b"0]}", b""),
        "more than 1,048,576 values",
    ),
    "a deep header": (lambda header, numbers: packed(b'{"a":' * 10**5, b""), "damaged or cut"),
    "a pickle": (lambda header, numbers: b"\x80\x02}q\x00." * 20, "damaged or cut short"),
    "a zip": (lambda header, numbers: b"PK\x03\x04" * 20, "damaged or cut short"),
    "cut short": (lambda header, numbers: packed(header, numbers[:-4]), "are declared"),
    "more at the end": (lambda header, numbers: packed(header, numbers + b"1234"), "are declared"),
    "overlapping": (overlapping, "does not begin where the one before it ends"),
    "of a negative place": (
        lambda header, numbers: packed(change(header, data_offsets=[-4, 0]), numbers),
        "has no shape or place",
    ),
    "of a huge place": (
        lambda header, numbers: packed(change(header, data_offsets=[2**62, 2**63 - 1]), numbers),
        "bytes for",
    ),
    "of a huge shape": (
        lambda header, numbers: packed(change(header, shape=[2**62, 2**62]), numbers),
        "bytes for",
    ),
    "of many sides": (
        lambda header, numbers: packed(change(header, shape=[1] * 9), numbers),
        "has no shape or place",
    ),
    "of a negative side": (
        lambda header, numbers: packed(change(header, shape=[-1, -8]), numbers),
        "has no shape or place",
    ),
    "of no kind": (
        lambda header, numbers: packed(change(header, dtype="F8_E4M3"), numbers),
        "no kind of number read",
    ),
    "of a kind of lists": (
        lambda header, numbers: packed(change(header, dtype=["F32"]), numbers),
        "no kind of number read",
    ),
    "of another entry": (
        lambda header, numbers: packed(change(header, file="/etc/passwd"), numbers),
        "unknown entry",
    ),
    "integers": (
        lambda header, numbers: packed(change(header, dtype="I32"), numbers),
        "holds torch.int32",
    ),
    "another name": (renamed, "1 missing"),
    "not a number": (
        lambda header, numbers: packed(header, b"\xff" * len(numbers)),
        "its weights are not finite",
    ),
    "a name twice": (
        lambda header, numbers: packed(b'{"a": {}, "a": {}}', numbers),
        "there twice",
    ),
    "metadata of numbers": (
        lambda header, numbers: packed(header | {"__metadata__": {"step": 3}}, numbers),
        "is no text",
    ),
    "a name that moves the cursor": (
        lambda header, numbers: packed({"\x1b[2J": header.pop(first(header))} | header, numbers),
        "do not fit the network",
    ),
}


@pytest.mark.parametrize(("make", "says"), FILES.values(), ids=FILES)
def test_weights_that_lie_are_refused_in_a_line(
    make: Callable[[Header, bytes], bytes], says: str, weights: Path
) -> None:
    header, numbers = parts(weights)
    header.pop("__metadata__", None)
    weights.write_bytes(make(header, numbers))
    with pytest.raises(InputError, match=says) as error:
        checkpoints.load(weights)
    assert str(error.value).startswith(f"{weights}: ")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 600


def test_a_sparse_file_of_many_numbers_is_not_filled(weights: Path) -> None:
    header, _ = parts(weights)
    name, count = first(header), 2**36
    words = {name: {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}
    weights.write_bytes(packed(words, b""))
    os.truncate(weights, weights.stat().st_size + 4 * count)
    with pytest.raises(InputError, match="want --trust-size"):
        checkpoints.load(weights)
    with pytest.raises(InputError, match="do not fit the network"):
        checkpoints.load(weights, trust=Trust(any_size=True))


def test_a_network_larger_than_its_weights_is_refused(weights: Path) -> None:
    card = vars(checkpoints.read(weights))
    card["network"]["init_args"]["model_channels"] = 10**6
    edit_card(weights, network=card["network"])
    with pytest.raises(InputError, match="do not fit the network"):
        checkpoints.load(weights)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "training.yaml"])
def test_links_and_pipes_are_not_read(name: str, tmp_path: Path) -> None:
    weights = write_folder(denoiser(), tmp_path / "model", training="data: null\n")
    file = weights.with_name(name)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError) as error:
        read_all(weights)
    assert str(file) in str(error.value)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(InputError):
        read_all(weights)


def read_all(weights: Path) -> None:
    checkpoints.load(weights)
    checkpoints.stored_config(weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_taken_in_that_of_the_network(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = denoiser()
    wanted = answer(model.eval())
    again = checkpoints.load(write_folder(model.to(dtype), tmp_path / "model"))
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}
    assert torch.allclose(answer(again), wanted, atol=0.1)


def test_a_loaded_model_does_not_stand_on_its_file(weights: Path) -> None:
    with TensorFile(weights) as file:
        taken: dict[str, Tensor] = {n: file.tensor(s) for n, s in file.tensors.items()}
    model = checkpoints.load(weights)
    wanted = answer(model)
    os.truncate(weights, 0)
    assert torch.equal(answer(model), wanted)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in taken.items())


PEAK = """
import re, sys, threading, time
from pathlib import Path
import torch
from cgd_lightning import checkpoints

def own_memory():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

peak, done = 0, False
def watch():
    global peak
    while not done:
        peak = max(peak, own_memory())
        time.sleep(0.0005)

torch.set_num_threads(1)
checkpoints.load(sys.argv[1])
before = own_memory()
thread = threading.Thread(target=watch)
thread.start()
model = checkpoints.load(sys.argv[2])
done = True
thread.join()
print(peak - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells memory as Linux does")
def test_no_second_copy_of_the_weights_is_in_memory(tmp_path: Path) -> None:
    from cgd_lightning.diffusion.data_spec import DataSpec
    from cgd_lightning.diffusion.denoiser import Denoiser
    from cgd_lightning.diffusion.schedules import Linear
    from cgd_lightning.networks import UNet

    network = UNet(8, 1, 1, model_channels=192, channel_mult=(1, 1, 1), attention_resolutions=())
    large = Denoiser(network, Linear(), "eps", DataSpec((1, 8, 8)))
    weights = write_folder(large, tmp_path / "large")
    small = write_folder(denoiser(), tmp_path / "small")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(small), str(weights)],
        capture_output=True,
        text=True,
        check=True,
    )
    size = weights.stat().st_size
    assert size > 40e6
    assert 0.9 < int(done.stdout) / size < 1.3
