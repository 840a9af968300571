"""The energy distance of samples asked for a class to real images of that class.

    E = sum_y n_y / n (2 mean |g - r| - mean_{i != j} |g_i - g_j| - mean_{i != j} |r_i - r_j|)

g are the features of the samples asked for y, r those of real images of class y. It is 0 if the
samples of every class are distributed as its images (Szekely and Rizzo 2013, "Energy statistics"),
and has no bias at any n. Whether images show what was asked is part of it: of unguided samples,
which no distance of all samples to all images can tell from exact ones, it is large. It is in units
of the mean distance of two real images of one class, so that the scale of features is no matter.

KID's cubic kernel would do in the place of the distance, and is less sure: a few images far out
decide there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.feature_metric import double
from cgd_lightning.evaluation.jackknife import BLOCKS, jackknife_error, pairs
from cgd_lightning.evaluation.neighbours import blocks_of_rows, of_rows

LEAST = 4
"""Samples of every target: with two blocks left out there must be 2."""


ALIKE = 1e-6
"""A distance of so small a share of the features themselves is rounding."""


@dataclass(frozen=True)
class ByClass:
    """The distance of one set of samples, and what is left of it without blocks of samples.

    single: without each of B blocks. double: without each of the pairs of `jackknife.pairs`.
    of_target: of every target asked for, in order of first appearance. Samples of the same targets
    in the same order, as from the same noise, are compared block by block.
    """

    value: float
    single: tuple[float, ...]
    double: tuple[float, ...]
    of_target: tuple[float, ...]

    def to_plain(self) -> dict[str, Any]:
        """The numbers as a JSON holds them."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in vars(self).items()}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "ByClass":
        """The value of `to_plain`. Raises ValueError for anything else."""
        parts = [tuple(map(float, plain[name])) for name in ("single", "double", "of_target")]
        value = float(plain["value"])
        if (len(parts[0]), len(parts[1])) != (BLOCKS, len(pairs())):
            raise ValueError(f"{len(parts[0])} and {len(parts[1])} numbers without blocks")
        if not all(map(math.isfinite, (value, *parts[0], *parts[1], *parts[2]))):
            raise ValueError("numbers that are not finite")
        return cls(value, *parts)


def error(one: ByClass, other: ByClass | None = None) -> float:
    """The standard error of a distance, or of its difference to that of another set."""
    parts = [
        _vector(one, name) - (0.0 if other is None else _vector(other, name))
        for name in ("value", "single", "double")
    ]
    return jackknife_error(parts[0], *(part[:, None] for part in parts[1:])).item()


def _vector(one: ByClass, name: str) -> Tensor:
    return torch.tensor(getattr(one, name), dtype=torch.float64).reshape(-1)


class Distances:
    """Real images to compare with: features of samples and their targets -> `ByClass`.

    real: features (R, d). labels: classes (R,) int64 of the real images; None where nobody knows
    them: then all samples are compared with all images, whatever they were asked to show.
    """

    def __init__(self, real: Tensor, labels: Tensor | None) -> None:
        self.real, self.labels = double(real), labels
        self._known: dict[Target | None, _Real] = {}

    def __call__(self, generated: Tensor, targets: Sequence[Target]) -> ByClass:
        """What it is of samples with features (N, d).

        Raises InputError as `check_enough` does, for classes without real images, and where all
        real images of a class are the same to the network.
        """
        check_enough(targets)
        generated = double(generated)
        kinds: dict[Target | None, list[int]] = {}
        for index, target in enumerate(targets):
            kinds.setdefault(None if self.labels is None else target, []).append(index)
        outs = [(), *[(j,) for j in range(BLOCKS)], *pairs()]
        order = torch.tensor([index for chosen in kinds.values() for index in chosen])
        # The images of one target in turn, so that every block has its share of each.
        block = torch.empty_like(order)
        block[order] = torch.arange(len(order)) % BLOCKS
        total, scale, each = torch.zeros(len(outs), dtype=torch.float64), 0.0, []
        for kind, chosen in kinds.items():
            real, weight = self._of(kind), len(chosen) / len(targets)
            found = real.distances(generated[chosen], block[chosen], outs)
            total += weight * found
            scale += weight * real.apart
            each.append(found[0].item())
        if scale <= ALIKE * self.real.norm(dim=1).mean().item():
            raise InputError(
                "the network sees the same in all real images of a class: nothing to measure "
                "distances by; give other features, or other real images"
            )
        values = (total / scale).tolist()
        return ByClass(
            values[0],
            tuple(values[1 : BLOCKS + 1]),
            tuple(values[BLOCKS + 1 :]),
            tuple(value / scale for value in each),
        )

    def check(self, targets: Sequence[Target]) -> None:
        """Raises InputError for targets without real images."""
        for target in () if self.labels is None else dict.fromkeys(targets):
            self._of(target)

    def _of(self, target: Target | None) -> "_Real":
        """The real images of a target; a mixture weighs them."""
        if target not in self._known:
            if target is None or self.labels is None:
                weights = torch.ones(len(self.real), dtype=torch.float64)
            elif isinstance(target, int):
                weights = (self.labels == target).double()
            else:
                weights = torch.tensor(target, dtype=torch.float64)[self.labels]
            chosen = weights > 0
            if chosen.sum() < 2:
                raise InputError(
                    f"label {target}: {int(chosen.sum())} real images show it, and at least 2 are "
                    "needed; give a larger reference"
                )
            self._known[target] = _Real(self.real[chosen], weights[chosen])
        return self._known[target]


class _Real:
    """Real images (R, d) of one target, with weights (R,). apart: their mean distance."""

    def __init__(self, features: Tensor, weights: Tensor) -> None:
        self.features, self.share = features, (weights / weights.sum()).to(features)
        rows = zip(
            blocks_of_rows(features, len(features)), blocks_of_rows(self.share, len(features))
        )
        total = sum((share @ _apart(part, features) @ self.share).item() for part, share in rows)
        # Without the pairs of an image and itself, which are 0.
        self.apart = total / (1 - self.share.square().sum().item())

    def distances(
        self, generated: Tensor, block: Tensor, outs: Sequence[tuple[int, ...]]
    ) -> Tensor:
        """Of samples (N, d), in their blocks (N,): (S,) without the blocks of each of S tuples."""
        own = torch.nn.functional.one_hot(block, BLOCKS).to(generated)
        within, across = of_rows(
            lambda part: (_apart(part, generated) @ own, _apart(part, self.features) @ self.share),
            generated,
            max(len(generated), len(self.features)),
        )
        counts, within, across = own.sum(dim=0), own.T @ within, own.T @ across
        kept = own.new_ones(len(outs), BLOCKS)
        for row, out in zip(kept, outs):
            row[list(out)] = 0
        n = kept @ counts
        of_generated = (kept @ within * kept).sum(dim=1) / (n * (n - 1))
        return (2 * (kept @ across) / n - of_generated - self.apart).cpu()


def _apart(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y)


def check_enough(targets: Sequence[Target]) -> None:
    """Raises InputError if there are too few samples of a target, or in all, for an error."""
    counts: dict[Target, int] = {}
    for target in targets:
        counts[target] = counts.get(target, 0) + 1
    least = max(2 * BLOCKS, LEAST * len(counts))
    if len(targets) < 2 * BLOCKS or min(counts.values()) < LEAST:
        raise InputError(
            f"{len(targets)} of {len(counts)} labels: too few to compare; wanted at least {least}"
        )
