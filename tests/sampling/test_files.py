"""A folder of samples belongs to one job at a time, and holds what its samples.json says."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.claim import Claim, claim
from cgd_lightning.sampling.files import SampleFolder, new_folder
from tests.command_line import status
from tests.kills import KILLS, Killed, contents, killed_again_and_again, start, told_of

SAMPLE = ("sample", "--ckpt=runs/diffusion", "--device=cpu", "--sampler.steps=4", "--scale=0")
SLOW = (*SAMPLE, "--batch_size=1", "--num_samples=120")
Cgd = Callable[..., tuple[int, str, str]]


def wait_for_pieces(folder: Path, job: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while not list(folder.glob(".unfinished/*/[0-9]*.*")):
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def error_of(err: str) -> str:
    [line] = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in err
    return line


def pixels(folder: Path) -> list[bytes]:
    if (folder / "samples.npz").exists():
        with np.load(folder / "samples.npz") as arrays:
            assert len(arrays["arr_0"]) == len(arrays["arr_1"])
            return [image.tobytes() for image in arrays["arr_0"]]
    return [Image.open(file).tobytes() for file in sorted((folder / "images").iterdir())]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["png", "npz"])
def test_the_same_request_alone_goes_on_with_what_a_killed_job_left(
    kind: str, workplace: Path, cgd: Cgd
) -> None:
    few = (*SAMPLE, "--batch_size=1", "--num_samples=50", f"--format={kind}")
    job = start(*few, "--out=D")
    wait_for_pieces(Path("D"), job)
    job.kill()
    job.communicate()
    assert not Path("D/samples.json").exists()
    Path("D/.unfinished.lock").unlink()
    left = contents(Path("D"))
    code, out, err = cgd(*few, "--num_samples=30", "--seed=1", "--out=D")
    assert (code, out) == (1, "")
    error = error_of(err)
    assert "num_samples 50 there, 30 here" in error
    assert "seed 0 there, 1 here" in error
    assert "remove D/.unfinished" in error
    assert "goes on" not in err
    assert contents(Path("D")) == left
    code, _, err = cgd(*few, "--out=D")
    assert code == 0, err
    assert re.search(r"note: D: [1-9][0-9]* of 50 batches are there already", err)
    assert cgd(*few, "--out=clean")[0] == 0
    assert contents(Path("D")) == contents(Path("clean"))
    code, out, err = cgd(*few, "--out=D")
    assert (code, out) == (0, "D/grid.png\n")
    assert "D holds these samples already; nothing is left to do" in err
    assert contents(Path("D")) == contents(Path("clean"))
    code, _, err = cgd(*few, "--seed=1", "--out=D")
    assert code == 1
    assert "--out D: holds samples of another request (seed 0 there, 1 here)" in error_of(err)
    code, _, err = cgd(*few, "--out=D", "--animate")
    assert code == 1
    assert "--animate: D holds these samples already, without animation.gif" in error_of(err)
    lost = next(Path("D/images").iterdir()) if kind == "png" else Path("D/samples.npz")
    lost.unlink()
    code, _, err = cgd(*few, "--out=D")
    assert code == 1
    left = 49 if kind == "png" else 0
    assert f"but only {left} of its 50 images are left" in error_of(err)
    Path("D/grid.png").write_bytes(b"")
    assert "but grid.png is gone" in error_of(cgd(*few, "--out=D")[2])


@pytest.mark.slow
def test_of_two_jobs_on_one_folder_one_is_refused_and_the_other_is_right(
    workplace: Path, cgd: Cgd
) -> None:
    jobs = {count: start(*SLOW, f"--num_samples={count}", "--out=D") for count in (119, 120)}
    ended = {count: (*job.communicate(timeout=60), job.returncode) for count, job in jobs.items()}
    assert sorted(code for *_, code in ended.values()) == [0, 1]
    [won] = [count for count, (*_, code) in ended.items() if code == 0]
    [err] = [err for _, err, code in ended.values() if code == 1]
    assert "another command is at work there" in error_of(err) or "holds samples" in error_of(err)
    assert json.loads(Path("D/samples.json").read_text())["images"]["count"] == won
    assert cgd(*SLOW, f"--num_samples={won}", "--out=clean")[0] == 0
    assert pixels(Path("D")) == pixels(Path("clean"))
    assert sorted(contents(Path("D"))) == sorted(contents(Path("clean")))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_job_that_is_interrupted_in_a_folder_of_no_name_leaves_nothing(
    number: signal.Signals, code: int, workplace: Path
) -> None:
    under = Path("runs/diffusion/version_0/samples")
    before = contents(under) if under.exists() else {}
    job = start(*SLOW, "--num_samples=100000")
    deadline = time.monotonic() + 60
    while not list(under.glob("*/.unfinished/*/[0-9]*.*")):
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    job.send_signal(number)
    _, err = job.communicate(timeout=60)
    assert job.returncode == code
    assert error_of(err).startswith("error: cgd sample: ")
    assert (contents(under) if under.exists() else {}) == before


@pytest.mark.parametrize(("number", "ended"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_job_is_refused_while_another_is_at_work_and_an_interrupted_one_goes_on(
    number: signal.Signals, ended: int, workplace: Path, cgd: Cgd
) -> None:
    job = start(*SLOW, "--num_samples=100000", "--out=D")
    wait_for_pieces(Path("D"), job)
    code, out, err = cgd(*SLOW, "--num_samples=100000", "--out=D")
    assert (code, out) == (1, "")
    assert "--out D: another command is at work there; give another folder" in error_of(err)
    job.send_signal(number)
    _, err = job.communicate(timeout=60)
    assert job.returncode == ended
    assert "note: D keeps the batches that are finished; the same command goes on" in err
    assert set(os.listdir("D")) == {".unfinished"}


def train_again(run: Path) -> None:
    """Put other weights into the files of `run`, whose settings stay."""
    for file in run.glob("version_*/*.ckpt"):
        network = checkpoints.load(file, Denoiser)
        with torch.no_grad():
            for weights in network.parameters():
                weights.mul_(1.01)
        checkpoints.save(network, file)


@pytest.mark.parametrize("whole", [False, True])
def test_networks_that_were_trained_again_do_not_go_on_with_the_samples_of_the_old(
    whole: bool, workplace: Path, cgd: Cgd, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, add = (*SAMPLE, "--num_samples=4", "--batch_size=2", "--out=D"), SampleFolder.add

    def interrupted(self: SampleFolder, start: int, images: torch.Tensor) -> int:
        if start == 2:
            raise KeyboardInterrupt
        return add(self, start, images)

    with monkeypatch.context() as patch:
        if not whole:
            patch.setattr(SampleFolder, "add", interrupted)
        assert status(*words) == (0 if whole else 130)
    left = contents(Path("D"))
    train_again(Path("runs/diffusion"))
    code, out, err = cgd(*words)
    assert (code, out) == (1, "")
    what = "samples of another request" if whole else "unfinished pieces of another request"
    assert f"--out D: holds {what} (networks " in error_of(err)
    assert contents(Path("D")) == left


STRESS = """
import os, sys
from pathlib import Path
from cgd_lightning.sampling.claim import claim
from cgd_lightning.errors import InputError
done = 0
while done < 150:
    try:
        with claim(Path("D"), {"seed": 0}) as own:
            os.close(os.open("inside", os.O_CREAT | os.O_EXCL))
            (own.pieces / "piece").touch()
            os.unlink("inside")
            done += 1
    except InputError as error:
        assert "at work there" in str(error), error
