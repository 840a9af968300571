"""Classes as a user writes them: `3,7` or `cat,dog`."""

from collections.abc import Sequence

from cgd_lightning.errors import InputError


def parse_labels(text: str | None, class_names: Sequence[str], count: int) -> list[int]:
    """The class of each of `count` images: those in `text`, comma-separated names or indices, in turn; all classes where it is None.

    Where a name looks like a number the name wins. Raises InputError for a class that is not there.
    """
    chosen = range(len(class_names)) if text is None else [parse_label(word.strip(), class_names) for word in text.split(",")]
    return [chosen[i % len(chosen)] for i in range(count)]


def parse_label(word: str, class_names: Sequence[str]) -> int:
    """The index of the class called `word`, or numbered so."""
    if word in class_names:
        return class_names.index(word)
    if word.isdigit() and int(word) < len(class_names):
        return int(word)
    names = ", ".join(class_names[:20]) + (", ..." if len(class_names) > 20 else "")
    raise InputError(f"label {word}: wanted a class name or an index from 0 to {len(class_names) - 1}; the classes are {names}")
