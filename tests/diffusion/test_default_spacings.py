"""Each sampler's default spacing is the best for it on Gaussians that are known exactly."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from cgd_lightning.diffusion.samplers import DDIM, DPMSolver, DPMSolverSDE, Euler, Heun, Sampler
from cgd_lightning.diffusion.schedules import Cosine, Linear, VarianceExploding
from cgd_lightning.diffusion.spacings import SPACINGS

FILE = Path(__file__).parents[2] / "benchmarks" / "spacings.py"
spec = importlib.util.spec_from_file_location("spacings_benchmark", FILE)
assert spec is not None
assert spec.loader is not None
benchmark = importlib.util.module_from_spec(spec)
spec.loader.exec_module(benchmark)

SAMPLERS = [DDIM(), DDIM(eta=1.0), Euler(), Heun(), DPMSolver(), DPMSolverSDE()]


def worst(sampler: Sampler) -> float:
    """The largest Frechet distance on three schedules, in percent of the trace."""
    return max(
        benchmark.compare(sampler, schedule)[1]
        for schedule in (Linear(), Cosine(), VarianceExploding())
    )


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s != Heun()], ids=repr)
def test_no_other_spacing_is_more_than_a_twentieth_better(sampler: Sampler) -> None:
    others = {spacing: worst(replace(sampler, spacing=spacing)) for spacing in SPACINGS}
    assert worst(sampler) <= 1.05 * min(others.values()), others


def test_heun_is_best_in_even_steps_of_log_snr() -> None:
    """On the cosine schedule, whose noise grows to 2e4, nothing but `leading` is closer."""
    for spacing in ("uniform", "leading", "trailing"):
        other = replace(Heun(), spacing=spacing)
        assert benchmark.compare(Heun(), Linear())[1] < benchmark.compare(other, Linear())[1]
    for spacing in ("uniform", "trailing", "karras"):
        other = replace(Heun(), spacing=spacing)
        assert benchmark.compare(Heun(), Cosine())[1] < benchmark.compare(other, Cosine())[1]


@pytest.mark.parametrize(
    "sampler", [s for s in SAMPLERS if s not in (DDIM(eta=1.0), Heun())], ids=repr
)
def test_in_its_default_steps_a_sampler_keeps_the_trace_within_a_tenth(sampler: Sampler) -> None:
    for schedule in (Linear(), Cosine(), VarianceExploding()):
        assert abs(benchmark.compare(sampler, schedule)[0]) < 10


def test_the_solvers_spread_too_far_where_levels_are_even_in_t() -> None:
    for sampler, percent in ((DPMSolver(20), 12.6), (DPMSolverSDE(20), 37.9)):
        even = benchmark.compare(replace(sampler, spacing="uniform"), Linear())[0]
        assert even == pytest.approx(percent, abs=0.1)


def test_the_benchmark_measures_the_gaussian_that_is_known() -> None:
    """Many steps of DDPM make the data's own mean and variances."""
    trace, distance = benchmark.compare(replace(DDIM(eta=1.0), steps=1000), Linear())
    assert abs(trace) < 1
    assert distance < 0.01
