"""DDIM inversion: the noise from which deterministic DDIM makes a given image.

Song et al. 2021 (arXiv:2010.02502), section 4.3.

    x_t = alpha_t / alpha_s (x_s - sigma_s eps) + sigma_t eps

is DDIM's step from t to s, solved for x_t: exactly, if eps is the prediction at x_t, which is not
yet known. The prediction at x_s stands in for it; putting the x_t so found back in brings it closer
(fixed-point iteration, Pan et al. 2023, arXiv:2309.04907).
"""

from collections.abc import Iterator, Sequence

from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise, Prediction
from cgd_lightning.diffusion.schedules import Level
from cgd_lightning.errors import InputError


def invert(
    denoise: Denoise, x0: Tensor, levels: Sequence[Level], refinements: int = 0
) -> Iterator[Tensor]:
    """x after every step from clean images `x0` (B, C, H, W) up to `levels[0]`.

    From the last one `DDIM.walk` over `levels` leads back.

    denoise: any, guided ones too; the way back needs the same one. levels: noisiest first down to
    the clean level, as `schedule.levels` gives them. refinements: further evaluations a step, each
    bringing the way back closer to `x0`. Raises InputError for fewer than 0 of them, and for a
    single step to a level of zero signal, which keeps nothing of the image.
    """
    if refinements < 0:
        raise InputError(f"refinements {refinements}: wanted 0 or more further evaluations a step")
    if len(levels) < 2 or (len(levels) == 2 and levels[0].alpha == 0):
        raise InputError(
            f"inversion over {len(levels) - 1} steps to zero signal or to nowhere: take more steps"
        )
    return _rise(denoise, x0, levels, refinements)


def _rise(
    denoise: Denoise, x: Tensor, levels: Sequence[Level], refinements: int
) -> Iterator[Tensor]:
    for level, above in zip(levels[::-1], levels[-2::-1]):
        # No network is asked at the clean level: the one above, which is nearly clean, stands in.
        prediction = denoise(x, level) if level.t is not None else denoise(above.alpha * x, above)
        risen = _undo_step(prediction, x, level, above)
        for _ in range(refinements):
            risen = _undo_step(denoise(risen, above), x, level, above)
        x = risen
        yield x


def _undo_step(prediction: Prediction, x: Tensor, level: Level, above: Level) -> Tensor:
    """The x at `above` from which DDIM comes to `x` at `level`, if that is the prediction there."""
    if above.alpha == 0:
        return above.sigma / level.sigma * (x - level.alpha * prediction.x0)
    return (
        above.alpha / level.alpha * (x - level.sigma * prediction.eps)
        + above.sigma * prediction.eps
    )
