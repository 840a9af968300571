"""`generate` from images: each is edited by itself, and what may not change stays to the bit."""

import pytest
import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.codec import PIXELS
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.editing import EDITING
from cgd_lightning.diffusion.generate import generate
from cgd_lightning.diffusion.guidance import (
    Chain,
    Clamp,
    ClassifierFree,
    ClassifierGuidance,
    Interval,
)
from cgd_lightning.diffusion.noise import SeededNoise
from cgd_lightning.diffusion.samplers import DDIM, DDPM, DPMSolver
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.diffusion.start import Start
from cgd_lightning.errors import InputError
from cgd_lightning.networks import SuperRes, UNet
from tests.conftest import NAMES, SHAPE, ExactEps, ExactLogits, Mixture, exact_classifier
from tests.diffusion.closed_form import closed_form
from tests.diffusion.test_generate import SMALL, randomised
from tests.diffusion.test_latents import SPEC, Inside

RULE = Chain([ClassifierGuidance(2.0), Clamp()])
OFF = Chain([ClassifierGuidance(0), Clamp()])
LABELS = [0, 1, 2, 0, 1, 2, 0]
UP = Start(0.6, source="b,a")
DRAWN = Start(0.6, "noise")


@pytest.fixture(scope="module")
def pair() -> tuple[Denoiser, NoisyClassifier]:
    """The exact models of a mixture, asked in float32."""
    return closed_form(Cosine()), exact_classifier(Cosine())


def pictures() -> Tensor:
    """Of the mixture, and none of a value that is cut off."""
    x0 = Mixture(Cosine()).sample(40, torch.Generator().manual_seed(3))
    return PIXELS.decode(x0[x0.flatten(1).abs().amax(1) < 0.95][:7])


def some(count: int = 7) -> Tensor:
    return torch.rand(count, 1, 2, 2, generator=torch.Generator().manual_seed(4)) < 0.4


def chunks(pair, start: Start = UP, rule=RULE, labels=LABELS, sampler=None, **options):
    options.setdefault("images", pictures())
    guide = pair[1] if rule is RULE else None
    return dict(generate(pair[0], labels, sampler or DDIM(6), rule, guide, start=start, **options))


def edited(pair, *args, **options) -> Tensor:
    return torch.cat(list(chunks(pair, *args, **options).values()))


def test_at_strength_0_images_come_back_bit_for_bit(pair) -> None:
    for masks in (None, some()):
        found = edited(pair, Start(0), masks=masks, batch_size=3)
        assert torch.equal(found, pictures())
    assert not torch.equal(edited(pair), pictures())


@pytest.mark.parametrize(
    ("start", "sampler"),
    [
        (UP, DDIM(6)),
        (UP, DDPM(6)),
        (DRAWN, DDIM(6)),
        (Start(0.6, resamplings=2), DDPM(6)),
        (Start(0.6, "noise", rounds=2, shrinkage=0.1), DDIM(6)),
    ],
    ids=repr,
)
def test_every_image_is_edited_by_itself_whatever_the_chunks(pair, start, sampler) -> None:
    """As samples are: to the bit for equal chunks, by rounding for others."""
    options = {"start": start, "sampler": sampler, "masks": some(), "seed": 5}
    whole = chunks(pair, batch_size=2, **options)
    assert [len(chunk) for chunk in whole.values()] == [2, 2, 2, 1]
    dealt = [chunks(pair, batch_size=2, shard=(rank, 3), **options) for rank in range(3)]
    rest = chunks(pair, batch_size=2, skip={0, 4}, **options)
    assert list(rest) == [2, 6]
    for part in (*dealt, rest):
        assert all(torch.equal(chunk, whole[first]) for first, chunk in part.items())
    assert sorted(first for part in dealt for first in part) == [0, 2, 4, 6]
    other = edited(pair, batch_size=7, **options)
    assert (other.int() - torch.cat(list(whole.values())).int()).abs().max() <= 1


