"""Why a class of the user's own cannot be taken, in one line."""

import re
import sys
from difflib import get_close_matches
from inspect import isabstract
from typing import Any

from cgd_lightning.configuration.words import ALIKE

_TYPED = re.compile(
    r"(?:val='|Given value: |Got value: |Expected '|but )([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)\b"
)
"""Where a parser's message has the import path that was given."""


def own_class(text: str) -> str | None:
    """What is wrong with the class that a parser's message `text` does not take.

    None if the message names none of the user's, or nothing is wrong with it by itself.
    """
    for path in dict.fromkeys(_TYPED.findall(text)):
        module, _, name = path.rpartition(".")
        if module.startswith("cgd_lightning") or module not in sys.modules:
            continue
        if missing := not_there(path):
            return f"no class {path!r}: {missing}"
        cls: Any = getattr(sys.modules[module], name)
        if isabstract(cls):
            methods = ", ".join(sorted(cls.__abstractmethods__))
            return f"{path} does not fill {methods}, which {_above(cls)} leaves to it"
        if wanted := re.search(rf"'{re.escape(path)}' to be a subclass of <class '(\w+)'>", text):
            return f"{path} is not derived from {wanted[1]}"
    return None


def _above(cls: type) -> str:
    """The class of this package that `cls` is derived from."""
    names = [c.__name__ for c in cls.__mro__ if c.__module__.startswith("cgd_lightning")]
    return names[0] if names else cls.__mro__[1].__name__


def not_there(path: str) -> str | None:
    """Why there is nothing at an import path, where its module can tell."""
    module, _, name = path.rpartition(".")
    if not module or not re.fullmatch(r"[\w.]+", path):
        return None
    loaded = sys.modules.get(module)
    if loaded is None:
        return f"no module {module} is in this folder or installed"
    if name in dir(loaded):
        return None
    own = [key for key, value in vars(loaded).items() if getattr(value, "__module__", "") == module]
    near = get_close_matches(name, dir(loaded), 1, ALIKE) or own[:1]
    perhaps = f"; did you mean {module}.{near[0]}?" if near else ""
    return f"module {module} has no {name!r}{perhaps}"
