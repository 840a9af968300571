"""A request: everything that decides which samples are made, as one value.

    samples = f(request, the files that it names)

Where they are made, on which device and in how many processes, and where they are written, decide
nothing of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from cgd_lightning.checkpoints.classes import NO_TRUST, Trust, construct, describe_object
from cgd_lightning.diffusion.codec import PIXELS, Codec
from cgd_lightning.diffusion.guidance import Chain, Clamp, ClassifierGuidance, Rule
from cgd_lightning.diffusion.guidance.rule import singles
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.samplers import DDIM, Sampler
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.diffusion.start import Start
from cgd_lightning.errors import InputError
from cgd_lightning.values import arguments

MOST_SAMPLES = 1_000_000
"""Of one request."""

ClampPlace = Literal["outside", "inside", "off"]

Weights = Literal["ema", "raw"]


OF_RULES = "a Rule, as ClassifierGuidance(scale=5), or a list of them"


class RequestError(InputError):
    """A request that cannot be met.

    The message names settings as Python writes them, `scale=0`. setting: the field of the request
    that is wrong, with which the message begins, if it is one.
    """

    def __init__(self, message: str, setting: str = "") -> None:
        super().__init__(f"{setting}{message}")
        self.setting = setting


def is_number(value: Any) -> bool:
    """Whether `value` can be a scale: a finite number, not too large for what reads it."""
    return type(value) in (int, float) and abs(value) < 2**63


@dataclass(frozen=True)
class Request:
    """Which samples are wanted.

    Raises RequestError for values out of range.

    Args:
        ckpt: run, version folder or file of the diffusion model.
        classifier: run or file of the classifier; by default the newest that fits, beside the
            diffusion run. One of clean images, for CleanGuidance, is a judge, a published one such
            as torchvision:resnet18 or timm:resnet18.a1_in1k, or your own, {class_path: mine.Net}.
        scale: strength of the guidance: 0 is off, 1 is Bayes' rule for an unconditional diffusion
            model, more trades variety for likeness; by default that of the outermost rule.
        labels: classes by name or index, 3,7, in turn; 3|7 is either, !3 all others, 3+7 a
            mixture, and "a, b" in double quotes is a name with such signs; by default all in turn.
        low_res: the images that an upsampler enlarges: a folder of images, or what cgd sample
            wrote; the first num_samples of them, of their own classes unless labels are given.
        num_samples: number of samples, 1 to 1,000,000.
        sampler: sampler and its settings.
        guidance: guidance rule, or a list of them, the first innermost; scale goes to the
            outermost.
        clamp: where x0 is clamped to the range of the data: outside the guidance, inside it as ADM
            does, which wants many steps of DDPM, or off.
        seed: seed of the noise; each sample has its own stream.
        batch_size: samples at a time.
        weights: the moving average of the diffusion model's weights (ema) or the last ones (raw);
            all other models give their average.
        precision: fp32, bf16, or auto for bf16 where the hardware is fast at it.
        start: where an edit of images begins; samples begin at noise, and have none.
    """

    ckpt: str | Path | None = None
    classifier: str | Path | Mapping[str, Any] | None = None
    scale: float | None = None
    labels: str | None = None
    low_res: str | Path | None = None
    num_samples: int = 64
    sampler: Sampler = DDIM()  # noqa: RUF009  (values, as are numbers)
    guidance: Rule | Sequence[Rule] = ClassifierGuidance()  # noqa: RUF009
    clamp: ClampPlace = "outside"
    seed: int = 0
    batch_size: int = 256
    weights: Weights = "ema"
    precision: str = "auto"
    start: Start | None = None

    def __post_init__(self) -> None:
        self._check_types()
        if not isinstance(self.guidance, Rule):
            vars(self)["guidance"] = tuple(self.guidance)
        for name in ("num_samples", "batch_size"):
            value = getattr(self, name)
            if type(value) is not int:
                raise RequestError(f" {value!r}: wanted an integer, 1 to {MOST_SAMPLES:,}", name)
            if not 1 <= value <= MOST_SAMPLES:
                raise RequestError(f" {value}: wanted 1 to {MOST_SAMPLES:,}", name)
        for name, words in (("clamp", ClampPlace), ("weights", Weights)):
            if getattr(self, name) not in get_args(words):
                wanted = ", ".join(get_args(words))
                raise RequestError(f" {getattr(self, name)!r}: wanted one of {wanted}", name)
        self._check_guidance()

    def _check_types(self) -> None:
        rules = self.guidance if isinstance(self.guidance, list | tuple) else [self.guidance]
        own = self.classifier
        spec = isinstance(own, Mapping) and isinstance(own.get("class_path"), str)
        for name, right, wanted in (
            ("scale", self.scale is None or is_number(self.scale), "a finite number"),
            ("labels", isinstance(self.labels, str | None), "text, as '3,7'"),
            ("seed", type(self.seed) is int and abs(self.seed) < 2**63, "an integer below 2^63"),
            ("ckpt", isinstance(self.ckpt, str | Path | None), "a path"),
            ("low_res", isinstance(self.low_res, str | Path | None), "a path"),
            (
                "classifier",
                spec or isinstance(own, str | Path | None),
                "a path, the name of a published one, or class_path and init_args",
            ),
            ("sampler", isinstance(self.sampler, Sampler), "a Sampler, as DDIM(steps=20)"),
            ("start", isinstance(self.start, Start | None), "a Start, as Start(strength=0.5)"),
            ("guidance", all(isinstance(rule, Rule) for rule in rules), OF_RULES),
        ):
            if not right:
                raise RequestError(f" {getattr(self, name)!r}: wanted {wanted}", name)

    def _check_guidance(self) -> None:
        if not self.rules:
            raise RequestError(" []: no rule; for none of them give scale=0", "guidance")
        single = list(singles(Chain(self.rules)))
        names = ", ".join(type(rule).__name__ for rule in single)
        if all(rule.limits for rule in single):
            first = type(single[0]).__name__
            hint = f"[{{class_path: ClassifierGuidance}}, {{class_path: {first}}}]"
            raise RequestError(
                f": {names} alone guides nowhere, and takes the place of the default; give a term "
                f"before it, as in '{hint}', or for none guidance=ClassifierGuidance scale=0",
                "guidance",
            )
        if self.scale is not None and Chain(self.rules).outermost() is None:
            raise RequestError(f": none of {names} takes one; leave it out, or add a term", "scale")

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The guidance as a tuple, the innermost first, before `scale` is given to it."""
        return (self.guidance,) if isinstance(self.guidance, Rule) else tuple(self.guidance)

    def scaled(self) -> "Request":
        """This request with `scale`, if it is given, in its guidance, and no longer beside it."""
        if self.scale is None:
            return self
        rules = Chain(self.rules).scaled(self.scale).parts()
        guidance = rules[0] if isinstance(self.guidance, Rule) else rules
        return replace(self, guidance=guidance, scale=None)

    @property
    def strength(self) -> float | None:
        """The scale of the outermost rule, wherever it is given."""
        return Chain(self.rules).strength if self.scale is None else self.scale

    def rule(self, codec: Codec = PIXELS) -> Rule:
        """The whole guidance as one rule: with `scale`, and the clamp where `codec` has bounds."""
        clamp = [] if codec.bounds is None or self.clamp == "off" else [Clamp(*codec.bounds)]
        guided = self.scaled().rules
        return Chain([*clamp, *guided] if self.clamp == "inside" else [*guided, *clamp])

    def levels(self, schedule: NoiseSchedule) -> list[Level]:
        """The levels that its sampler walks on `schedule`, the clean one last."""
        if self.start is not None:
            return self.start.levels(self.sampler, schedule)
        return schedule.levels(self.sampler.steps, self.sampler.spacing)

    def to_plain(self) -> dict[str, Any]:
        """The settings as plain data, as samples.json holds them; `start` in edits alone."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.start is None:
            del plain["start"]
        else:
            plain["start"] = arguments(self.start)
        several = not isinstance(self.guidance, Rule)
        rules = [describe_object(rule) for rule in self.rules]
        return plain | {
            "ckpt": None if self.ckpt is None else str(self.ckpt),
            "classifier": str(self.classifier)
            if isinstance(self.classifier, Path)
            else self.classifier,
            "low_res": None if self.low_res is None else str(self.low_res),
            "sampler": describe_object(self.sampler),
            "guidance": rules if several else rules[0],
        }

    @classmethod
    def from_plain(
        cls, plain: Mapping[str, Any], where: object = "request", trust: Trust = NO_TRUST
    ) -> "Request":
        """The request of `to_plain`, or of the options in a samples.json; others are left out.

        where: the file, for errors. Raises InputError for classes that are neither listed nor
        trusted, and for values out of range.
        """
        known = {field.name for field in fields(cls)}
        given = {name: value for name, value in plain.items() if name in known}
        if "sampler" in given:
            given["sampler"] = construct(given["sampler"], Sampler, where, trust)
        if isinstance(specs := given.get("guidance"), list):
            given["guidance"] = tuple(construct(spec, Rule, where, trust) for spec in specs)
        elif specs is not None:
            given["guidance"] = construct(specs, Rule, where, trust)
        if isinstance(start := given.get("start"), Mapping):
            given["start"] = Start(**start)
        return cls(**given)
