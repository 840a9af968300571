"""What `--help` prints: two examples, then every option with what it is, its kind and its default.

`--sampler.help` lists what there is, and `--sampler.help DDIM` tells what DDIM is and its options.
All of it comes from docstrings: the first line of a class, and its `Args:` section.
"""

import re
import shutil
import sys
import textwrap
from argparse import SUPPRESS, Action
from collections.abc import Iterator
from contextvars import ContextVar
from importlib import import_module
from inspect import cleandoc
from typing import Any

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace
from jsonargparse._actions import _ActionHelpClassPath, _ActionPrintConfig
from jsonargparse._formatters import get_env_var
from jsonargparse._typehints import ActionTypeHint, get_all_subclass_paths, get_help_types

from cgd_lightning.configuration.refusals import OTHERS, no_name

WIDTH = 100
FEW = 12
"""Names of classes that stand in the help of an option; of more, `--OPTION.help` tells."""

HELP_OF = re.compile(r"--[\w.]+\.help")

_asked: ContextVar[str | None] = ContextVar("asked", default=None)
"""The `--OPTION.help` that was typed; a nested option has a parser that knows its end alone."""


class Help(DefaultHelpFormatter):
    """The layout of the help: short usage, paragraphs, kind and default behind each text."""

    def __init__(self, prog: str) -> None:
        columns = min(shutil.get_terminal_size().columns, WIDTH)
        super().__init__(prog.replace(" [options]", ""), max_help_position=30, width=columns)

    def _format_usage(
        self, usage: Any, actions: Any, groups: Any, prefix: Any, **others: Any
    ) -> str:
        if usage is SUPPRESS:
            return ""
        if prefix == "":  # the start of the names of sub-commands
            return self._prog
        words = [a.dest.upper() for a in actions if not a.option_strings]
        return f"usage: {' '.join([self._prog, '[OPTIONS]', *words])}\n\n"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Paragraphs are wrapped; lines that are indented, as equations and commands, are kept."""
        parts = re.split(r"\n\s*\n", text)
        return "\n\n".join(
            part
            if part.startswith(" ")
            else textwrap.fill(" ".join(part.split()), width, break_on_hyphens=False)
            for part in parts
        )

    def _split_lines(self, text: str, width: int) -> list[str]:
        plain = " ".join(text.split())
        return textwrap.wrap(plain, width, break_on_hyphens=False, break_long_words=False)

    def _get_default_metavar_for_optional(self, action: Action) -> str:
        kind = _kind(action)
        return {"int": "N", "float": "X"}.get(kind, action.dest.rsplit(".")[-1].upper())

    def _format_action_invocation(self, action: Action) -> str:
        if not action.option_strings:
            return str(action.dest.upper())
        if isinstance(action, _ActionHelpClassPath):
            return action.option_strings[0] + (" [NAME]" if action.nargs != 0 else "")
        if isinstance(action, _ActionPrintConfig):
            return f"{action.option_strings[0]}[=skip_default]"
        if action.nargs == 0:
            return ", ".join(action.option_strings)
        default = self._get_default_metavar_for_optional(action)
        values = self._format_args(action, default)
        if isinstance(action, ActionTypeHint):
            choices = re.fullmatch(
                r"(?:Optional\[)?Literal\[([^\]]*)\]\]?( \| null)?", str(self._get_type_str(action))
            )
            if choices:
                values = f"{{{choices[1].replace(chr(39), '').replace(', ', ',')}}}"
            if "CLASS_PATH_OR_NAME" in values or _names(action):
                values = "NAME"
        return f"{', '.join(action.option_strings)} {values}"

    def _get_help_string(self, action: Action) -> str:
        if isinstance(action, _ActionHelpClassPath):
            return "List them; with a NAME, tell what it is, and its options."
        if isinstance(action, _ActionPrintConfig):
            return "Print the configuration, without its defaults or with them, and exit."
        if not isinstance(action, ActionTypeHint):
            return str(action.help or "")
        text = _without_markup(action.help or "")
        names = _names(action)
        if names:
            option = action.option_strings[0]
            few = f"One of {', '.join(names)}." if len(names) <= FEW else f"See {option}.help."
            text = f"{text.rstrip('. ')}. {few}"
        facts = [_kind(action), "required" if action.required else "", _default(action)]
        behind = ", ".join(filter(None, facts))
        return f"{text} ({behind})".strip() if behind else text


def _without_markup(text: str) -> str:
    """`text` of another project without what reStructuredText needs, and without its default."""
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"\1", text).replace("``", "")
    return re.sub(r"\s*Default: \S+\.?$", "", text)


def _kind(action: Action) -> str:
    """int or float; nothing for words, choices and classes."""
    if not isinstance(action, ActionTypeHint):
        return ""
    kind = str(action._typehint)
    words = set(re.findall(r"[\w.]+", kind.replace("<class '", "").replace("'>", "")))
    words -= {"None", "NoneType", "typing.Union", "typing.Optional"}
    if words <= {"int", "float"}:
        return " or ".join(sorted(words, reverse=True))
    return ""


def _default(action: Action) -> str:
    """The default, with the bare name of a class; nothing where there is none."""
    default = action.default
    if default is None or default is SUPPRESS:
        return ""
    if isinstance(default, Namespace):
        default = default.as_dict()
    if isinstance(default, dict) and "class_path" in default:
        default = default["class_path"].rpartition(".")[2]
    return f"default: {str(default).lower() if isinstance(default, bool) else default}"


def _names(action: Action) -> dict[str, str]:
    """The import paths of the classes that `action` takes, by what may be typed for them."""
    return names_of(action._typehint) if isinstance(action, ActionTypeHint) else {}


def names_of(typehint: Any) -> dict[str, str]:
    """The import paths of the known classes of `typehint`, by what may be typed for them.

    Without the classes that they are derived from.
    """
    bases = get_help_types(typehint) or ()
    paths = get_all_subclass_paths(typehint, closed_types=False)
    paths = [path for path in paths if is_there(path) and class_at(path) not in bases]
    for base in bases:
        if others := OTHERS.get(base.__name__):  # more of Lightning and torch is known than taken
            paths = [path for path in paths if path.rpartition(".")[2] in others]
    bare = [path.rpartition(".")[2] for path in paths]
    return {
        name if bare.count(name) == 1 else path: path
        for name, path in zip(bare, paths, strict=True)
    }


def listed(names: dict[str, str], option: str) -> str:
    """The classes `names`, each with the first line of its docstring.

    option: the `--OPTION.help` that was typed.
    """
    column = max(map(len, names), default=0) + 4
    lines = [f"What {option.removesuffix('.help')} takes; {option} NAME tells more of one:", ""]
    for name, path in names.items():
        first = " ".join(cleandoc(class_at(path).__doc__ or "").partition("\n\n")[0].split())
        sentence = re.split(r"(?<=\.)\s(?=[A-Z])", _without_markup(first))[0]
        entry = f"  {name:{column - 2}}{sentence}"
        lines += textwrap.wrap(entry, WIDTH, subsequent_indent=" " * column) or [entry]
    return "\n".join([*lines, "", "or your own, by its import path, as mine.Own"])


def class_at(path: str) -> type:
    """The class at the import path `path`, of those that are known."""
    module, _, name = path.rpartition(".")
    found: type = getattr(import_module(module), name)
    return found


def is_there(path: str) -> bool:
    """Whether a class can be had by the import path `path`: not one whose module is gone."""
    module, _, name = path.rpartition(".")
    return hasattr(sys.modules.get(module), name)


class HelpfulParser(ArgumentParser):
    """A parser whose help begins with examples, and which lists the classes of an option.

    examples: command lines, with a remark behind "#".
    """

    examples: tuple[str, ...] = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("formatter_class", Help)
        super().__init__(*args, **options)

    def parse_args(self, args: Any = None, *rest: Any, **options: Any) -> Any:
        """As that of jsonargparse, where an `--OPTION.help` without a name lists what there is."""
        before = _asked.get()
        try:
            words = None if args is None else [*self._with_names(list(args))]
            return super().parse_args(words, *rest, **options)
        finally:
            _asked.set(before)

    def _with_names(self, words: list[str]) -> Iterator[str]:
        """`words`, in which a nested `--OPTION.help` without a name has an empty one.

        So it comes to the parser of the class, which knows its end alone.
        """
        for word, after in zip(words, [*words[1:], "-"]):
            option, joined, value = word.partition("=")
            if not HELP_OF.fullmatch(option):
                yield word
                continue
            bare = not value and bool(joined or after.startswith("-"))
            action = self._option_string_actions.get(option)
            if isinstance(action, _ActionHelpClassPath) and action.nargs != 0:
                self._tell(option, action, "" if bare else value or after)
            nested = action is None and any(
                option.startswith(f"{known}.") for known in self._option_string_actions
            )
            if nested:
                _asked.set(option)
            yield f"{option}=" if nested and bare else word

    def _tell(self, option: str, action: _ActionHelpClassPath, name: str) -> None:
        """List the classes that `option` is the help of, or correct a `name` that is none."""
        known = names_of(action._typehint)
        if not name:
            print(listed(known, _asked.get() or option))
            self.exit()
        if name.isidentifier() and name not in known:
            self.error(f"{option[2:]}: {no_name(name, list(known))}")

    def format_help(self, *args: Any) -> str:
        about = re.fullmatch(r"Help for (\S+)\.help=([\w.]+)", self.description or "")
        if about:
            self._tell_class(class_at(about[2]))
            self._name_in_full(about[1])
        else:
            self._tell_examples()
        return super().format_help(*args)

    def _tell_examples(self) -> None:
        parts = [example.partition("  #") for example in self.examples]
        width = max((len(command) for command, _, _ in parts), default=0)
        lines = [f"  {command:{width}}{mark}{remark}".rstrip() for command, mark, remark in parts]
        told = [self.description or ""]
        if lines and not told[0].startswith(lines[0]):
            self.description = "\n\n".join(["\n".join(lines), *told])
        typed = [a for a in self._actions if isinstance(a, ActionTypeHint) and a.option_strings]
        if self.default_env and typed:
            name, option = get_env_var(self, typed[0]), typed[0].option_strings[0]
            self.epilog = (
                f"The environment sets options, too: {name} is {option}, and so on, with __ for a "
                "point."
            )

    def _tell_class(self, cls: type) -> None:
        about = re.split(r"^(?:Args|Raises):\s*$", cleandoc(cls.__doc__ or ""), flags=re.MULTILINE)
        self.usage, self.description = SUPPRESS, f"{cls.__name__}: {about[0]}"
        own = next(iter((self.groups or {}).values()), None)
        if own is not None:
            own.title = "options"

    def _name_in_full(self, option: str) -> None:
        """Give the options of a nested class the names that are typed: --model.network.width."""
        asked = (_asked.get() or "").removesuffix(".help")
        if not asked.endswith(f".{option[2:]}"):
            return
        for action in self._actions:
            action.option_strings = [
                re.sub(rf"^{re.escape(option)}\.", f"{asked}.", name)
                for name in action.option_strings
            ]
