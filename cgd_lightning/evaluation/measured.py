"""What is measured at one point of a sweep, and which way is better."""

from collections.abc import Mapping
from dataclasses import dataclass

from cgd_lightning.evaluation.by_class import ByClass
from cgd_lightning.evaluation.estimate import Estimate

DISTANCE = "energy_by_class"
"""How the distance that decides is called."""

FRECHET = ("fid_lite", "fid", "fd_dinov2")
"""How the Frechet distance is called, by the network that makes the features."""

HIGHER = ("accuracy", "precision", "recall", "density", "coverage")
"""Of these, more is better."""

LOWER = (DISTANCE, *FRECHET, "kid", "mind")
"""Of these, less is better."""


@dataclass(frozen=True)
class Measured:
    """What was measured of `n` samples at one scale.

    estimates: by name, with their intervals; the distance to real images is one of them. distance:
    the same, as it is compared with that at other scales.
    """

    n: int
    scale: float
    estimates: Mapping[str, Estimate]
    distance: ByClass
