"""States of a metric in float64, on devices that have none, and copies of states."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchmetrics import Metric

WITHOUT_FLOAT64 = frozenset({"mps"})
"""Types of devices that have no float64; what needs it is then computed on the CPU."""


class DoubleMetric(Metric):
    """A metric of which some states are sums in float64: they stay where there is float64."""

    doubles: ClassVar[tuple[str, ...]] = ()
    """States in float64."""

    full_state_update = False
    is_differentiable = False

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = ()) -> nn.Module:
        lacks = fn(torch.zeros(())).device.type in WITHOUT_FLOAT64
        return super()._apply(fn, (*exclude_state, *(self.doubles if lacks else ())))


def copied(state: Any, default: Any = None) -> Any:
    """A copy of a state; None if that is still the `default`, which need not be kept twice."""
    if isinstance(state, list):
        return list(state)
    same = isinstance(default, Tensor) and torch.equal(state, default.to(state))
    return None if same else state.clone()


def moved(held: Any, fn: Callable[..., Any]) -> Any:
    """A state that is held, moved by `fn` unless it is of float64 and that has none."""
    if isinstance(held, list):
        return [fn(part) for part in held]
    lacks = isinstance(held, Tensor) and held.dtype == torch.float64
    lacks = lacks and fn(torch.zeros(())).device.type in WITHOUT_FLOAT64
    return held if held is None or lacks else fn(held)
