"""How often the 95% interval of each metric holds what it is for, on simulated features.

    python benchmarks/intervals.py OPTIONS, for the lines below:
        --n 1000
        --n 5000 --metrics fid,kid --cases same,far,in_turn
        --n 5000 --metrics precision --cases clusters --few 400 --reference 1000
        --n 5000 --metrics density --cases far --few 600
        --n 1000 --width 600 --metrics fid --cases same,clusters --repetitions 100 --truth 300

What a metric is on average at this n, with the reference fixed, is the mean of many independent
draws: of `--truth` for the Frechet distance, and of `--few` for the others, which are slower. KID
is for its value in the population, which has a closed form in three moments; those are of
`--truth` times n images, and each repetition draws a reference of its own. A line tells the truth,
the standard error of the number, the error of the truth as a share of it, how many of the intervals
hold the truth, and their mean width over that of 1.96 standard errors. (Not run: MIND in
`clusters`, and KID of 5,000 `far`.)

        n case     number         truth    error  of it    held  width
     1000 same     fid_lite      0.0129   0.0026   1.3%   94.0%   1.10
     1000 far      fid_lite        1.55    0.035   1.5%   98.0%   1.19
     1000 clusters fid_lite      0.7266    0.089   1.5%   94.5%   1.18
     1000 in_turn  fid_lite      0.6137    0.032   1.5%   97.0%   1.20
     1000 same     kid        2.019e-07  0.00036   0.0%   95.0%   1.19
     1000 far      kid           0.4939    0.017   0.0%   96.0%   1.14
     1000 clusters kid           0.6679     0.17   0.0%   93.0%   1.14
     1000 in_turn  kid           0.6678    0.064   0.0%   97.5%   1.12
     1000 same     density       0.9672    0.021   4.5%   95.5%   0.95
     1000 same     coverage      0.8618   0.0091   4.7%   97.0%   1.09
     1000 far      density       0.5046    0.014   4.6%   95.5%   1.01
     1000 far      coverage       0.166   0.0047   4.4%   94.5%   1.05
     1000 clusters density        1.163    0.027   4.7%   94.0%   1.04
     1000 clusters coverage      0.8419    0.011   4.3%   94.5%   1.01
     1000 in_turn  density        1.177    0.027   4.7%   96.0%   1.05
     1000 in_turn  coverage       0.841     0.01   5.0%   96.5%   1.12
     1000 same     precision     0.8861    0.011   4.1%   93.0%   0.92
     1000 same     recall        0.8986   0.0088   4.4%   97.0%   1.09
     1000 far      precision     0.7097    0.014   4.8%   96.5%   1.04
     1000 far      recall      0.009127   0.0021   4.5%   98.0%   1.42
     1000 clusters precision     0.8861    0.011   4.0%   93.5%   0.94
     1000 clusters recall        0.6698    0.014   4.7%   95.0%   1.14
     1000 in_turn  precision     0.8871    0.011   4.3%   91.5%   0.94
     1000 in_turn  recall        0.6713    0.016   4.2%   94.0%   0.97
     1000 same     mind         0.03385   0.0042   4.9%   93.0%   1.23
     1000 far      mind           3.546    0.097   4.3%   97.0%   1.16
     1000 in_turn  mind           2.021     0.11   4.3%   96.0%   1.12
     5000 same     fid_lite    0.005331  0.00066   1.6%   97.0%   1.24
     5000 far      fid_lite       1.542    0.016   1.4%   97.0%   1.15
     5000 in_turn  fid_lite      0.5896    0.015   1.5%   97.0%   1.16
     5000 same     kid         4.93e-08  0.00016   0.0%   95.0%   1.20
     5000 in_turn  kid           0.6667    0.046   0.0%   97.0%   1.18
     5000 clusters precision     0.8931   0.0043   5.2%   94.5%   1.01
     5000 clusters recall        0.6551    0.013   4.9%   93.0%   0.95
     5000 far      density       0.5037   0.0066   4.1%   93.5%   0.98
     5000 far      coverage      0.2338   0.0035   3.9%   96.5%   1.03
     1000 same     fid_lite        12.5    0.054   5.8%   94.0%   0.98     (width 600)
     1000 clusters fid_lite       63.25      2.9   5.6%   93.0%   1.19     (width 600)
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from cgd_lightning.evaluation.density import DensityCoverage
from cgd_lightning.evaluation.estimate import Estimate
from cgd_lightning.evaluation.feature_metric import FeatureMetric
from cgd_lightning.evaluation.frechet import FrechetDistance
from cgd_lightning.evaluation.kernel import KernelDistance
from cgd_lightning.evaluation.manifold import PrecisionRecall
from cgd_lightning.evaluation.monge import MongeDistance

METRICS: dict[str, Callable[[int], FeatureMetric]] = {
    "fid": FrechetDistance,
    "kid": KernelDistance,
    "mind": partial(MongeDistance, directions=100),
    "precision": PrecisionRecall,
    "density": DensityCoverage,
}

CLASSES = 10

Images = tuple[Tensor, Tensor | None]
"""Features (n, d), and their classes (n,) where these have fixed shares."""

Draw = Callable[[int], Images]


def features(case: str, width: int) -> tuple[Draw, Draw]:
    """(real, generated) images: `same`, `near`, `far`, in `clusters`, or with classes `in_turn`.

    In the last two there are ten classes, each a cluster; they are drawn, or have equal shares.
    """
    scales = torch.linspace(1, 0.1, width)
    centres = 3 * torch.randn(CLASSES, width) * scales
    shift = {"near": 0.05, "far": 0.5}.get(case, 0.0)

    def draw(n: int, factor: float, shift: float) -> Images:
        x = torch.randn(n, width) * scales
        if case == "in_turn":
            classes = torch.arange(n).remainder(CLASSES).sort().values
            return factor * (x + centres[classes]), classes
        if case == "clusters":
            return factor * (x + centres[torch.randint(CLASSES, (n,))]), None
        return x.relu() + shift * scales, None

    return partial(draw, factor=1.0, shift=0.0), partial(draw, factor=0.9, shift=shift)


def main() -> None:
    """Print a line for each case and number."""
    options = ArgumentParser(description=str(__doc__).partition("\n")[0])
    options.add_argument("--n", type=int, default=1000)
    options.add_argument("--reference", type=int, default=2000)
    options.add_argument("--width", type=int, default=16)
    options.add_argument("--repetitions", type=int, default=200)
    options.add_argument("--truth", type=int, default=5000)
    options.add_argument("--few", type=int, default=500)
    options.add_argument("--cases", default="same,far,clusters,in_turn")
    options.add_argument("--metrics", default=",".join(METRICS))
    given = options.parse_args()
    print("    n case     number         truth    error  of it    held  width")
    for name in given.metrics.split(","):
        for case in given.cases.split(","):
            torch.manual_seed(0)
            for line in lines(name, features(case, given.width), given):
                print(f"{given.n:5} {case:9}{line}", flush=True)


def lines(name: str, draws: tuple[Draw, Draw], given: Namespace) -> list[str]:
    """Of each number of a metric: in how many of the repetitions its interval holds the truth."""
    real, generated = draws
    metric = METRICS[name](given.width)
    give(metric, real(given.reference), True)
    metric.hold()

    def draw(intervals: bool) -> dict[str, Estimate]:
        metric.forget_generated()
        if name == "kid" and intervals:
            metric.reset()
            give(metric, real(given.reference), True)
        give(metric, generated(given.n), False)
        return metric.estimates(intervals)

    if name == "kid":
        truths = {"kid": (population_kid(draws, given), 0.0)}
    else:
        count = given.truth if name == "fid" else given.few
        values = table([draw(False) for _ in range(count)], "value")
        truths = {key: (x.mean().item(), x.std().item() / count**0.5) for key, x in values.items()}
    found = [draw(True) for _ in range(given.repetitions)]
    values, lows, highs = (table(found, end) for end in ("value", "low", "high"))
    return [
        line(key, truth, error, values[key], lows[key], highs[key])
        for key, (truth, error) in truths.items()
    ]


def line(name: str, truth: float, error: float, values: Tensor, lows: Tensor, highs: Tensor) -> str:
    """What the repetitions (N,) say about the intervals of a number."""
    inside = ((lows <= truth) & (truth <= highs)).double().mean()
    spread = values.std()
    wide = (highs - lows).mean() / (2 * 1.96 * spread)
    return f"{name:10}{truth:10.4g}{spread:9.2g}{error / spread:7.1%}{inside:8.1%}{wide:7.2f}"


def give(metric: FeatureMetric, images: Images, real: bool) -> None:
    """Update the metric; KID is told the classes."""
    if isinstance(metric, KernelDistance):
        metric.update(images[0], real=real, classes=images[1])
    else:
        metric.update(images[0], real=real)


def table(found: list[dict[str, Estimate]], what: str) -> dict[str, Tensor]:
    """One end of the estimates, or their values, (N,), by name."""
    return {
        name: torch.tensor([getattr(each[name], what) for each in found], dtype=torch.float64)
        for name in found[0]
    }


def population_kid(draws: tuple[Draw, Draw], given: Namespace) -> float:
    """|d1|^2 3/w + |d2|^2 3/w^2 + |d3|^2 1/w^3, of differences of the moments of both sides."""
    w, size = given.width, 100_000
    count = -(-given.truth * given.n // size)
    totals = []
    for draw in draws:
        first, second, third = (torch.zeros(w**k, dtype=torch.float64) for k in (1, 2, 3))
        for _ in range(count):
            x = draw(size)[0].double()
            pairs = (x[:, :, None] * x[:, None]).flatten(1)
            first, second = first + x.mean(dim=0), second + pairs.mean(dim=0)
            third = third + (pairs.T @ x).flatten() / size
        totals.append((first / count, second / count, third / count))
    squares = [(a - b).square().sum().item() for a, b in zip(*totals)]
    return 3 * squares[0] / w + 3 * squares[1] / w**2 + squares[2] / w**3


if __name__ == "__main__":
    main()