"""


@pytest.mark.slow
def test_no_two_processes_ever_hold_a_folder(tmp_path: Path) -> None:
    run = [sys.executable, "-c", STRESS]
    jobs = [
        subprocess.Popen(run, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert [job.communicate(timeout=60)[1] for job in jobs] == ["", "", ""]


def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    (folder / "request.json").write_text(json.dumps({"seed": 0}))
    (folder / "sub" / "precious").write_text("mine")
    return folder


LEFT = {
    ".unfinished": "not a folder that cgd made",
    ".unfinished.lock": "not a regular file",
    "samples.json": "holds samples already",
    "images": "holds images, but no samples.json",
    "samples.npz": "holds samples.npz, but",
    "grid.png": "holds grid.png, but",
    "animation.gif": "holds animation.gif, but",
    ".samples.json.tmp": "holds .samples.json.tmp, but",
}


@pytest.mark.parametrize(
    "kind", ["link to a folder", "link to a file", "dangling link", "file", "folder"]
)
@pytest.mark.parametrize("name", LEFT)
def test_what_is_not_a_jobs_own_is_neither_followed_nor_removed(
    name: str, kind: str, tmp_path: Path
) -> None:
    others, folder = outside(tmp_path), tmp_path / "D"
    folder.mkdir()
    if kind == "file":
        (folder / name).write_text("mine")
    elif kind == "folder":
        (folder / name / "sub").mkdir(parents=True)
    else:
        ends = {"link to a folder": others, "link to a file": others / "sub" / "precious"}
        (folder / name).symlink_to(ends.get(kind, others / "new"))
    before = contents(tmp_path)
    if (name, kind) == (".unfinished.lock", "file"):
        with claim(folder, {"seed": 0}):
            pass
        del before["D/.unfinished.lock"]
    else:
        says = "does not tell whose" if (name, kind) == (".unfinished", "folder") else LEFT[name]
        with pytest.raises(InputError, match=says), claim(folder, {"seed": 0}):
            pytest.fail("claimed")
    assert contents(tmp_path) == before
    assert os.path.lexists(folder / name) or kind == "file"


def test_other_links_in_the_folder_are_left_alone(
    tmp_path: Path, workplace: Path, cgd: Cgd
) -> None:
    others = outside(tmp_path)
    Path("D").mkdir()
    for name in ("samples.json.tmp", ".writable", ".unfinished.tmp", "README"):
        Path("D", name).symlink_to(others / "sub" / "precious")
    os.link(others / "sub" / "precious", "D/.unfinished.lock")
    before = contents(others)
    assert cgd(*SAMPLE, "--num_samples=2", "--out=D")[0] == 0
    assert contents(others) == before
    assert not Path("D/.unfinished.lock").exists()


@pytest.mark.parametrize(
    "said",
    [
        "",
        "[",
        "[" * 5000,
        "9" * 5000,
        "\xff",
        '{"a": NaN}',
        "[1]",
        "{}",
        "{" + '"a":{' * 900 + "}" * 901,
    ],
)
def test_a_request_that_cannot_be_read_is_not_the_same(said: str, tmp_path: Path) -> None:
    (tmp_path / "D/.unfinished").mkdir(parents=True)
    (tmp_path / "D/.unfinished/request.json").write_bytes(said.encode("latin-1"))
    before = contents(tmp_path)
    with (
        pytest.raises(InputError, match=r"remove .*\.unfinished first") as refused,
        claim(tmp_path / "D", {"seed": 0}),
    ):
        pytest.fail("claimed")
    assert len(str(refused.value)) < 1000 + len(str(tmp_path))
    assert contents(tmp_path) == before


def test_a_job_that_was_killed_before_it_wrote_its_request_is_in_nobodys_way(
    tmp_path: Path,
) -> None:
    (tmp_path / ".unfinished").mkdir()
    (tmp_path / ".unfinished/.request.json.tmp").write_text("{")
    with claim(tmp_path, {"seed": 0}) as own:
        assert own.pieces.is_dir()
    assert not list(tmp_path.iterdir())


def finish(folder: Path, kind: Any, between: Callable[[Claim], object]) -> None:
    """A job of three images, which ends after `between`."""
    with claim(folder, {}) as own:
        out = SampleFolder(own, [0, 1, 0], {0: "a", 1: "b"}, kind)
        for i in range(3):
            out.add(i, torch.zeros(1, 1, 4, 4, dtype=torch.uint8))
        between(own)
        out.finish({})


PIECES = {
    "png": ("images/0001-b.png", "images/0002-a.png", "images/0003-a.png"),
    "npz": ("00000001.npy", "00000002.npy", "00000003.npy"),
}


@pytest.mark.parametrize("kind", PIECES)
def test_pieces_that_are_missing_or_foreign_make_no_samples(kind: str, tmp_path: Path) -> None:
    middle, last, foreign = PIECES[kind]
    faults: list[Callable[[Claim], object]] = [
        lambda own: (own.pieces / middle).unlink(),
        lambda own: (own.pieces / last).unlink(),
        lambda own: (own.pieces / foreign).touch(),
        lambda own: (own.pieces / last).rename(own.pieces / foreign),
    ]
    for fault in faults:
        with pytest.raises(InputError, match="the pieces of this job are not whole"):
            finish(tmp_path / "D", kind, fault)
        assert not (tmp_path / "D").exists()
    finish(tmp_path / "D", kind, lambda own: None)
    assert json.loads((tmp_path / "D/samples.json").read_text()) == {
        "images": {"count": 3, "labels": [0, 1, 0]}
    }


def npy(*shape: int, dtype: Any = np.uint8) -> Callable[[Path], object]:
    return lambda file: np.save(file, np.zeros(shape, dtype))


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def link(file: Path) -> None:
    file.rename(file.with_name("moved"))
    file.symlink_to("moved")


OTHER: dict[str, dict[str, Callable[[Path], object]]] = {
    "npz": {
        "a zip": lambda file: file.write_bytes(b"PK\x03\x04xxxx"),
        "an open bracket": lambda file: file.write_bytes(b"\x93NUMPY\x01\x00\x02\x00(\n"),
        "another shape": npy(1, 4, 5, 1),
        "another kind of number": npy(1, 4, 4, 1, dtype=np.float32),
        "no dimension": npy(),
    },
    "png": {
        "a large picture": lambda file: Image.new("1", (20_000, 9_000)).save(file),
        "another format": lambda file: Image.new("L", (4, 4)).save(file, "GIF"),
        "another shape": lambda file: Image.new("RGB", (4, 4)).save(file),
        "no picture": lambda file: file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n"),
    },
}
for others in OTHER.values():
    others |= {"a pipe": pipe, "a link": link}


@pytest.mark.parametrize(
    ("kind", "what"), [(kind, what) for kind, others in OTHER.items() for what in others]
)
def test_what_stands_in_the_place_of_a_piece_makes_no_samples(
    kind: str, what: str, tmp_path: Path
) -> None:
    middle = PIECES[kind][0]
    with pytest.raises(InputError, match="the pieces of this job are not whole"):
        finish(tmp_path / "D", kind, lambda own: OTHER[kind][what](own.pieces / middle))
    assert not (tmp_path / "D").exists()


@pytest.mark.parametrize("kind", ["npz", "png"])
def test_nothing_is_removed_through_a_link_among_the_pieces(kind: Any, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("precious", "0000-a.png", ".x.tmp", "00000009.size"):
        (other / name).write_text("mine")
    before = contents(other)
    for place in (".", "images"):
        with claim(tmp_path / "D", {}) as own:
            link = own.pieces / place
            if place == ".":
                own.pieces.rmdir()
                link = own.pieces
            link.symlink_to(other)
            with pytest.raises(InputError, match=r"not whole: \S+ is a link"):
                SampleFolder(own, [0, 1], {0: "a", 1: "b"}, kind).taken({0: (2, 4, 4, 1)})
            link.unlink()
    assert contents(other) == before


def test_a_final_name_that_is_taken_in_the_meantime_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds grid\.png, but"):
        finish(tmp_path / "D", "png", lambda own: (own.folder / "grid.png").write_text("mine"))
    assert contents(tmp_path) == {"D/grid.png": b"mine"}


NAMES = """
from pathlib import Path
import torch
from cgd_lightning.sampling.claim import claim
from cgd_lightning.sampling.files import SampleFolder
names = ["dog+2.5-x", "\\u732b\\u00e9", "a" * 10_000, "\\u732b" * 5_000, "\\ud800"]
names += ["a/../b\\n", "", "?"]
with claim(Path("D"), {}) as own:
    out = SampleFolder(own, list(range(len(names))), dict(enumerate(names)), "png")
    out.add(0, torch.zeros(len(names), 1, 4, 4, dtype=torch.uint8))
    out.finish({"names": names})
