"""How often the 95% interval of each metric holds what it is for, on simulated features.

    python benchmarks/intervals.py                  # n = 1,000, 200 repetitions: several minutes
    python benchmarks/intervals.py --n 5000 --truth 1000

What a metric is on average at this n, with the reference fixed, is the mean of many independent
draws; KID is for its value in the population, so that each repetition draws a reference of its own.
"""

from argparse import ArgumentParser
from collections.abc import Callable

import torch
from torch import Tensor

from cgd_lightning.evaluation.feature_metric import FeatureMetric, compare
from cgd_lightning.evaluation.kernel import KernelDistance
from cgd_lightning.evaluation.measure import ALL_METRICS

Draw = Callable[[int], Tensor]


def features(name: str, width: int) -> tuple[Draw, Draw]:
    """(real, generated) features as of images: `same`, `near`, `far`, or in `clusters`."""
    scales = torch.linspace(1, 0.1, width)
    centres = 3 * torch.randn(10, width) * scales

    def real(n: int) -> Tensor:
        x = torch.randn(n, width) * scales
        return x + centres[torch.randint(10, (n,))] if name == "clusters" else x.relu()

    def generated(n: int) -> Tensor:
        x = real(n)
        if name == "clusters":
            return 0.9 * x
        return x + {"same": 0.0, "near": 0.05, "far": 0.5}[name] * scales

    return real, generated


def main() -> None:
    """Print a line for each case and number."""
    options = ArgumentParser(description=__doc__)
    options.add_argument("--n", type=int, default=1000)
    options.add_argument("--reference", type=int, default=2000)
    options.add_argument("--width", type=int, default=32)
    options.add_argument("--repetitions", type=int, default=200)
    options.add_argument("--truth", type=int, default=1000)
    options.add_argument("--cases", default="same,near,far,clusters")
    options.add_argument("--metrics", default="")
    given = options.parse_args()
    for case in given.cases.split(","):
        torch.manual_seed(0)
        draws = features(case, given.width)
        for make in ALL_METRICS:
            chosen = set(given.metrics.split(",")) - {""}
            if not chosen or chosen & set(make.names):
                for line in held(make, draws, given):
                    print(f"{case:9}{line}", flush=True)


def held(make: type[FeatureMetric], draws: tuple[Draw, Draw], given: object) -> list[str]:
    """Of each number of a metric: in how many of the repetitions its interval holds the truth."""
    n, size = given.n, given.reference
    real, generated = draws
    fixed = real(size)
    again = make is KernelDistance
    metric = make(fixed.shape[1])
    metric.hold_real(fixed)

    def values() -> dict[str, float]:
        if again:
            return {
                k: e.value
                for k, e in compare(make(fixed.shape[1]), real(size), generated(n), False).items()
            }
        metric.forget_generated()
        metric.update(generated(n), real=False)
        return {name: e.value for name, e in metric.estimates(False).items()}

    truths = [values() for _ in range(given.truth)]
    found = []
    for _ in range(given.repetitions):
        if again:
            found.append(compare(make(fixed.shape[1]), real(size), generated(n)))
            continue
        metric.forget_generated()
        metric.update(generated(n), real=False)
        found.append(metric.estimates())
    lines = []
    for name in make.names:
        many = torch.tensor([t[name] for t in truths], dtype=torch.float64)
        ends = torch.tensor([[e[name].low, e[name].high] for e in found], dtype=torch.float64)
        inside = ((ends[:, 0] <= many.mean()) & (many.mean() <= ends[:, 1])).double().mean()
        width = (ends[:, 1] - ends[:, 0]).mean() / (4 * many.std())
        lines.append(
            f"{name:10} {many.mean():9.4g} +- {many.std():.2g}: held in {inside:.1%}, "
            f"{width:.2f} of the right width"
        )
    return lines


if __name__ == "__main__":
    main()
