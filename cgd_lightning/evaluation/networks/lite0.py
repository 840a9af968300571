"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation, with ReLU6 for swish.

Tan and Le 2019 (arXiv:1905.11946), table 1, for the stages; Sandler et al. 2018 (arXiv:1801.04381),
section 3.3, for the blocks. Its convolutions pad as TensorFlow does, more at the end than at the
beginning, and its normalisation adds 1e-3 to the variance.
"""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional as F

STAGES = (
    # blocks, kernel, stride of the first block, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

STEM, FEATURES, CLASSES, SIZE = 32, 1280, 1000, 224
"""Channels after the first layer, width of the features, classes, and pixels of a side."""


class EfficientNetLite0(nn.Module):
    """Images (B, 3, 224, 224) -> features (B, 1280); `head` makes logits (B, 1000) of them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Layer(3, STEM, 3, 2)
        blocks = list(_blocks())
        self.blocks = nn.Sequential(*blocks)
        self.last = Layer(STAGES[-1][-1], FEATURES, 1)
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """The features (B, 1280)."""
        return self.last(self.blocks(self.stem(x))).mean(dim=(2, 3))


class Block(nn.Module):
    """An inverted residual block: wider, a convolution of each channel by itself, narrower."""

    def __init__(self, inside: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inside * expansion
        self.expand = Layer(inside, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = Layer(wide, wide, kernel, stride, groups=wide)
        self.project = Layer(wide, out, 1, linear=True)
        self.residual = stride == 1 and inside == out

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class Layer(nn.Module):
    """A convolution, its normalisation, and ReLU6 unless it is linear."""

    def __init__(
        self,
        inside: int,
        out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, out, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out, eps=1e-3)
        self.kernel, self.stride, self.linear = kernel, stride, linear

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(F.pad(x, (*self._around(x.shape[3]), *self._around(x.shape[2])))))
        return x if self.linear else F.relu6(x)

    def _around(self, size: int) -> tuple[int, int]:
        """Zeros (before, after) a side, such that ceil(size / stride) places come out."""
        lacking = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
        return lacking // 2, lacking - lacking // 2


def _blocks() -> Iterator[Block]:
    inside = STEM
    for count, kernel, stride, expansion, out in STAGES:
        for number in range(count):
            yield Block(inside, out, kernel, stride if number == 0 else 1, expansion)
            inside = out
