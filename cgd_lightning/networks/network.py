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


class Network(nn.Module):
    """A module whose constructor arguments, defaults included, are kept in `init_args`.

    The contract of a subclass:

    - its constructor begins with `image_size: int, in_channels: int, out_channels: int`, which the data supply. For a
    noise predictor `out_channels` counts image channels (twice as many where the variance is
    learned), for a classifier classes;
    - every further argument is the user's: it has a name, a default, and takes plain data (numbers, strings, None;
    lists, tuples or dictionaries of them), from which the weights' shapes follow. There is no
    `*args`;
    - `forward(x, t)` takes images (B, in_channels, H, W) and timesteps (B,) as float32, whatever the precision of `x`. A judge of
    clean images has `forward(x)`, and gives `features(x)`, (B, d), of which its `head` makes the
    logits.

    A subclass calls `super().__init__()` as any module does, and does nothing for `init_args`. They
    are the arguments of the outermost class, as given (a list stays a list), copied;
    `copy.deepcopy` and pickling carry them along.
    """

    init_args: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Network:
        # Copying and unpickling come through here without arguments and restore init_args
        # afterwards.
        net = super().__new__(cls)
        net.__dict__["init_args"] = _named_arguments(cls, args, kwargs)
        return net


def _named_arguments(cls: type, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `cls(*args, **kwargs)` by name, with the defaults, copied so that no later
    change reaches them.
    """
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]
    try:
        bound = signature.bind_partial(None, *args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{cls.__name__}: {error}") from None
    bound.apply_defaults()
    named: dict[str, Any] = {}
    for name, value in list(bound.arguments.items())[1:]:
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            named.update(value)
        else:
            named[name] = value
    return copy.deepcopy(named)
