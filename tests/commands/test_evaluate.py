import io
import json
import os
import re
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cgd_lightning import checkpoints
from cgd_lightning.data.digits import Digits
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.features import JudgeFeatures
from cgd_lightning.evaluation.metrics import accuracy, frechet_distance, precision_recall
from cgd_lightning.evaluation.reference import hash_of
from cgd_lightning.sampling.files import write_targets
from cgd_lightning.sampling.record import MOST_VALUES
from cgd_lightning.sampling.stored import read_samples
from tests.command_line import TINY_CLASSIFIER, inside, status

Cgd = Callable[..., tuple[int, str, str]]

JUDGE = [
    "--config=judge.yaml",
    "--model.network.width=4",
    "--trainer.max_steps=12",
    "--trainer.val_check_interval=12",
]


@pytest.fixture(scope="module")
def place(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs/judge and samples `png` and `npz` of the same 20 images."""
    folder = tmp_path_factory.mktemp("judged")
    with inside(folder):
        assert status("fit", *JUDGE, *TINY_CLASSIFIER[-3:]) == 0
        sample = [
            "sample",
            f"--ckpt={trained / 'runs/diffusion'}",
            "--scale=0",
            "--num_samples=20",
            "--sampler.steps=2",
            "--device=cpu",
        ]
        for kind in ("png", "npz"):
            assert status(*sample, f"--format={kind}", f"--out={kind}") == 0
    return folder


def columns(line: str) -> list[str]:
    return re.split(r"  +", line.strip())


@pytest.mark.parametrize("kind", ["png", "npz"])
def test_the_table_holds_what_the_judge_sees(
    kind: str, place: Path, monkeypatch: pytest.MonkeyPatch, cgd: Cgd
) -> None:
    monkeypatch.chdir(place)
    code, out, err = cgd("evaluate", f"--samples={kind}", "--judge=runs/judge", "--device=cpu")
    assert code == 0, err
    look, digits = JudgeFeatures(checkpoints.load("runs/judge")), Digits()
    test = digits.split("test")
    with np.load("npz/samples.npz") as arrays:
        images, labels = (
            torch.from_numpy(arrays["arr_0"]).permute(0, 3, 1, 2),
            torch.from_numpy(arrays["arr_1"]),
        )
    reference, real = look(test.images), look(test.images).classes
    seen = look(images)
    assert f"recognises {accuracy(real, test.labels):.2%} of them" in out
    assert f"reference: 250 test images of digits (hash {hash_of(test.images, test.labels)})" in out
    assert f"(hash {look.hash})" in out
    wanted = {
        "accuracy": accuracy(seen.classes, labels),
        "fid_lite": frechet_distance(reference.features, seen.features),
        **dict(zip(("precision", "recall"), precision_recall(reference.features, seen.features))),
    }
    told = {
        name.removesuffix("@20"): rest
        for name, *rest in map(columns, out.splitlines())
        if name.endswith("@20")
    }
    assert {"kid", "mind", "density", "coverage", "nearest_training"} <= told.keys()
    for name, value in wanted.items():
        number = told[name][0].partition(" ")[0]
        shown = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
        assert shown == pytest.approx(value, rel=1e-3, abs=1e-3)
    written = json.loads(Path(kind, "evaluation/evaluation.json").read_text())
    for name, value in wanted.items():
        number = written["samples"]["estimates"][f"{name}@20"]["value"]
        assert number == pytest.approx(value, rel=1e-5, abs=1e-6)
    draws = r"\nfid_lite of real images: mean of \d+ draws, [\d.e+-]+ to [\d.e+-]+\n"
    assert re.search(draws, out)
    assert out.splitlines()[-1] == f"{kind}/evaluation"


def test_a_setting_of_the_data_changes_those_that_the_judge_was_trained_on(
    place: Path, monkeypatch: pytest.MonkeyPatch, cgd: Cgd
) -> None:
    monkeypatch.chdir(place)
    words = ("evaluate", "--samples=npz", "--judge=runs/judge", "--device=cpu")
    assert cgd(*words, "--data.batch_size=7") == cgd(*words)


def test_wrong_inputs_get_one_line(
    place: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cgd: Cgd
) -> None:
    monkeypatch.chdir(place)
    wide = tmp_path / "wide"
    wide.mkdir()
    np.savez(
        wide / "samples.npz", arr_0=np.zeros((3, 8, 8, 1), np.uint8), arr_1=np.zeros(3, np.int64)
    )
    (wide / "samples.json").write_text(json.dumps({"images": {"labels": [0, 1, 2]}}))
    for words, says, *other in (
        (["--judge=runs/judge"], "wanted the samples and the judge"),
        (["--samples=png"], "wanted the samples and the judge"),
        (["--samples=png", "--features=random"], "which real images? give --reference FOLDER"),
        (["--samples=png", "--judge=runs/judge", "--features=vgg"], "no such network"),
        (["--samples=png", "--judge=runs/judge", "--weights=x.pth"], "the judge has its own"),
        (["--samples=png", "--judge=runs/judge", "--batch_size=0"], "wanted at least 1"),
        (["--samples=png", "--judge=runs/judge", "--reference=nowhere"], "nowhere: not there"),
        (
            ["--samples=png", "--features=random", "--data=Digits", "--data.held=1"],
            "held",
            2,
        ),
        (
            ["--samples=png", f"--judge={trained / 'runs/classifier'}"],
            "a classifier, and a judge was wanted",
        ),
        (
            ["--samples=nowhere", "--judge=runs/judge"],
            "--samples nowhere: not there; wanted a folder that cgd sample wrote",
        ),
        ([f"--samples={wide}", "--judge=runs/judge"], "images of shape [1, 8, 8]"),
        (["--samples=png", "--judge=nowhere"], "nowhere: no such checkpoint"),
        (["--samples=png", "--judge=png/grid.png"], "png/grid.png: not a readable checkpoint"),
        (["--samples=png", "--judge=runs/judge", "--data.seed=x"], "data.seed", 2),
    ):
        code, out, err = cgd("evaluate", *words)
        assert (code, out) == (other[0] if other else 1, "")
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert says in errors[0]


def test_targets_are_read_as_a_list_of_either_kind_and_as_a_table(tmp_path: Path) -> None:
    array = np.zeros((3, 4, 4, 1), np.uint8)
    np.savez(tmp_path / "samples.npz", arr_0=array)
    pair = [0.0, 1.0, 1.0]
    for said in (
        {"labels": [2, pair, 2]},
        {"targets": [2, pair], "target_of_image": [0, 1, 0]},
        write_targets([2, tuple(pair), 2]),
    ):
        (tmp_path / "samples.json").write_text(json.dumps({"images": said}))
        assert read_samples(tmp_path)[1] == [2, tuple(pair), 2]
    assert write_targets([2, 1, 2]) == {"labels": [2, 1, 2]}
    for said in ({"targets": [2], "target_of_image": [0, 1, 0]}, {"targets": [2]}, {}):
        (tmp_path / "samples.json").write_text(json.dumps({"images": said}))
        with pytest.raises(InputError, match="not a folder that cgd sample wrote whole"):
            read_samples(tmp_path)


THREE = {"count": 3, "labels": [0, 1, 2]}


def record(folder: Path, images: object) -> None:
    (folder / "samples.json").write_text(json.dumps({"images": images}))


def npz(folder: Path, **arrays: object) -> None:
    record(folder, THREE)
    given = {"arr_0": np.zeros((3, 4, 4, 1), np.uint8), "arr_1": np.arange(3), **arrays}
    np.savez(
        folder / "samples.npz",
        **{name: array for name, array in given.items() if array is not None},
    )  # type: ignore[arg-type]


def pngs(folder: Path, mode: str = "L", size: tuple[int, int] = (4, 4)) -> Path:
    record(folder, THREE)
    (folder / "images").mkdir()
    for i in range(3):
        Image.new(mode if i == 1 else "L", size if i == 1 else (4, 4)).save(
            folder / f"images/{i:04}-{i}.png"
        )
    return folder / "images/0001-1.png"


def members(folder: Path, *names: str, contents: bytes = b"", **how: int) -> None:
    record(folder, THREE)
    with zipfile.ZipFile(folder / "samples.npz", "w", **how) as archive:  # type: ignore[arg-type]
        for name in names:
            archive.writestr(name, contents)


def array(shape: tuple[int, ...], size: int, descr: object = "|u1", order: bool = False) -> bytes:
    """An array in numpy's format that says `shape` and has `size` bytes."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"shape": shape, "fortran_order": order, "descr": descr}
    )
    return file.getvalue() + bytes(size)


