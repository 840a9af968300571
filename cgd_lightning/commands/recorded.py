"""What an earlier `cgd sample` recorded in samples.json, as values: a closed list of options, each
of its own type.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.classes import Trust, check_spec
from cgd_lightning.diffusion.guidance import Rule
from cgd_lightning.diffusion.samplers import Sampler
from cgd_lightning.errors import InputError

MOST_BYTES = 16 * 2**20

MOST_SAMPLES = 1_000_000
"""Of one `cgd sample`."""

MOST_RULES = 100

MOST_VALUES = 2**20

Check = Callable[[Any, str, Trust], Any]
"""(value, file, trust) -> the value, checked."""


def _one_of(*words: str) -> Check:
    def check(value: Any, where: str, trust: Trust) -> str:
        if type(value) is not str or value not in words:
            raise ValueError(f"{schema.shown(value)}, where one of {', '.join(words)} was wanted")
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


OPTIONS: dict[str, Check] = {
    "ckpt": _optional,
    "classifier": _optional,
    "scale": _number,
    "labels": lambda value, where, trust: (
        None if value is None else schema.text(value, MOST_SAMPLES)
    ),
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
    "compile": _switch,
    "animate": _switch,
}
"""The options that may stand in samples.json, `animate` in older ones alone."""


def read_recorded(name: str, trust: Trust) -> dict[str, Any]:
    """The options in the samples.json called `name`.

    Raises InputError if there is no such file, it is none of ours, or it says what it may not;
    nothing was made of it.
    """
    path, where = Path(name), f"--from {name}"
    if not path.is_file():
        raise InputError(
            f"{where}: no such file; give the samples.json that an earlier cgd sample wrote"
        )
    if path.stat().st_size > MOST_BYTES:
        raise InputError(
            f"{where}: {path.stat().st_size} bytes; a samples.json has at most {MOST_BYTES}"
        )
    try:
        text = path.read_text(encoding="utf-8")
        if sum(map(text.count, ",[{")) > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES} values")
        options = schema.mapping(schema.mapping(json.loads(text))["options"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: not a samples.json written by cgd sample") from error
    checked = {}
    for option, value in options.items():
        if option not in OPTIONS:
            raise InputError(
                f"{where}: records the option {schema.shown(option)}, which cgd sample does not "
                "have"
            )
        try:
            checked[option] = OPTIONS[option](value, where, trust)
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f"{where}: {option}: {error}") from error
    if checked.pop("compile", False):
        print(
            f"note: {where} was made with --compile, which is not taken from a file",
            file=sys.stderr,
        )
    return checked
