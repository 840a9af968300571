"""Names in any script are readable in a picture, and none of them is a row of boxes."""

from collections.abc import Iterator

import pytest
from PIL import Image, ImageDraw

from cgd_lightning.evaluation import lettering
from cgd_lightning.evaluation.lettering import Lettering, can_show, readable

CACHES = (lettering._font, lettering._others, lettering._glyph, lettering._characters)


@pytest.fixture
def fresh() -> Iterator[None]:
    """Fonts are looked for anew, before and after."""
    for cache in CACHES:
        cache.cache_clear()
    yield
    for cache in CACHES:
        cache.cache_clear()


def drawn(text: str) -> bytes:
    image = Image.new("L", (300, 40), "white")
    Lettering(16).draw(ImageDraw.Draw(image), 4, 20, text)
    return image.tobytes()


def test_accents_greek_and_cyrillic_are_letters_and_no_two_look_alike() -> None:
    words = ["café", "cafe", "Ελληνικά", "кошка", "Zażółć", "Đặng", "naïve", "niño"]
    assert all(map(can_show, words))
    assert [readable(word) for word in words] == words
    assert len({drawn(letter) for letter in "éèêąΩЖñłıĐ"}) == 10


def test_a_letter_and_its_accent_apart_are_the_letter_with_it() -> None:
    assert drawn("e\u0301") == drawn("\u00e9")


def test_what_no_font_has_and_what_cannot_be_printed_is_written_by_its_code(
    monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    monkeypatch.setattr(lettering, "FAMILIES", ())
    assert not can_show("\u732b")
    assert readable("a\u732b") == "a\\u732b"
    assert readable("a\nb\u202e\ud800") == "a\\nb\\u202e\\ud800"
    assert drawn("\u732b") == drawn("\\u732b")


def test_an_installed_font_is_taken_for_letters_that_the_first_has_not(
    monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    """Of matplotlib's STIX, in the place of a Chinese one, the first letter that DejaVu has not."""
    monkeypatch.setattr(lettering, "FAMILIES", ("Not Installed", "STIXGeneral"))
    plain, [stix] = lettering._plain_font(), lettering._others()
    letters = filter(str.isprintable, map(chr, range(0x250, 0xFFFF)))
    letter = next(c for c in letters if stix.has(c) and not plain.has(c))
    assert can_show(letter)
    assert readable(f"a{letter}") == f"a{letter}"
    assert drawn(f"a{letter}") != drawn("a")
    assert Lettering(16).width(f"a{letter}") > Lettering(16).width("a")


def test_lines_are_as_wide_as_they_may_be_and_what_does_not_fit_is_left_out_visibly() -> None:
    letters = Lettering(13)
    text = "yellow lady's slipper, yellow lady-slipper, Cypripedium calceolus"
    for width, lines in ((120, 9), (120, 2), (40, 20), (1000, 1)):
        rows = letters.wrapped(text, width, lines)
        assert len(rows) <= lines
        assert all(letters.width(row) <= width for row in rows)
        whole = "".join(rows).replace(" ", "")
        if rows[-1].endswith("..."):
            assert text.replace(" ", "").startswith(whole.removesuffix("..."))
        else:
            assert whole == text.replace(" ", "")
    assert letters.wrapped(text, 120, 2)[-1].endswith("...")
    assert letters.wrapped("", 100, 3) == [""]
