"""Batch norm whose statistics are constants to an image, though not to the weights.

While guiding, statistics are fixed: an image's gradient goes around them. A training that looks at
the gradient wants the same of the statistics of its batch. Those that were kept lag behind the
weights, and a loss by them is made small by outrunning them.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Statistics = dict[nn.Module, tuple[Tensor, Tensor]]
"""Mean and variance of each channel, by layer."""


def learning_norms(network: nn.Module) -> list[_BatchNorm]:
    """The batch norms of `network` that take statistics of its batch now."""
    return [m for m in network.modules() if isinstance(m, _BatchNorm) and m.training]


@contextmanager
def kept(norms: list[_BatchNorm]) -> Iterator[Statistics]:
    """What the layers take of the batch that goes through them here, on the way to the weights."""
    found: Statistics = {}

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        over = [0, *range(2, inputs[0].ndim)]
        variance, mean = torch.var_mean(inputs[0].float(), dim=over, correction=0)
        found[layer] = mean, variance

    with _hooked(norms, lambda layer: layer.register_forward_pre_hook(keep)):
        yield found


@contextmanager
def held(norms: list[_BatchNorm], statistics: Statistics) -> Iterator[None]:
    """The layers normalise by `statistics` here, whatever goes through them, and learn nothing."""

    def by_those(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        mean, variance = statistics[layer]
        shape = (1, -1, *(1 for _ in range(2, inputs[0].ndim)))
        scale = (variance + layer.eps).rsqrt().view(shape)
        normal = (inputs[0] - mean.view(shape)) * scale
        if layer.affine:
            normal = normal * layer.weight.view(shape) + layer.bias.view(shape)
        return normal.to(output.dtype)

    for layer in norms:
        layer.eval()
    try:
        with _hooked(norms, lambda layer: layer.register_forward_hook(by_those)):
            yield
    finally:
        for layer in norms:
            layer.train()


@contextmanager
def _hooked(norms: list[_BatchNorm], hook: Callable[[_BatchNorm], Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for layer in norms:
            stack.callback(hook(layer).remove)
        yield
