import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser, Prediction
from cgd_lightning.diffusion.schedules import Level
from cgd_lightning.networks import ConvNet, EncoderUNet, UNet
from cgd_lightning.sampling.animation import FRAMES, LAST, MILLISECONDS, Animation
from cgd_lightning.sampling.stored import read_samples

SAMPLE = ("sample", "--ckpt=runs/diffusion", "--device=cpu", "--sampler.steps=4")
Cgd = Callable[..., tuple[int, str, str]]


def images(folder: Path) -> dict[str, bytes]:
    return {file.name: Image.open(file).tobytes() for file in sorted((folder / "images").iterdir())}


def test_guided_samples_are_written_with_a_grid_and_a_record(workplace: Path, cgd: Cgd) -> None:
    code, out, err = cgd(*SAMPLE, "--scale=5", "--num_samples=12")
    assert code == 0
    grid = Path(out.strip())
    assert grid == Path("runs/diffusion/version_0/samples/0/grid.png")
    assert Image.open(grid).size[0] > 48
    assert list(images(grid.parent)) == [f"{i:04}-{i % 10}.png" for i in range(12)]
    assert len(set(images(grid.parent).values())) == 12
    assert not list(grid.parent.glob(".*"))
    assert "diffusion model: runs/diffusion/version_0/" in err
    assert "classifier: " in err
    assert "step" in err


def test_the_record_makes_the_same_images_again(workplace: Path, cgd: Cgd) -> None:
    assert (
        cgd(
            *SAMPLE,
            "--scale=3",
            "--labels=3,7",
            "--num_samples=6",
            "--sampler=DDPM",
            "--sampler.steps=5",
            "--seed=9",
            "--out=a",
        )[0]
        == 0
    )
    record = json.loads(Path("a/samples.json").read_text())
    assert record["images"] == {"count": 6, "labels": [3, 7, 3, 7, 3, 7]}
    assert record["options"]["sampler"]["init_args"]["steps"] == 5
    assert cgd("sample", "--from", "a/samples.json", "--out=b")[0] == 0
    assert images(Path("a")) == images(Path("b"))
    assert cgd("sample", "--from=a/samples.json", "--out=c", "--seed=10")[0] == 0
    assert images(Path("a")) != images(Path("c"))


def test_npz_follows_adms_convention(workplace: Path, cgd: Cgd) -> None:
    assert cgd(*SAMPLE, "--num_samples=7", "--batch_size=3", "--format=npz", "--out=npz")[0] == 0
    assert cgd(*SAMPLE, "--num_samples=7", "--batch_size=3", "--out=png")[0] == 0
    with np.load("npz/samples.npz", allow_pickle=False) as arrays:
        assert arrays["arr_0"].dtype == np.uint8
        assert arrays["arr_0"].shape == (7, 16, 16, 1)
        assert arrays["arr_1"].tolist() == [0, 1, 2, 3, 4, 5, 6]
        assert arrays["arr_1"].dtype == np.int64
        assert [image.tobytes() for image in arrays["arr_0"]] == list(images(Path("png")).values())
    assert {file.name for file in Path("npz").iterdir()} == {
        "grid.png",
        "samples.npz",
        "samples.json",
    }


def test_scale_zero_needs_no_classifier_and_another_scale_changes_the_images(
    workplace: Path, cgd: Cgd
) -> None:
    (workplace / "runs" / "classifier").rename(workplace / "elsewhere")
    assert cgd(*SAMPLE, "--scale=0", "--num_samples=3", "--out=plain")[0] == 0
    code, _, err = cgd(*SAMPLE, "--scale=1", "--num_samples=3", "--out=guided")
    assert code == 1
    assert "needs a classifier" in err
    assert not Path("guided").exists()
    assert (
        cgd(*SAMPLE, "--scale=50", "--num_samples=3", "--out=guided", "--classifier=elsewhere")[0]
        == 0
    )
    assert images(Path("plain")) != images(Path("guided"))


