"""Limiters equal those of an independent library, and change nothing where nothing was guided."""

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance
from diffusers.guiders.guider_utils import rescale_noise_cfg
from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise, Prediction
from cgd_lightning.diffusion.guidance import DynamicThreshold, Projection, Rescale
from cgd_lightning.diffusion.guidance.limiters import upper_quantile
from cgd_lightning.diffusion.schedules import Cosine, Level, VarianceExploding

LEVEL = Cosine().level(400)


def images(seed: int, size: float = 1.0) -> Tensor:
    return size * torch.randn(
        5, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def guided(x0: Tensor, before: Tensor) -> Denoise:
    def denoise(x_t: Tensor, level: Level) -> Prediction:
        return Prediction.from_x0(x_t, level, before).guided_to(Prediction.from_x0(x_t, level, x0))

    return denoise


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.995])
def test_dynamic_thresholding_equals_that_of_diffusers(quantile: float) -> None:
    theirs = DDPMScheduler(
        thresholding=True, dynamic_thresholding_ratio=quantile, sample_max_value=1e9
    )
    wild = images(1, 2.0) * torch.tensor([0.1, 0.5, 1, 2, 4], dtype=torch.float64).reshape(
        5, 1, 1, 1
    )
    x = images(2)
    ours = DynamicThreshold(quantile).bind(guided(wild, images(3)), None, torch.zeros(5))(x, LEVEL)
    torch.testing.assert_close(ours.x0, theirs._threshold_sample(wild))
    torch.testing.assert_close(LEVEL.alpha * ours.x0 + LEVEL.sigma * ours.eps, x)
    assert ours.x0.abs().max() <= 1


def test_the_upper_quantile_is_torchs() -> None:
    values = images(4).flatten(1)
    for q in (0.01, 0.5, 0.77, 0.995, 0.99999):
        torch.testing.assert_close(upper_quantile(values, q), values.quantile(q, dim=1))
    assert upper_quantile(values[:, :1], 0.9).tolist() == values[:, 0].tolist()


@pytest.mark.parametrize("phi", [0.3, 1.0])
@pytest.mark.parametrize(
    "level",
    [LEVEL, VarianceExploding().level(700), Level(0.0, 1.0, 999.0)],
    ids=["VP", "VE", "noise alone"],
)
def test_rescaling_equals_that_of_diffusers_on_v(phi: float, level: Level) -> None:
    x = images(5)
    if level.alpha == 0:
        base = Prediction(images(7, 0.3), x)
        strong = Prediction(images(6, 2.0), x)
    else:
        base, strong = (
            Prediction.from_x0(x, level, image) for image in (images(7, 0.3), images(6, 2.0))
        )
    v, v_base = (level.alpha * p.eps - level.sigma * p.x0 for p in (strong, base))
    ours = Rescale(phi).bind(lambda x, level: base.guided_to(strong), None, torch.zeros(5))(
        x, level
    )
    torch.testing.assert_close(
        level.alpha * ours.eps - level.sigma * ours.x0, rescale_noise_cfg(v, v_base, phi)
    )


@pytest.mark.parametrize(
    ("eta", "norm", "momentum"),
    [(0.0, None, 0.0), (1.0, None, 0.0), (0.3, 2.0, 0.0), (0.0, 3.0, -0.5)],
)
def test_projection_equals_adaptive_projected_guidance_of_diffusers(
    eta: float, norm: float | None, momentum: float
) -> None:
    """With classifier-free guidance at scale w: theirs bounds cond - uncond, ours what is added to
    cond, w - 1 times as much.
    """
    scale = 4.0
    buffer = MomentumBuffer(momentum) if momentum else None
    pairs = [(images(seed), images(seed + 50)) for seed in range(3)]
    current = iter(pairs)

    def denoise(x_t: Tensor, level: Level) -> Prediction:
        told, plain = next(current)
        return guided(told + (scale - 1) * (told - plain), told)(x_t, level)

    projected = Projection(eta, norm and norm * (scale - 1), momentum).bind(
        denoise, None, torch.zeros(5)
    )
    for told, plain in pairs:
        theirs = normalized_guidance(
            told, plain, scale - 1, buffer, eta, norm or 0.0, use_original_formulation=True
        )
        torch.testing.assert_close(projected(images(9), LEVEL).x0, theirs)


def test_momentum_begins_anew_with_every_batch() -> None:
    rule, x = Projection(0.0, None, -0.5), images(9)
    first = rule.bind(guided(images(1), images(2)), None, torch.zeros(5))
    a, b = first(x, LEVEL).x0, first(x, LEVEL).x0
    assert not torch.equal(a, b)
    assert torch.equal(
        a, rule.bind(guided(images(1), images(2)), None, torch.zeros(5))(x, LEVEL).x0
    )


@pytest.mark.parametrize("rule", [Rescale(), Projection()], ids=lambda rule: type(rule).__name__)
def test_limiters_leave_what_nobody_guided(rule) -> None:
    x = images(1)
    plain = Prediction.from_x0(x, LEVEL, images(2))
    assert rule.bind(lambda x, level: plain, None, torch.zeros(5))(x, LEVEL) is plain


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Rescale(1.5), "phi 1.5"),
        (lambda: DynamicThreshold(1.0), "quantile 1.0"),
        (lambda: Projection(norm=0.0), "norm 0.0"),
        (lambda: Projection(momentum=1.0), "momentum 1.0"),
    ],
)
def test_wrong_settings_are_refused(make, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()
