"""A diffusion model that enlarges images is given each with its class, from Python, from a folder
of pictures, and from what another model made.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cgd_lightning import DDIM, Request, checkpoints, read_request, resolve, sample
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.codec import PIXELS
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser, Labelled
from cgd_lightning.diffusion.generate import ENLARGING, generate
from cgd_lightning.diffusion.guidance import Chain, Clamp, ClassifierFree, ClassifierGuidance, Rule
from cgd_lightning.diffusion.noise import SeededNoise
from cgd_lightning.diffusion.samplers import DDPM
from cgd_lightning.diffusion.schedules import Cosine, Linear
from cgd_lightning.errors import InputError
from cgd_lightning.networks import EncoderUNet, SuperRes, UNet
from cgd_lightning.sampling.request import RequestError
from tests.diffusion.test_generate import SMALL, randomised

Cgd = Callable[..., tuple[int, str, str]]

NAMES = ("cat", "dog", "owl")
LABELS = [2, 0, 0, 1, 2]
UNGUIDED = Chain([ClassifierGuidance(0), Clamp()])
GUIDED = Chain([Clamp(), ClassifierGuidance(20)])
LEARNED = DDPM(4, variance="learned", mean_shift=True)


def upsampler(labels: int | None = 3, names: tuple[str, ...] = NAMES) -> Denoiser:
    network = randomised(SuperRes(8, 1, 2, 4, num_classes=labels, **SMALL), 2)
    return Denoiser(network, Linear(), "eps", DataSpec((1, 8, 8), names), True)


def classifier() -> NoisyClassifier:
    network = randomised(EncoderUNet(8, 1, 3, **SMALL), 1)
    return NoisyClassifier(network, Linear(), DataSpec((1, 8, 8), NAMES))


def small_images(count: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8, generator=generator)


def enlarged(rule: Rule = UNGUIDED, small: Tensor | None = None, **options) -> Tensor:
    small = small_images() if small is None else small
    guide = classifier() if rule is GUIDED else None
    chunks = generate(upsampler(), LABELS, LEARNED, rule, guide, low_res=small, **options)
    return torch.cat([chunk for _, chunk in chunks])


def test_its_noise_is_not_that_of_what_it_enlarges() -> None:
    """Which was made with the same seed, as a rule."""
    seen: list[Tensor] = []
    enlarged(watch=lambda start, x, level, prediction: seen.append(x), seed=7)
    own = SeededNoise(7, torch.arange(5), (1, 8, 8))()
    alike = torch.corrcoef(torch.stack([seen[0].flatten(), own.flatten()]))[0, 1]
    assert abs(alike) < 0.3
    again: list[Tensor] = []
    enlarged(watch=lambda start, x, level, prediction: again.append(x), seed=7)
    assert torch.equal(seen[0], again[0])


@pytest.mark.parametrize("rule", [UNGUIDED, GUIDED], ids=["unguided", "guided"])
def test_every_image_is_enlarged_by_itself_whatever_the_chunks(rule: Rule) -> None:
    whole = enlarged(rule)
    assert whole.shape == (5, 1, 8, 8)
    for batch_size in (2, 3):
        assert (enlarged(rule, batch_size=batch_size).int() - whole.int()).abs().max() <= 1
    model, guide = upsampler(), classifier() if rule is GUIDED else None
    for index, label in enumerate(LABELS):
        y = torch.tensor([label])
        low = PIXELS.encode(small_images()[index : index + 1])
        denoise = rule.bind(lambda x, level, y=y, low=low: model(x, level, y, low), guide, y)
        with torch.no_grad():
            noise = SeededNoise(ENLARGING, torch.tensor([index]), (1, 8, 8))
            alone = PIXELS.decode(LEARNED(denoise, noise, model.schedule))
        assert (alone[0].int() - whole[index].int()).abs().max() <= 1


def test_another_small_image_gives_another_large_one_in_its_place_alone() -> None:
    small = small_images()
    small[3] = 255 - small[3]
    same = [bool(torch.equal(a, b)) for a, b in zip(enlarged(), enlarged(small=small))]
    assert same == [True, True, True, False, True]


def test_guidance_changes_an_upsampler() -> None:
    assert not torch.equal(enlarged(UNGUIDED), enlarged(GUIDED))


def test_classifier_free_guidance_shows_both_halves_the_small_images() -> None:
    model = upsampler(labels=4)
    low, y = PIXELS.encode(small_images(2)), torch.tensor([2, 0])
    bound = model.bind(y, low)
    assert isinstance(bound, Labelled)
    x, level = torch.randn(2, 1, 8, 8), model.schedule.level(500)
    guided = ClassifierFree(3.0).bind(bound, None, y)(x, level)
    told = model(x, level, y, low)
    untold = model(x, level, torch.tensor([3, 3]), low)
    torch.testing.assert_close(guided.eps, untold.eps + 3 * (told.eps - untold.eps))


def test_images_to_enlarge_that_do_not_fit_are_refused() -> None:
    model, rule, small = upsampler(), UNGUIDED, small_images()
    plain = Denoiser(randomised(UNet(8, 1, 1, **SMALL), 0), Cosine(), "eps", model.data)
    for denoiser, low_res, message in (
        (model, None, "enlarges images of shape [1, 4, 4], and there are none"),
        (model, small[:, :, :3], "[1, 4, 4], and these are of shape [1, 3, 4]"),
        (model, small[:4], "low_res: 4 images for 5 targets; wanted one for each"),
        (model, small.float(), "low_res: torch.float32 of shape [5, 1, 4, 4]; wanted uint8"),
        (plain, small, "low_res: this diffusion model enlarges no images"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            generate(denoiser, LABELS, DDIM(2), rule, low_res=low_res)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: runs/small of 4 x 4 images, and runs/up with a classifier beside it."""
    monkeypatch.chdir(tmp_path)
    network = randomised(UNet(4, 1, 1, num_classes=3, **SMALL), 0)
    small = Denoiser(network, Cosine(), "eps", DataSpec((1, 4, 4), NAMES))
    models = {"small": small, "up": upsampler(), "free": upsampler(None, ())}
    for name, model in {**models, "classifier": classifier()}.items():
        folder = tmp_path / "runs" / name / "version_0"
        folder.mkdir(parents=True)
        checkpoints.save(model, folder / "best.ckpt")
    return tmp_path


