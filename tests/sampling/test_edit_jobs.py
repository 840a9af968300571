"""A job of edits goes on where it was killed, with what it has finished."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cgd_lightning import checkpoints
from cgd_lightning.sampling.claim import Claim
from cgd_lightning.sampling.edit_files import EditFolder
from cgd_lightning.sampling.edit_images import EditImages, read_given
from tests.command_line import untrained_judge
from tests.kills import KILLS, Killed, contents, killed_again_and_again, told_of
from tests.launched import TWO, ended, fork, fork_two, said, slurm

Cgd = Callable[..., tuple[int, str, str]]

EDIT = ("edit", "--ckpt=runs/diffusion", "--device=cpu", "--steps=3", "--batch_size=2")
WORDS = (*EDIT, "--images=scans", "--to=9", "--scale=2")
COUNT = 10 * KILLS


@pytest.fixture(autouse=True)
def scans(workplace: Path) -> Path:
    """Pictures, and a judge."""
    untrained_judge(workplace / "runs")
    grey = np.random.default_rng(0)
    folder = workplace / "scans"
    folder.mkdir()
    for index in range(COUNT):
        picture = grey.integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{index:03}.png")
    return folder


def stopped(*words: str, after: int, cgd: Cgd) -> str:
    """What `cgd WORDS` says that is stopped, as by Ctrl-C, when so many batches are kept."""
    kept: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        from cgd_lightning.sampling import edit_files

        write = edit_files.write_piece

        def one_more(folder: Path, start: int, images: torch.Tensor) -> None:
            if len(kept) == after:
                raise KeyboardInterrupt
            kept.append(start)
            write(folder, start, images)

        patch.setattr(edit_files, "write_piece", one_more)
        code, _, err = cgd(*words)
    assert code == 130
    return err


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["png", "npz"])
def test_killed_again_and_again_a_job_ends_with_the_same_bytes(kind: str, cgd: Cgd) -> None:
    words = (*WORDS, f"--format={kind}")
    outcomes = killed_again_and_again(words, Path("D"))
    code, _, err = cgd(*words, "--out=D")
    assert code == 0, err
    assert contents(Path("D")) == contents(Path("clean"))
    print(f"{kind}: {told_of(outcomes)}")


def test_what_is_finished_is_kept_and_a_whole_folder_is_left_as_it_is(cgd: Cgd) -> None:
    err = stopped(*WORDS, "--out=D", after=3, cgd=cgd)
    assert "note: D keeps the batches that are finished; the same command goes on" in err
    assert os.listdir("D") == [".unfinished"]
    code, out, err = cgd(*WORDS, "--out=D")
    assert code == 0, err
    assert f"note: D: 3 of {COUNT // 2} batches are there already" in err
    assert len(out.splitlines()) == 2
    before = contents(Path("D"))
    code, out, err = cgd(*WORDS, "--out=D")
    assert (code, out) == (0, "D/grid.png\n")
    assert "note: D holds these edits already; nothing is left to do" in err
    assert contents(Path("D")) == before
    used = sum(file.stat().st_blocks * 512 for file in Path("D").rglob("*.png"))
    given = read_given(EditImages("scans"), (1, 16, 16), tuple("0123456789"), None)
    most = EditFolder(Claim(Path("D"), Path("D/x/y")), given, "png").of_one
    assert used - Path("D/grid.png").stat().st_blocks * 512 <= COUNT * most.bytes <= 2 * used
    assert most.files * COUNT == len(list(Path("D").glob("*/*.png")))
    Path("D/edited/0001-001.png").unlink()
    code, _, err = cgd(*WORDS, "--out=D")
    assert code == 1
    assert (
        f"holds these edits, but only {COUNT - 1} of its {COUNT} images are left in edited" in err
    )


def test_without_a_folder_that_was_named_nothing_is_left(cgd: Cgd) -> None:
    assert "keeps" not in stopped(*WORDS, after=3, cgd=cgd)
    assert not list(Path("runs/diffusion/version_0").glob("edits/*"))


@pytest.mark.parametrize("whole", [False, True])
def test_other_images_masks_networks_and_settings_do_not_go_on(
    whole: bool, scans: Path, cgd: Cgd
) -> None:
    Image.new("L", (16, 16), 255).save("mask.png")
    words = (*WORDS, "--mask=mask.png", "--out=D")
    if whole:
        assert cgd(*words)[0] == 0
    else:
        stopped(*words, after=1, cgd=cgd)
    before = contents(Path("D"))

    def refused(*more: str) -> str:
        code, out, err = cgd(*words, *more)
        assert (code, out) == (1, "")
        assert contents(Path("D")) == before
        return err

    assert "scale 2.0 there, 3.0 here" in refused("--scale=3")
    file = scans / "003.png"
    own = file.read_bytes()
    Image.new("L", (16, 16), 7).save(file)
    assert 'images_hash "' in refused()
    file.write_bytes(own)
    file.rename(scans / "003a.png")
    assert 'names_hash "' in refused()
    (scans / "003a.png").rename(file)
    judge = checkpoints.find("runs/judge")
    own = judge.read_bytes()
    shutil.rmtree("runs/judge")
    untrained_judge(Path("runs").absolute(), seed=1)
    assert 'judge_hash "' in refused()
    judge.write_bytes(own)
    Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save("mask.png")
    assert 'masks_hash "' in refused()
    Image.new("L", (16, 16), 255).save("mask.png")
    path = checkpoints.find("runs/diffusion")
    trained = path.read_bytes()
    contents_of = torch.load(path, weights_only=False)
    for name, weight in contents_of["state_dict"].items():
        if weight.is_floating_point():
            contents_of["state_dict"][name] = weight + 1e-3
    torch.save(contents_of, path)
    assert 'networks "' in refused()
    path.write_bytes(trained)
    code, _, err = cgd(*words)
    assert code == 0, err


@pytest.mark.parametrize("name", ["points/", "sweep.json"])
def test_a_folder_of_a_sweep_takes_no_edits(name: str, cgd: Cgd) -> None:
    Path("D").mkdir()
    Path("D", name).mkdir() if name.endswith("/") else Path("D", name).touch()
    code, _, err = cgd(*WORDS, "--out=D")
    assert code == 1
    assert "--out D: holds a sweep; give another folder" in err
    assert len(os.listdir("D")) == 1


def test_samples_in_the_folder_are_none_of_its_edits(cgd: Cgd) -> None:
    sample = ("sample", "--ckpt=runs/diffusion", "--num_samples=1", "--steps=2", "--scale=0")
    assert cgd(*sample, "--device=cpu", "--out=D")[0] == 0
    code, _, err = cgd(*WORDS, "--out=D")
    assert code == 1
    assert "--out D: holds samples already; give another folder, or remove it first" in err


@pytest.mark.slow
@pytest.mark.parametrize("moved", [1, 2, 4, 6, 7])
def test_a_job_killed_while_it_names_its_files_is_ended_by_the_next(moved: int, cgd: Cgd) -> None:
    assert cgd(*WORDS, "--out=clean")[0] == 0
    done: list[str] = []

    def rename(one: Path, other: Path) -> None:
        if len(done) == moved:
            raise Killed
        done.append(str(other))
        os.replace(one, other)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cgd_lightning.sampling.claim.os.rename", rename)
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # as a kill leaves it
        if moved < 7:
            with pytest.raises(Killed):
                cgd(*WORDS, "--out=D")
        else:
            assert cgd(*WORDS, "--out=D")[0] == 0
    assert Path("D/edits.json").exists() is (moved == 7)
    code, out, err = cgd(*WORDS, "--out=D")
    assert (code, out) == (0, "D/grid.png\n"), err
    assert contents(Path("D")) == contents(Path("clean"))


@pytest.mark.slow
def test_two_processes_make_the_rest_of_one(cgd: Cgd, workplace: Path) -> None:
    assert cgd(*WORDS, "--out=clean")[0] == 0
    stopped(*WORDS, "--out=D", after=4, cgd=cgd)
    first = fork(workplace, {}, *WORDS, "--out=D", *TWO)
    assert ended(first) == 0, said(workplace, first)
    assert (
        said(workplace, first).count(f"note: D: 4 of {COUNT // 2} batches are there already") == 1
    )
    ours, theirs = contents(Path("D")), contents(Path("clean"))
    assert ours == theirs
    assert json.loads(ours["edits.json"])["images"]["count"] == COUNT


@pytest.mark.parametrize("option", ["images", "mask"])
def test_processes_that_read_other_images_or_masks_make_nothing(
    option: str, workplace: Path
) -> None:
    shutil.copytree("scans", "others")
    Image.new("L", (16, 16), 255).save("others/000.png")
    Image.new("L", (16, 16), 255).save("white.png")
    Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save("line.png")
    files = {"images": ("scans", "others"), "mask": ("white.png", "line.png")}[option]
    own = [f"--{option}={file}" for file in files]
    both = fork_two(workplace, slurm, *WORDS, "--out=D", own=own)
    assert [ended(process) for process in both] == [1, 1]
    told = f"several processes have read different files ({option.removesuffix('s')}s_hash"
    assert told in said(workplace, both[0])
    assert not Path("D").exists()


def test_processes_of_a_function_are_refused(cgd: Cgd) -> None:
    code, _, err = cgd(*WORDS, "--out=D", "--trainer.devices=2", "--trainer.strategy=ddp_fork")
    assert code == 1
    assert "error: cgd edit: trainer.strategy ddp_fork: is for trainings; give --trainer" in err
