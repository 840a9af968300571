"""Settings from the environment: they win over configuration files, and what is typed over them."""

import os
from collections.abc import Sequence
from itertools import pairwise

from jsonargparse import ArgumentParser

NO_SETTINGS = ("config", "from", "help", "print_config")
"""Ends of the names of options that are no settings: files of them, and questions."""


def with_environment(words: Sequence[str], parser: ArgumentParser) -> list[str]:
    """`words`, with what the environment says put behind the last `--config` among them.

    Variables are called as CGD_FIT__TRAINER__MAX_STEPS.
    The parser lets the last word count, and by itself lets files win over the environment. What is
    typed before a file is not said again.
    """
    end = _end_of_files(words)
    before = [word.partition("=")[0].lstrip("-") for word in words[:end] if word.startswith("--")]
    said = [
        f"--{setting}={value}"
        for setting, value in _set_in_environment(parser).items()
        if not any(name == setting or name.startswith(f"{setting}.") for name in before)
    ]
    return [*words[:end], *said, *words[end:]] if end else list(words)


def _end_of_files(words: Sequence[str]) -> int:
    """How many of `words` there are up to the last configuration file, 0 if there is none."""
    joined = [i + 1 for i, word in enumerate(words) if _is_joined(word)]
    apart = [i + 2 for i, (word, _) in enumerate(pairwise(words)) if word in ("--config", "-c")]
    return max([0, *joined, *apart])


def _is_joined(word: str) -> bool:
    return word.startswith("--config=") or (word.startswith("-c") and len(word) > 2)


def _set_in_environment(parser: ArgumentParser) -> dict[str, str]:
    """What the environment gives to settings of `parser`, as the user wrote it."""
    prefix = f"{parser.env_prefix}_"
    variables = {
        action.dest: (prefix + action.dest.replace(".", "__")).upper()
        for action in parser._actions
        if action.option_strings and action.dest.rpartition(".")[2] not in NO_SETTINGS
    }
    return {name: os.environ[where] for name, where in variables.items() if where in os.environ}