def test_the_seed_changes_what_is_drawn_and_nothing_of_an_inversion(pair) -> None:
    assert torch.equal(edited(pair, seed=1), edited(pair, seed=2))
    assert not torch.equal(edited(pair, DRAWN, seed=1), edited(pair, DRAWN, seed=2))
    seen: list[Tensor] = []
    edited(pair, DRAWN, seed=7, watch=lambda first, x, level, prediction: seen.append(x))
    level = DRAWN.levels(DDIM(6), Cosine())[0]
    own = SeededNoise(7 ^ EDITING, torch.arange(7), SHAPE)()
    x0 = PIXELS.encode(pictures())
    torch.testing.assert_close(seen[0], level.alpha * x0 + level.sigma * own)


def test_the_more_changes_shrink_the_nearer_an_edit_stays(pair) -> None:
    far = [
        (edited(pair, Start(0.6, shrinkage=by)).int() - pictures().int()).abs().float().mean()
        for by in (0, 0.2, 0.5, 2)
    ]
    assert far[0] > far[1] > far[2] > far[3] == 0


def test_what_an_image_shows_decides_its_inversion(pair) -> None:
    first = edited(pair, Start(0.6, source="a"))
    in_turn = edited(pair, Start(0.6, source="a,b"))
    assert (first.int() - in_turn.int())[::2].abs().max() <= 1
    assert not torch.equal(first, in_turn)
    assert not torch.equal(first, edited(pair, Start(0.6)))
    assert torch.equal(edited(pair, Start(0.6), OFF), edited(pair, Start(0.6, source="a"), OFF))


def test_without_guidance_refinements_bring_the_images_back(pair) -> None:
    for rule in (OFF, ClassifierGuidance(0)):
        found = [edited(pair, Start(0.7, refinements=n), rule, sampler=DDIM(12)) for n in (0, 30)]
        differences = [(each.int() - pictures().int()).abs() for each in found]
        assert differences[0].max() > 3
        assert differences[1].max() <= 1


@pytest.mark.parametrize("sampler", [DDIM(6), DDPM(6), DPMSolver(6)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8])
def test_what_a_mask_keeps_is_the_image_bit_for_bit(pair, sampler, dtype) -> None:
    masks = some().to(dtype) * (255 if dtype == torch.uint8 else True)
    for start in (UP, DRAWN):
        found = edited(pair, start, sampler=sampler, masks=masks.to(dtype), batch_size=3)
        assert torch.equal(found[~some()], pictures()[~some()])
        assert (found != pictures())[some()].float().mean() > 0.8


def test_a_mask_that_keeps_all_keeps_all_and_one_goes_for_all_images(pair) -> None:
    nothing = torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    assert torch.equal(edited(pair, masks=nothing), pictures())
    one = some(1)
    assert torch.equal(
        edited(pair, masks=one, batch_size=3),
        edited(pair, masks=one.repeat(7, 1, 1, 1), batch_size=3),
    )


def test_what_may_change_is_fitted_to_what_is_kept(pair) -> None:
    """A mask is more than a paste: the networks see what is known in every step."""
    alone, beside = edited(pair), edited(pair, masks=some())
    assert (alone.int() - beside.int())[some()].abs().float().mean() > 1


def test_of_latents_the_pixels_outside_the_mask_stay_bit_for_bit() -> None:
    denoiser = Denoiser(Inside(ExactEps(Cosine()), True), Cosine(), "eps", SPEC)
    guide = NoisyClassifier(Inside(ExactLogits(Cosine()), False), Cosine(), SPEC).eval()
    images, masks = pictures(), some()
    found = edited((denoiser, guide), DRAWN, images=images, masks=masks)
    assert torch.equal(found[~masks], images[~masks])
    assert (found != images)[masks].any()
    assert torch.equal(edited((denoiser, guide), Start(0), images=images), images)


