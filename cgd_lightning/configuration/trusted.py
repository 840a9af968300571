"""Whose classes may be named: those that the user typed or trusts, and no others."""

import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typeshed_client
import typeshed_client.finder
import yaml
from jsonargparse import set_parsing_settings

from cgd_lightning.checkpoints.listed import LISTED, Trust
from cgd_lightning.configuration.allowed import defined_as, lightning_classes
from cgd_lightning.configuration.files import load_yaml
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.errors import InputError

OURS = Path(__file__).parents[1]
"""The folder of this package, in which nothing is wrong in a file of the user's."""

_NAME = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?:\(.*)?$", re.DOTALL | re.ASCII)

SKIPPED = {
    "config",
    "c",
    "ckpt",
    "ckpt_path",
    "out",
    "from",
    "samples",
    "reference",
    "write_reference",
    "weights",
    "judge",
    "autoencoder",
    "classifier",
    "diffusion",
    "weak",
    "discriminator",
    "low_res",
    "name",
    "root",
    "default_root_dir",
    "dirpath",
    "filename",
    "save_dir",
    "labels",
    "device",
    "precision",
    "trust",
}
"""Options whose values are no names of classes, though they may look like some."""


def take_trusted(args: Sequence[str], lightning: bool = False) -> tuple[list[str], Gate]:
    """`args` without `--trust NAME` and `--trust-size`, and the gate of all settings.

    From then on the parser imports what stands on our list, what is trusted so, and what is typed
    in `args`, as it stands. Where a typed name wants it, the current folder is the last place that
    Python imports from. lightning: whether files of this command may name classes of Lightning and
    optimisers.
    """
    rest: list[str] = []
    names: list[str] = []
    any_size = False
    words = iter(args)
    for word in words:
        if word == "--trust":
            name = next(words, "")
            if not name or name.startswith("-"):
                raise InputError("--trust: wanted the name of a package, module or class behind it")
            names += filter(None, name.split(","))
        elif word.startswith("--trust="):
            names += filter(None, word.partition("=")[2].split(","))
        elif word in ("--trust-size", "--trust_size"):
            any_size = True
        else:
            rest.append(word)
    trust = Trust(tuple(names), any_size)
    typed = typed_names(rest)
    import_from_here({*trust.names, *typed})
    gate = Gate(
        typed_values(rest), trust, lightning_classes() if lightning else {}, options_of(rest)
    )
    homes = {home for name in typed if (home := home_of(name))}
    allow_imports({*LISTED, *trust.names, *typed, *homes, *gate.other_classes, *gate.by_name})
    return rest, gate


def options_of(args: Sequence[str]) -> frozenset[str]:
    """The names of the options in `args`, without their values."""
    return frozenset(arg.partition("=")[0] for arg in args if arg.startswith("--"))


def home_of(name: str) -> str | None:
    """The import path of what is typed as `name`, in the module that defines it.

    None if there is no such module. Raises InputError, with the file and the line, if the module
    cannot be imported.
    """
    top = name.partition(".")[0]
    try:
        return defined_as(name)
    except Exception as error:
        # Whatever a module of the user's raises; the parser would say that there is no such class.
        if isinstance(error, ModuleNotFoundError) and (error.name or top).partition(".")[0] == top:
            return None
        places = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if "importlib" not in frame.filename and OURS not in Path(frame.filename).parents
        ]
        where = f"{places[-1].filename}, line {places[-1].lineno}: " if places else ""
        raise InputError(
            f"{name} cannot be imported: {where}{type(error).__name__}: {error}"
        ) from error


_allowed: set[str] = set()


def allow_imports(names: set[str]) -> None:
    """Let jsonargparse import `names` and what is in them, and nothing else.

    It reads no URLs, and makes nothing where any type goes.
    """
    # An entry stays for good, and the longest one that fits decides.
    within = Trust(tuple(names))
    again = {name for name in _allowed if within.covers(name)}
    before = sorted(_allowed - again)
    _allowed.update(names)
    # It asks a Python in the current folder for its path; that would import a json.py lying there.
    folders = [Path(folder) for folder in sys.path if folder]
    typeshed_client.get_search_context = partial(
        typeshed_client.finder.get_search_context, search_path=folders
    )
    set_parsing_settings(
        import_path_denylist=["*", *before],
        import_path_allowlist=sorted(names | again),
        config_read_mode_urls_enabled=False,
        config_read_mode_fsspec_enabled=False,
        instantiate_subclass_spec_in_any=False,
    )


def import_from_here(names: Iterable[str]) -> None:
    """Make the current folder the last place to import from, if `names` need it.

    They do if one of them is there and nowhere else.
    """
    here = Path.cwd()
    for top in {name.partition(".")[0] for name in names}:
        if not ((here / f"{top}.py").is_file() or (here / top).is_dir()) or str(here) in sys.path:
            continue
        with suppress(ValueError):  # a module without a specification is there already
            if find_spec(top) is None:
                sys.path.append(str(here))


def typed_names(args: Sequence[str]) -> frozenset[str]:
    """The import paths of classes among the values in `args`.

    Also those of what is called, as in timm.create_model(resnet18).
    """
    options = [arg for arg, before in zip(args, ["", *args]) if not _is_skipped(arg, before)]
    found = (_NAME.match(value) for value in typed_values(options))
    return frozenset(match[1] for match in found if match)


def _is_skipped(arg: str, before: str) -> bool:
    """Whether `arg` is an option, or the value of one, that names no class; a call always does."""
    option = arg.partition("=")[0] if arg.startswith("-") else before
    value = arg.partition("=")[2] if arg.startswith("-") else arg
    return option.lstrip("-").rpartition(".")[2] in SKIPPED and "{" not in value


def typed_values(args: Iterable[str]) -> frozenset[str]:
    """Every value that stands in `args`, and in those that are lists or mappings themselves."""
    found: set[str] = set()

    def collect(value: Any) -> None:
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, dict | list):
            for part in value.values() if isinstance(value, dict) else value:
                collect(part)

    for arg in args:
        text = arg.partition("=")[2] if arg.startswith("-") else arg
        found.add(text)
        if text.lstrip()[:1] in ("[", "{"):
            with suppress(yaml.YAMLError):
                collect(load_yaml(text))
    return frozenset(found)
