"""The vision transformer of DINOv2, by the names of its published weights.

Dosovitskiy et al. 2021 (arXiv:2010.11929), with a learned scale for the output of each branch
(Touvron et al. 2021, arXiv:2103.17239, section 2). Its positions were learned on `side` x `side`
patches and are interpolated to those of an image.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 14

EPS = 1e-6

OFFSET = 0.1
"""Added to the number of patches before the scale is computed, as where it was trained."""


class VisionTransformer(nn.Module):
    """Images (B, 3, H, W), of a multiple of 14 pixels a side -> the class token (B, width)."""

    def __init__(self, width: int, depth: int, heads: int, side: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + side**2, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, PATCH, PATCH)})
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """The class token, normalised."""
        patches = self.patch_embed["proj"](x)
        tokens = patches.flatten(2).mT + self._positions(*patches.shape[2:])
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        tokens = torch.cat([first, tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens[:, 0])

    def _positions(self, height: int, width: int) -> Tensor:
        """Those of so many patches, (1, height * width, width of a token)."""
        known = self.pos_embed[:, 1:]
        if (height, width) == (self.side, self.side):
            return known
        square = known.mT.unflatten(2, (self.side, self.side))
        scale = ((height + OFFSET) / self.side, (width + OFFSET) / self.side)
        return F.interpolate(square, scale_factor=scale, mode="bicubic").flatten(2).mT


class Block(nn.Module):
    """Attention and a network of two layers, each normalised before and scaled after."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=EPS) for _ in range(2))
        self.attn, self.ls1 = Attention(width, heads), Scale(width)
        layers = {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        self.mlp, self.ls2 = nn.ModuleDict(layers), Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x)))))


class Attention(nn.Module):
    """Self-attention of tokens (B, N, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Scale(nn.Module):
    """A learned factor for each number of a token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma
