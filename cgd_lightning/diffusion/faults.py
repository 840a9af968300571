"""What first gave a number that is not finite, told without waiting for the device in any step.

Every prediction and every x after a step is looked at on the device. The first bad one is
remembered there, with the x_t that was asked about, and read once, after the last step. Only where
something was bad are the networks asked about that x_t once more, one by one: so it is known whose
fault it was, whatever rule stood between them and the sampler.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoise, Denoiser, Labelled, Prediction
from cgd_lightning.diffusion.guidance.classifier import input_gradient
from cgd_lightning.diffusion.guidance.rule import Guide, Rule
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.targets import log_target

USUAL = 10.0
"""How many times the radius of its level x_t is at most.

Data in [-1, 1] and latents of unit variance are within it, with their noise.
"""

OF_NETWORKS = "try precision fp32; if it is not finite there either, its weights are at fault"


@dataclass(frozen=True)
class Networks:
    """What took part in a prediction: the denoiser of a batch alone, the rule and the classifier.

    labels: classes (B,) or weights of classes (B, K).
    """

    denoise: Denoise
    rule: Rule
    classifier: Guide | None
    labels: Tensor

    def broken(self, x_t: Tensor, level: Level) -> str | None:
        """What is not finite at `x_t` (B, C, H, W), in words; None if every network is."""
        prediction = self.denoise(x_t, level)
        if not _finite(prediction):
            return "the diffusion model's prediction"
        if isinstance(self.denoise, Labelled) and self.denoise.denoiser.null_label is not None:
            nothing = torch.full_like(self.labels, self.denoise.denoiser.null_label)
            if not _finite(self.denoise.told(x_t, level, nothing)):
                return "the diffusion model's prediction without a label"
        if self.classifier is not None:
            found = _broken_guide(self.classifier, x_t, level, prediction, self.labels)
            if found:
                return f"the classifier's {found}"
        for name, model in _models(self.rule):
            found = None
            if isinstance(model, NoisyClassifier | CleanClassifier):
                found = _broken_guide(model, x_t, level, prediction, None)
            elif isinstance(model, Denoiser) and not self._finite_weak(model, x_t, level):
                found = "prediction"
            if found:
                return f"{name}: the {found}"
        return None

    def _finite_weak(self, weak: Denoiser, x_t: Tensor, level: Level) -> bool:
        if not weak.schedule.covers(level):
            return True
        low_res = self.denoise.low_res if isinstance(self.denoise, Labelled) else None
        own = weak.schedule.level(weak.schedule.timestep(level.log_snr))
        asked = weak.bind(self.labels, low_res)
        return _finite(asked(x_t * (own.radius / level.radius), own))


class Faults:
    """Keeps the first thing that is not finite, on the device, and tells of it at the end.

    what: is made in the steps, as the error calls it.
    """

    def __init__(self, device: torch.device, what: str = "sample") -> None:
        self.what = what
        self.seen: list[tuple[int, Level | None]] = []  # step and, for a prediction, its level
        self.first = torch.zeros((), dtype=torch.int64, device=device)
        self.x_t: Tensor | None = None
        self.steps = 0

    def watched(self, denoise: Denoise) -> Denoise:
        """`denoise`, whose predictions are looked at."""

        def watched(x_t: Tensor, level: Level) -> Prediction:
            prediction = denoise(x_t, level)
            finite = prediction.x0.detach().isfinite().all()
            self._see(finite & prediction.eps.detach().isfinite().all(), level)
            x_t = x_t.detach()
            kept = x_t if self.x_t is None else self.x_t
            self.x_t = torch.where(self.first == len(self.seen), x_t, kept)
            return prediction

        return watched

    def step(self, *made: Tensor) -> None:
        """Look at what a step made, of any shapes."""
        for x in made:
            self._see(x.isfinite().all(), None)
        self.steps += 1

    def _see(self, finite: Tensor, level: Level | None) -> None:
        self.seen.append((self.steps + 1, level))
        self.first = torch.where((self.first == 0) & ~finite, len(self.seen), self.first)

    def found(self) -> bool:
        """Whether something was not finite; this waits for the device."""
        return bool(self.first)

    def error(self, networks: Networks) -> FloatingPointError:
        """What was not finite first, at which step, and what to try."""
        step, level = self.seen[int(self.first) - 1]
        where = f"step {step} of {self.steps}"
        if level is None or self.x_t is None:  # x alone is not finite, and no prediction was before
            return FloatingPointError(self._diverged(where, "", networks.rule))
        where = f"{where} (t = {level.t:g})"
        found = networks.broken(self.x_t, level)
        if found is None:
            return FloatingPointError(
                self._diverged(where, ", where every network is", networks.rule)
            )
        grown = self.x_t.abs().max().item() / level.radius
        # A network may overflow where nobody should have asked it: does it at a usual size too?
        if grown > USUAL and networks.broken(self.x_t / grown, level) is None:
            how = f", having grown {grown:.0e} times as large as its noise before"
            return FloatingPointError(self._diverged(where, how, networks.rule))
        return FloatingPointError(f"{found} is not finite at {where}; {OF_NETWORKS}")

    def _diverged(self, where: str, how: str, rule: Rule) -> str:
        scale = rule.strength
        if not scale:
            advice = "nothing guides it: try more steps"
        else:
            advice = f"at scale {scale:g}: try a smaller one, more steps, or a clamp outside"
        return f"the {self.what} is not finite from {where} on{how}; {advice}"


def _finite(prediction: Prediction) -> bool:
    return bool(prediction.x0.isfinite().all() & prediction.eps.isfinite().all())


def _broken_guide(
    guide: Guide, x_t: Tensor, level: Level, prediction: Prediction, labels: Tensor | None
) -> str | None:
    """What of a classifier is not finite: its log p, or only the gradient of it.

    labels: whose log p is differentiated; without them that of all classes.
    """
    if isinstance(guide, NoisyClassifier):
        if level.alpha == 0 or not guide.covers(level):
            return None
        noisy = guide  # a name of its own, whose kind is known inside the function

        def log_p(x: Tensor) -> tuple[Tensor, Tensor]:
            return _asked(noisy.log_prob_at(x, level), labels)

        gradient, beside = input_gradient(log_p, x_t)
    else:
        clean = guide

        def log_p(x: Tensor) -> tuple[Tensor, Tensor]:
            return _asked(clean.logits(x).log_softmax(dim=-1), labels)

        gradient, beside = input_gradient(log_p, prediction.x0)
    if not bool(beside.isfinite().all()):
        return "log p, and with it its gradient,"
    return None if bool(gradient.isfinite().all()) else "gradient"


def _asked(log_p: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    return log_p.sum(dim=1) if labels is None else log_target(log_p, labels.clone()), log_p


def _models(rule: Rule) -> Iterator[tuple[str, object]]:
    """The models among the settings of `rule` and of its parts, and what they are called."""
    for field in rule.named:
        yield f"{field} of {type(rule).__name__}", getattr(rule, field)
    for part in rule.parts():
        yield from _models(part)
