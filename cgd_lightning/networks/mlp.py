"""The tutorial's networks: images are rows of numbers.

No convolution sees that they are pictures.

    h_0 = W x + b,    h_{i+1} = h_i + B_i silu(A_i norm(h_i) + emb(t))

Noise has as many dimensions as the image, and hidden layers that are narrower cannot pass it on;
the noise predictor's default is wider than 28 x 28 pixels.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from cgd_lightning.networks.layers import TimeEmbedding, zero_init
from cgd_lightning.networks.network import Network


class _ResidualMLP(Network):
    """Images (B, C, H, W) and timesteps (B,) -> normalised hidden features (B, width)."""

    def __init__(self, inputs: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.time_embed = TimeEmbedding(min(width, 128), width)
        self.into = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(_Block(width, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def hidden(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.into(x.flatten(1).to(emb.dtype))
        for block in self.blocks:
            h = block(h, emb)
        return self.norm(h)


class MLP(_ResidualMLP):
    """Noisy images (B, in_channels, H, W) -> a prediction (B, out_channels, H, W).

    Timesteps `t` are (B,) float32. The input is added to the output's first channels with a gain
    that depends on the timestep; channels beyond, of a learned variance, have none of it.

    Args:
        image_size: height and width in pixels, given by the data.
        out_channels: channels of the prediction, given by the data: those of an image, or twice as
            many where the variance is learned.
        width: number of features in a hidden layer.
        depth: number of residual blocks.
        dropout: probability that a hidden feature is dropped, in training.
    """

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        out_channels: int,
        width: int = 1024,
        depth: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(in_channels * image_size**2, width, depth, dropout)
        self.gain = nn.Linear(width, 1)
        self.out = zero_init(nn.Linear(width, out_channels * image_size**2))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        emb = F.silu(self.time_embed(t))
        out = self.out(self.hidden(x, emb)).unflatten(1, (-1, *x.shape[2:]))
        x = F.pad(x, (0, 0, 0, 0, 0, out.shape[1] - x.shape[1]))
        return out + self.gain(emb)[:, :, None, None] * x


class MLPClassifier(_ResidualMLP):
    """Noisy images (B, in_channels, H, W) -> logits (B, out_channels).

    Timesteps `t` are (B,) float32.

    Args:
        image_size: height and width in pixels, given by the data.
        out_channels: number of classes, given by the data.
        width: number of features in a hidden layer.
        depth: number of residual blocks.
        dropout: probability that a hidden feature is dropped, in training.
    """

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        out_channels: int,
        width: int = 512,
        depth: int = 2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(in_channels * image_size**2, width, depth, dropout)
        self.out = nn.Linear(width, out_channels)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.out(self.hidden(x, F.silu(self.time_embed(t))))


class _Block(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.down = zero_init(nn.Linear(width, width))

    def forward(self, h: Tensor, emb: Tensor) -> Tensor:
        return h + self.down(self.dropout(F.silu(self.up(self.norm(h)) + emb)))
