"""What an image shall show: one class, one of several, none of some, or a mixture of classes.

    log p(y | x_t) = log sum_k w_k p(k | x_t)

The score of p(x_t) plus the gradient of this is that of sum_k w_k pi_k p(x_t | k), pi_k being the
classes' shares in the data (Bayes).

    3           the class 3                  w_3 = 1
    3|7         3 or 7, as often as in data  w_3 = w_7 = 1
    !3, !3|7    none of these                w_k = 1 for all others
    3+7, 2*3+7  a mixture, 1:1 or 2:1        w_k = q_k / pi_k, sum q_k = 1
    "3, x"      the class of that name, whatever signs are in it

A class is its name or its index; where a name looks like something else, the name wins. Commas
stand between the targets of images in turn. A name that has a comma or another of these signs
stands in double quotes, alone or within any of the others, as in !"a|b"; a quote in it is doubled.
"""

import re
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from cgd_lightning.errors import InputError

Target: TypeAlias = int | tuple[float, ...]
"""The index of a class, or the weights w_k >= 0 of all classes."""

TOKEN = re.compile(r'(?:^|(?<=[,|+*!]))\s*"(?:[^"]|"")*"\s*(?=[,|+]|$)|.', re.DOTALL)
"""A name in quotes, which begins where a class may begin and ends where it may, or one sign."""

NUMBER = re.compile(r"\s*(?:\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})\s*")
"""A proportion: 2, 0.25 or .25."""

MOST_DIGITS = 9
"""Of an index."""

SIGNS = ',|+*!"'
"""With one of these in it a name could be read as something else."""

NAMELESS = "all"
"""How everything is called that a model without classes was trained on."""


def parse_targets(
    text: str | None, class_names: Sequence[str], count: int, shares: Sequence[float] = ()
) -> tuple[list[Target], dict[Target, str]]:
    """The target of each of `count` images, and how each kind of target is written.

    They are those in `text` in turn; all classes where it is None, and where there are none, what
    the model was trained on. shares: pi_k of the classes in
    the training data, equal if none are given. Raises InputError for a class that is not there and
    for a target that no image can meet.
    """
    if text is None:
        written: dict[Target, str] = dict(enumerate(class_names or (NAMELESS,)))
        chosen = list(written)
    elif not class_names:
        raise InputError(f"label {text}: this model knows no classes; leave it out")
    else:
        parts = [text] if text in class_names else _split(text, ",")
        words = [word.strip() for word in parts]
        chosen = [parse_target(word, class_names, shares) for word in words]
        written = {
            target: class_names[target] if isinstance(target, int) else word
            for target, word in zip(chosen, words)
        }
    return [chosen[i % len(chosen)] for i in range(count)], written


def parse_target(word: str, class_names: Sequence[str], shares: Sequence[float] = ()) -> Target:
    """The target that `word` means in the grammar above."""
    classes = len(class_names)
    if word in class_names or word.isdecimal():
        return class_index(word, class_names)
    if not word:
        raise InputError("label '': wanted a class, as in 3,7")
    if word.startswith("!"):
        excluded = _classes(word, _split(word[1:], "|"), class_names)
        if len(excluded) == classes:
            raise InputError(f"label {word}: leaves none of the {classes} classes")
        return tuple(float(k not in excluded) for k in range(classes))
    if len(parts := _split(word, "|")) > 1:
        wanted = _classes(word, parts, class_names)
        return tuple(float(k in wanted) for k in range(classes))
    if len(parts := _split(word, "+")) > 1:
        return _mixture(word, parts, class_names, shares or [1 / classes] * classes)
    return class_index(word, class_names)


def quoted(name: str) -> str:
    """How the class `name` is written in the grammar above: in quotes where it needs them."""
    plain = name and name == name.strip() and not any(sign in name for sign in SIGNS)
    doubled = name.replace('"', '""')
    return name if plain else f'"{doubled}"'


def _split(text: str, separator: str) -> list[str]:
    """The parts of `text` between those separators that stand outside quotes."""
    parts: list[list[str]] = [[]]
    for token in TOKEN.findall(text):
        if token == separator:
            parts.append([])
        else:
            parts[-1].append(token)
    return ["".join(part) for part in parts]


def _classes(word: str, parts: Sequence[str], class_names: Sequence[str]) -> set[int]:
    if not all(part.strip() for part in parts):
        raise InputError(f"label {word!r}: a class is missing; wanted one on each side, as in 3|7")
    return {class_index(part.strip(), class_names) for part in parts}