def test_the_tutorials_weight_and_the_clamp_are_options(workplace: Path, cgd: Cgd) -> None:
    few = (*SAMPLE, "--num_samples=3", "--scale=40")
    assert cgd(*few, "--out=bayes")[0] == 0
    assert cgd(*few, "--out=tutorial", "--guidance.weight=SqrtBeta")[0] == 0
    assert cgd(*few, "--out=inside", "--clamp=inside")[0] == 0
    assert (
        len({tuple(images(Path(name)).values()) for name in ("bayes", "tutorial", "inside")}) == 3
    )


def options_of(folder: str) -> dict:
    return json.loads(Path(folder, "samples.json").read_text())["options"]["sampler"]


def test_another_sampler_has_its_own_defaults_and_not_those_of_the_one_it_takes_the_place_of(
    workplace: Path, cgd: Cgd
) -> None:
    few = ("sample", "--ckpt=runs/diffusion", "--device=cpu", "--num_samples=1", "--scale=0")
    Path("heun.yaml").write_text("sampler: {class_path: Heun, init_args: {steps: 3}}\n")
    assert cgd(*few, "--sampler=DPMSolver", "--out=typed")[0] == 0
    assert cgd(*few, "--config=heun.yaml", "--out=file")[0] == 0
    assert (
        cgd(
            "sample",
            "--from=typed/samples.json",
            "--out=replaced",
            "--sampler",
            "Euler",
            "--sampler.steps=2",
        )[0]
        == 0
    )
    assert cgd("sample", "--from=file/samples.json", "--out=same", "--sampler.steps=2")[0] == 0
    assert options_of("typed")["init_args"] == {"steps": 20, "spacing": "log_snr"}
    assert options_of("file")["init_args"] == {"steps": 3, "spacing": "log_snr"}
    assert options_of("replaced")["init_args"] == {"steps": 2, "spacing": "uniform"}
    assert options_of("same")["class_path"].endswith("Heun")
    assert options_of("same")["init_args"] == {"steps": 2, "spacing": "log_snr"}


def test_a_record_in_another_folder_is_not_overwritten(workplace: Path, cgd: Cgd) -> None:
    few = (*SAMPLE, "--num_samples=2", "--out=twice")
    assert cgd(*few)[0] == 0
    before = images(Path("twice"))
    code, _, err = cgd(*few, "--seed=1")
    assert code == 1
    assert "--out twice: holds samples of another request (seed 0 there, 1 here)" in err
    assert images(Path("twice")) == before


def test_raw_weights_are_others_than_the_average(workplace: Path, cgd: Cgd) -> None:
    assert cgd(*SAMPLE, "--num_samples=2", "--scale=0", "--out=ema")[0] == 0
    assert cgd(*SAMPLE, "--num_samples=2", "--scale=0", "--out=raw", "--weights=raw")[0] == 0
    assert images(Path("ema")) != images(Path("raw"))


def judge() -> None:
    """A judge of random weights, in judge.ckpt."""
    ours = checkpoints.load("runs/classifier")
    checkpoints.save(
        CleanClassifier(ConvNet(16, 1, 10, width=8).eval(), ours.data),
        "judge.ckpt",
    )


def test_several_classes_have_rows_names_and_a_record_of_their_own(
    workplace: Path, cgd: Cgd
) -> None:
    asked = "--labels=3,3|7,!3,2*3+7"
    assert cgd(*SAMPLE, asked, "--scale=30", "--num_samples=8", "--out=sets")[0] == 0
    assert list(images(Path("sets")))[:4] == [
        "0000-3.png",
        "0001-3-or-7.png",
        "0002-not-3.png",
        "0003-2x3+7.png",
    ]
    record = json.loads(Path("sets/samples.json").read_text())["images"]
    targets = record["targets"]
    assert len(targets) == 4
    assert record["target_of_image"] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert targets[0] == 3
    assert targets[1] == [0, 0, 0, 1, 0, 0, 0, 1, 0, 0]
    assert targets[3][3] == pytest.approx(
        2 * targets[3][7], rel=0.3
    )  # the classes are nearly equally frequent
    read, asked_of = read_samples(Path("sets"))
    assert len(read) == 8
    assert (
        asked_of[:4]
        == asked_of[4:]
        == [tuple(target) if isinstance(target, list) else target for target in targets]
    )
    assert cgd("sample", "--from=sets/samples.json", "--out=again")[0] == 0
    assert images(Path("sets")) == images(Path("again"))
    assert cgd(*SAMPLE, asked, "--scale=30", "--num_samples=8", "--out=npz", "--format=npz")[0] == 0
    with np.load("npz/samples.npz") as arrays:
        assert arrays["arr_1"].tolist() == [3, -1, -1, -1] * 2


