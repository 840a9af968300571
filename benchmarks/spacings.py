"""Which spacing of its levels is best for each sampler, on distributions that are known exactly.

    python benchmarks/spacings.py
    python benchmarks/spacings.py --steps 10,20,50 --schedule Linear

The data are a Gaussian of 64 independent dimensions, whose variances fall like the spectrum of
images, trace 16, around a mean of 0.5 in each. Its denoiser is known in closed form, and a sampler
makes of it another Gaussian, whose mean and variances follow exactly from what each draw of noise
does to the result (of the Langevin corrector, which is not linear, from 4,096 samples). Two numbers
are printed for each spacing: how much larger or smaller the trace of the covariance comes out, and
the Frechet distance, both in percent of the trace; * marks the default spacing.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from cgd_lightning.diffusion import samplers, schedules
from cgd_lightning.diffusion.denoiser import Denoise, Prediction
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.samplers import Sampler
from cgd_lightning.diffusion.spacings import SPACINGS

DIMENSIONS, TRACE, MEAN = 64, 16.0, 0.5
SAMPLED = 4096
SCHEDULES = ("Linear", "Cosine", "VarianceExploding")

SAMPLERS: dict[str, Sampler] = {
    "DDIM": samplers.DDIM(),
    "DDIM, eta 1": samplers.DDIM(eta=1.0),
    "DDPM": samplers.DDPM(),
    "DDPM, fixed_large": samplers.DDPM(variance="fixed_large"),
    "Euler": samplers.Euler(),
    "Heun": samplers.Heun(),
    "DPMSolver": samplers.DPMSolver(),
    "DPMSolverSDE": samplers.DPMSolverSDE(),
    "LangevinCorrector": samplers.LangevinCorrector(),
    "AnnealedLangevin": samplers.AnnealedLangevin(),
}


def variances() -> Tensor:
    """Of the data, (D,) float64: falling as 1 / k^2, as the power in the frequencies of images."""
    spectrum = 1 / torch.arange(1, DIMENSIONS + 1, dtype=torch.float64) ** 2
    return TRACE * spectrum / spectrum.sum()


def exact_denoiser(variance: Tensor) -> Denoise:
    """Of N(m, diag(v)): x0 = m + alpha v / (alpha^2 v + sigma^2) (x - alpha m)."""

    def denoise(x_t: Tensor, level: Level) -> Prediction:
        shrink = level.alpha * variance / (level.alpha**2 * variance + level.sigma**2)
        return Prediction.from_x0(x_t, level, MEAN + shrink * (x_t - level.alpha * MEAN))

    return denoise


class Draws:
    """Unit draws: the k-th call gives 1 in row k and 0 in all others.

    So each row of the result is what one draw does to it. The last row gets none.
    """

    def __init__(self, count: int) -> None:
        self.count, self.calls = count, iter(range(count))

    def __call__(self) -> Tensor:
        draw = torch.zeros(self.count + 1, DIMENSIONS, dtype=torch.float64)
        draw[next(self.calls)] = 1
        return draw


def moments(sampler: Sampler, schedule: schedules.NoiseSchedule) -> tuple[Tensor, Tensor]:
    """Mean and variances, each (D,), of what `sampler` makes of the Gaussian."""
    denoise = exact_denoiser(variances())
    if isinstance(sampler, samplers.LangevinCorrector):
        generator = torch.Generator().manual_seed(0)
        size = SAMPLED, DIMENSIONS
        made = sampler(
            denoise, lambda: torch.randn(size, generator=generator, dtype=torch.float64), schedule
        )
        return made.mean(dim=0), made.var(dim=0)
    draws = Draws(sampler.evaluations + sampler.steps + 2)
    made = sampler(denoise, draws, schedule)
    return made[-1], (made[:-1] - made[-1]).square().sum(dim=0)


def compare(sampler: Sampler, schedule: schedules.NoiseSchedule) -> tuple[float, float]:
    """(error of the trace, Frechet distance) in percent of the trace."""
    wanted = variances()
    mean, made = moments(sampler, schedule)
    distance = (made.sqrt() - wanted.sqrt()).square().sum() + (mean - MEAN).square().sum()
    return (100 * (made.sum() / TRACE - 1)).item(), (100 * distance / TRACE).item()


def rows(names: Sequence[str], steps: int | None, schedule: str) -> Iterator[str]:
    """A row of the table for each sampler."""
    made = getattr(schedules, schedule)()
    for name in names:
        own = SAMPLERS[name] if steps is None else replace(SAMPLERS[name], steps=steps)
        cells = []
        for spacing in SPACINGS:
            trace, distance = compare(replace(own, spacing=spacing), made)
            marked = "*" if spacing == own.spacing else ""
            cells.append(f"{trace:+.2f}, {distance:.3f}{marked}")
        yield f"| {schedule}, {name}, {own.steps} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--steps", help="numbers of steps, 10,20; default: each sampler's own")
    options.add_argument("--schedule", help=f"name of one; default: {', '.join(SCHEDULES)}")
    options.add_argument("--samplers", help="names, separated by semicolons; default: all")
    given = options.parse_args()
    steps = [int(n) for n in given.steps.split(",")] if given.steps else [None]
    chosen = given.samplers.split(";") if given.samplers else list(SAMPLERS)
    print(f"| schedule, sampler, steps | {' | '.join(SPACINGS)} |\n|{'---|' * 6}")
    for schedule in [given.schedule] if given.schedule else SCHEDULES:
        for number in steps:
            print("\n".join(rows(chosen, number, schedule)), flush=True)


if __name__ == "__main__":
    main()
