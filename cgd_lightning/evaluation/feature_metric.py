"""A metric of two sets of features, those of real and those of generated images.

Such a metric is a `torchmetrics.Metric`: it takes features batch by batch, Lightning adds up its
states over processes, and only `compute` looks at numbers, so that an update never waits for the
device. `forward` makes no sense here, as one batch is of one side; call `update` and `compute`.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from cgd_lightning.errors import InputError

WITHOUT_FLOAT64 = frozenset({"mps"})
"""Types of devices that have no float64; what needs it is then computed on the CPU."""


class FeatureMetric(Metric):
    """Numbers about generated images beside real ones, from the features of both.

    A subclass names its numbers, adds states in `add` and makes the numbers in `value`. Row 0 of a
    state is of the real images, row 1 of the generated ones.

    Args:
        num_features: Width d of the features.
        least: So many images of each side are needed.
        wants: Says so in the error.
    """

    names: ClassVar[tuple[str, ...]]
    """How a report calls the numbers, in the order of `value`."""

    doubles: ClassVar[tuple[str, ...]] = ()
    """States in float64."""

    full_state_update = False
    is_differentiable = False

    images: Tensor
    not_finite: Tensor

    def __init__(self, num_features: int, least: int, wants: str) -> None:
        super().__init__()
        self.num_features, self.least, self.wants = num_features, least, wants
        for name in ("images", "not_finite"):
            self.add_state(name, torch.zeros(2, dtype=torch.int64), dist_reduce_fx="sum")

    @abstractmethod
    def add(self, features: Tensor, side: int) -> None:
        """Take in features (N, d) of real images, side 0, or generated ones, side 1."""

    @abstractmethod
    def value(self) -> Tensor | tuple[Tensor, ...]:
        """The scalar, or the scalars, that the states make."""

    def update(self, features: Tensor, real: bool) -> None:
        """Take in `features` (N, d) of real or of generated images.

        Raises InputError if they are not of width d.
        """
        if features.ndim != 2 or features.shape[1] != self.num_features:
            raise InputError(
                f"{_SIDES[not real]} features of shape {tuple(features.shape)}: wanted (N, "
                f"{self.num_features}), as many for every image"
            )
        self.images[int(not real)] += len(features)
        self.not_finite[int(not real)] += (~features.isfinite().all(dim=1)).sum()
        self.add(features, int(not real))

    def compute(self) -> Tensor | tuple[Tensor, ...]:
        """The scalars called `names`, or the one.

        Raises InputError if there are too few images of either side, or if features are not finite.
        """
        real, generated = counts = self.images.tolist()
        if min(counts) < self.least:
            raise InputError(f"{real} real and {generated} generated images: {self.wants}")
        for side, bad, count in zip(_SIDES, self.not_finite.tolist(), counts):
            if bad:
                raise InputError(
                    f"the features of {bad} of {count} {side} images are not finite: the network "
                    "that makes them is damaged, or its numbers overflow"
                )
        return self.value()

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = ()) -> nn.Module:
        """As torchmetrics moves states to another device, but for float64 where it has none."""
        lacks = fn(torch.zeros(())).device.type in WITHOUT_FLOAT64
        return super()._apply(fn, (*exclude_state, *(self.doubles if lacks else ())))


_SIDES = ("real", "generated")


def compare(metric: FeatureMetric, real: Tensor, generated: Tensor) -> dict[str, float]:
    """The numbers of a fresh `metric`, by name, for features of real and generated images.

    The features are (N, d) and (M, d). They are all here: other processes of a training, which may
    not measure, are not waited for.
    """
    metric.distributed_available_fn = _alone
    metric.update(real, real=True)
    metric.update(generated, real=False)
    values = metric.compute()
    scalars = values if isinstance(values, tuple) else (values,)
    return dict(zip(metric.names, (scalar.item() for scalar in scalars), strict=True))


def _alone() -> bool:
    return False


def double(x: Tensor) -> Tensor:
    """`x` in float64, where it is, or on the CPU if its device has none."""
    return (x.cpu() if x.device.type in WITHOUT_FLOAT64 else x).double()