def changed(folder: Path, place: int, value: bytes) -> None:
    npz(folder)
    contents = bytearray((folder / "samples.npz").read_bytes())
    contents[place : place + len(value)] = value
    (folder / "samples.npz").write_bytes(contents)


def bomb(file: Path) -> None:
    """A small PNG that says it has 30,000 x 30,000 pixels."""
    size = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + size + struct.pack(">I", zlib.crc32(size))
    file.write_bytes(head + struct.pack(">I", 50) + b"IDAT" + bytes(54))


def link(file: Path) -> None:
    file.rename(file.with_name(".elsewhere"))
    file.symlink_to(".elsewhere")


def said(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "samples.json").write_text(text)


def labels(*targets: object) -> Callable[[Path], object]:
    return lambda folder: (npz(folder), record(folder, {"count": len(targets), "labels": targets}))


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a record that is too long": (
        lambda f: os.truncate(record(f, {}) or f / "samples.json", 2**40),
        "at most 16777216",
    ),
    "a record of too many values": (
        said('{"images": {"labels": [' + "[]," * MOST_VALUES + "0]}}"),
        "more than",
    ),
    "a deep record": (said('{"images":' * 5000), "recursion"),
    "a huge number": (said('{"images": {"labels": [' + "9" * 5000 + "]}}"), "digits"),
    "a record of other bytes": (lambda f: (f / "samples.json").write_bytes(b"\xff\xfe"), "decode"),
    "a record of another kind": (said('{"images": [1]}'), "list"),
    "a record that is a link": (lambda f: (npz(f), link(f / "samples.json")), "symbolic link"),
    "a record that is a pipe": (lambda f: os.mkfifo(f / "samples.json"), "not a regular file"),
    "no images": (labels(), "holds no images"),
    "another count": (lambda f: (npz(f), record(f, {**THREE, "count": 4})), "3 targets for 4"),
    "fewer targets": (labels(0, 1), "3 images and 2 targets"),
    "a target that is not a number": (labels(0, 1, float("nan")), "NaN"),
    "weights that are not numbers": (labels(0, 1, [float("nan")] * 2), "NaN"),
    "weights without end": (said('{"images": {"labels": [[1e999, 1]]}}'), "target [inf, 1]"),
    "weights too large for a float": (
        said('{"images": {"labels": [[1' + "0" * 400 + "]]}}"),
        "too large",
    ),
    "a weight below 0": (labels(0, 1, [-1, 1]), "target [-1, 1]"),
    "a class below 0": (labels(0, 1, -1), "target -1"),
    "a class that is true": (labels(0, 1, True), "target True"),
    "a class in words": (labels(0, 1, "\x1b[2J"), r"target '\x1b[2J'"),
    "a class with a point": (labels(0, 1, 2.0), "target 2.0"),
    "a place that is not there": (
        lambda f: record(f, {"targets": [1], "target_of_image": [0, -1]}),
        "target_of_image",
    ),
    "a place that is true": (
        lambda f: record(f, {"targets": [1], "target_of_image": [False]}),
        "target_of_image",
    ),
    "other classes": (lambda f: npz(f, arr_1=np.array([0, 1, 1])), "arr_1 says other classes"),
    "classes of another number": (lambda f: npz(f, arr_1=np.arange(4)), "wanted 3 classes"),
    "classes with points": (lambda f: npz(f, arr_1=np.arange(3.0)), "arr_1 is float64"),
    "no array": (lambda f: npz(f, arr_0=None), "arr_0.npy"),
    "an array of floats": (lambda f: npz(f, arr_0=np.zeros((3, 4, 4, 1))), "arr_0 is float64"),
    "an array of two axes": (
        lambda f: npz(f, arr_0=np.zeros((3, 4), np.uint8)),
        "arr_0 is uint8 of shape [3, 4]",
    ),
    "an array of pickles": (
        lambda f: npz(f, arr_0=np.full((3, 4, 4, 1), None)),
        "pickled objects, which are never read",
    ),
    "an array by columns": (
        lambda f: npz(f, arr_0=np.zeros((3, 4, 4, 2), np.uint8, order="F")),
        "not read here",
    ),
    "a shape that is not there": (
        lambda f: members(f, "arr_0.npy", contents=array((3, 99999, 99999, 1), 48)),
        "in 48 bytes",
    ),
    "a shape below 0": (
        lambda f: members(f, "arr_0.npy", contents=array((-3, -4, 4, 1), 48)),
        "not read here",
    ),
    "a long header": (
        lambda f: members(f, "arr_0.npy", contents=b"\x93NUMPY\1\0\xff\xff" + b"(" * 65535),
        "Header",
    ),
    "a newer header": (
        lambda f: members(f, "arr_0.npy", contents=b"\x93NUMPY\2\0" + b"\xff" * 99),
        "another version",
    ),
    "compressed arrays": (
        lambda f: (npz(f), np.savez_compressed(f / "samples.npz", arr_0=np.zeros(9))),
        "is compressed",
    ),
    "many members": (lambda f: members(f, *map(str, range(17))), "at most 16 arrays"),
    "very many members": (lambda f: members(f, *map(str, range(23_000))), "are read"),
    "no zip": (
        lambda f: (record(f, THREE), (f / "samples.npz").write_bytes(b"PK")),
        "not a zip file",
    ),
    "other bytes": (lambda f: changed(f, 160, b"\1"), "CRC"),
    "a damaged name": (lambda f: changed(f, 30, b"\xff\xff"), "arr_0"),
    "arrays that are a link": (lambda f: (npz(f), link(f / "samples.npz")), "symbolic link"),
    "arrays that are a pipe": (
        lambda f: (record(f, THREE), os.mkfifo(f / "samples.npz")),
        "not a regular file",
    ),
    "a missing picture": (
        lambda f: pngs(f).unlink(),
        "'0002-2.png' where 0001-CLASS.png was wanted",
    ),
    "a picture too many": (
        lambda f: (pngs(f), (f / "images/0003-0.png").touch()),
        "more than 3 files",
    ),
    "a picture of another name": (
        lambda f: pngs(f).rename(f / "images/1-1.png"),
        "0001-CLASS.png was wanted",
    ),
    "a picture of another size": (
        lambda f: pngs(f, size=(4, 5)),
        "images of shape [1, 5, 4]; wanted shape [1, 4, 4]",
    ),
    "a picture in colour": (lambda f: pngs(f, mode="RGB"), "images of shape [3, 4, 4]"),
    "a picture with a palette": (lambda f: pngs(f, mode="P"), "has mode P"),
    "a picture of another format": (
        lambda f: Image.new("L", (4, 4)).save(pngs(f), "BMP"),
        "'0001-1.png' is not a PNG",
    ),
    "a picture that is a bomb": (lambda f: bomb(pngs(f)), "exceeds limit"),
    "a picture that is cut": (
        lambda f: os.truncate(pngs(f), 45),
        "not a folder that cgd sample wrote whole",
    ),
    "a picture that is too long": (
        lambda f: os.truncate(pngs(f), 2**30),
        "0001-1.png has 1073741824 bytes",
    ),
    "a picture that is a link": (lambda f: link(pngs(f)), "symbolic link"),
    "a picture that is a pipe": (
        lambda f: (pngs(f).unlink(), os.mkfifo(f / "images/0001-1.png")),
        "not a regular file",
    ),
    "pictures that are a link": (lambda f: (pngs(f), link(f / "images")), "images is a link"),
}


