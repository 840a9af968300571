"""Names of image files tell what was asked for, on every file system."""

import re

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.sampling.file_names import NAME_BYTES, file_words


def words(*names: str) -> list[str]:
    return list(file_words(dict(enumerate(names))).values())


def test_sets_and_mixtures_are_words_and_not_the_same_as_classes() -> None:
    written: dict[Target, str] = {
        **dict(enumerate(["0", "_0", "!0", "not-0"])),
        (0.0, 1.0): "!0",
        (1.0, 1.0): "3|7",
        (2.0, 3.0): "2*3 + 7",
        (1.0, 0.0): '!"a|b"',
    }
    assert list(file_words(written).values()) == [
        *("0", "_0", "%210", "not-0"),
        *("not-0~2", "3-or-7", "2x3+7", "not-a-or-b"),
    ]


def test_names_of_all_kinds_are_safe_and_differ_even_where_case_does_not_count() -> None:
    names = [
        "a/b",
        "a\\b",
        "a:b",
        "a b",
        "a_b",
        "a%2Fb",
        "CON",
        "con",
        "a",
        "A",
        "Con.",
        "..",
        "",
        "caf\u00e9",
    ]
    names += ["cafe\u0301", "\u732b", "tench, Tinca tinca", "a\nb", "\u202eb", 'a?*<>|"', "\ud800"]
    made = words(*names)
    assert len({word.casefold() for word in made}) == len(names)
    assert not any(re.search(r'[\x00-\x1f/\\:*?"<>|]', word) for word in made)
    assert all(word.isprintable() for word in made)
    assert made[0] == "a%2Fb"
    assert made[5] == "a%252Fb"
    assert made[13:17] == ["caf\u00e9", "caf\u00e9~2", "\u732b", "tench,_Tinca_tinca"]


def test_long_names_are_cut_between_letters_and_still_differ() -> None:
    made = words("\u732b" * 500 + "a", "\u732b" * 500 + "b", "x" * 500, "\n" * 500)
    assert len(set(made)) == 4
    assert all(len(word.encode()) <= NAME_BYTES for word in made)
    assert made[0] == "\u732b" * (NAME_BYTES // 3)
    assert made[1].endswith("\u732b~2")
    assert made[3] == "%0A" * (NAME_BYTES // 3)


def test_many_names_that_begin_alike_are_named_in_time_that_grows_with_their_number() -> None:
    """Each is looked at once: with a search from 2 on for each this would take hours."""
    made = words(*(f"{'x' * 900}{i}" for i in range(20_000)))
    assert len(set(made)) == 20_000
    assert made[-1] == f"{'x' * (NAME_BYTES - 8)}~20000"
