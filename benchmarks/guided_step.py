"""What a guided step costs over its parts.

The parts are the predictor's forward pass, the classifier's forward pass, and its backward pass to
the input alone.

    python benchmarks/guided_step.py --runs runs

Uses the trained MNIST pair. Whole trajectories of guided DDIM alternate with bare loops that do for
every step no more than the three parts, on the same images in the same precision. The last line is
the median of the ratios of neighbours.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.noise import SeededNoise
from cgd_lightning.diffusion.samplers import DDIM
from cgd_lightning.sampling.request import Request
from cgd_lightning.sampling.resolve import resolve

BATCH, STEPS, TURNS = 128, 3, 40


def main() -> None:
    """Print both times and their ratio."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--runs", type=Path, default=Path("runs"))
    runs = options.parse_args().runs
    job = resolve(Request(runs / "mnist-diffusion", runs / "mnist-classifier", scale=5))
    denoiser, classifier, dtype = job.denoiser, job.classifier, job.dtype
    assert isinstance(classifier, NoisyClassifier)
    device = next(denoiser.parameters()).device
    labels = torch.arange(BATCH, device=device) % 10
    denoise = job.rule.bind(denoiser, classifier, labels)
    levels = denoiser.schedule.levels(STEPS)[:-1]
    start = SeededNoise(0, torch.arange(BATCH, device=device), denoiser.image_shape)()
    times = [torch.full((BATCH,), level.t, device=device, dtype=torch.float32) for level in levels]

    def guided() -> None:
        with torch.no_grad():
            for _ in DDIM(STEPS).trajectory(denoise, lambda: start, denoiser.schedule):
                pass

    def bare() -> None:
        for t in times:
            with torch.no_grad():
                denoiser.network(start, t)
            x = start.clone().requires_grad_()
            log_p = classifier.network(x, t).float().log_softmax(dim=-1).gather(1, labels[:, None])
            torch.autograd.grad(log_p.sum(), x)

    seconds: dict[str, list[float]] = {"guided": [], "bare": []}
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        for turn in range(TURNS + 1):
            for work in (guided, bare):
                begin = time.perf_counter()
                work()
                if device.type == "cuda":
                    torch.cuda.synchronize()
                if turn > 0:
                    seconds[work.__name__].append(time.perf_counter() - begin)
    both = {name: statistics.median(values) / STEPS for name, values in seconds.items()}
    ratio = statistics.median(
        guided / bare for guided, bare in zip(seconds["guided"], seconds["bare"])
    )
    print(
        f"a guided step {both['guided'] * 1e3:.1f} ms, its parts {both['bare'] * 1e3:.1f} ms: "
        f"{ratio - 1:+.1%} (median of {TURNS} pairs)"
    )


if __name__ == "__main__":
    main()