@pytest.mark.parametrize(("make", "says"), HOSTILE.values(), ids=HOSTILE)
def test_samples_that_lie_are_refused_in_one_line_before_room_is_made(
    make: Callable[[Path], object], says: str, tmp_path: Path
) -> None:
    make(tmp_path)
    tracemalloc.start()
    with pytest.raises(InputError, match=re.escape(says)) as refused:
        read_samples(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**25
    assert str(refused.value).startswith(f"--samples {tmp_path}: ")
    assert len(str(refused.value)) < 500 + 2 * len(str(tmp_path))
    assert str(refused.value).isprintable()


def test_samples_are_read_whichever_way_they_were_written(tmp_path: Path) -> None:
    images = np.arange(96, dtype=np.uint8).reshape(3, 4, 4, 2)[..., :1]
    for kind in ("png", "npz"):
        (tmp_path / kind).mkdir()
    npz(tmp_path / "npz", arr_0=np.ascontiguousarray(images))
    pngs(tmp_path / "png")
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(tmp_path / f"png/images/{i:04}-{i}.png")
    for kind in ("png", "npz"):
        read, targets = read_samples(tmp_path / kind, [1, 4, 4], "abc")
        assert torch.equal(read, torch.from_numpy(images).permute(0, 3, 1, 2))
        assert targets == [0, 1, 2]
        with pytest.raises(
            InputError, match=r"images of shape \[1, 4, 4\]; wanted shape \[1, 8, 8\]"
        ):
            read_samples(tmp_path / kind, [1, 8, 8])
        with pytest.raises(InputError, match="label 2: the classes are 0 to 1"):
            read_samples(tmp_path / kind, [1, 4, 4], "ab")
    record(tmp_path / "npz", {"labels": [[1.0] * 1000] * 3})
    with pytest.raises(InputError, match=r"a target of 1000 weights for 2 classes$"):
        read_samples(tmp_path / "npz", [1, 4, 4], "ab")