def test_a_list_of_rules_is_a_chain_and_the_scale_is_the_outermost_terms(
    workplace: Path, cgd: Cgd
) -> None:
    few = (*SAMPLE, "--num_samples=3")
    twice = """[{"class_path": "ClassifierGuidance", "init_args": {"scale": 20}},
        {"class_path": "Attribute", "init_args": {"rule": {"class_path": "ClassifierGuidance"},
            "classifier": "runs/classifier", "label": "0|1|2"}},
        {"class_path": "Rescale"}]"""
    assert cgd(*few, f"--guidance={twice}", "--scale=25", "--out=both")[0] == 0
    assert json.loads(Path("both/samples.json").read_text())["options"]["scale"] == 25
    Path("rules.yaml").write_text(f"guidance: {twice}\nscale: 25\n")
    assert cgd(*few, "--config=rules.yaml", "--out=file")[0] == 0
    assert cgd("sample", "--from=both/samples.json", "--out=again")[0] == 0
    assert cgd("sample", "--from=both/samples.json", "--out=off", "--scale=0")[0] == 0
    assert images(Path("both")) == images(Path("file")) == images(Path("again"))
    assert images(Path("both")) != images(Path("off"))


def test_the_animation_shows_noise_and_prediction_side_by_side_and_ends_with_the_sample(
    workplace: Path, cgd: Cgd
) -> None:
    few = (*SAMPLE, "--num_samples=4", "--labels=1,2", "--sampler=Heun", "--sampler.steps=5")
    assert cgd(*few, "--animate", "--out=moving")[0] == 0
    assert cgd(*few, "--out=still", "--animate=false")[0] == 0
    assert images(Path("moving")) == images(Path("still"))
    assert not Path("still/animation.gif").exists()
    with Image.open("moving/animation.gif") as animation:
        # Frames that are alike are one frame that is shown for longer.
        shown = [animation.seek(i) or animation.info["duration"] for i in range(animation.n_frames)]
        assert sum(shown) == 8 * 80 + 2000
        width, height = Image.open("moving/grid.png").size
        assert animation.size == (2 * width, height)
        animation.seek(animation.n_frames - 1)
        last = np.asarray(animation.convert("L"), dtype=int)[:, width:]
    assert np.abs(last - np.asarray(Image.open("moving/grid.png"), dtype=int)).mean() < 2


def test_an_animation_ends_with_the_last_evaluation_whatever_the_number_was_said_to_be(
    tmp_path: Path,
) -> None:
    for more in (0, -1, -2, 1):
        animation = Animation([0], {0: "zero"}, 2 * FRAMES)
        for step in range(2 * FRAMES + more):
            x0 = torch.full((1, 1, 4, 4), 1.0 if step == 2 * FRAMES + more - 1 else -1.0)
            animation(0, torch.zeros(1, 1, 4, 4), Level(1.0, 1.0, 0.0), Prediction(x0, x0))
        animation.save(tmp_path / "animation.gif")
        with Image.open(tmp_path / "animation.gif") as moving:
            shown = [moving.seek(i) or moving.info["duration"] for i in range(moving.n_frames)]
            assert shown[-1] == LAST
            assert sum(shown[:-1]) in (MILLISECONDS * (FRAMES - 1), MILLISECONDS * FRAMES)
            assert np.asarray(moving.convert("L"))[10, -10] == 255
    with Image.open(tmp_path / "animation.gif") as moving:
        assert np.asarray(moving.convert("L"))[10, -10] == 0


