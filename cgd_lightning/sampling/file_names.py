"""Names of image files that say what the image was asked to be, on every file system.

    3        0000-3.png             3|7      0000-3-or-7.png
    !0       0000-not-0.png         2*3+7    0000-2x3+7.png
    a/b      0000-a%2Fb.png         a b      0000-a_b.png

Letters of all scripts stay where the file system can encode them. What Windows or a shell would
read as something else is written as in a web address: % and two hexadecimal digits for each byte.
Before it stands the index, so that reserved names such as CON never stand alone. Names that only
differ in case, or that come to the same otherwise, are told apart by ~2, ~3, ...
"""

import re
import sys
from collections.abc import Mapping
from unicodedata import normalize

from cgd_lightning.diffusion.targets import Target

NAME_BYTES = 120
"""At most so much of what was asked stands in a file's name: some file systems take 143 in all."""

MOST_LETTERS = 1000
"""At most so much of what was asked is looked at; signs may be fewer letters in a file's name."""

WORDS = {"!": "not-", "|": "-or-", "*": "x", '"': ""}
"""How the signs of the grammar of targets are written in a file's name."""


SAFE = "_-.,+()='@"
"""Signs that no file system minds."""


def file_words(written: Mapping[Target, str]) -> dict[Target, str]:
    """How each target is called in names of files, all of them different."""
    taken: set[str] = set()
    last: dict[str, int] = {}  # the number of the last one that begins so
    words: dict[Target, str] = {}
    for target, name in written.items():
        name = name[:MOST_LETTERS]
        if not isinstance(target, int):
            name = re.sub(r'\s*([!|*+"])\s*', lambda sign: WORDS.get(sign[1], sign[1]), name)
        letters = _safe(name)
        word, stem = _cut(letters, NAME_BYTES), _cut(letters, NAME_BYTES - 8)
        while word.casefold() in taken:
            number = last.get(stem.casefold(), 1) + 1
            last[stem.casefold()] = number
            word = f"{stem}~{number}"
        taken.add(word.casefold())
        words[target] = word
    return words


def file_word(name: str) -> str:
    """How one `name` is written there."""
    return _cut(_safe(name[:MOST_LETTERS]), NAME_BYTES)


def _safe(name: str) -> list[str]:
    """`name`, letter by letter, each as a file's name has it."""
    return [_letter(letter) for letter in normalize("NFC", name)]


def _letter(letter: str) -> str:
    if letter == " ":
        return "_"
    safe = letter.isalnum() or letter in SAFE if letter.isascii() else letter.isprintable()
    if safe and _encodable(letter):
        return letter
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))


def _encodable(letter: str) -> bool:
    try:
        letter.encode(sys.getfilesystemencoding())
    except UnicodeEncodeError:
        return False
    return True


def _cut(letters: list[str], most: int) -> str:
    """The first of `letters` that take at most so many bytes."""
    word = ""
    for letter in letters:
        if len((word + letter).encode()) > most:
            break
        word += letter
    return word
