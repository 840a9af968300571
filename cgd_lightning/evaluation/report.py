"""What was measured of samples: numbers with their intervals, and of what they are."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from cgd_lightning.evaluation.estimate import Estimate

ENOUGH = 2000
"""Below so many images a metric's name says how many there were."""


FEW_REAL = 1000
"""Below so many real images a report warns of it."""


def named(name: str, n: int) -> str:
    """How a number of `n` images is called where it stands alone: with its n below `ENOUGH`."""
    return name if n >= ENOUGH else f"{name}@{n}"


@dataclass(frozen=True)
class Report:
    """What was measured of `n` images.

    n: images that were measured. reference: real images that they were compared with, and its name
    and hash. features: name of the network that saw both, and its hash. estimates: by name;
    "accuracy" only where targets were given. by_class: numbers of every class that was asked for,
    by its name. notes: what cannot be told of so few images. draws: of each draw of real images the
    FID-lite, whose mean stands among the estimates.
    """

    n: int
    reference: int
    features: str
    estimates: Mapping[str, Estimate]
    draws: tuple[float, ...] = ()
    by_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    features_hash: str = ""
    reference_name: str = ""
    reference_hash: str = ""

    def __getitem__(self, name: str) -> float:
        return self.estimates[name].value

    @property
    def values(self) -> dict[str, float]:
        """The numbers alone, by name."""
        return {name: estimate.value for name, estimate in self.estimates.items()}

    def named(self, name: str) -> str:
        """How a number is called where it stands alone: with its n below `ENOUGH`."""
        return named(name, self.n)

    def to_plain(self) -> dict[str, Any]:
        """All of it as plain data, as a JSON holds it."""
        return vars(self) | {
            "estimates": {self.named(name): e.to_plain() for name, e in self.estimates.items()},
            "by_class": {
                label: {
                    key if key == "n" else named(key, int(own["n"])): x for key, x in own.items()
                }
                for label, own in self.by_class.items()
            },
            "notes": list(self.notes),
            "draws": list(self.draws),
        }


def notes_of(n: int, reference: int, names: Collection[str], frechet: str) -> tuple[str, ...]:
    """What cannot be told of so few images."""
    notes = []
    if 0 < reference < FEW_REAL:
        notes.append(
            f"{reference} real images are few to compare with: give {FEW_REAL:,} or more; numbers "
            "compare only with others against the same images"
        )
    if n < ENOUGH:
        if frechet in names:
            notes.append(
                f"n = {n}: {frechet} is larger than with more samples, and compares only with "
                f"values at this n and against the same {reference or ''} images".replace("  ", " ")
            )
        if "recall" in names:
            notes.append(
                f"n = {n}: recall and coverage miss what fewer than about {3 / n:.1%} of the "
                "samples show"
            )
        notes.append(f"for published numbers make at least {ENOUGH:,} samples, better 10,000")
    return tuple(notes)


def told_of(
    estimates: Mapping[str, Estimate],
) -> tuple[dict[str, Estimate], tuple[str, ...]]:
    """(the numbers that are numbers, with ends that are; a note for what cannot be told)."""
    told, notes, bare = {}, [], []
    for name, estimate in estimates.items():
        ends = [x for x in (estimate.low, estimate.high, estimate.error) if x is not None]
        if not math.isfinite(estimate.value):
            notes.append(f"{name} cannot be told of these features, as where all are the same")
        else:
            sure = all(map(math.isfinite, ends))
            told[name] = estimate if sure else Estimate(estimate.value)
            bare += [name] if told[name].low is None else []
    if bare:
        notes.append(f"too few images to tell how sure {', '.join(bare)} are")
    return told, tuple(notes)
