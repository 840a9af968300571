"""The options that may stand in samples.json: a closed list, each of its own type."""

from collections.abc import Callable
from inspect import signature
from typing import Any

from torch import nn

from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.classes import Trust, check_spec
from cgd_lightning.diffusion.guidance import Rule
from cgd_lightning.diffusion.samplers import Sampler
from cgd_lightning.diffusion.start import Start
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.request import MOST_SAMPLES
from cgd_lightning.values import arguments

MOST_RULES = 100

Check = Callable[[Any, str, Trust], Any]
"""(value, file, trust) -> the value, checked."""


def _one_of(*words: str) -> Check:
    def check(value: Any, where: str, trust: Trust) -> str:
        if type(value) is not str or value not in words:
            wanted = ", ".join(words)
            raise ValueError(f"{schema.shown(value)}, where one of {wanted} was wanted")
        return value

    return check


def _integer(low: int, high: int) -> Check:
    return lambda value, where, trust: schema.integer(value, low, high)


def _text(value: Any, where: str, trust: Trust) -> str:
    return schema.text(value)


def _optional(value: Any, where: str, trust: Trust) -> str | None:
    return None if value is None else schema.text(value)


def _number(value: Any, where: str, trust: Trust) -> float | None:
    if value is not None and type(value) not in (int, float):
        raise ValueError(f"a {type(value).__name__}, where a number was wanted")
    return schema.scalar(value)


def _switch(value: Any, where: str, trust: Trust) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{schema.shown(value)}, where true or false was wanted")
    return value


def _sampler(value: Any, where: str, trust: Trust) -> dict[str, Any]:
    return check_spec(value, Sampler, where, trust)


def _rules(value: Any, where: str, trust: Trust) -> Any:
    if isinstance(value, list):
        if len(value) > MOST_RULES:
            raise ValueError(f"{len(value)} rules, where at most {MOST_RULES} were wanted")
        return [check_spec(rule, Rule, where, trust) for rule in value]
    return check_spec(value, Rule, where, trust)


def _classifier(value: Any, where: str, trust: Trust) -> Any:
    if not isinstance(value, dict):
        return _optional(value, where, trust)
    return check_spec(value, nn.Module, where, trust)


def _labels(value: Any, where: str, trust: Trust) -> str | None:
    return None if value is None else schema.text(value, MOST_SAMPLES)


def _start(value: Any, where: str, trust: Trust) -> dict[str, Any] | None:
    if value is None:
        return None
    given = schema.mapping(value, list(signature(Start).parameters))
    if given.get("source") is not None:
        schema.text(given["source"], MOST_SAMPLES)
    try:
        return arguments(Start(**given))
    except InputError as error:
        raise ValueError(str(error)) from error


OPTIONS: dict[str, Check] = {
    "ckpt": _optional,
    "classifier": _classifier,
    "scale": _number,
    "labels": _labels,
    "low_res": _optional,
    "num_samples": _integer(1, MOST_SAMPLES),
    "sampler": _sampler,
    "guidance": _rules,
    "clamp": _one_of("outside", "inside", "off"),
    "seed": _integer(-(2**63), 2**63 - 1),
    "batch_size": _integer(1, MOST_SAMPLES),
    "format": _one_of("png", "npz"),
    "weights": _one_of("ema", "raw"),
    "device": _text,
    "precision": _text,
    "start": _start,
    "images": _text,
    "mask": _optional,
    "keep": _one_of("outside", "inside"),
    "judge": _optional,
    "resize": _switch,
    "compile": _switch,
    "animate": _switch,
}
"""The options that may stand in samples.json: `animate` in older ones, `start` and its images in
an edit's."""
