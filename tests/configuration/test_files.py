"""What is wrong with a file of settings is told by its line, and without its words."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cgd_lightning.commands import main
from cgd_lightning.configuration.files import (
    DEEPEST,
    DEEPEST_FILES,
    MOST_ALIASES,
    MOST_BYTES,
    MOST_EVENTS,
    check_nested,
    check_yaml,
    config_path,
    packaged_configs,
)

SECRETS = {
    "a line": ("hush: a secret: x\n", "line 1, column 15: mapping values are not allowed"),
    "a table": ("root:hush:0:/root\nmail:hush:8:/mail\n", "line 1, column 1: no settings"),
    "a table with empty ends": (
        "# x\nroot:hush:20:::\n",
        "line 2, column 1: a key that is no name",
    ),
    "a list": ("- hush\n- secret\n", "line 1, column 1: no settings"),
    "a list in brackets": ("seed: [hush, secret\n", "did not find expected"),
    "an alias": ("seed: 1\nscale: *hush\n", "line 2, column 8: found undefined alias"),
    "an anchor twice": ("a: &hush 1\nb: &hush 2\n", "line 2, column 4: second occurrence"),
    "a tag": ("seed: !hush secret\n", "line 1, column 7: could not determine a constructor"),
    "a number": ("seed: !!int hush\n", "a number or a date that Python does not have"),
    "a date": ("seed: 2001-99-99 hush\nx: 2001-99-99\n", "a number or a date"),
    "a mapping as a key": ("{hush: 1}: 2\n", "line 1, column 1: found unhashable key"),
    "a letter": ("seed: hush\x07\n", "control characters are not allowed"),
    "bytes": ("hush\udcff: 1\n", "no text in UTF-8"),
}


@pytest.mark.parametrize(("text", "said"), SECRETS.values(), ids=SECRETS)
def test_no_word_of_a_file_that_is_no_configuration_is_told(
    text: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(TypeError) as refused:
        check_nested(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert said in str(refused.value)
    told = str(refused.value).removeprefix(f"{file}: ")
    assert not [word for word in ("hush", "secret") if word in told]


@pytest.mark.parametrize(
    "words",
    [
        ["sample", "--config=file"],
        ["evaluate", "--config=file"],
        ["fit", "--config=file"],
        ["fit", "--config=outer.yaml"],
        ["fit", "--config=diffusion.yaml", "--model=file"],
        ["fit", "--config=diffusion.yaml", "--trainer=file"],
        ["sample", "--from=file"],
    ],
    ids=" ".join,
)
def test_a_command_tells_no_word_of_a_file_either(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("root:hush:0:/root\nmail:hush:8:/mail\n")
    Path("outer.yaml").write_text("trainer: file\n")
    with pytest.raises(SystemExit) as ended:
        main.main(words)
    told = capsys.readouterr().err.splitlines()
    assert ended.value.code in (1, 2)
    assert told[-1].startswith("error: cgd")
    assert "file" in told[-1]
    assert "hush" not in "".join(told)


def test_settings_in_files_of_their_own_are_read(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("# two rules\n- ClassifierFree\n- class_path: Clamp\n  init_args: {}\n")
    outer = tmp_path / "outer.yaml"
    outer.write_text(f"x-y.z: &a {{seed: 1}}\n<<: *a\nguidance: {rules}\n")
    check_nested(outer)
    with pytest.raises(TypeError, match=r"rules\.yaml: line 2, column 1: no settings"):
        check_nested(rules)
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    check_nested(tmp_path / "empty.yaml")
    for file in packaged_configs():
        check_nested(file)


LIMITS: dict[str, tuple[Callable[[int], str], int]] = {
    "letters": (lambda count: "#" * count, MOST_BYTES),
    "levels": (lambda count: "[" * count + "]" * count, DEEPEST),
    "aliases": (lambda count: "a: &a 1\nb: [" + "*a, " * count + "]", MOST_ALIASES),
    # The first and last events of the stream, its text and its list are counted, too.
    "values": (lambda count: "[" + "1, " * (count - 5) + "]", MOST_EVENTS),
}


@pytest.mark.parametrize(("text", "most"), LIMITS.values(), ids=LIMITS)
def test_a_configuration_is_read_up_to_its_limits(text: Callable[[int], str], most: int) -> None:
    check_yaml(text(most))
    with pytest.raises(yaml.YAMLError):
        check_yaml(text(most + 3))


def test_an_alias_stands_in_nothing_that_has_an_anchor_itself() -> None:
    check_yaml("a: &a [1]\nb: [*a]\nc: &c [2]\nd: *c")
    for text in ("a: &a [1]\nb: &b [*a]", "a: &a {b: [&b 1, [*b]]}"):
        with pytest.raises(yaml.YAMLError, match="an alias inside"):
            check_yaml(text)


def test_files_name_one_another_up_to_a_depth(tmp_path: Path) -> None:
    for number in range(DEEPEST_FILES + 2):
        (tmp_path / f"{number}.yaml").write_text(f"model: {number + 1}.yaml\n")
    check_nested(tmp_path / "1.yaml")
    with pytest.raises(TypeError, match=f"more than {DEEPEST_FILES} files name one another"):
        check_nested(tmp_path / "0.yaml")


def test_a_configuration_that_is_too_large_is_told_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    with file.open("wb") as opened:
        opened.truncate(MOST_BYTES)
    assert config_path(f"{file}") == file
    with file.open("wb") as opened:
        opened.truncate(MOST_BYTES + 1)
    with pytest.raises(TypeError, match=f"a configuration has at most {MOST_BYTES}"):
        config_path(f"{file}")