def _mixture(
    word: str, terms: Sequence[str], class_names: Sequence[str], shares: Sequence[float]
) -> tuple[float, ...]:
    parts: dict[int, float] = {}
    for part in terms:
        head, *rest = _split(part, "*")
        number = NUMBER.fullmatch(head) if any(rest) else None
        proportion, name = (float(head), "*".join(rest)) if number else (1.0, part)
        if not name.strip():
            raise InputError(
                f"label {word!r}: a class is missing; wanted one on each side, as in 3+7"
            )
        index = class_index(name.strip(), class_names)
        parts[index] = parts.get(index, 0.0) + proportion
    whole = sum(parts.values())
    if whole == 0 or any(shares[index] == 0 for index in parts):
        raise InputError(
            f"label {word}: wanted proportions above 0 of classes that the classifier was trained "
            "on"
        )
    return tuple(
        parts.get(k, 0.0) / whole / share if share else 0.0 for k, share in enumerate(shares)
    )


def class_index(word: str, class_names: Sequence[str]) -> int:
    """The index of the class called `word`, or numbered so; in quotes, of the one called so."""
    if len(word) > 1 and word[0] == word[-1] == '"':
        name = word[1:-1].replace('""', '"')
        if name in class_names:
            return class_names.index(name)
    if word in class_names:
        return class_names.index(word)
    if word.isdecimal() and len(word) <= MOST_DIGITS and int(word) < len(class_names):
        return int(word)
    shown = word if len(word) <= 100 else f"{word[:97]}..."
    names = ", ".join(map(quoted, class_names[:20])) + (", ..." if len(class_names) > 20 else "")
    raise InputError(
        f"label {shown}: wanted a class name or an index from 0 to {len(class_names) - 1}, or "
        f"several, as in 3|7, !3 or 3+7{_advice(word, class_names)}; the classes are {names}"
    )


def _advice(word: str, class_names: Sequence[str]) -> str:
    """What to do where `word` may be a part of a name that needs quotes."""
    if word.startswith('"') and (len(word) == 1 or not word.endswith('"')):
        return "; the double quote that opens it is not closed"
    meant = next((name for name in class_names if quoted(name) != name and word in name), None)
    return (
        "" if meant is None else f"; a name with such signs stands in quotes, as in {quoted(meant)}"
    )


def read_targets(
    targets: Sequence[Target | str], class_names: Sequence[str], shares: Sequence[float] = ()
) -> list[Target]:
    """`targets`, of which those that are written in the grammar above are read."""
    return [
        parse_target(target, class_names, shares) if isinstance(target, str) else target
        for target in targets
    ]


def check_targets(targets: Sequence[Target], class_names: Sequence[str]) -> None:
    """Raises InputError if there is no target, or one that does not fit `class_names`.

    A target is an index into them, or weights of all of them.
    """
    if not targets:
        raise InputError("no labels: wanted the class of every image")
    classes = len(class_names or (NAMELESS,))
    for target in set(targets):
        if isinstance(target, tuple):
            if len(target) != classes or min(target) < 0 or max(target) == 0:
                raise InputError(
                    f"label {target}: wanted {classes} weights, none below 0 and not all 0, one "
                    "for each class"
                )
        elif not 0 <= target < classes:
            raise InputError(
                f"label {target}: the classes are 0 to {classes - 1} ({', '.join(class_names)})"
            )


def as_labels(
    targets: Sequence[Target], classes: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Labels (N,) int64 where every target is a class, else weights (N, classes) float32."""
    if all(isinstance(target, int) for target in targets):
        return torch.tensor(targets, device=device)
    rows = [
        target if isinstance(target, tuple) else tuple(float(k == target) for k in range(classes))
        for target in targets
    ]
    return torch.tensor(rows, dtype=torch.float32, device=device)


def log_target(log_p: Tensor, labels: Tensor) -> Tensor:
    """log sum_k w_k p_k, (B,), from `log_p` (B, K) and labels (B,) int64 or weights (B, K)."""
    if labels.is_floating_point():
        return (log_p + labels.log().to(log_p.dtype)).logsumexp(dim=-1)
    return log_p.gather(1, labels[:, None])[:, 0]


def hit(classes: Tensor, targets: Sequence[Target]) -> Tensor:
    """Whether each class (N,) int64 is one that was asked for: bool (N,).

    With weights, all classes with a weight above 0 are asked for.
    """
    asked = [
        classes[i] == target if isinstance(target, int) else target[int(classes[i])] > 0
        for i, target in enumerate(targets)
    ]
    return torch.tensor(asked, dtype=torch.bool)
