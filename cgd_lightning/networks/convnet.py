"""A plain convolutional classifier of clean images.

Its architecture is another one than that of the networks which it judges.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from cgd_lightning.errors import InputError
from cgd_lightning.networks.network import Network


class ConvNet(Network):
    """Clean images (B, in_channels, H, W) -> logits (B, out_channels).

    Three pairs of 3 x 3 convolutions with batch norm, pooled between.

    Args:
        image_size: height and width in pixels, given by the data.
        out_channels: number of classes, given by the data.
        width: channels of the first pair, doubled with every pooling.
        dropout: probability that a feature before the last layer is dropped, in training.
        patch_size: p folds p x p pixels into channels before the first convolution, for images that
            are large for the time there is; the size is a multiple of it, otherwise InputError.
    """

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        out_channels: int,
        width: int = 32,
        dropout: float = 0.3,
        patch_size: int = 1,
    ) -> None:
        super().__init__()
        if patch_size < 1 or image_size % patch_size:
            raise InputError(
                f"image_size {image_size}: wanted a multiple of patch_size {patch_size}; give "
                "another patch_size, or resize the images"
            )
        self.patch_size = patch_size
        widths = [in_channels * patch_size**2, width, 2 * width, 4 * width]
        pairs = [_pair(before, after) for before, after in zip(widths, widths[1:])]
        self.body = nn.Sequential(pairs[0], nn.MaxPool2d(2), pairs[1], nn.MaxPool2d(2), pairs[2])
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * width, out_channels))

    def features(self, x: Tensor) -> Tensor:
        """What the last layer reads, (B, 4 width): the mean over the pixels."""
        return self.body(F.pixel_unshuffle(x, self.patch_size)).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def _pair(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [
            nn.Conv2d(channels, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
