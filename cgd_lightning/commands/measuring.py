"""What the commands that measure a model on a data set share: how their words are read."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from jsonargparse import Namespace
from tqdm import tqdm

from cgd_lightning.checkpoints.classes import Trust
from cgd_lightning.configuration.environment import with_environment
from cgd_lightning.configuration.files import PackagedConfigFile
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.configuration.parser import OneLineErrors
from cgd_lightning.configuration.trusted import take_trusted
from cgd_lightning.evaluation.features import Bar

Parser = Callable[[list[str], Trust], OneLineErrors]
"""(words, whose classes they may name) -> the options of a command."""


def shown_bar(what: str) -> Bar:
    """A bar of the batches of images that are looked at, once it takes more than two seconds."""
    return partial(tqdm, desc=what, unit="batch", delay=2)


class Words(NamedTuple):
    """Words that were read: their settings, the options of the command, and the gate of both."""

    settings: Namespace
    options: OneLineErrors
    gate: Gate


def command_parser(name: str, description: str) -> OneLineErrors:
    """The parser of `cgd NAME`, with `--config` and settings from the environment."""
    options = OneLineErrors(
        prog=f"cgd {name}",
        default_env=True,
        env_prefix=f"CGD_{name.upper()}_",
        description=description,
        allow_abbrev=False,
    )
    file = "YAML file with options. Variables of the environment win over it."
    options.add_argument("--config", action=PackagedConfigFile, help=file)
    return options


def read_words(args: list[str], parser: Parser) -> Words:
    """What `args`, a command and its options, say to its `parser`.

    Raises InputError for settings of a file that a file may not give.
    """
    words, gate = take_trusted(args[1:])
    options = parser(words, gate.trust)
    settings = options.parse_args(with_environment(words, options))
    gate.check(vars(settings), "")
    gate.keep_downloads_here(settings.data)
    return Words(settings, options, gate)
