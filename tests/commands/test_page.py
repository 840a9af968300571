"""`cgd page`: the built page, and the pair in it."""

import hashlib
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.exchange import page_files
from cgd_lightning.networks import MLP, MLPClassifier
from tests.checkpoints.test_checkpoints import judge, randomised, saved

ROOT = Path(__file__).parents[2]
Cgd = Callable[..., tuple[int, str, str]]

BUILT = {
    "index.html": "<title>Drag</title>",
    "sw.js": "// keeps",
    "assets/worker-1.js": "// works",
    "assets/model/note.txt": "no model of a pair",
    "assets/ort-1.wasm": "\0asm",
    "model/pair.onnx": "of somebody else",
}


def stored_pair(runs: Path, channels: int = 1, names: tuple[str, ...] = ("a", "b", "c")) -> None:
    """Runs of a small pair of images of 8 x 8."""
    data = DataSpec((channels, 8, 8), names)
    network = randomised(MLP(8, channels, channels, width=16, depth=1))
    guide = randomised(MLPClassifier(8, channels, len(names), width=16, depth=1))
    saved(runs / "diffusion/version_0/best.ckpt", Denoiser(network, Cosine(), "v", data))
    saved(runs / "classifier/version_0/best.ckpt", NoisyClassifier(guide, Cosine(), data))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the runs of a pair and, in built/, a page with a pair in it."""
    monkeypatch.chdir(tmp_path)
    for name, text in BUILT.items():
        file = tmp_path / "built" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(page_files, "PLACES", (tmp_path / "nowhere", tmp_path / "built"))
    stored_pair(tmp_path / "runs")
    return tmp_path


@pytest.mark.slow
def test_a_page_is_what_was_built_and_the_pair_asked_for(here: Path, cgd: Cgd) -> None:
    pytest.importorskip("onnxruntime")
    code, out, err = cgd("page", "--ckpt=runs/diffusion", "--half")
    assert code == 0, err
    page = Path("runs/diffusion/version_0/page")
    assert out.splitlines()[-1] == f"{page}"
    there = {str(file.relative_to(page)) for file in page.rglob("*") if file.is_file()}
    assert there == {*BUILT, "model/pair.json"}
    for name in BUILT.keys() - {"model/pair.onnx"}:
        assert (page / name).read_text() == BUILT[name]
    facts = json.loads((page / "model/pair.json").read_text(encoding="utf-8"))
    graph = (page / "model/pair.onnx").read_bytes()
    assert facts["model"]["sha256"] == hashlib.sha256(graph).hexdigest()
    assert facts["weights"] == "fp16"
    assert max(facts["largest_difference"].values()) < 1e-4
    rounded = max(facts["largest_difference_of_fp16"].values())
    assert 1e-6 < rounded < 0.1
    assert f"of float16 from float32: {rounded:.2g}" in out
    onnx = pytest.importorskip("onnx")
    weights = [value for value in onnx.load_from_string(graph).graph.initializer if value.dims]
    kinds = {value.data_type for value in weights if math.prod(value.dims) > 30}
    assert kinds == {onnx.TensorProto.FLOAT16}
    sizes = sum(len(text) for name, text in BUILT.items() if name != "model/pair.onnx")
    assert out.splitlines()[:2] == [f"page: {sizes} bytes", f"model: {len(graph):,} bytes"]

    code, _, err = cgd("page", "--ckpt=runs/diffusion")
    assert code == 1
    assert "is there already, and not an empty folder; give another, or show" in err
    assert f"cgd page --out {page} --serve" in err


MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing": ((), "of which pair? cgd page --ckpt RUN"),
    "a page without a place": (("--serve",), "of which pair? cgd page --ckpt RUN"),
    "a folder without a page": (("--serve", "--out=runs"), "runs: holds no page, for index.html"),
    "a page without a pair": (("--serve", "--out=built"), "built: holds no page, for model/pair"),
    "a port of nothing": (("--ckpt=runs/diffusion", "--port=0"), "--port: is of --serve"),
    "half of what is there": (
        ("--serve", "--out=built", "--half"),
        "--half: is of a page that is made; give --ckpt",
    ),
    "a classifier of what is there": (
        ("--serve", "--out=built", "--classifier=runs/classifier"),
        "--classifier: is of a page that is made; give --ckpt",
    ),
    "a classifier": (("--ckpt=runs/classifier",), "is a classifier; give the diffusion"),
    "a judge as its guide": (("--ckpt=runs/diffusion", "--classifier=runs/judge"), "judge"),
    "a place that is taken": (("--ckpt=runs/diffusion", "--out=built"), "is there already"),
}


@pytest.mark.parametrize(("words", "says"), MISTAKES.values(), ids=MISTAKES)
def test_what_cannot_be_is_said_in_a_line_and_nothing_is_written(
    words: tuple[str, ...], says: str, here: Path, cgd: Cgd
) -> None:
    saved(here / "runs/judge/version_0/best.ckpt", judge())
    refused(cgd, says, *words)


def refused(cgd: Cgd, says: str, *words: str) -> None:
    before = sorted(Path().rglob("*"))
    code, _, err = cgd("page", *words)
    assert code == 1
    assert says in err
    assert len([line for line in err.splitlines() if line.startswith("error: ")]) == 1
    assert sorted(Path().rglob("*")) == before


def test_a_page_that_was_not_built_says_how_it_is(
    here: Path, cgd: Cgd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_files, "PLACES", (here / "nowhere",))
    refused(cgd, f"npm --prefix {ROOT / 'page'} run build", "--ckpt=runs/diffusion")
    monkeypatch.setattr(page_files, "SOURCE", here / "nowhere")
    refused(cgd, "this installation came without the page", "--ckpt=runs/diffusion")


def test_a_pair_that_no_browser_bears_is_refused_with_its_size(
    here: Path, cgd: Cgd, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(page_files, "MOST_BYTES", 20_000)
    refused(cgd, "bytes of weights: a browser bears 20,000; --half halves", "--ckpt=runs/diffusion")
    monkeypatch.setattr(page_files, "MOST_BYTES", 2_000)
    refused(cgd, "train smaller networks", "--ckpt=runs/diffusion", "--half")


def test_images_that_are_no_pictures_are_refused(here: Path, cgd: Cgd) -> None:
    pytest.importorskip("onnxruntime")
    stored_pair(here / "runs", channels=2)
    refused(cgd, "images of 2 x 8 x 8: the page shows those of 1 or 3", "--ckpt=runs/diffusion")


def test_classes_that_the_page_does_not_show_are_refused(
    here: Path, cgd: Cgd, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(page_files, "MOST_CLASSES", 2)
    refused(cgd, "3 classes: the page shows at most 2", "--ckpt=runs/diffusion")
    monkeypatch.undo()
    monkeypatch.chdir(here)
    monkeypatch.setattr(page_files, "PLACES", (here / "built",))
    stored_pair(here / "long", names=("a", "b", "x" * 201))
    refused(cgd, "the page shows names of at most 200 letters", "--ckpt=long/diffusion")


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """(address, process) of `cgd page --out FOLDER --serve`."""
    # A shell lets what it starts in the background ignore Ctrl-C, and Python leaves it so.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from cgd_lightning.commands.main import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, "page", "--out", str(folder), "--serve", "--port=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        address = re.fullmatch(r"(http://127\.0\.0\.1:\d+/) until Ctrl-C\n", said)
        assert address is not None, said
        yield address[1], process
    finally:
        process.kill()
        process.communicate()


def test_a_page_is_served_with_the_types_that_browsers_want_until_it_is_interrupted(
    here: Path,
) -> None:
    (here / "built/model/pair.json").write_text("{}")
    wanted = {
        "": "text/html; charset=utf-8",
        "sw.js": "text/javascript",
        "assets/ort-1.wasm": "application/wasm",
        "model/pair.json": "application/json",
    }
    (here / "built/out").symlink_to(here / "runs/classifier/version_0/best.ckpt")
    with served(here / "built") as (address, process):
        for name, kind in wanted.items():
            with urllib.request.urlopen(address + name) as answer:
                assert answer.headers["Content-Type"] == kind
                assert answer.headers["Cache-Control"] == "no-cache"
                assert (
                    answer.read().decode()
                    == (BUILT | {"model/pair.json": "{}"})[name or "index.html"]
                )
        for name in ("runs/classifier", "model/", "out", "%2e%2e/runs"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(address + name)
        foreign = urllib.request.Request(address, headers={"Host": "elsewhere.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(foreign)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "error: cgd page: interrupted\n")


def test_a_port_that_cannot_be_had_is_said(here: Path, cgd: Cgd) -> None:
    (here / "built/model/pair.json").write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(cgd, f"--port {port}: cannot be had", "--serve", "--out=built", f"--port={port}")
        # Before the page is made, which takes minutes.
        refused(cgd, "cannot be had", "--ckpt=runs/diffusion", "--serve", f"--port={port}")
    refused(cgd, "--port 70000: cannot be had", "--serve", "--out=built", "--port=70000")
