"""What a class takes from its bases is described on its own page, too: an extension of griffe.

A docstring describes its own arguments alone. Those of its bases are found in theirs.
"""

import re
from inspect import cleandoc
from typing import Any

import griffe

SECTION = re.compile(r"^Args:\n((?: {4}.*\n?)+)", re.MULTILINE)
ENTRY = re.compile(r"^ {4}(\w+):.*(?:\n {5,}.*)*", re.MULTILINE)


class InheritedArgs(griffe.Extension):
    """Each class's `Args:` section has what its constructor takes, in that order."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Write the sections of all classes of `pkg` anew.

        What a section has beside the constructor's arguments is kept, so that griffe warns of it;
        a base without a constructor describes arguments for its subclasses alone.
        """
        classes = list(classes_of(pkg))
        described = {cls.path: entries(cls) for cls in classes}
        for cls in classes:
            own, known = described[cls.path], dict[str, str]()
            for base in (cls, *cls.mro()):
                known = described.get(base.path, {}) | known
            names = [parameter.name for parameter in cls.parameters]
            taken = [known[name] for name in names if name in known]
            stray = [own[name] for name in own if name not in names] if names else []
            if cls.docstring:
                rest = SECTION.sub("", cleandoc(cls.docstring.value)).rstrip()
                cls.docstring.value = "\n".join(
                    [rest, "", "Args:", *taken, *stray] if taken or stray else [rest]
                )


def classes_of(module: griffe.Module) -> list[griffe.Class]:
    """The classes that are written in `module` and in the modules within it."""
    found: list[griffe.Class] = []
    for member in module.members.values():
        if isinstance(member, griffe.Module):
            found += classes_of(member)
        elif isinstance(member, griffe.Class):
            found.append(member)
    return found


def entries(cls: griffe.Class) -> dict[str, str]:
    """What the docstring of `cls` says of each argument, as it is written."""
    section = SECTION.search(cleandoc(cls.docstring.value)) if cls.docstring else None
    return {m[1]: m[0] for m in ENTRY.finditer(section[1])} if section else {}
