"""What torchmetrics and Lightning do with the states of a metric."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import start_processes
from torchmetrics import Metric

from cgd_lightning.evaluation import doubles
from cgd_lightning.evaluation.accuracy import ClassAccuracy
from cgd_lightning.evaluation.density import DensityCoverage
from cgd_lightning.evaluation.feature_metric import FeatureMetric
from cgd_lightning.evaluation.frechet import FrechetDistance
from cgd_lightning.evaluation.kernel import KernelDistance
from cgd_lightning.evaluation.manifold import PrecisionRecall
from cgd_lightning.evaluation.monge import MongeDistance

WIDTH = 6
GENERATOR = torch.Generator().manual_seed(0)
REAL, FAKE = (torch.randn(n, WIDTH, generator=GENERATOR).round(decimals=1) for n in (80, 50))
CLASSES, TARGETS = (torch.randint(0, 3, (50,), generator=GENERATOR) for _ in range(2))

METRICS: dict[str, Callable[[], Metric]] = {
    "frechet": lambda: FrechetDistance(WIDTH),
    "precision and recall": lambda: PrecisionRecall(WIDTH, k=2),
    "kid": lambda: KernelDistance(WIDTH),
    "mind": lambda: MongeDistance(WIDTH, directions=50),
    "density and coverage": lambda: DensityCoverage(WIDTH),
    "accuracy": ClassAccuracy,
}
each_metric = pytest.mark.parametrize("make", METRICS.values(), ids=METRICS)


def feed(metric: Metric, part: slice = slice(None), real: slice = slice(None)) -> Metric:
    """`metric` after it has seen `part` of the generated images and `real` of the real ones, in
    batches of 9; an empty part is no batch.
    """
    if isinstance(metric, FeatureMetric):
        for features, side in ((REAL[real], True), (FAKE[part], False)):
            for batch in features.split(9) if len(features) else ():
                metric.update(batch, real=side)
    elif len(CLASSES[part]):
        metric.update(CLASSES[part], TARGETS[part])
    return metric


def numbers(metric: Metric) -> list[float]:
    values = metric.compute()
    return [v.item() for v in (values if isinstance(values, tuple) else (values,))]


def widths(metric: Metric) -> list[float]:
    """Those of the intervals."""
    if not isinstance(metric, FeatureMetric):
        return []
    return [(e.high or 0.0) - (e.low or 0.0) for e in metric.estimates().values()]


@each_metric
def test_what_is_held_comes_back_and_nothing_else(make: Callable[[], Metric]) -> None:
    metric = make()
    if not isinstance(metric, FeatureMetric):
        return
    metric.update(REAL, real=True)
    metric.hold()
    for fake in (FAKE + 1, FAKE):
        metric.forget_generated()
        metric.update(fake, real=False)
        fresh = make()
        assert isinstance(fresh, FeatureMetric)
        fresh.update(REAL, real=True)
        fresh.update(fake, real=False)
        assert metric.estimates() == fresh.estimates()
    metric.reset()
    metric.forget_generated()
    assert metric.images.tolist() == [0, 0]


@each_metric
def test_the_states_of_two_halves_make_the_state_of_the_whole(make: Callable[[], Metric]) -> None:
    first = feed(make(), slice(0, 20), slice(0, 50))
    first.merge_state(feed(make(), slice(20, None), slice(50, None)))
    assert numbers(first) == pytest.approx(numbers(feed(make())), rel=1e-12)


@each_metric
def test_a_metric_starts_anew_after_a_reset(make: Callable[[], Metric]) -> None:
    metric, once = feed(make(), slice(0, 30)), numbers(feed(make()))
    metric.reset()
    assert numbers(feed(metric)) == once


@each_metric
def test_a_metric_is_pickled_with_what_it_has_seen(make: Callable[[], Metric]) -> None:
    metric = pickle.loads(pickle.dumps(feed(make(), slice(0, 20))))
    assert numbers(feed(metric, slice(20, None), slice(0, 0))) == numbers(
        feed(feed(make(), slice(0, 20)), slice(20, None), slice(0, 0))
    )


@each_metric
def test_a_metric_moves_to_another_device(make: Callable[[], Metric]) -> None:
    metric = feed(make()).to("meta")
    for name in metric._defaults:
        states = getattr(metric, name)
        assert {s.device.type for s in ([states] if isinstance(states, Tensor) else states)} == {
            "meta"
        }


def test_sums_stay_in_float64_on_the_cpu_where_the_device_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doubles, "WITHOUT_FLOAT64", {"meta"})
    metric = FrechetDistance(WIDTH).to("meta")
    assert metric.device.type == metric.images.device.type == "meta"
    for _ in range(2):
        assert metric.sums.device.type == metric.products.device.type == "cpu"
        assert metric.sums.dtype == metric.products.dtype == torch.float64
        metric.reset()


@each_metric
def test_half_precision_of_a_module_does_not_reach_its_metrics(make: Callable[[], Metric]) -> None:
    metric = feed(make())
    torch.nn.ModuleList([metric]).half()
    assert numbers(metric) == numbers(feed(make()))


SHARES = {
    "both sides on both": ((slice(0, 20), slice(0, 50)), (slice(20, None), slice(50, None))),
    "one process has no images": ((slice(None), slice(None)), (slice(0, 0), slice(0, 0))),
    "each process has one side": ((slice(None), slice(0, 0)), (slice(0, 0), slice(None))),
}


def report(rank: int, folder: Path, shares: tuple[tuple[slice, slice], ...]) -> None:
    """Write what process `rank` of two computes, of which each has its share of the images."""
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    found = [numbers(feed(make(), *shares[rank])) for make in METRICS.values()]
    widths_found = [widths(feed(make(), *shares[rank])) for make in METRICS.values()]
    torch.save((found, widths_found), folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)
def test_two_processes_compute_what_one_does(
    shares: tuple[tuple[slice, slice], ...], tmp_path: Path
) -> None:
    start_processes(report, (tmp_path, shares), nprocs=2, start_method="fork")
    wanted = [pytest.approx(numbers(feed(make())), rel=1e-12) for make in METRICS.values()]
    of_one = [widths(feed(make())) for make in METRICS.values()]
    for rank in range(2):
        found, widths_found = torch.load(tmp_path / f"{rank}.pt")
        assert found == wanted
        for both, one in zip(widths_found, of_one):  # of other blocks, and of all images
            assert both == [pytest.approx(width, rel=1, abs=0.03) for width in one]
