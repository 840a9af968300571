"""A metric of two sets of features, those of real and those of generated images.

Such a metric is a `torchmetrics.Metric`: it takes features batch by batch, Lightning adds up its
states over processes, and only `compute` looks at numbers, so that an update never waits for the
device. `forward` makes no sense here, as one batch is of one side; call `update` and `compute`,
or `estimates` for the numbers with their intervals.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.doubles import WITHOUT_FLOAT64, DoubleMetric, copied, moved
from cgd_lightning.evaluation.estimate import Estimate
from cgd_lightning.evaluation.features import LARGEST, not_finite

T = TypeVar("T")


class FeatureMetric(DoubleMetric):
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

    images: Tensor
    not_finite: Tensor

    def __init__(self, num_features: int, least: int, wants: str) -> None:
        super().__init__()
        check_whole_number(num_features, "num_features of a metric")
        self.num_features, self.least, self.wants = num_features, least, wants
        for name in ("images", "not_finite"):
            self.add_state(name, torch.zeros(2, dtype=torch.int64), dist_reduce_fx="sum")
        self._known: dict[str, tuple[Any, Any]] = {}
        self._held: dict[str, Any] = {}

    @abstractmethod
    def add(self, features: Tensor, side: int) -> None:
        """Take in features (N, d) of real images, side 0, or generated ones, side 1."""

    @abstractmethod
    def value(self) -> Tensor | tuple[Tensor, ...]:
        """The scalar, or the scalars, that the states make."""

    def intervals(self, values: Sequence[float]) -> Sequence[Estimate]:
        """`values`, the numbers of `compute`, each with its interval where one is known."""
        return [Estimate(value) for value in values]

    def update(self, features: Tensor, real: bool) -> None:
        """Take in `features` (N, d) of real or of generated images.

        Raises InputError if they are not of width d.
        """
        self._check_width(features, _SIDES[not real])
        self._forget(real=real)
        self.images[int(not real)] += len(features)
        self.not_finite[int(not real)] += not_finite(features)
        self.add(features, int(not real))

    def compute(self) -> Tensor | tuple[Tensor, ...]:
        """The scalars called `names`, or the one.

        Raises InputError if there are too few images of either side, or if features are not finite.
        """
        return self._checked()

    def estimates(self, intervals: bool = True) -> dict[str, Estimate]:
        """The numbers of `compute`, by name, with their `intervals` or without.

        They are of the images of all processes, each of which must call it. Raises InputError as
        `compute` does.
        """
        with self.sync_context(
            dist_sync_fn=self.dist_sync_fn,
            should_sync=self._to_sync,
            should_unsync=self._should_unsync,
        ):
            numbers = self._checked()
            values = [x.item() for x in (numbers if isinstance(numbers, tuple) else (numbers,))]
            found = self.intervals(values) if intervals else [Estimate(value) for value in values]
        return dict(zip(self.names, found, strict=True))

    def _checked(self) -> Tensor | tuple[Tensor, ...]:
        counts = self.images.tolist()
        if min(counts) < self.least:
            raise InputError(self._too_few(counts[1]))
        for side, bad, count in zip(_SIDES, self.not_finite.tolist(), counts):
            check_none(bad, count, side)
        return self.value()

    def is_told_of(self, generated: int) -> bool:
        """Whether the real images, and so many `generated` ones, are enough."""
        return min(int(self.images[0]), generated) >= self.least

    def left_out(self, generated: int) -> str:
        """The note where `is_told_of` is false."""
        return f"{', '.join(self.names)}: {self._too_few(generated)}; give more to be told"

    def _too_few(self, generated: int) -> str:
        return f"{int(self.images[0])} real and {generated} generated images: {self.wants}"

    @property
    def generated(self) -> int:
        """The number of generated images so far."""
        return int(self.images[1])

    def hold(self) -> None:
        """Make what is known now the state that `forget_generated` goes back to."""
        self._held = {name: copied(getattr(self, name), d) for name, d in self._defaults.items()}

    def forget_generated(self) -> None:
        """Be as when `hold` was called, with what was made of the real images kept."""
        for name, default in self._defaults.items():
            held = self._held.get(name)
            if held is None:  # as it was at first
                held = default.to(getattr(self, name)) if isinstance(default, Tensor) else []
            setattr(self, name, copied(held))
        self._forget(real=False)

    def reset(self) -> None:
        self._held = {}
        self._forget(real=True)
        super().reset()

    def of_real(self, what: str, make: Callable[[], T]) -> T:
        """What `make` gives of the real images, made once for as many of them."""
        return self._remembered(f"real {what}", int(self.images[0]), make)

    def of_both(self, what: str, make: Callable[[], T]) -> T:
        """What `make` gives of both sides, made once for the images that are there."""
        return self._remembered(what, self.images.tolist(), make)

    def _remembered(self, what: str, images: Any, make: Callable[[], T]) -> T:
        # The numbers tell that states have come from other processes, or gone back.
        if self._known.get(what, (None, None))[0] != images:
            self._known[what] = images, make()
        made: T = self._known[what][1]
        return made

    def _forget(self, real: bool) -> None:
        """Forget what was made of images; that of the `real` ones only if they change."""
        kept = {} if real else {k: v for k, v in self._known.items() if k.startswith("real ")}
        self._known, self._computed = kept, None

    def _check_width(self, features: Tensor, side: str) -> None:
        if features.ndim != 2 or features.shape[1] != self.num_features:
            raise InputError(
                f"{side} features of shape {tuple(features.shape)}: wanted (N, "
                f"{self.num_features}), as many for every image"
            )

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = ()) -> nn.Module:
        self._forget(real=True)
        self._held = {name: moved(held, fn) for name, held in self._held.items()}
        return super()._apply(fn, exclude_state)


_SIDES = ("real", "generated")


def check_none(bad: int, count: int, side: str) -> None:
    """Raises InputError if the features of `bad` of `count` images of a side are not finite."""
    if bad:
        raise InputError(
            f"the features of {bad} of {count} {side} images are not finite, or above "
            f"{LARGEST:g}: the network that makes them is damaged, or its numbers overflow"
        )


def check_whole_number(value: object, what: str) -> None:
    """Raises InputError unless `value`, a setting called `what`, is a whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        name, _, of = what.partition(" ")
        raise InputError(f"{name} {value!r} {of}: wanted a whole number from 1")


def compare(
    metric: FeatureMetric, real: Tensor, generated: Tensor, intervals: bool = True
) -> dict[str, Estimate]:
    """The numbers of a fresh `metric`, by name, for features of real and generated images.

    The features are (N, d) and (M, d). They are all here: other processes of a training, which may
    not measure, are not waited for.
    """
    metric.distributed_available_fn = alone
    metric.update(real, real=True)
    metric.update(generated, real=False)
    return metric.estimates(intervals)


def alone() -> bool:
    """Whether there are other processes to wait for, to a metric whose images are all here."""
    return False


def double(x: Tensor) -> Tensor:
    """`x` in float64, where it is, or on the CPU if its device has none."""
    return (x.cpu() if x.device.type in WITHOUT_FLOAT64 else x).double()
