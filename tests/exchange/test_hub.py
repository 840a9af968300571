"""Models on the Hub: fetched by name, pushed by name, and never a connection that nobody asked for.

The client runs in processes of its own, which read its settings when they start.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.hub import cached_name, is_hub
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.record import read_request
from tests.checkpoints.test_checkpoints import denoiser, noisy_classifier, saved
from tests.checkpoints.test_folder_form import write_folder
from tests.exchange.hub_stand_in import TOKEN, Hub, standing_in

Words = tuple[str, ...]
Done = tuple[int, str, str]
Run = Callable[..., list[Done]]

COMMANDS = """
import contextlib, io, json, sys
from cgd_lightning.commands.main import main

done = []
for words in json.loads(sys.argv[1]):
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words)
        except SystemExit as end:
            code = end.code
    done.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(done))
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with standing_in() as hub:
        yield hub


@pytest.fixture
def run(hub: Hub, tmp_path: Path) -> Run:
    """run(WORDS, WORDS, NAME=VALUE) -> (exit status, standard output, standard error) of each.

    They run in one process, with these environment variables.
    """

    def run(*commands: Words, **settings: str) -> list[Done]:
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("CGD_", "HF_"))},
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "hub"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **settings,
        }
        place = tmp_path / "work"
        place.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", COMMANDS, json.dumps(commands)],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=True,
        )
        return [tuple(one) for one in json.loads(done.stdout)]

    return run


@pytest.fixture
def pair(hub: Hub, tmp_path: Path) -> Path:
    """The pair user/pair on the Hub, and the folder that it is of."""
    folder = tmp_path / "pair"
    write_folder(denoiser(), folder / "diffusion", "digits")
    write_folder(noisy_classifier(), folder / "classifier", "digits")
    put(hub, "user/pair", folder)
    return folder


def put(hub: Hub, name: str, folder: Path) -> None:
    files = [file for file in folder.rglob("*") if file.is_file()]
    hub.repositories[name] = {str(f.relative_to(folder)): f.read_bytes() for f in files}
    hub.repositories[name] |= {"README.md": b"#", "big.bin": b"0" * 1000, ".gitattributes": b""}


@pytest.mark.slow
def test_a_name_is_fetched_and_makes_the_images_of_its_folder(
    hub: Hub, run: Run, pair: Path, tmp_path: Path
) -> None:
    options = ("--num_samples=4", "--steps=3", "--format=npz", "--device=cpu")
    named, mine = run(
        ("sample", "--ckpt=hf://user/pair", *options),
        ("sample", f"--ckpt={pair}", *options, "--out=mine"),
    )
    assert (named[0], mine[0]) == (0, 0), named[2]
    assert "classifier/model.safetensors" in named[2]
    assert not [asked for asked in hub.asked if "big.bin" in asked or "README" in asked]
    theirs = tmp_path / "work/runs/user--pair/samples/0/samples.npz"
    assert theirs.read_bytes() == (tmp_path / "work/mine/samples.npz").read_bytes()
    assert not list((tmp_path / "hub").rglob("samples*"))


@pytest.mark.slow
def test_the_cache_serves_without_a_network(hub: Hub, run: Run, pair: Path) -> None:
    name = f"hf://user/pair/classifier@{hub.commit('user/pair')}"
    first, _ = run(("info", name), ("info", "hf://user/pair"))
    assert first[0] == 0, first[2]
    assert "kind: classifier" in first[1]
    hub.asked.clear()
    (offline,) = run(("info", "hf://user/pair"), HF_HUB_OFFLINE="1")
    assert offline[0] == 0, offline[2]
    assert "kind: diffusion" in offline[1]
    assert hub.asked == []
    (down,) = run(("info", "hf://user/pair"), HF_ENDPOINT=NOWHERE)
    assert down[0] == 0, down[2]


NOWHERE = "http://127.0.0.1:9"

FAILURES = {
    "user/nothing": "no such repository, or a private one",
    "user/secret": "no such repository, or a private one",
    "user/gated": "its owner gives access on demand",
    "user/pair@other": "has no such revision",
    "user/other": "holds no model of cgd-lightning",
    "user/foreign": "not a description of a model of cgd-lightning",
    "user": "wanted hf://USER/REPO",
    "user/pair/../../x": "wanted hf://USER/REPO",
}


def says(done: Done, words: str) -> bool:
    """Whether a command failed in one line with these words."""
    code, _, err = done
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    return code == 1 and len(lines) == 1 and words in lines[0] and "Traceback" not in err


