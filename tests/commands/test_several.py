"""How several values of an option are read: commas outside brackets and quotes."""

import pytest

from cgd_lightning.commands.several import combinations, read_options, split
from cgd_lightning.errors import InputError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("5", ["5"]),
        ("1, 2,5", ["1", "2", "5"]),
        ("[1,2],[3]", ["[1,2]", "[3]"]),
        (
            "{class_path: DDIM, init_args: {eta: 1}},DDPM",
            ["{class_path: DDIM, init_args: {eta: 1}}", "DDPM"],
        ),
        ("'runs/a,b',runs/c", ["runs/a,b", "runs/c"]),
        ('"runs/a,b"', ["runs/a,b"]),
        ("f(1,2),g", ["f(1,2)", "g"]),
        ("", [""]),
    ],
)
def test_commas_in_brackets_and_quotes_are_part_of_a_value(text: str, values: list[str]) -> None:
    assert split(text) == values


def test_every_combination_has_its_words_and_says_what_differs() -> None:
    options = read_options(
        ["--ckpt=runs/d", "--weights", "ema,raw", "--labels", "3,7", "--labels=!3", "--compile"]
    )
    found = list(combinations(options))
    assert [words for words, _ in found] == [
        ["--ckpt=runs/d", f"--weights={weights}", f"--labels={labels}", "--compile"]
        for weights in ("ema", "raw")
        for labels in ("3,7", "!3")
    ]
    assert found[1][1] == {"weights": "ema", "labels": "!3"}


def test_one_value_of_each_is_one_combination() -> None:
    assert list(combinations(read_options(["--seed=3"]))) == [(["--seed=3"], {})]
    assert list(combinations([])) == [([], {})]


def test_what_cannot_be_read_is_said() -> None:
    with pytest.raises(InputError, match="1,,2: a value is missing beside a comma"):
        split("1,,2")
    with pytest.raises(InputError, match="runs/d: no option begins it"):
        read_options(["runs/d", "--seed=1"])
    with pytest.raises(InputError, match="--seed: given twice"):
        list(combinations(read_options(["--seed=1,2", "--seed=3"])))