def test_the_record_names_the_files_of_all_models_and_holds_in_any_folder(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, cgd: Cgd
) -> None:
    rules = """[{class_path: Attribute, init_args:
            {rule: ClassifierGuidance, classifier: runs/classifier, label: "3"}},
        {class_path: Autoguidance, init_args: {weak: runs/diffusion}}]"""
    code, _, err = cgd(*SAMPLE, "--num_samples=2", f"--guidance={rules}", "--out=there")
    assert code == 0, err
    taken = [checkpoints.find(f"runs/{name}") for name in ("classifier", "diffusion")]
    for name, file in zip(("classifier", "diffusion"), taken):
        assert f"model in the guidance: runs/{name} is {file}" in err
    guidance = json.loads(Path("there/samples.json").read_text())["options"]["guidance"]
    assert [guidance[0]["init_args"]["classifier"], guidance[1]["init_args"]["weak"]] == [
        str(file.absolute()) for file in taken
    ]
    assert guidance[0]["init_args"]["label"] == "3"
    weak = ("--guidance=Autoguidance", "--guidance.weak=runs/diffusion", "--scale=0")
    assert cgd(*SAMPLE, "--num_samples=2", *weak, "--out=off")[0] == 0
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert cgd("sample", "--from=../off/samples.json", "--scale=1", "--out=on")[0] == 0
    assert cgd("sample", "--from=../there/samples.json", "--out=again")[0] == 0
    assert images(Path("again")) == images(Path("../there"))


def test_what_the_user_says_of_guidance_takes_the_place_of_what_is_recorded(
    workplace: Path, cgd: Cgd
) -> None:
    def made(out: str, *words: str) -> Any:
        code, _, err = cgd("sample", "--from=a/samples.json", f"--out={out}", *words)
        assert code == 0, err
        return json.loads(Path(f"{out}/samples.json").read_text())["options"]

    assert (
        cgd(
            *SAMPLE,
            "--num_samples=2",
            "--labels=3",
            "--scale=40",
            "--guidance.weight=SqrtBeta",
            "--out=a",
        )[0]
        == 0
    )
    assert made("b", "--guidance.scale=20")["scale"] == 20
    assert made("c", "--guidance.weight=Constant")["scale"] == 40
    assert made("d", "--scale=20")["guidance"]["init_args"]["weight"]["class_path"].endswith(
        "SqrtBeta"
    )
    assert images(Path("b")) == images(Path("d")) != images(Path("a"))
    whole = made("e", "--guidance=ClassifierGuidance")
    assert (whole["scale"], whole["guidance"]["init_args"]["weight"]) == (1, None)
    assert made("f", "--guidance=Autoguidance", "--guidance.weak=runs/diffusion")["scale"] == 1
    Path("own.yaml").write_text(
        "guidance: {class_path: ClassifierGuidance, init_args: {scale: 20}}"
    )
    assert made("g", "--config=own.yaml")["scale"] == 20
    code, _, err = cgd("sample", "--from=a/samples.json", "--guidance=Rescale", "--out=h")
    assert code == 1
    assert "Rescale alone guides nowhere" in err
    assert (
        "given twice"
        in cgd("sample", "--from=a/samples.json", "--guidance.scale=2", "--scale=3", "--out=h")[2]
    )


def test_at_scale_zero_a_classifier_and_labels_may_be_named_and_switches_stand_in_files(
    workplace: Path, cgd: Cgd
) -> None:
    assert (
        cgd(
            *SAMPLE,
            "--num_samples=2",
            "--scale=0",
            "--classifier=runs/classifier",
            "--labels=3",
            "--out=off",
        )[0]
        == 0
    )
    record = json.loads(Path("off/samples.json").read_text())
    record["options"]["animate"] = True
    Path("moving.json").write_text(json.dumps(record))
    assert cgd("sample", "--from=moving.json", "--out=moving")[0] == 0
    assert cgd("sample", "--from=moving.json", "--animate", "false", "--out=still")[0] == 0
    Path("moving.yaml").write_text("animate: true")
    assert (
        cgd(*SAMPLE, "--num_samples=2", "--scale=0", "--config=moving.yaml", "--out=config")[0] == 0
    )
    assert [Path(f"{out}/animation.gif").exists() for out in ("moving", "still", "config")] == [
        True,
        False,
        True,
    ]


