"""A sweep: the same noise and labels at several scales, and with several values of other settings.

    sweep = Sweep.of(request, scales=(1, 2, 5), axes={"sampler.steps": (10, 20)})

The unguided point, scale 0, is always among them. What differs beside the scale makes a `Variant`,
whose points are compared with each other.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from cgd_lightning.diffusion.guidance import Chain
from cgd_lightning.sampling.job import OF_FILES
from cgd_lightning.sampling.request import Request, RequestError
from cgd_lightning.values import Value, arguments, changed

SCALES = (0.0, 1.0, 2.0, 5.0, 10.0)

SHARED = ("seed", "labels", "low_res", "num_samples")
"""Fields of a request that points must share to be compared sample by sample."""


@dataclass(frozen=True)
class Variant:
    """A request but for its scale. settings: what tells it from the others, as the user wrote it.

    lenient: fields that nobody asked for now, so that their going unused is no mistake.
    """

    request: Request
    settings: Mapping[str, str] = field(default_factory=dict)
    lenient: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How it is called in tables and figures; empty for the only one."""
        return " ".join(f"{name}={value}" for name, value in self.settings.items())

    def at(self, scale: float) -> Request:
        """The request at a scale, which stands in its guidance."""
        return replace(self.request, scale=scale).scaled()

    def networks(self) -> str:
        """Two variants that say the same here are made by the same networks."""
        rule = Chain(self.at(1.0).rules)
        own = {name: getattr(self.request, name) for name in OF_FILES}
        named = repr(rule) if rule.names else ""
        return json.dumps([own, named, sorted(kind.__name__ for kind in rule.guides)], default=str)

    def pairs_with(self, other: "Variant") -> bool:
        """Whether both have the same noise and labels."""
        return all(getattr(self.request, n) == getattr(other.request, n) for n in SHARED)


@dataclass(frozen=True)
class Sweep:
    """All points of a sweep: each of `variants` at each of `scales`, which rise and begin at 0.

    Raises RequestError for scales that are no finite numbers of at least 0, and for none.
    """

    variants: tuple[Variant, ...]
    scales: tuple[float, ...] = SCALES

    def __post_init__(self) -> None:
        vars(self)["scales"] = tuple(sorted({0.0, *rising(self.scales)}))
        check_scaled(self.variants)

    @classmethod
    def of(
        cls,
        request: Request,
        scales: Sequence[float] = SCALES,
        axes: Mapping[str, Sequence[Any]] | None = None,
    ) -> "Sweep":
        """The sweep of a request over `scales` and over several values of other fields.

        axes: {"weights": ("ema", "raw"), "sampler.steps": (10, 20)}, a field of the request or one
        of its sampler. Raises RequestError for fields that are not there.
        """
        axes = axes or {}
        variants = []
        for values in itertools.product(*axes.values()):
            changed_one = request
            for name, value in zip(axes, values):
                changed_one = _with(changed_one, name, value)
            said = {name: _said(value) for name, value in zip(axes, values)}
            variants.append(Variant(changed_one, said))
        return cls(tuple(variants), tuple(scales))

    def groups(self) -> list[list[Variant]]:
        """The variants, those of the same networks together."""
        return grouped(self.variants)


def rising(scales: Sequence[float]) -> tuple[float, ...]:
    """`scales` in their order, each once.

    Raises RequestError for what are no finite numbers of at least 0, and for none.
    """
    if not scales:
        raise RequestError(": none; give some, as 0,1,2,5,10", "scales")
    for scale in scales:
        if type(scale) not in (int, float) or not 0 <= scale < 2**63:
            raise RequestError(
                f" {scale!r}: wanted numbers from 0, less than 2**63, as 0,1,2,5", "scales"
            )
    return tuple(sorted(set(map(float, scales))))


def check_scaled(variants: Sequence[Variant]) -> None:
    """Raises RequestError for variants that have a scale already, or no rule that takes one."""
    for variant in variants:
        if variant.request.scale is not None:
            raise RequestError(" is given beside scales; leave it out", "scale")
        variant.at(1.0)  # said here if no rule takes a scale


def grouped(variants: Sequence[Variant]) -> list[list[Variant]]:
    """The variants, those of the same networks together."""
    found: dict[str, list[Variant]] = {}
    for variant in variants:
        found.setdefault(variant.networks(), []).append(variant)
    return list(found.values())


def _with(request: Request, name: str, value: Any) -> Request:
    """`request` with one field changed, or one of its sampler's."""
    whole, _, part = name.partition(".")
    known = {f.name for f in fields(request)} - {"scale"}
    inner = getattr(request, whole, None) if whole in known else None
    if whole not in known or (part and not isinstance(inner, Value)):
        raise RequestError(
            f" {name}: not a field of a request; wanted one of {', '.join(sorted(known))}, or "
            "sampler.steps",
            "axes",
        )
    if not part:
        return replace(request, **{name: value})
    if part not in arguments(inner):
        wanted = ", ".join(arguments(inner))
        raise RequestError(f" {name}: a {type(inner).__name__} has {wanted}", "axes")
    assert isinstance(inner, Value)
    made: dict[str, Any] = {whole: changed(inner, **{part: value})}
    return replace(request, **made)


def _said(value: Any) -> str:
    return type(value).__name__ if isinstance(value, Value) else str(value)
