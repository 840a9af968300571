"""Words in pictures, in letters of a chosen size, whatever script they are in.

DejaVu Sans, which comes with matplotlib, has Latin with all accents, Greek, Cyrillic and more. For
Chinese, Japanese and Korean an installed font is taken, the first of FAMILIES that there is. What
no font has is written by its code, as \\u732b: there are no empty boxes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from unicodedata import combining, normalize

from PIL import ImageDraw, ImageFont

INK = "#333333"
"""The colour of words beside images."""

FAMILIES = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK TC", "Noto Sans CJK KR"),
    *("Noto Sans SC", "Noto Sans JP", "Noto Sans TC", "Noto Sans KR"),
    *("Source Han Sans SC", "Source Han Sans JP", "Source Han Sans CN", "Source Han Sans"),
    *("PingFang SC", "Hiragino Sans GB", "Hiragino Sans", "Heiti SC", "STHeiti"),
    *("Apple SD Gothic Neo", "AppleGothic", "Arial Unicode MS"),
    *("Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Meiryo", "MS Gothic", "SimHei", "SimSun"),
    *("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Unifont"),
    *("IPAexGothic", "IPAGothic", "TakaoGothic", "VL Gothic", "NanumGothic", "UnDotum"),
    *("AR PL UMing CN", "AR PL UKai CN"),
)
"""Fonts with Chinese, Japanese or Korean letters, as systems call them."""

LATIN = "\u0250"
"""DejaVu Sans has every letter below this one."""


@dataclass(frozen=True)
class Font:
    """A font file, and the face in it."""

    file: str
    face: int = 0

    def has(self, letter: str) -> bool:
        """Whether there is a glyph for it."""
        return _glyph(self, letter)


@dataclass(frozen=True)
class Lettering:
    """Letters of `size` pixels, from the top of an accent to the foot of a g about 1.2 of them."""

    size: int

    def width(self, text: str) -> int:
        """How wide `text` is, in pixels."""
        return -int(-sum(_face(font, self.size).getlength(run) for font, run in _runs(text)) // 1)

    @property
    def height(self) -> int:
        """From one line to the next, in pixels."""
        return -(-5 * self.size // 4)

    def draw(self, canvas: ImageDraw.ImageDraw, x: float, y: float, text: str) -> None:
        """Write a line that begins at `x` and whose middle, that of capital letters, is at `y`."""
        for font, run in _runs(text):
            face = _face(font, self.size)
            canvas.text((x, y + 0.36 * self.size), run, fill=INK, font=face, anchor="ls")
            x += face.getlength(run)

    def wrapped(self, text: str, width: int, lines: int) -> list[str]:
        """`text` in at most so many lines of at most `width` pixels; ... for what does not fit."""
        rows = [""]
        for word in readable(text).split(" "):
            longer = f"{rows[-1]} {word}" if rows[-1] else word
            if self.width(longer) <= width:
                rows[-1] = longer
                continue
            rows += [] if rows[-1] == "" else [""]
            for letter in word:
                if self.width(rows[-1] + letter) > width and rows[-1]:
                    rows.append("")
                rows[-1] += letter
        if len(rows) <= lines:
            return rows
        last = rows[lines - 1]
        while last and self.width(f"{last}...") > width:
            last = last[:-1]
        return [*rows[: lines - 1], f"{last.rstrip()}..."]


def readable(text: str) -> str:
    """`text` in one line; what cannot be printed, or what no font here has, by its code."""
    line = " ".join(normalize("NFC", text).split(" "))
    return "".join(letter if _font(letter) else ascii(letter)[1:-1] for letter in line)


def can_show(text: str) -> bool:
    """Whether there is a font for every letter of `text`."""
    return all(_font(letter) for letter in normalize("NFC", text))


def _runs(text: str) -> Iterator[tuple[Font, str]]:
    """(font, letters that are set in it) one after another."""
    plain = _plain_font()
    last = [plain]

    def font(letter: str) -> Font:
        # A mark is set with the letter that it stands on.
        if not combining(letter):
            last[0] = _font(letter) or plain
        return last[0]

    for chosen, letters in groupby(readable(text), font):
        yield chosen, "".join(letters)


@cache
def _plain_font() -> Font:
    """DejaVu Sans."""
    spec = find_spec("matplotlib")
    here = Path((spec and spec.origin) or "", "..", "mpl-data").resolve()
    file = here / "fonts/ttf/DejaVuSans.ttf"
    if not file.is_file():  # a distribution that keeps matplotlib's data elsewhere
        import matplotlib

        file = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")
    return Font(str(file))


@cache
def _font(letter: str) -> Font | None:
    """The font in which `letter` is set; None if it cannot be printed, or none has it."""
    if not letter.isprintable():
        return None
    plain = _plain_font()
    if letter < LATIN or plain.has(letter):
        return plain
    return next((font for font in _others() if font.has(letter)), None)


@cache
def _others() -> tuple[Font, ...]:
    """Those of FAMILIES that are installed, in their order."""
    from matplotlib.font_manager import fontManager

    places = {family: place for place, family in enumerate(FAMILIES)}
    found: dict[int, Font] = {}
    for entry in fontManager.ttflist:
        place = places.get(entry.name)
        regular = entry.style == "normal" and str(entry.weight) in ("400", "normal", "regular")
        if place is not None and (regular or place not in found):
            found[place] = Font(entry.fname, getattr(entry, "index", 0))
    return tuple(found[place] for place in sorted(found))


@cache
def _glyph(font: Font, letter: str) -> bool:
    return _characters(font).get(ord(letter), 0) != 0


@cache
def _characters(font: Font) -> Mapping[int, int]:
    """The glyph of each character that `font` has; none if the file cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        # Only matplotlib 3.11 and later knows of other faces than the first.
        opened = FT2Font(font.file, face_index=font.face) if font.face else FT2Font(font.file)
        return opened.get_charmap()
    except (OSError, RuntimeError):
        return {}


@cache
def _face(font: Font, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font.file, size, index=font.face)
