"""Every command in the README and the documentation has options and settings that exist."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cgd_lightning.checkpoints.classes import NO_TRUST
from cgd_lightning.commands import (
    convert_options,
    diagnose_options,
    edit_options,
    evaluate_options,
    export_options,
    likelihood,
    page,
    sample,
    sweep_options,
)
from cgd_lightning.commands.main import COMMANDS
from cgd_lightning.configuration.words import COMMANDS as COMMANDS_OF_OTHERS
from cgd_lightning.configuration.words import OPTIONS, TRAINING, VALUES, meant_value

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

PARSERS = {
    "convert": convert_options.parser,
    "diagnose": lambda: diagnose_options.parser([], NO_TRUST),
    "edit": lambda: edit_options.parser([], NO_TRUST),
    "evaluate": lambda: evaluate_options.parser([], NO_TRUST),
    "export": export_options.parser,
    "page": page.parser,
    "likelihood": lambda: likelihood.parser([], NO_TRUST),
    "sample": sample.parser,
    "sweep": lambda: sweep_options.parser([], NO_TRUST),
}


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command on `page`, with the variables that it sets put in."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    variables = dict(re.findall(r'`?\b([A-Z]+)="([^"]*)"', text))
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines() if not language else ():
            plain = re.sub(r"\$([A-Z]+)\b", lambda found: variables[found[1]], line)
            words = shlex.split(plain, comments=True)
            starts = [i for i, word in enumerate(words) if word == "cgd"]
            for start, end in zip(starts, [*starts[1:], len(words)]):
                told = list(_until_its_end(words[start + 1 : end]))
                yield told if " ".join(told).isascii() else []


def _until_its_end(words: list[str]) -> Iterator[str]:
    """The words of a command, without what the shell does after it."""
    for word in words:
        if word == ">":
            return
        yield word.rstrip(";")
        if word.endswith(";"):
            return


SAID = {" ".join(words): words for page in PAGES for words in commands(page) if words}


def test_the_pages_have_commands() -> None:
    assert {words[0] for words in SAID.values()} >= {"fit", *PARSERS}
    assert {words[0] for words in SAID.values()} <= COMMANDS.keys()


FITS = [words for words in SAID.values() if words[0] == "fit" and "$config.yaml" not in words]
SAMPLES = [
    words
    for command, words in SAID.items()
    if words[0] == "sample" and "--from" not in words and "hf://" not in command
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the configuration file of which the pages speak."""
    monkeypatch.chdir(tmp_path)
    Path("ours.yaml").write_text("seed_everything: 3\n")


@pytest.mark.parametrize("words", FITS, ids=" ".join)
def test_a_command_that_trains_has_settings_that_exist(
    words: list[str], cgd: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, err = cgd(*words, "--print_config=skip_default")
    assert code == 0, err


@pytest.mark.parametrize("words", SAMPLES, ids=" ".join)
def test_a_command_that_samples_has_settings_that_exist(words: list[str]) -> None:
    assert sample.read(words[1:]).request.ckpt == words[words.index("--ckpt") + 1]


@pytest.mark.parametrize("command", PARSERS)
def test_a_command_has_options_that_exist(command: str) -> None:
    ours = PARSERS[command]()._option_string_actions.keys()
    if command == "sweep":
        ours |= sample.parser()._option_string_actions.keys()
        ours |= edit_options.parser([], NO_TRUST)._option_string_actions.keys()
    for words in SAID.values():
        if words[0] == command:
            given = [word.partition("=")[0] for word in words if word.startswith("--")]
            options = [option for option in given if option not in ("--trust", "--trust-size")]
            # A dot stands before what the class of an option takes.
            unknown = [o for o in options if o not in ours and o.rpartition(".")[0] not in ours]
            unknown = [o for o in unknown if o.partition(".")[0] not in ours]
            assert not unknown, words


def test_a_wrong_command_is_seen(cgd: Callable[..., tuple[int, str, str]]) -> None:
    assert cgd("fit", "--config=diffusion.yaml", "--model.widht=3", "--print_config")[0] == 2


def test_the_table_of_the_words_of_others_is_what_is_answered() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    table = page.partition("| theirs | ours |\n|---|---|\n")[2]
    for line in table.splitlines():
        theirs, ours = (re.findall(r"`([^`]+)`", cell) for cell in line.split(" | "))
        for word in theirs:
            if word.startswith("--"):
                option = OPTIONS[word[2:]]
                assert f"--{option}" == ours[0]
                assert ours[1:] in ([], ["cgd fit", f"--{TRAINING.get(option)}"])
            elif ours[0].startswith("cgd "):
                assert ours == [f"cgd {COMMANDS_OF_OTHERS[word]}"]
            else:
                assert VALUES.get(word, meant_value(word, ours)) in ours
