"""Settings from the environment: they win over configuration files, and what is typed over them."""

import os
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

from jsonargparse import ArgumentParser

NO_SETTINGS = ("config", "from", "help", "print_config")
"""Ends of the names of options that are no settings: files of them, and questions."""


def with_environment(words: Sequence[str], parser: ArgumentParser) -> list[str]:
    """`words`, with what the environment says put behind the last `--config` among them.

    Variables are called as CGD_FIT__TRAINER__MAX_STEPS, CGD_FIT__DATA__BATCH_SIZE.
    The parser lets the last word count, by itself lets files win over the environment, and knows
    nothing there of the options of a class. What is typed before a file is not said again.
    """
    end, known = _end_of_files(words), _known(parser)
    before = [word.partition("=")[0].lstrip("-") for word in words[:end] if word.startswith("--")]
    said = [
        f"--{setting}={os.environ[where]}"
        for where, setting in known.items()
        if end and where in os.environ
        if not any(name == setting or name.startswith(f"{setting}.") for name in before)
    ]
    out, first = [*words[:end], *said, *words[end:]], end + len(said)
    typed = {word.partition("=")[0] for word in words}
    for setting, value in _of_classes(parser, known):
        if f"--{setting}" not in typed:
            # Behind the classes that it is of, wherever they are given.
            heads = accumulate(setting.split(".")[:-1], lambda head, part: f"{head}.{part}")
            places = [place for head in heads for place in _behind(f"--{head}", out)]
            out.insert(max([first, *places]), f"--{setting}={value}")
    return out


def _behind(option: str, words: Sequence[str]) -> list[int]:
    """The places in `words` behind `option` and its value."""
    apart = [i + 2 for i, word in enumerate(words) if word == option]
    return apart + [i + 1 for i, word in enumerate(words) if word.startswith(f"{option}=")]


def _end_of_files(words: Sequence[str]) -> int:
    """How many of `words` there are up to the last configuration file, 0 if there is none."""
    joined = [i + 1 for i, word in enumerate(words) if _is_joined(word)]
    apart = [i + 2 for i, (word, _) in enumerate(pairwise(words)) if word in ("--config", "-c")]
    return max([0, *joined, *apart])


def _is_joined(word: str) -> bool:
    return word.startswith("--config=") or (word.startswith("-c") and len(word) > 2)


def _known(parser: ArgumentParser) -> dict[str, str]:
    """{variable: setting} of what `parser` itself takes."""
    return {
        f"{parser.env_prefix}_{action.dest.replace('.', '__')}".upper(): action.dest
        for action in parser._actions
        if action.option_strings and action.dest.rpartition(".")[2] not in NO_SETTINGS
    }


def _of_classes(parser: ArgumentParser, known: Mapping[str, str]) -> list[tuple[str, str]]:
    """(setting, value) of variables that set an option of the class that a known setting takes."""
    prefix = f"{parser.env_prefix}_".upper()
    found = []
    for where in sorted(set(os.environ) - known.keys()):
        parts = where.removeprefix(prefix).lower().split("__")
        heads = (".".join(parts[:n]) for n in range(1, len(parts)))
        named = where.startswith(prefix) and parts[-1] not in NO_SETTINGS
        if named and any(f"--{head}.help" in parser._option_string_actions for head in heads):
            found.append((".".join(parts), os.environ[where]))
    return found