UP = ["sample", "--ckpt=runs/up", "--scale=0", "--sampler.steps=3", "--device=cpu"]


def written(folder: str) -> Tensor:
    with np.load(Path(folder) / "samples.npz") as arrays:
        return torch.from_numpy(arrays["arr_0"]).permute(0, 3, 1, 2)


def labels_of(folder: str) -> list[int]:
    return json.loads(Path(folder, "samples.json").read_text())["images"]["labels"]


@pytest.mark.parametrize("kind", ["png", "npz"])
def test_samples_of_a_small_model_are_enlarged_with_their_classes(
    runs: Path, cgd: Cgd, kind: str
) -> None:
    words = ["--num_samples=5", "--labels=owl,cat", f"--format={kind}", "--out=first"]
    code, _, err = cgd("sample", "--ckpt=runs/small", "--scale=0", "--sampler.steps=3", *words)
    assert code == 0, err
    code, _, err = cgd(*UP, "--low_res=first", "--num_samples=4", "--format=npz", "--out=second")
    assert code == 0, err
    assert labels_of("second") == [2, 0, 2, 0]
    request = Request("runs/up", scale=0, low_res="first", num_samples=4, sampler=DDIM(3))
    assert torch.equal(written("second"), sample(request, device="cpu"))
    again = read_request("second/samples.json")
    assert again.low_res == str(runs / "first")
    assert torch.equal(sample(again, device="cpu"), written("second"))
    code, _, err = cgd("sample", "--from=second/samples.json", "--out=third", "--labels=1")
    assert code == 0, err
    assert labels_of("third") == [1] * 4
    assert not torch.equal(written("second"), sample(replace(again, labels="1"), device="cpu"))