def test_a_class_conditional_model_beside_a_classifier_is_noted(workplace: Path, cgd: Cgd) -> None:
    ours = checkpoints.load("runs/diffusion")
    init_args = {**ours.network.init_args, "num_classes": 11}
    told = UNet(**init_args).eval()
    checkpoints.save(
        Denoiser(told, ours.schedule, ours.prediction, ours.data),
        "told.ckpt",
    )
    few = (*SAMPLE, "--ckpt=told.ckpt", "--classifier=runs/classifier", "--num_samples=1")
    code, _, err = cgd(*few, "--out=twice")
    assert code == 0, err
    assert err.count("note: ") == 1
    assert "--guidance ClassifierFree --scale S" in err
    assert "--scale 0 is the model alone" in err
    for words in (["--scale=0"], ["--scale=0", "--labels=3"]):
        assert "note: " not in cgd(*few, *words, f"--out={len(words)}")[2]
    code, _, err = cgd(
        *SAMPLE,
        "--ckpt=told.ckpt",
        "--num_samples=1",
        "--guidance=ClassifierFree",
        "--labels=3",
        "--out=free",
    )
    assert code == 0, err
    assert "note: " not in err


def test_all_networks_are_compiled_if_any(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, cgd: Cgd
) -> None:
    compiled: list[str] = []

    def note(network: torch.nn.Module, dynamic: bool) -> None:
        assert not dynamic  # inductor fails at batches of any size
        compiled.append(type(network).__name__)

    monkeypatch.setattr(torch.nn.Module, "compile", note)
    rules = """[ClassifierGuidance, {class_path: Autoguidance, init_args: {weak: runs/diffusion}},
        {class_path: Attribute, init_args:
            {rule: ClassifierGuidance, classifier: runs/classifier, label: "3"}}]"""
    assert (
        cgd(*SAMPLE, "--num_samples=1", "--compile", f"--guidance={rules}", "--out=compiled")[0]
        == 0
    )
    assert sorted(compiled) == ["EncoderUNet", "EncoderUNet", "UNet", "UNet"]