@pytest.mark.slow
def test_every_failure_is_one_line(hub: Hub, run: Run, pair: Path, tmp_path: Path) -> None:
    put(hub, "user/secret", pair)
    put(hub, "user/gated", pair)
    hub.private.add("user/secret")
    hub.gated.add("user/gated")
    hub.repositories["user/other"] = {"pytorch_model.bin": b"..."}
    hub.repositories["user/foreign"] = {"config.json": b"{}", "model.safetensors": b"..."}
    found = run(*(("info", f"hf://{name}") for name in FAILURES))
    for done, (name, words) in zip(found, FAILURES.items()):
        assert says(done, words), (name, done[2])
    empty = str(tmp_path / "empty")
    (down,) = run(("info", "hf://user/pair"), HF_ENDPOINT=NOWHERE, HF_HOME=empty)
    assert says(down, "the Hub cannot be reached"), down[2]
    (offline,) = run(("info", "hf://user/pair"), HF_HUB_OFFLINE="1", HF_HOME=empty)
    assert says(offline, "HF_HUB_OFFLINE is set"), offline[2]


@pytest.mark.slow
def test_a_pair_is_pushed_and_comes_back(hub: Hub, run: Run, pair: Path, tmp_path: Path) -> None:
    words = ("export", str(pair), "--samples=none", "--push=user/mine")
    (refused,) = run((*words, "--out=kept"))
    assert says(refused, "log in with hf auth login"), refused[2]
    assert (tmp_path / "work/kept/README.md").is_file()
    hub.private.add("user/mine")
    pushed, told = run((*words, "--out=out"), ("info", "hf://user/mine"), HF_TOKEN=TOKEN)
    assert pushed[0] == 0, pushed[2]
    assert pushed[1].splitlines()[-1] == f"{hub.address}/user/mine"
    assert told[0] == 0, told[2]
    files = hub.repositories["user/mine"]
    own = {f"{part}/{name}" for part in ("diffusion", "classifier") for name in PUSHED}
    assert set(files) == own | {"README.md"}
    name = "diffusion/model.safetensors"
    assert files[name] == (pair / name).read_bytes()
    assert b"cgd sample --ckpt hf://user/mine" in files["README.md"]


PUSHED = ("config.json", "model.safetensors")


def test_python_loads_by_name(hub: Hub, pair: Path) -> None:
    code = (
        "import cgd_lightning, torch; model = cgd_lightning.load('hf://user/pair'); "
        "print(float(sum(p.double().sum() for p in model.state_dict().values())))"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(pair.parent / "hub")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    wanted = sum(p.double().sum() for p in checkpoints.load(pair).state_dict().values())
    assert float(done.stdout) == pytest.approx(float(wanted))


def test_a_file_asks_for_no_connection(hub: Hub, run: Run, pair: Path, tmp_path: Path) -> None:
    place = tmp_path / "work/runs/mine/version_0"
    saved(place / "best.ckpt", denoiser(), partner="hf://user/pair/classifier")
    for name in ("ckpt", "classifier"):
        (tmp_path / f"work/{name}.yaml").write_text(f"{name}: hf://user/pair\n")
    record = tmp_path / "samples.json"
    for options in ({"ckpt": "hf://user/pair"}, {"ckpt": "x", "classifier": "hf:/user/pair"}):
        record.write_text(json.dumps({"options": options}))
        with pytest.raises(InputError, match="not fetched because a file says so"):
            read_request(record)
    partner, ckpt, classifier, recorded = run(
        ("sample", "--ckpt=runs/mine", "--num_samples=2", "--steps=2"),
        ("sample", "--config=ckpt.yaml", "--out=x"),
        ("sample", "--ckpt=runs/mine", "--config=classifier.yaml", "--out=x"),
        ("sample", f"--from={record}", "--out=x"),
    )
    assert says(partner, "not fetched because a file says so"), partner
    assert says(ckpt, "ckpt: a file says 'hf://user/pair'"), ckpt
    assert says(classifier, "classifier: a file says 'hf://user/pair'"), classifier
    assert says(recorded, "not fetched because a file says so"), recorded
    assert hub.asked == []


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgd_lightning.checkpoints.hub.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'cgd-lightning\[hub\]'"):
        checkpoints.load("hf://user/not-installed")


def test_names_are_told_from_paths(tmp_path: Path) -> None:
    assert is_hub("hf://user/pair")
    assert is_hub(Path("hf://user/pair"))
    assert not is_hub("hf/user/pair")
    cache = tmp_path / "models--a--b--c/snapshots/123/diffusion"
    assert cached_name(cache) == "a--b--c"
    assert cached_name(tmp_path) is None


def test_links_of_the_cache_are_followed_and_no_others(tmp_path: Path) -> None:
    weights = write_folder(denoiser(), tmp_path / "real")
    wanted = checkpoints.load(weights).state_dict()
    repository = tmp_path / "models--user--pair"
    snapshot = repository / "snapshots/123"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for name in ("config.json", "model.safetensors"):
        (repository / "blobs" / name[:5]).write_bytes(weights.with_name(name).read_bytes())
        (snapshot / name).symlink_to(f"../../blobs/{name[:5]}")
    found = checkpoints.load(snapshot).state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(weights.with_name("config.json"))
    with pytest.raises(InputError, match="not a readable description"):
        checkpoints.load(snapshot)
