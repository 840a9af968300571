"""The gate of all settings of a command, merged and before anything is made of them."""

import os
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from cgd_lightning.checkpoints.hub import is_hub
from cgd_lightning.checkpoints.listed import LISTED, Trust, not_listed
from cgd_lightning.configuration.allowed import (
    FILENAME,
    LEAVES,
    READ_ONLY,
    SCHEME,
    WORDS,
    WRITTEN,
    typed_classes,
)
from cgd_lightning.errors import InputError


class Gate:
    """Checks merged settings of a command.

    typed: every value that stands on the command line, also in lists and mappings. trust: what
    `--trust` names. other_classes: as `lightning_classes` gives them, where files of this command
    may name such. options: the names of the options typed.
    """

    def __init__(
        self,
        typed: Collection[str],
        trust: Trust,
        other_classes: Mapping[str, Collection[str] | None],
        options: Collection[str],
    ) -> None:
        self.typed, self.trust, self.other_classes, self.options = (
            frozenset(typed),
            trust,
            other_classes,
            frozenset(options),
        )
        environment = [value for name, value in os.environ.items() if name.startswith("CGD_")]
        self.named = {*typed, *environment}
        self.folders = [
            PurePath(value)
            for value in (*typed, *environment)
            if LEAVES.match(value) or os.path.exists(value[:1000])
        ]
        self.by_name = typed_classes(self.typed) if other_classes else set()

    def trusts(self, class_path: str) -> bool:
        """Whether the user named this class himself."""
        return (
            class_path in self.typed or class_path in self.by_name or self.trust.covers(class_path)
        )

    def check(self, value: Any, key: str) -> None:
        """Raises InputError, naming the setting, for a class or a path that may not be there.

        It may not if only a file can have given it, and files may not. key: the name of the
        setting, as data.init_args.root.
        """
        if isinstance(value, str | PurePath):
            self._check_text(str(value), key)
        elif isinstance(value, list | tuple | set):
            for part in value:
                self.check(part, key)
        elif _is_mapping(value):
            if "class_path" in value:
                self._check_object(value, key)
            else:
                for name, part in _items(value):
                    self.check(part, f"{key}.{name}" if key else str(name))
        elif (
            value is True
            and key.rpartition(".")[2] == "compile"
            and not {f"--{key}", f"--{key.replace('.init_args', '')}"} & self.options
        ):
            raise InputError(
                f"{key}: a file asks for torch.compile, which runs a compiler; type "
                f"--{key.replace('.init_args', '')} true if you mean it"
            )

    def keep_downloads_here(self, data: Any, key: str = "data") -> None:
        """Switch off the download of a data set that only a file can have placed elsewhere.

        Elsewhere is outside of this folder. `data` is the description of the data set, or of one
        in another, that the setting `key` gives.
        """
        arguments = (data or {}).get("init_args") or {}
        for name, value in _items(arguments):
            if _is_spec(value):
                self.keep_downloads_here(value, f"{key}.{name}")
        typed = f"--{key}.download" in {word.replace(".init_args", "") for word in self.options}
        if (
            "download" in arguments
            and "root" in arguments
            and not typed
            and not self.stays(str(arguments["root"]))
        ):
            arguments["download"] = False

    def _check_text(self, text: str, key: str) -> None:
        name = key.rpartition(".")[2]
        if key in WORDS and text not in (*WORDS[key], *self.typed):
            raise InputError(
                f"{key}: a file says {text[:60]!r}, and may say {', '.join(WORDS[key])}; type "
                f"--{key} {text[:60]} if you mean it"
            )
        if (
            name == "filename"
            and text not in self.typed
            and (".." in text or not FILENAME.fullmatch(text))
        ):
            raise InputError(
                f"{key}: a file says {text[:200]!r}, which is no plain name of a file with numbers "
                f"in it, as {{step}} or {{val/loss:.3f}}"
            )
        if is_hub(text) and text not in self.named:
            raise InputError(
                f"{key}: a file says {text[:200]!r}, and a file does not decide what is fetched; "
                f"if you mean it, give it on the command line: --{key} {text[:200]}"
            )
        if name in WRITTEN and text:
            self.check_place(text, key)
        if name not in READ_ONLY and not self.stays(text):
            raise InputError(
                f"{key}: a file says {text[:200]!r}, which is outside this folder; nothing of it "
                f"was touched. If you mean it, give it on the command line: --{key} {text[:200]}"
            )

    def stays(self, text: str) -> bool:
        """Whether `text` does not lead out of the current folder, or was typed.

        A path in a folder that was typed stays, too.
        """
        if not LEAVES.match(text) or text in self.typed:
            return True
        return self.holds(text)

    def holds(self, path: str | PurePath) -> bool:
        """Whether `path`, all links followed, lies below this folder or one that was typed."""
        if SCHEME.search(str(path)) or "\0" in str(path):
            return False
        real = Path(os.path.realpath(str(path)))
        return any(
            real.is_relative_to(os.path.realpath(str(folder))) for folder in (".", *self.folders)
        )

    def check_place(self, path: str | PurePath, key: str) -> None:
        """Raises InputError if what is written to `path` would lie elsewhere.

        A link or its name may lead there. key: the setting that says where to write.
        """
        if str(path) not in self.typed and not self.holds(path):
            raise InputError(
                f"{key}: {path} is outside this folder, by its name or by a link; nothing of it "
                f"was touched. If you mean it, give it on the command line: --{key} {path}"
            )

    def _check_object(self, spec: Any, key: str) -> None:
        class_path = str(spec["class_path"])
        arguments = {
            **dict(_items(spec.get("init_args") or {})),
            **dict(_items(spec.get("dict_kwargs") or {})),
        }
        if self.trusts(class_path):
            for name, part in arguments.items():
                self._check_inside(part, f"{key}.init_args.{name}")
        elif class_path in LISTED:
            for name, part in arguments.items():
                self.check(part, f"{key}.init_args.{name}")
        elif class_path in self.other_classes:
            self._check_other(class_path, arguments, key)
        else:
            raise InputError(f"{key}: a file {not_listed(class_path)}")

    def _check_inside(self, value: Any, key: str) -> None:
        """Check the classes in the arguments of a trusted class.

        It takes what it likes, but these are classes that a file may name, too.
        """
        if isinstance(value, list | tuple | set):
            for part in value:
                self._check_inside(part, key)
        elif _is_mapping(value):
            if "class_path" in value:
                self._check_object(value, key)
            else:
                for name, part in _items(value):
                    self._check_inside(part, f"{key}.{name}")

    def _check_other(self, class_path: str, arguments: Mapping[str, Any], key: str) -> None:
        known = self.other_classes[class_path]
        defaults = {} if known is None else filled_in(class_path)
        for name, part in arguments.items():
            if (
                known is not None
                and name not in known
                and part is not None
                and part != defaults.get(name)
            ):
                raise InputError(
                    f"{key}: a file gives {class_path.rpartition('.')[2]} the argument {name}, "
                    f"and may give {', '.join(known) or 'none'}; nothing of it was run. "
                    f"Type the class itself, --{key} {class_path}, or add --trust {class_path}"
                )
            if any(_is_spec(inner) or callable(inner) for inner in _walk(part)):
                raise InputError(
                    f"{key}.init_args.{name}: a file describes an object, where a plain value was "
                    "wanted; nothing of it was run"
                )
            self.check(part, f"{key}.init_args.{name}")


@cache
def filled_in(class_path: str) -> dict[str, Any]:
    """The arguments that the parser gives to the class of itself.

    Those behind **kwargs are known to it alone.
    """
    module, _, name = class_path.rpartition(".")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(getattr(import_module(module), name), "it", fail_untyped=False)
    return vars(parser.get_defaults().get("it") or Namespace())


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping | Namespace)


def _is_spec(value: Any) -> bool:
    """Whether `value` describes an object."""
    return _is_mapping(value) and "class_path" in value


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    return iter(value.items() if isinstance(value, Mapping) else vars(value).items())


def _walk(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, list | tuple | set):
        for part in value:
            yield from _walk(part)
    elif _is_mapping(value):
        for _, part in _items(value):
            yield from _walk(part)