WRONG = {
    "no such run": (["--ckpt=runs/nothing"], "runs/nothing: no such checkpoint"),
    "empty folder": (["--ckpt=empty"], "neither best.ckpt nor last.ckpt"),
    "no run given": (["--from=none.json"], "none.json"),
    "label out of range": (
        ["--labels=3,12"],
        "label 12: wanted a class name or an index from 0 to 9",
    ),
    "label of no class": (["--labels=cat"], "label cat"),
    "half a set": (["--labels=3|"], "label '3|': a class is missing"),
    "a record that is nowhere": (["--from=nowhere.json"], "nowhere.json: no such file"),
    "unknown option": (["--sclae=3"], "did you mean --scale?"),
    "unknown sampler option": (["--sampler=DDPM", "--sampler.eta=1"], "eta"),
    "unknown sampler": (["--sampler=DDIMM"], "sampler: no class 'DDIMM'"),
    "no steps": (["--sampler.steps=0"], "0 steps"),
    "too many steps": (["--sampler.steps=2000"], "2000 steps"),
    "wrong number": (["--scale=much"], "scale: 'much' is not a float"),
    "no samples": (["--num_samples=0"], "--num_samples 0"),
    "no batch": (["--batch_size=0"], "batch_size 0"),
    "unwritable folder": (["--out=file/out"], "file/out"),
    "a classifier in the wrong place": (
        ["--ckpt=runs/classifier"],
        "a classifier, and a diffusion model was wanted",
    ),
    "a diffusion model in the wrong place": (
        ["--classifier=runs/diffusion"],
        "a diffusion model, and a classifier",
    ),
    "scale in two places": (["--guidance.scale=3", "--scale=2"], "given twice"),
    "scale in two places, in a list": (
        [
            '--guidance=[{"class_path": "ClassifierGuidance", "init_args": {"scale": 3}}]',
            "--scale=2",
        ],
        "given twice",
    ),
    "a limiter alone": (
        ["--guidance=Rescale", "--labels=3"],
        "'[{class_path: ClassifierGuidance}, {class_path: Rescale}]'",
    ),
    "a limiter alone with a scale": (
        ["--guidance=Rescale", "--scale=2"],
        "Rescale alone guides nowhere",
    ),
    "a limiter alone, deep down": (
        [
            "--guidance=[{class_path: Chain, init_args: {rules: [{class_path: Clamp}]}}, "
            "{class_path: Projection}]"
        ],
        "Clamp, Projection alone guides nowhere",
    ),
    "a classifier for nobody": (
        [
            "--guidance=Autoguidance",
            "--guidance.weak=runs/diffusion",
            "--classifier=runs/classifier",
        ],
        "no rule of this guidance takes it",
    ),
    "labels for nobody": (
        ["--guidance=Autoguidance", "--guidance.weak=runs/diffusion", "--labels=3"],
        "neither the diffusion model nor",
    ),
    "no such classifier at scale 0": (
        ["--scale=0", "--classifier=runs/nothing"],
        "runs/nothing: no such checkpoint",
    ),
    "a shift of the mean past the clamp": (
        ["--sampler=DDPM", "--sampler.mean_shift=true"],
        "add --clamp inside",
    ),
    "a variance that nobody learned": (
        ["--sampler=DDPM", "--sampler.variance=learned"],
        "did not learn any",
    ),
    "no rules": (["--guidance=[]"], "no rule"),
    "unknown rule": (["--guidance=Guidance"], "Guidance"),
    "empty interval": (
        ["--guidance.weight=Interval", "--guidance.weight.low=3", "--guidance.weight.high=1"],
        "empty interval",
    ),
    "set of no class": (["--labels=3|cat"], "label cat"),
    "set of all classes": (["--labels=!0|1|2|3|4|5|6|7|8|9"], "leaves none"),
    "a guide that is clean": (
        ["--classifier=judge.ckpt"],
        "which has never seen noise; guide with it by --guidance CleanGuidance",
    ),
    "a guide that is noisy": (
        ["--guidance=CleanGuidance", "--classifier=runs/classifier"],
        "guide with it by ClassifierGuidance",
    ),
    "no clean guide": (["--guidance=CleanGuidance"], "needs a classifier of clean images"),
    "classifier-free guidance without labels": (
        ["--guidance=ClassifierFree"],
        "needs a class-conditional diffusion model",
    ),
    "a weak model that is nowhere": (
        ["--guidance=Autoguidance", "--guidance.weak=runs/weak"],
        "runs/weak: no such checkpoint",
    ),
    "no such device": (["--device=cuda"], "cuda"),
    "no such precision": (["--precision=fp8"], "fp8"),
}


