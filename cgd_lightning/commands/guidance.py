"""The guidance that `cgd sample` is asked for: a rule or several, one scale, a clamp, and the models that the rules name."""

from typing import Any

from jsonargparse import Namespace

from cgd_lightning.diffusion.guidance import Attribute, Chain, Clamp, Rule
from cgd_lightning.errors import InputError


def compose(given: Rule | list[Rule], scale: float | None, clamp: str) -> Rule:
    """The rules in one chain, the first innermost, with `scale` given to the outermost that takes one, and a clamp of x0.

    clamp: "outside" of all of them, "inside", or "off".
    """
    rules = list(given) if isinstance(given, list) else [given]
    if not rules:
        raise InputError("--guidance []: no rule; for none of them give --scale 0")
    if scale is not None:
        _scaled(rules).scale = scale  # type: ignore[attr-defined]
    clamped: dict[str, list[Rule]] = {"inside": [Clamp(), *rules], "outside": [*rules, Clamp()], "off": rules}
    return Chain(clamped[clamp])


def scale_of(given: Rule | list[Rule]) -> float | None:
    """The scale of the outermost rule that has one."""
    rules = list(given) if isinstance(given, list) else [given]
    return next((rule.scale for rule in map(_inner, reversed(rules)) if hasattr(rule, "scale")), None)


def _scaled(rules: list[Rule]) -> Rule:
    for rule in map(_inner, reversed(rules)):
        if hasattr(rule, "scale"):
            return rule
    raise InputError(f"--scale: none of {', '.join(type(rule).__name__ for rule in rules)} takes one; leave it out, or add a term")


def _inner(rule: Rule) -> Rule:
    while isinstance(rule, Attribute):
        rule = rule.rule
    return rule


def settings_with_scale(guidance: Any) -> Namespace | None:
    """Where the scale of the outermost rule stands in the parsed `--guidance`: its init_args, or None if no rule has one."""
    specs = list(guidance) if isinstance(guidance, list) else [guidance]
    for spec in reversed(specs):
        init_args = spec.get("init_args") or Namespace()
        while "rule" in init_args:
            init_args = init_args["rule"].get("init_args") or Namespace()
        if "scale" in init_args:
            return init_args
    return None
