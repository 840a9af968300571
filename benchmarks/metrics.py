"""What all metrics together cost for features that are there: seconds and memory.

    python benchmarks/metrics.py                    # 10,000 samples and real images, 128 features
    python benchmarks/metrics.py --n 50000 --reference 50000 --width 2048 --metrics NearestTraining

Seconds of the clock, and in brackets of processors, which other programs do not lengthen.
"""

import resource
import time
from argparse import ArgumentParser

import torch

from cgd_lightning.evaluation.inception import InceptionScore
from cgd_lightning.evaluation.measure import ALL_METRICS
from cgd_lightning.evaluation.memorisation import NearestTraining


def main() -> None:
    """Print a line a metric, then the sum."""
    options = ArgumentParser(description=__doc__)
    options.add_argument("--n", type=int, default=10_000)
    options.add_argument("--reference", type=int, default=10_000)
    options.add_argument("--width", type=int, default=128)
    options.add_argument("--metrics", default="", help="names of classes; all by default")
    given = options.parse_args()
    torch.manual_seed(0)
    mix = torch.randn(given.width, given.width) / given.width**0.5
    real = torch.randn(given.reference, given.width) @ mix
    generated = 0.97 * torch.randn(given.n, given.width) @ mix + 0.05
    before, total = peak(), [0.0, 0.0]
    for make in (*ALL_METRICS, NearestTraining):
        if given.metrics and make.__name__ not in given.metrics.split(","):
            continue
        begin = clocks()
        metric = make(given.width)
        if isinstance(metric, NearestTraining):
            metric.update_held_out(real.flip(1))
        metric.update(real, real=True)
        metric.update(generated, real=False)
        found = metric.estimates()
        numbers = ", ".join(f"{name} {estimate:.4g}" for name, estimate in found.items())
        say(total, begin, f"{numbers}; {(peak() - before) / 2**20:.2f} GiB at the peak")
    begin = clocks()
    score = InceptionScore(10)
    score.update(3 * generated[:, :10])
    say(total, begin, f"inception score {score.estimate():.4g}")
    print(
        f"{total[0]:6.2f} s ({total[1]:.2f})  in all; the peak is above that of the features alone"
    )


def clocks() -> tuple[float, float]:
    """Seconds now, of the clock and of the processors."""
    return time.perf_counter(), time.process_time()


def say(total: list[float], begin: tuple[float, float], what: str) -> None:
    """Print a line with the seconds since `begin`, and add them to the total."""
    spent = [now - then for now, then in zip(clocks(), begin)]
    total[:] = [a + b for a, b in zip(total, spent)]
    print(f"{spent[0]:6.2f} s ({spent[1]:.2f})  {what}", flush=True)


def peak() -> float:
    """The most memory that this process ever had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
