"""How much memory and time `cgd convert` takes for a file of guided-diffusion.

    python benchmarks/convert.py --megabytes 1000

Writes a file with random weights in the keys of the published 256 px model, as wide as the size
asks for, converts it in a process of its own, and tells the peak of that process's resident memory
beside that of one that imports the same and converts nothing. --half writes float16.

    867 MB, float32               0.99 of the file, 28 s
    849 MB, --half                1.06 of the file, 61 s (the checkpoint is twice as large)
    867 MB, --legacy              1.04 of the file, 32 s
    2,216 MB, float32             0.39 of the file, 15 s
    2,215 MB, --ours              0.51 of the file, 18 s

on 2 cores, busy but for the last two; 840 MB of each are what imports take, most of it torch.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from cgd_lightning.checkpoints.folder_form import write_folder
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Linear
from cgd_lightning.exchange.adm_published import PUBLISHED
from cgd_lightning.networks import UNet

NAME = "256x256_diffusion"

IMPORTS = "import cgd_lightning.commands.convert, torchvision.models._meta"


def main() -> None:
    """Print sizes, peaks, seconds and the ratio of peak to size."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--megabytes", type=int, default=1000)
    options.add_argument("--half", action="store_true")
    options.add_argument("--ours", action="store_true", help="a folder as cgd export writes it")
    options.add_argument("--legacy", action="store_true", help="the format before torch 1.6")
    options.add_argument("--folder", type=Path, help="where the files are written")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        file = Path(folder) / f"{NAME}.pt"
        if given.ours:
            file = Path(folder) / "ours" / "model.safetensors"
            _write_ours(file.parent, given.megabytes * 10**6)
        else:
            _write(file, given.megabytes * 10**6, given.half, given.legacy)
        size = file.stat().st_size
        idle, _ = _peak("-c", IMPORTS)
        words = ("convert", str(file), "--out", str(Path(folder) / "run"))
        peak, seconds = _peak("-m", "cgd_lightning.commands.main", *words)
        made = (Path(folder) / "run" / "version_0" / "best.ckpt").stat().st_size
    print(
        f"file {size / 1e6:.0f} MB, checkpoint {made / 1e6:.0f} MB: peak {peak / 1e6:.0f} MB, "
        f"{peak / size:.2f} of the file ({idle / 1e6:.0f} MB of it for imports), {seconds:.0f} s"
    )


def _width(numbers: int) -> int:
    """Of the network with about so many parameters, which grow with the square of the width."""
    of_width = {}
    width = 0
    while not of_width or of_width[width] < numbers:
        width += 32
        of_width[width] = sum(weight.numel() for weight in _network(width, "meta").parameters())
    return min(of_width, key=lambda each: abs(of_width[each] - numbers))


def _write_ours(folder: Path, size: int) -> None:
    """A folder of ours whose weights take about `size` bytes."""
    data = DataSpec((3, 256, 256), tuple(map(str, range(1000))))
    network = _network(_width(size // 4), "cpu")
    write_folder(Denoiser(network, Linear(), "eps", data, learned_variance=True), folder)


def _write(file: Path, size: int, half: bool, legacy: bool) -> None:
    """A file of about `size` bytes."""
    network = _network(_width(size // (2 if half else 4)), "cpu")
    state = (network.half() if half else network).state_dict()
    torch.save(state, file, _use_new_zipfile_serialization=not legacy)


def _network(width: int, device: str) -> UNet:
    told = {**PUBLISHED[NAME].told, "model_channels": width}
    with torch.device(device):
        return UNet(**told, image_size=256)


def _peak(*words: str) -> tuple[int, float]:
    """(the peak of resident memory in bytes, seconds) of Python with these words."""
    start = time.perf_counter()
    code = (
        "import resource, subprocess, sys;"
        "subprocess.run([sys.executable, *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, *words], check=True, capture_output=True, text=True
    )
    unit = 1 if sys.platform == "darwin" else 1024
    return int(told.stdout) * unit, time.perf_counter() - start


if __name__ == "__main__":
    main()
