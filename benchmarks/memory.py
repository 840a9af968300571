"""Peak memory of commands on little work and on ten times as much.

    python benchmarks/memory.py --ckpt runs/diffusion --classifier runs/classifier

`cgd evaluate` reads 2,000 and 20,000 samples of 3 x 96 x 96, judged by a network that nobody
trained; `cgd sample` makes 500 and 5,000 images; `cgd fit` trains 300 and 3,000 steps. Each is a
process of its own. Prints the peak of its resident memory in MB, on Linux.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.networks import ConvNet

SIDE = 96

PEAK = """
import re, sys
from pathlib import Path
from cgd_lightning.commands.main import main
try:
    main(sys.argv[2:])
except SystemExit as end:
    if end.code:
        raise
# Of getrusage, a child inherits the peak of who started it.
found = re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())
Path(sys.argv[1]).write_text(found[1])
"""


def peak(folder: Path, *words: str) -> float:
    """The peak of `cgd WORDS` in `folder`, in MB."""
    command = [sys.executable, "-W", "ignore", "-c", PEAK, "peak", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return int((folder / "peak").read_text()) / 1000


def make_judged(folder: Path) -> None:
    """A judge, real images and two folders of samples."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    data = DataSpec((3, SIDE, SIDE), ("a", "b"))
    file = folder / "runs/judge/version_0/best.ckpt"
    file.parent.mkdir(parents=True)
    checkpoints.save(CleanClassifier(ConvNet(SIDE, 3, 2, width=4), data).eval(), file)
    for index in range(200):
        picture = folder / "photos" / "ab"[index % 2] / f"{index}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(picture)
    few = random.integers(0, 256, (7, SIDE, SIDE, 3), dtype=np.uint8)
    for count in (2_000, 20_000):
        samples = folder / f"samples-{count}"
        samples.mkdir()
        labels = np.arange(count) % 2
        np.savez(samples / "samples.npz", arr_0=few[np.arange(count) % 7], arr_1=labels)
        record = {"images": {"count": count, "labels": labels.tolist()}}
        (samples / "samples.json").write_text(json.dumps(record))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ckpt", type=Path, default=Path("runs/diffusion"))
    parser.add_argument("--classifier", type=Path, default=Path("runs/classifier"))
    given = parser.parse_args()
    pair = f"--ckpt={given.ckpt.absolute()}", f"--classifier={given.classifier.absolute()}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_judged(folder)
        real = ("--judge=../runs/judge", "--data=Folder", "--data.root=../photos")
        real = (*real, f"--data.image_size={SIDE}")
        print(
            "| command | little | peak, MB | ten times as much | peak, MB |\n|---|---|---|---|---|"
        )
        rows = {
            "cgd evaluate": [
                (f"{count:,} images", ["evaluate", f"--samples=../samples-{count}", *real])
                for count in (2_000, 20_000)
            ],
            "cgd sample": [
                (
                    f"{count:,} images",
                    ["sample", *pair, f"--num_samples={count}", "--steps=4", f"--out=made-{count}"],
                )
                for count in (500, 5_000)
            ],
            "cgd fit": [
                (
                    f"{count:,} steps",
                    [
                        *("fit", "--config=classifier.yaml", f"--trainer.max_steps={count}"),
                        *("--trainer.val_check_interval=300", "--data.batch_size=16"),
                    ],
                )
                for count in (300, 3_000)
            ],
        }
        for command, both in rows.items():
            place = folder / command.removeprefix("cgd ")
            place.mkdir()
            cells = [f"{what} | {peak(place, *words):,.0f}" for what, words in both]
            print(f"| `{command}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
