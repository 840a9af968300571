"""How much faster two processes of one thread sample than one, in the loop alone.

    OMP_NUM_THREADS=1 python benchmarks/processes.py --ckpt runs/diffusion --rounds 5

One and two take turns. A rate is read from the times at which the images were written, from the
first batch of each process to the last one, so that starting counts for nothing.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TWO = ("--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp")


def rate(options: argparse.Namespace, processes: int, out: Path) -> float:
    """Images a second of `cgd sample` on so many processes."""
    given = (f"--ckpt={options.ckpt}", f"--num_samples={options.images}", f"--out={out}")
    how = (f"--batch_size={options.batch_size}", f"--steps={options.steps}", "--scale=0")
    where = TWO if processes == 2 else ("--device=cpu",)
    command = (sys.executable, "-m", "cgd_lightning.commands.main", "sample")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = (*command, *given, *how, *where)
    subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
    written = sorted(file.stat().st_mtime for file in (out / "images").iterdir())
    before = processes * options.batch_size
    return (len(written) - before) / (written[-1] - written[before - 1])


def main() -> None:
    """Print the median rates of one and of two processes, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ckpt", default="runs/diffusion", help="run of the diffusion model")
    parser.add_argument("--images", type=int, default=640, help="images of a round")
    parser.add_argument("--batch_size", type=int, default=16, help="images at a time")
    parser.add_argument("--steps", type=int, default=40, help="steps of the sampler")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each")
    options = parser.parse_args()
    rates: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            for processes, found in rates.items():
                found.append(rate(options, processes, Path(folder, f"{processes}-{number}")))
    one, two = (statistics.median(found) for found in rates.values())
    print(f"{one:.1f} images/s in one process, {two:.1f} in two: {two / one:.2f} times")


if __name__ == "__main__":
    main()