"""


@pytest.mark.parametrize("language", ["C", "C.UTF-8"])
def test_any_name_of_a_class_is_a_file_name(language: str, tmp_path: Path) -> None:
    known = {
        name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))
    }
    own = {"LC_ALL": language, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    run = [sys.executable, "-c", NAMES]
    done = subprocess.run(run, cwd=tmp_path, env={**known, **own}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "D/images").iterdir())
    assert len(files) == 8
    coded = ("%E7%8C%AB%C3%A9", "%E7%8C%AB" * 13)
    cats = coded if language == "C" else ("\u732b\u00e9", "\u732b" * 40)
    wanted = ["dog+2.5-x", cats[0], "a" * 120, cats[1], "%ED%A0%80", "a%2F..%2Fb%0A", "", "%3F"]
    assert [file.name for file in files] == [f"000{i}-{name}.png" for i, name in enumerate(wanted)]
    json.loads((tmp_path / "D/samples.json").read_text(encoding="utf-8"))


def test_a_new_folder_is_none_that_is_there_and_takes_no_name_for_a_number(tmp_path: Path) -> None:
    for name in ("0", "3", "\u00b2", "\u0667", "9" * 5000 if os.name == "nt" else "9" * 200):
        (tmp_path / name).mkdir()
    assert new_folder(tmp_path) == tmp_path / "4"


def test_a_disk_that_takes_no_more_is_told_with_the_folder_of_which_nothing_is_left(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "samples"

    def full() -> None:
        with claim(folder, {}) as own:
            (own.pieces / "0.npy").write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"none of it is kept.*samples"):
        full()
    assert not folder.exists()


@pytest.mark.parametrize("kind", ["png", "npz"])
def test_killed_again_and_again_a_job_ends_with_the_same_bytes(kind: str, workplace: Path) -> None:
    words = (*SAMPLE, f"--num_samples={20 * KILLS}", "--batch_size=2", f"--format={kind}")
    outcomes = killed_again_and_again(words, Path("D"))
    assert status(*words, "--out=D") == 0
    assert contents(Path("D")) == contents(Path("clean"))
    print(f"{kind}: {told_of(outcomes)}")


REQUEST = {"seed": 0, "networks": "n"}


def killed_by_call(folder: Path, kind: Any, name: str, calls: int) -> None:
    """Make three samples in `folder`, and be killed by the call after so many of `os.name`."""
    real, done = getattr(os, name), []

    def called(*words: Any, **options: Any) -> None:
        if len(done) == calls:
            raise Killed
        done.append(words)
        real(*words, **options)

    with suppress(Killed), claim(folder, REQUEST, keep=True) as own:
        out = SampleFolder(own, [0, 1, 0], {0: "a", 1: "b"}, kind)
        out.add(0, torch.zeros(3, 1, 4, 4, dtype=torch.uint8))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, name, called)
            out.finish({"options": {"seed": 0}, "networks": "n"})


@pytest.mark.parametrize("moved", range(1, 5))
@pytest.mark.parametrize("kind", ["png", "npz"])
def test_a_job_killed_while_it_names_its_files_is_ended_by_the_next(
    kind: Any, moved: int, tmp_path: Path
) -> None:
    killed_by_call(tmp_path / "clean", kind, "rename", 9)
    killed_by_call(tmp_path / "D", kind, "rename", moved)
    assert not (tmp_path / "D/samples.json").exists() or (kind, moved) == ("npz", 4)
    with claim(tmp_path / "D", REQUEST, keep=True) as own:
        assert own.made
    assert contents(tmp_path / "D") == contents(tmp_path / "clean")


@pytest.mark.parametrize("kind", ["png", "npz"])
def test_a_job_killed_while_it_removes_what_it_no_longer_needs_is_done(
    kind: Any, tmp_path: Path
) -> None:
    for removed in range(20):
        folder = tmp_path / f"{removed}"
        killed_by_call(folder, kind, "unlink", removed)
        left = (folder / ".unfinished").exists()
        with claim(folder, REQUEST, keep=True) as own:
            assert own.made
        assert not (folder / ".unfinished").exists()
        if not left:
            break
    assert removed >= 2  # the batch, and the request that says whose it is


def test_a_job_that_goes_on_has_its_whole_animation(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*SAMPLE, "--num_samples=3", "--batch_size=1", "--animate")
    assert status(*words, "--out=clean") == 0
    add = SampleFolder.add

    def killed(self: SampleFolder, start: int, images: torch.Tensor) -> int:
        if start == 2:
            raise KeyboardInterrupt
        return add(self, start, images)

    with monkeypatch.context() as patch:
        patch.setattr(SampleFolder, "add", killed)
        assert status(*words, "--out=D") == 130
    assert status(*words, "--out=D") == 0
    assert contents(Path("D")) == contents(Path("clean"))


def test_pictures_are_on_the_disk_before_their_chunk_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    with claim(tmp_path, {}) as own:

        def flush(file: Path) -> None:
            assert not list(own.pieces.glob("*.size"))
            flushed.append(file.name)

        monkeypatch.setattr("cgd_lightning.sampling.files.flush", flush)
        out = SampleFolder(own, [0, 1], {0: "a", 1: "b"}, "png")
        out.add(0, torch.zeros(2, 1, 4, 4, dtype=torch.uint8))
        assert flushed == ["0000-a.png", "0001-b.png"]
        assert out.taken({0: (2, 4, 4, 1)}) == {0}