@pytest.mark.parametrize(("words", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_input_gets_one_line_and_leaves_nothing(
    words: list[str], says: str, workplace: Path, cgd: Cgd
) -> None:
    Path("empty").mkdir()
    Path("file").write_text("not a folder")
    judge()
    code, out, err = cgd(*SAMPLE, "--num_samples=2", "--out=result", *words)
    assert code in (1, 2)
    assert out == ""
    *before, last = err.strip().splitlines()
    assert last.startswith("error: ")
    assert says in last
    assert all(
        line.startswith(
            ("diffusion model: ", "classifier: ", "model in the guidance: ", "sampling")
        )
        for line in before
    ), err
    assert not Path("ran").exists()
    assert not Path("result/samples.json").exists()
    assert not Path("result/grid.png").exists()


def test_damaged_and_foreign_checkpoints_are_refused_in_one_line(workplace: Path, cgd: Cgd) -> None:
    whole = Path("runs/diffusion/version_0/last.ckpt").read_bytes()
    damaged = bytearray(whole)
    damaged[200:4000] = bytes(3800)
    for name, contents in {
        "cut": whole[: len(whole) // 2],
        "damaged": bytes(damaged),
        "text": b"hello",
        "empty": b"",
    }.items():
        Path(f"{name}.ckpt").write_bytes(contents)
        code, _, err = cgd("sample", f"--ckpt={name}.ckpt", "--out=result")
        assert code == 1
        assert err.startswith(f"error: cgd sample: {name}.ckpt: not a readable checkpoint")
        assert len(err.strip().splitlines()) == 1
    assert not Path("result").exists()


def test_samples_json_of_another_kind_is_refused(workplace: Path, cgd: Cgd) -> None:
    for contents in ("{}", "[1]", "\x00", "{"):
        Path("other.json").write_text(contents)
        code, _, err = cgd("sample", "--from=other.json")
        assert code == 1
        assert "not a samples.json" in err


def test_a_pair_of_other_shape_or_classes_is_refused_with_both_files_and_both_values(
    workplace: Path, cgd: Cgd
) -> None:
    ours = checkpoints.load("runs/classifier")
    small = EncoderUNet(8, 1, 10, model_channels=8, channel_mult=(1,), num_res_blocks=1)
    checkpoints.save(
        NoisyClassifier(small, ours.schedule, DataSpec((1, 8, 8), ours.class_names)), "small.ckpt"
    )
    checkpoints.save(
        NoisyClassifier(
            ours.network, ours.schedule, DataSpec(ours.data.shape, tuple("abcdefghij"))
        ),
        "letters.ckpt",
    )
    for file, values in {
        "small.ckpt": ("[1, 16, 16]", "[1, 8, 8]"),
        "letters.ckpt": ("'0'", "'a'"),
    }.items():
        code, _, err = cgd(*SAMPLE, f"--classifier={file}", "--out=result")
        error = err.strip().splitlines()[-1]
        assert code == 1
        assert all(part in error for part in (*values, file, "runs/diffusion/version_0/")), error
    assert not Path("result").exists()


def test_a_record_is_named_by_the_environment_and_not_by_a_configuration(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, cgd: Cgd
) -> None:
    assert cgd(*SAMPLE, "--num_samples=2", "--seed=7", "--out=one")[0] == 0
    Path("from.yaml").write_text("from: one/samples.json\n")
    assert "give it on the command line" in cgd(*SAMPLE, "--config=from.yaml", "--out=two")[2]
    monkeypatch.setenv("CGD_SAMPLE__FROM", "one/samples.json")
    assert cgd("sample", "--out=two")[0] == 0
    assert images(Path("one")) == images(Path("two"))


def test_the_last_sampler_that_is_typed_brings_its_defaults(workplace: Path, cgd: Cgd) -> None:
    few = ("sample", "--ckpt=runs/diffusion", "--device=cpu", "--num_samples=1", "--scale=0")
    assert cgd(*few, "--sampler=DDPM", "--sampler", "DPMSolver", "--out=last")[0] == 0
    assert options_of("last")["init_args"] == {"steps": 20, "spacing": "log_snr"}


def test_runs_that_were_moved_together_make_their_samples_again(
    workplace: Path, cgd: Callable[..., tuple[int, str, str]]
) -> None:
    words = ("--num_samples=2", "--sampler.steps=2", "--device=cpu", "--ckpt=runs/diffusion")
    code, out, err = cgd("sample", *words)
    assert code == 0, err
    made = Path(out.strip()).parent
    first = {file.name: file.read_bytes() for file in made.rglob("*.png")}
    Path("runs").rename("elsewhere")
    record = Path("elsewhere") / made.relative_to("runs") / "samples.json"
    code, _, err = cgd("sample", f"--from={record}", "--out=again")
    assert (code, "elsewhere/classifier/version_0/best.ckpt" in err) == (0, True), err
    assert {file.name: file.read_bytes() for file in Path("again").rglob("*.png")} == first
    facts = json.loads(record.read_text())
    facts["options"]["ckpt"] = "A" * 300
    Path(record.parent, "long.json").write_text(json.dumps(facts))
    code, _, err = cgd("sample", f"--from={record.parent / 'long.json'}", "--out=long")
    assert (code, "is not there; if it was moved, name it with --ckpt" in err) == (1, True), err
    shutil.rmtree("elsewhere/classifier")
    code, _, err = cgd("sample", f"--from={record}", "--out=alone")
    assert (code, "is not there; if it was moved, name it with --classifier" in err) == (1, True)
