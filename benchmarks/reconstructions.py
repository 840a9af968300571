"""What an autoencoder loses: its reconstructions of held-out images, as judges see them.

    python benchmarks/reconstructions.py --judge runs/latent-judge --data.root photos

of runs/autoencoder. --judge may be given several times.

PSNR, the share that a judge recognises of the images and of their reconstructions, and FID-lite of
the reconstructions beside that of as many training images, both against the held-out images.
--grid FILE shows images and reconstructions side by side.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from cgd_lightning import JudgeFeatures, Measure, checkpoints
from cgd_lightning.data.folder import Folder
from cgd_lightning.data.images import sample_images
from cgd_lightning.diffusion.autoencoder import Autoencoder
from cgd_lightning.diffusion.classifier import CleanClassifier

MOST = 50_000
"""Images of a split that are looked at."""

PAIRS = 40
"""In the grid."""


def rebuilt(autoencoder: Autoencoder, images: Tensor) -> Tensor:
    """uint8 images (N, C, H, W), through the latents and back."""
    codec = checkpoints.latents_of(autoencoder, "here")
    return torch.cat([codec.decode(codec.encode(part)) for part in images.split(256)])


def psnr(images: Tensor, others: Tensor) -> float:
    """The mean over images of the peak signal to noise ratio, in dB, of uint8 images."""
    errors = (images.float() - others.float()).square().mean(dim=(1, 2, 3))
    return float((-10 * (errors / 255**2).log10()).mean())


def main() -> None:
    """Prints a line for each judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--autoencoder", default="runs/autoencoder")
    parser.add_argument("--judge", action="append", required=True)
    parser.add_argument("--data.root", dest="root", default="images")
    parser.add_argument("--held_out", type=float, default=0.05)
    parser.add_argument("--grid", type=Path)
    given = parser.parse_args()
    autoencoder = checkpoints.load(given.autoencoder, Autoencoder)
    data = Folder(given.root, autoencoder.data.shape[1], held_out=given.held_out)
    test, train = (sample_images(data.split(part), MOST) for part in ("test", "train"))
    images, labels = test.images, test.labels
    copies = rebuilt(autoencoder, images)
    print(f"{len(images)} held-out images: PSNR {psnr(images, copies):.2f} dB")
    for path in given.judge:
        judge = checkpoints.load(path, CleanClassifier)
        measure = Measure(JudgeFeatures(judge, path), images, labels)
        report = measure(copies, labels)
        real = measure.real(train.images, len(images), train.labels)
        recognised = measure.recognised or 0
        print(
            f"{path}: recognises {recognised:.1%} of them and {report['accuracy']:.1%} of the "
            f"reconstructions, FID-lite {report['fid_lite']:.3g} (training images "
            f"{real['fid_lite']:.3g})"
        )
    if given.grid:
        pairs = torch.stack([images[:PAIRS], copies[:PAIRS]], dim=1).flatten(0, 1)
        Image.fromarray(make_grid(pairs, nrow=16).permute(1, 2, 0).numpy()).save(given.grid)


if __name__ == "__main__":
    main()