def test_a_network_that_is_told_the_class_is_inverted_without_or_as_what_is_shown() -> None:
    def told(labels: int) -> tuple[Denoiser, None]:
        network = randomised(UNet(8, 1, 1, num_classes=labels, **SMALL), 0)
        return Denoiser(network, Cosine(), "eps", DataSpec((1, 8, 8), NAMES)), None

    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (7, 1, 8, 8), dtype=torch.uint8, generator=generator)
    free = ClassifierFree(1.5)
    dropped = told(4)
    unguided = edited(dropped, Start(0.6), free, images=images)
    assert not torch.equal(unguided, edited(dropped, Start(0.6, source="b"), free, images=images))
    with pytest.raises(InputError, match=r"say what the images show, by Start\(source=CLASS\)"):
        chunks(told(3), Start(0.6), OFF, images=images)
    for start in (Start(0.6, source="b"), DRAWN):
        assert edited(told(3), start, OFF, images=images).shape == (7, 1, 8, 8)


def test_progress_is_told_after_every_step_up_and_down(pair) -> None:
    steps: list[int] = []
    for start in (UP, DRAWN, Start(0)):
        steps.clear()
        edited(pair, start, batch_size=4, progress=lambda: steps.append(1))
        assert len(steps) == 2 * start.count(DDIM(6))


def test_an_edit_that_overflows_says_from_which_step_on(pair) -> None:
    class Breaks(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return x * (torch.nan if t[0] > 250 else 1)

    denoiser = Denoiser(Breaks(), Cosine(), "eps", pair[0].data)
    with pytest.raises(
        FloatingPointError, match="model's prediction is not finite at step 5 of 12"
    ):
        edited((denoiser,), Start(0.5), OFF)


GREY = pictures()
WRONG = {
    "images and no start": {"start": None},
    "wanted images": {"images": None},
    r"images: float32 of shape \[7, 1, 2, 2\]; wanted uint8": {"images": GREY.float()},
    r"images: uint8 of shape \[7, 2, 2\]; wanted uint8": {"images": GREY[:, 0]},
    r"images: uint8 of shape \[0, 1, 2, 2\]; .* at least one": {"images": GREY[:0]},
    r"images of shape \[3, 2, 2\]: this diffusion model makes \[1, 2, 2\]": {
        "images": GREY.repeat(1, 3, 1, 1)
    },
    r"images of shape \[1, 2, 1\]": {"images": GREY[..., :1]},
    "6 images for 7 targets": {"images": GREY[:6]},
    r"masks: bool of shape \[7, 1, 2, 1\]; wanted bool or uint8 \(7, 1, 2, 2\)": {
        "masks": some()[..., :1]
    },
    r"masks: float32 of shape": {"masks": some().float()},
    r"masks: bool of shape \[7, 2, 2\]": {"masks": some()[:, 0]},
    "masks: 3 of them for 7 images": {"masks": some()[:3]},
    "strength 0.003: that is 3 of 1000 timesteps": {"start": Start(0.003)},
    "label x: wanted a class name": {"start": Start(source="x")},
    "resamplings 2: a step of DPMSolver": {
        "start": Start(resamplings=2),
        "sampler": DPMSolver(6),
    },
    "0 at all 6 levels": {"rule": ClassifierGuidance(2.0, Interval(-60, -50))},
}


@pytest.mark.parametrize(("says", "changes"), WRONG.items(), ids=WRONG)
def test_what_cannot_be_edited_is_refused_before_any_work(pair, says: str, changes: dict) -> None:
    options = {"images": GREY, "start": UP, "sampler": DDIM(6), "rule": RULE, **changes}
    with pytest.raises(InputError, match=says):
        generate(pair[0], LABELS, options.pop("sampler"), options.pop("rule"), pair[1], **options)


def test_an_upsampler_edits_nothing() -> None:
    network = randomised(SuperRes(8, 1, 1, 4, **SMALL), 2)
    denoiser = Denoiser(network, Cosine(), "eps", DataSpec((1, 8, 8), NAMES))
    with pytest.raises(InputError, match="enlarges images; edit by one that does not"):
        chunks((denoiser,), rule=OFF, low_res=torch.zeros(7, 1, 4, 4, dtype=torch.uint8))