def test_a_folder_of_images_is_enlarged_with_the_classes_of_its_folders(
    runs: Path, cgd: Cgd
) -> None:
    for index, (name, image) in enumerate(zip(["cat", "owl", "owl"], small_images())):
        (runs / "photos" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(runs / "photos" / name / f"{index}.png")
    words = ["--low_res=photos", "--num_samples=3", "--format=npz", "--precision=fp32"]
    code, _, err = cgd(*UP, *words, "--out=up")
    assert code == 0, err
    assert labels_of("up") == [0, 2, 2]
    expected = generate(upsampler(), [0, 2, 2], DDIM(3), UNGUIDED, low_res=small_images(3))
    assert torch.equal(written("up"), dict(expected)[0])


def test_guidance_of_an_upsampler_goes_to_the_classes_of_the_images(runs: Path) -> None:
    np.savez(runs / "small.npz", arr_0=small_images().permute(0, 2, 3, 1), arr_1=np.array(LABELS))
    request = Request(
        "runs/up",
        scale=20,
        low_res="small.npz",
        num_samples=5,
        sampler=LEARNED,
        clamp="inside",
        precision="fp32",
    )
    job = resolve(request, device="cpu")
    assert job.targets == LABELS
    assert torch.equal(job.samples(), enlarged(GUIDED))
    unguided = job.again(scale=0, num_samples=5)
    assert unguided.targets == LABELS
    assert not torch.equal(unguided.samples(), job.samples())
    with pytest.raises(RequestError, match="num_samples decides which images are enlarged"):
        job.again(num_samples=4)
    with pytest.raises(RequestError, match="low_res decides what is loaded"):
        job.again(low_res="others.npz")


def test_an_upsampler_of_no_classes_asks_for_none(runs: Path) -> None:
    np.savez(runs / "small.npz", arr_0=small_images().permute(0, 2, 3, 1))
    np.savez(runs / "told.npz", arr_0=small_images().permute(0, 2, 3, 1), arr_1=np.array(LABELS))
    made = {
        name: sample(Request("runs/free", scale=0, low_res=name, num_samples=5), device="cpu")
        for name in ("small.npz", "told.npz")
    }
    assert made["small.npz"].shape == (5, 1, 8, 8)
    assert torch.equal(*made.values())


def test_what_does_not_go_together_is_one_line_and_nothing_is_written(runs: Path, cgd: Cgd) -> None:
    pictures = small_images().permute(0, 2, 3, 1).numpy()
    np.savez(runs / "small.npz", arr_0=pictures)
    np.savez(runs / "large.npz", arr_0=pictures.repeat(2, 1).repeat(2, 2))
    (runs / "photos").mkdir()
    Image.fromarray(pictures[0, :3, :, 0]).save(runs / "photos" / "flat.png")
    plain = ["sample", "--ckpt=runs/small", "--scale=0", "--num_samples=5"]
    for words, message in (
        (UP, "enlarges images of shape [1, 4, 4]; give them as --low_res FOLDER"),
        ([*plain, "--low_res=small.npz"], "--low_res small.npz: runs/small enlarges no images"),
        ([*UP, "--low_res=nowhere"], "--low_res nowhere: not there; wanted a folder"),
        ([*UP, "--low_res=small.npz"], "--num_samples 64: low_res holds 5 images; give at most"),
        ([*UP, "--low_res=small.npz", "--num_samples=5"], "does not tell the classes of its"),
        ([*UP, "--low_res=large.npz"], "--low_res large.npz: images of shape [1, 8, 8]; wanted"),
        ([*UP, "--low_res=photos"], "'flat.png' has shape [1, 3, 4]; wanted [1, 4, 4]\n"),
    ):
        code, out, err = cgd(*words, "--out=made")
        assert (code, out) == (1, "")
        assert message in err
        assert not Path("made").exists()
