"""The guidance that `cgd sample` is asked for: a rule or several, one scale, a clamp, and the
models that the rules name.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.guidance import Attribute, Chain, Clamp, Rule
from cgd_lightning.errors import InputError


def compose(given: Rule | list[Rule], scale: float | None, clamp: str) -> Rule:
    """The rules in one chain, the first innermost, with `scale` given to the outermost that takes
    one, and a clamp of x0.

    clamp: "outside" of all of them, "inside", or "off". Raises InputError if there is no term among
    them, or none that takes `scale`.
    """
    rules = list(given) if isinstance(given, list) else [given]
    if not rules:
        raise InputError("--guidance []: no rule; for none of them give --scale 0")
    single = list(singles(given))
    names = ", ".join(type(rule).__name__ for rule in single)
    if all(is_ours(rule) and not hasattr(rule, "scale") for rule in single):
        hint = f"[{{class_path: ClassifierGuidance}}, {{class_path: {names.partition(',')[0]}}}]"
        raise InputError(
            f"--guidance: {names} alone guides nowhere, and takes the place of the default; give a term before it, as in '{hint}', "
            "or for none --guidance ClassifierGuidance --scale 0"
        )
    if scale is not None:
        _scaled(single, names).scale = scale  # type: ignore[attr-defined]
    clamped: dict[str, list[Rule]] = {
        "inside": [Clamp(), *rules],
        "outside": [*rules, Clamp()],
        "off": rules,
    }
    return Chain(clamped[clamp])


def singles(given: Rule | list[Rule]) -> Iterator[Rule]:
    """Every rule that is not made of others, the innermost first."""
    for rule in given if isinstance(given, list) else [given]:
        if isinstance(rule, Chain):
            yield from singles(list(rule.rules))
        elif isinstance(rule, Attribute):
            yield from singles(rule.rule)
        else:
            yield rule


def is_ours(rule: Rule) -> bool:
    """Whether `rule` is of this package: if a term, it has a scale then, and reads labels by a
    classifier. A user's may do as it likes.
    """
    return type(rule).__module__.startswith("cgd_lightning.diffusion.guidance.")


def scale_of(given: Rule | list[Rule]) -> float | None:
    """The scale of the outermost rule that has one."""
    return next(
        (rule.scale for rule in reversed(list(singles(given))) if hasattr(rule, "scale")), None
    )


def _scaled(rules: list[Rule], names: str) -> Rule:
    for rule in reversed(rules):
        if hasattr(rule, "scale"):
            return rule
    raise InputError(f"--scale: none of {names} takes one; leave it out, or add a term")


def settings_with_scale(guidance: Any) -> Namespace | None:
    """Where the scale of the outermost rule stands in the parsed `--guidance`: its init_args, or
    None if no rule has one.
    """
    for spec in reversed(guidance if isinstance(guidance, list) else [guidance]):
        init_args = spec.get("init_args") or Namespace()
        for inner in ("rule", "rules"):
            if inner in init_args and (found := settings_with_scale(init_args[inner])) is not None:
                return found
        if "scale" in init_args:
            return init_args
    return None


def with_files(guidance: Any, taken: Mapping[str, Path]) -> Any:
    """`guidance`, plain settings, with the absolute file in place of every model that it names.

    taken: the file for every name that the rules have read. Those of rules that are off have not
    been.
    """
    if isinstance(guidance, list):
        return [with_files(part, taken) for part in guidance]
    if not isinstance(guidance, dict):
        return guidance
    return {
        name: _file(name, value, taken) if isinstance(value, str) else with_files(value, taken)
        for name, value in guidance.items()
    }


def _file(name: str, value: str, taken: Mapping[str, Path]) -> str:
    if name in ("class_path", "label"):
        return value
    if value in taken:
        return str(taken[value].absolute())
    if name in ("classifier", "weak"):
        with suppress(InputError):
            return str(checkpoints.find(value).absolute())
    return value
