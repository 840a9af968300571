"""What all metrics together cost for features that are there: seconds and memory.

python benchmarks/metrics.py                     # 10,000 samples and real images, 128 features
python benchmarks/metrics.py --n 50000 --width 128
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
    given = options.parse_args()
    torch.manual_seed(0)
    mix = torch.randn(given.width, given.width) / given.width**0.5
    real = torch.randn(given.reference, given.width) @ mix
    generated = 0.97 * torch.randn(given.n, given.width) @ mix + 0.05
    before, total = peak(), 0.0
    for make in (*ALL_METRICS, NearestTraining):
        metric = make(given.width)
        begin = time.perf_counter()
        if isinstance(metric, NearestTraining):
            metric.update_held_out(real.flip(1))
        metric.update(real, real=True)
        metric.update(generated, real=False)
        found = metric.estimates()
        spent = time.perf_counter() - begin
        total += spent
        numbers = ", ".join(f"{name} {estimate:.4g}" for name, estimate in found.items())
        print(f"{spent:6.2f} s  {numbers}", flush=True)
    begin = time.perf_counter()
    score = InceptionScore(10)
    score.update(3 * generated[:, :10])
    print(f"{time.perf_counter() - begin:6.2f} s  inception score {score.estimate():.4g}")
    total += time.perf_counter() - begin
    print(f"{total:6.2f} s in all, {(peak() - before) / 2**20:.2f} GiB above the features")


def peak() -> float:
    """The most memory that this process ever had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
