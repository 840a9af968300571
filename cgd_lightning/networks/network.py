"""The base of every network: a module that remembers how it was constructed.

A checkpoint stores `type(net)` as an import path, `net.init_args` and the weights, all of them
plain data. So `type(net)(**net.init_args)` builds a network of the same shape, and nobody has to
repeat an architecture.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any

from torch import nn

from cgd_lightning.errors import InputError
from cgd_lightning.values import named_arguments


class Network(nn.Module):
    """A module whose constructor arguments, defaults included, are kept in `init_args`.

    The contract of a subclass:

    - its constructor begins with `image_size: int, in_channels: int, out_channels: int`, which the
      data supply. For a noise predictor `out_channels` counts image channels (twice as many where
      the variance is learned), for a classifier classes;
    - every further argument is the user's: it has a name, a default, and takes plain data (numbers,
      strings, None; lists, tuples or dictionaries of them), from which the weights' shapes follow.
      There is no `*args`;
    - `forward(x, t)` takes images (B, in_channels, H, W) and timesteps (B,) as float32, whatever
      the precision of `x`. A judge of clean images has `forward(x)`, and gives `features(x)`, (B,
      d), of which its `head` makes the logits;
    - one that is told the class says by `num_classes` how many labels it knows, and its `forward`
      takes labels `y` (B,) behind `t`;
    - one that enlarges images says by `low_res_shape` of which shape, (C, h, w), and its `forward`
      takes them as `low_res` (B, C, h, w), in the range of x0;
    - an autoencoder says by `latent_shape` of which shape, (c, h, w), its latents are, gives
      `moments(x)`, mean and log variance of q(z | x), and `decode(z)`.

    A subclass calls `super().__init__()` as any module does, and does nothing for `init_args`. They
    are the arguments of the outermost class, as given (a list stays a list), copied;
    `copy.deepcopy` and pickling carry them along.

    Args:
        in_channels: channels of an image, given by the data.
    """

    init_args: dict[str, Any]
    num_classes: int | None = None
    low_res_shape: tuple[int, int, int] | None = None
    latent_shape: tuple[int, int, int] | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Network:
        # Copying and unpickling come through here without arguments, and restore init_args later.
        net = super().__new__(cls)
        try:
            given = named_arguments(cls, args, kwargs)
        except TypeError as error:
            begins = [*inspect.signature(cls.__init__).parameters][1:4]
            if len(args) == 3 and begins != _SIZES:
                raise InputError(
                    f"{cls.__name__}.__init__ begins with {', '.join(begins) or 'nothing'}; wanted "
                    f"{', '.join(_SIZES)}, which the data give"
                ) from error
            raise
        net.__dict__["init_args"] = copy.deepcopy(given)
        return net


_SIZES = ["image_size", "in_channels", "out_channels"]
