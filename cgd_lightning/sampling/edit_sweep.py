"""A sweep of edits: the same images at several scales, strengths and values of other settings.

    plan = EditSweep.of(request, scales=(2, 5, 10), strengths=(0.5, 0.9))

What differs beside the scale makes a `Variant`, whose points are a line in the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cgd_lightning.diffusion.start import Start
from cgd_lightning.evaluation.exact import exact
from cgd_lightning.sampling.request import Request, RequestError
from cgd_lightning.sampling.sweep import SCALES, Variant, check_scaled, rising

GOAL = 0.95


@dataclass(frozen=True)
class EditSweep:
    """All points of a sweep of edits: each of `variants` at each of `scales`, which rise.

    goal: the share of flips that the point to be named shall reach. Raises RequestError for scales
    that are no finite numbers of at least 0, for none, for a goal out of range, and for edits that
    say nothing of what images become.
    """

    variants: tuple[Variant, ...]
    scales: tuple[float, ...] = SCALES
    goal: float = GOAL

    def __post_init__(self) -> None:
        vars(self)["scales"] = rising(self.scales)
        if type(self.goal) not in (int, float) or not 0 < self.goal <= 1:
            raise RequestError(
                f" {self.goal!r}: wanted a share of the images, above 0 to 1, as 0.95", "flips"
            )
        for variant in self.variants:
            start = variant.request.start
            if start is None:
                raise RequestError(" None: these are samples; an edit has one", "start")
            if variant.request.labels is None and start.source is None:
                raise RequestError(
                    "what shall the images become? give labels=CLASS, or Start(source=CLASS) for "
                    "all but what they show"
                )
        check_scaled(self.variants)

    @classmethod
    def of(
        cls,
        request: Request,
        scales: Sequence[float] = SCALES,
        strengths: Sequence[float] = (),
        goal: float = GOAL,
    ) -> "EditSweep":
        """The sweep of a request over `scales` and `strengths`; without any, that of its start."""
        start = request.start or Start()
        variants = []
        for strength in strengths or (start.strength,):
            own = replace(request, start=replace(start, strength=strength))
            settings = {"strength": exact(strength)} if len(strengths) > 1 else {}
            variants.append(Variant(own, settings))
        return cls(tuple(variants), tuple(scales), goal)


def settings_of(variant: Variant) -> dict[str, str]:
    """What tells a variant from the others, by name; the strength is always among it."""
    start = variant.request.start
    strength = {} if start is None else {"strength": exact(start.strength)}
    return {**strength, **variant.settings}
