"""What latents save: a training step there against one in pixels, and the memory of encoding.

    python benchmarks/latents.py

The same U-Net, AdamW and batch, on 32 x 32 x 3 pixels and on their 8 x 8 x 8 latents, no patches
folded in either; encoding is not in it. Processor seconds of one thread, the two in turn, the
median of each. Then latents of 2,000 and of 20,000 images of 32 pixels, which a data set makes when
it is asked for them, are encoded and kept, each in a process of its own: by how much its memory
grows, in MiB, beside the size of the file.

On 2 cores (AVX2, float32) with --batch 64, beside other work: 7.59 s in pixels and 0.509 s in
latents, 0.067 of it; memory grew by less than 1 MiB for a file of 4 and for one of 39 MiB.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from cgd_lightning import checkpoints
from cgd_lightning.data import latents
from cgd_lightning.data.images import ImageBatch
from cgd_lightning.diffusion.autoencoder import Autoencoder
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.networks import ConvAutoencoder, UNet

PIXELS, LATENTS = (3, 32, 32), (8, 8, 8)


def stepper(shape: Sequence[int], batch: int) -> Callable[[], float]:
    """Makes one step of training on numbers of `shape`, and gives its processor seconds."""
    channels, size, _ = shape
    network: nn.Module = UNet(
        *(size, channels, channels),
        model_channels=64,
        channel_mult=(1, 2),
        num_res_blocks=1,
        attention_resolutions=(),
        norm_groups=8,
    ).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters())
    x = torch.randn(batch, *shape).to(memory_format=torch.channels_last)
    t = torch.rand(batch) * 999

    def step() -> float:
        begin = time.process_time()
        (network(x, t) - x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.process_time() - begin

    return step


class Made(Dataset[ImageBatch]):
    """Images that are made when they are asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch:
        index = torch.as_tensor(indices)
        pixels = (index[:, None] * 7919 + torch.arange(3 * 32 * 32)) % 256
        images = pixels.to(torch.uint8).reshape(-1, *PIXELS)
        return ImageBatch(images, index % 10, index)


def encode(count: int, folder: str, told: Any) -> None:
    """Encodes `count` images; tells by how many MiB memory grew, and the size of the file.

    told: a queue.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    latents.cache_folder = lambda: Path(folder)  # nothing of the user's is touched
    model = Autoencoder(ConvAutoencoder(32, 3, 3), DataSpec(PIXELS, ("a", "b"))).eval()
    codec, device = checkpoints.latents_of(model, "here"), torch.device("cpu")
    latents.encoded(Made(latents.BATCH), codec, device)  # what any encoding needs
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    latents.encoded(Made(count), codec, device)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = max(file.stat().st_size for file in Path(folder).rglob("*.npy"))
    told.put((count, (after - before) / 2**10, size / 2**20))


def main() -> None:
    """Prints both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    steps = [stepper(shape, given.batch) for shape in (PIXELS, LATENTS)]
    times = [[step() for step in steps] for _ in range(given.steps + 1)][1:]
    pixels, inside = (statistics.median(side) for side in zip(*times))
    print(f"a step of {given.batch} images: {pixels:.2f} s in pixels, {inside:.3f} s in latents")
    print(f"ratio {inside / pixels:.3f}")
    start = multiprocessing.get_context("spawn")
    for count in (2_000, 20_000):
        with tempfile.TemporaryDirectory() as folder:
            told = start.Queue()
            process = start.Process(target=encode, args=(count, folder, told))
            process.start()
            process.join()
            images, grown, size = told.get()
            print(f"{images:,} images: memory grew by {grown:.0f} MiB, the file has {size:.0f} MiB")


if __name__ == "__main__":
    main()
