"""Flips: images that show what they were asked to after an edit, and did not before it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from cgd_lightning.diffusion.targets import Target, hit
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.estimate import Estimate, share


@dataclass(frozen=True, eq=False)
class Flips:
    """Which of N images show what they were asked to, before an edit and after it: bool (N,)."""

    before: Tensor = field(repr=False)
    after: Tensor = field(repr=False)

    @classmethod
    def of(cls, before: Tensor, after: Tensor, targets: Sequence[Target]) -> "Flips":
        """Of the classes (N,) int64 that one classifier sees before and after.

        Raises InputError if there is not one target for every image.
        """
        if not len(before) == len(after) == len(targets):
            raise InputError(
                f"{len(after)} edits and {len(targets)} targets: wanted one for every edit"
            )
        return cls(hit(before.cpu(), targets), hit(after.cpu(), targets))

    @property
    def flipped(self) -> Tensor:
        """Which images show it now, and did not before: bool (N,)."""
        return self.after & ~self.before

    @property
    def rate(self) -> Estimate | None:
        """Share of those that did not show it before which do now; None where all of them did."""
        left = int((~self.before).sum())
        return share(int(self.flipped.sum()), left) if left else None

    @property
    def already(self) -> Estimate:
        """Share of all that showed it before."""
        return share(int(self.before.sum()), len(self.before))
