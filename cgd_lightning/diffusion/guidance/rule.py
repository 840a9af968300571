"""A guidance rule turns one `Denoise` into another, so that every sampler takes every rule.

Rules are values, and bound per batch. There are three kinds. Terms add to the score: a classifier's
gradient, the difference of two predictions. Weights scale a term by noise level or by image.
Limiters compare the guided prediction with the one before guidance. Rules nest: `Chain` wraps one
around the other, the first innermost, and terms in a chain add up.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoise, Denoiser, Prediction
from cgd_lightning.diffusion.level import Level
from cgd_lightning.errors import InputError
from cgd_lightning.values import Value, arguments, changed

Guide: TypeAlias = NoisyClassifier | CleanClassifier


class Rule(Value, ABC):
    """What changes a prediction on its way from the denoiser to the sampler.

    A subclass is a frozen dataclass that fills `bind`. All else follows from its fields: rules
    among them are its parts, one called `scale` is its strength, and those in `named` are names of
    models until `with_models` puts the models in.
    """

    named: tuple[str, ...] = ()
    """The fields that are models, or names of models."""

    limits = False
    """Whether the rule only keeps what others did within bounds, and guides nowhere alone."""

    def parts(self) -> tuple["Rule", ...]:
        """The rules that this one is made of, the innermost first; none for a single rule."""
        return tuple(_rules_in(list(arguments(self).values())))

    def outermost(self) -> "Rule | None":
        """The outermost rule with a scale: this one, or one of its parts; None if there is none."""
        if arguments(self).get("scale") is not None:
            return self
        found = (part.outermost() for part in reversed(self.parts()))
        return next((rule for rule in found if rule is not None), None)

    @property
    def strength(self) -> float | None:
        """The scale of the outermost rule that has one."""
        rule = self.outermost()
        return None if rule is None else arguments(rule)["scale"]

    def scaled(self, scale: float) -> "Rule":
        """This rule with `scale` given to the outermost rule in it that takes one.

        Raises InputError if none does.
        """
        if arguments(self).get("scale") is not None:
            return changed(self, scale=scale)
        parts = list(self.parts())
        for place in reversed(range(len(parts))):
            if parts[place].outermost() is not None:
                parts[place] = parts[place].scaled(scale)
                return self.with_parts(parts)
        raise InputError(f"scale {scale}: {type(self).__name__} takes none")

    def with_parts(self, parts: Sequence["Rule"]) -> "Rule":
        """This rule with `parts`, in the order of `parts()`, in their places."""
        left = iter(parts)
        return changed(self, **{name: _put(left, old) for name, old in arguments(self).items()})

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all models among the settings."""
        mine = arguments(self)
        own = [mine[field] for field in self.named if isinstance(mine[field], str)]
        return tuple(dict.fromkeys([*own, *(name for part in self.parts() for name in part.names)]))

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models that must be put in before `bind`.

        Rules that are off need none.
        """
        mine = arguments(self)
        own = [mine[field] for field in self.named if isinstance(mine[field], str)]
        inner = [name for part in self.parts() for name in part.models]
        return tuple(dict.fromkeys([*own, *inner]))

    def with_models(self, models: Mapping[str, Any]) -> "Rule":
        """This rule with the models that stand under their names in `models`."""
        rule = self.with_parts([part.with_models(models) for part in self.parts()])
        mine = arguments(rule)
        names = [name for name in self.named if isinstance(mine[name], str)]
        return changed(rule, **{name: models[mine[name]] for name in names if mine[name] in models})

    @property
    def guides(self) -> frozenset[type[Guide]]:
        """The kinds of classifier that `bind` must be given.

        None where the rule is off or has its own.
        """
        return frozenset().union(*(part.guides for part in self.parts()))

    @property
    def reads_labels(self) -> bool:
        """Whether the classes asked for change what the rule does. A user's rule may read them."""
        return not self.parts() or any(part.reads_labels for part in self.parts())

    def check(self, levels: Sequence[Level]) -> None:
        """Raises InputError if the rule is on and does nothing at any of `levels`."""
        for part in self.parts():
            part.check(levels)

    def check_denoiser(self, denoiser: Denoiser) -> None:
        """Raises InputError if the rule does not go with `denoiser`, wherever it stands."""
        for part in self.parts():
            part.check_denoiser(denoiser)

    @abstractmethod
    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        """The guided `Denoise` of a batch; a rule that is off returns `denoise` itself.

        labels: the class of each image, (B,) int64, or weights w >= 0 of the classes, (B, K) float,
        for the target sum_k w_k p(k | x_t).
        """


def singles(rule: Rule) -> Iterator[Rule]:
    """Every rule in `rule` that is not made of others, the innermost first."""
    for part in rule.parts():
        yield from singles(part)
    if not rule.parts():
        yield rule


def _rules_in(values: Sequence[Any]) -> Iterator[Rule]:
    for value in values:
        if isinstance(value, Rule):
            yield value
        elif isinstance(value, list | tuple):
            yield from _rules_in(value)
        elif isinstance(value, Mapping):
            yield from _rules_in(list(value.values()))


def _put(rules: Iterator[Rule], value: Any) -> Any:
    """`value` with the next of `rules` in place of every rule in it."""
    if isinstance(value, Rule):
        return next(rules)
    if isinstance(value, list | tuple):
        return type(value)([_put(rules, part) for part in value])
    if isinstance(value, Mapping):
        return {name: _put(rules, part) for name, part in value.items()}
    return value


@dataclass(frozen=True)
class Chain(Rule):
    """Several rules, each seeing what the ones before it made of the prediction.

    Args:
        rules: the rules, the first innermost.
    """

    rules: Sequence[Rule]

    def __post_init__(self) -> None:
        vars(self)["rules"] = tuple(self.rules)

    def bind(self, denoise: Denoise, classifier: Guide | None, labels: Tensor) -> Denoise:
        for rule in self.rules:
            bound = rule.bind(denoise, classifier, labels)
            denoise = bound if bound is denoise else checked(bound, rule)
        return denoise


def checked(denoise: Denoise, rule: Rule) -> Denoise:
    """`denoise`, what `rule` made of another one, whose predictions are of the shape of x_t.

    Raises InputError if it is no function, and, when it is asked, for anything else.
    """
    called = f"{type(rule).__name__}.bind"
    if not callable(denoise):
        raise InputError(
            f"{called} gives a {type(denoise).__name__}; wanted a function of x_t and level that "
            "gives a Prediction, or denoise itself where the rule is off"
        )

    def asked(x_t: Tensor, level: Level) -> Prediction:
        prediction = denoise(x_t, level)
        if not isinstance(prediction, Prediction):
            raise InputError(
                f"the function that {called} gives returns a {type(prediction).__name__}; wanted a "
                "Prediction, as by prediction.guided_to(Prediction.from_eps(x_t, level, eps))"
            )
        for name, value in (("x0", prediction.x0), ("eps", prediction.eps)):
            if value.shape != x_t.shape:
                raise InputError(
                    f"{called}: its {name} is of shape {tuple(value.shape)}; wanted that of x_t, "
                    f"{tuple(x_t.shape)}"
                )
        return prediction

    return asked
