"""A typed option wins over a variable of the environment, and that over a configuration file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cgd_lightning.commands import sample
from cgd_lightning.commands.measuring import command_parser
from cgd_lightning.configuration.environment import with_environment


def scale(*words: str) -> tuple[float, int]:
    """What `words` of a command `cgd try` come to."""
    parser = command_parser("try", "")
    parser.add_argument("--part.scale", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args(with_environment(words, parser))
    return settings.part.scale, settings.seed


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ([], 2.0),
        (["--config=some.yaml"], 2.0),
        (["--config", "some.yaml"], 2.0),
        (["--config=some.yaml", "--config=some.yaml"], 2.0),
        (["--config=some.yaml", "--part.scale=3"], 3.0),
        (["--part.scale=3"], 3.0),
        (["--part.scale=3", "--config=none.yaml"], 3.0),
        (["--part.scale=3", "--config=some.yaml"], 1.0),
    ],
)
def test_typed_options_win_over_variables_and_these_over_files(
    words: list[str], value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("some.yaml").write_text("part: {scale: 1}\nseed: 7\n")
    Path("none.yaml").write_text("seed: 7\n")
    monkeypatch.setenv("CGD_TRY__PART__SCALE", "2")
    monkeypatch.setenv("CGD_TRY__NOTHING", "2")
    assert scale(*words) == (value, 7 if "--config" in " ".join(words) else 0)


def test_without_a_variable_a_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("some.yaml").write_text("part: {scale: 1}\n")
    assert scale("--config=some.yaml") == (1.0, 0)


def test_questions_and_files_are_no_settings_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("some.yaml").write_text("part: {scale: 1}\n")
    for name in ("HELP", "PRINT_CONFIG"):
        monkeypatch.setenv(f"CGD_TRY__{name}", "1")
    assert scale("--config=some.yaml") == (1.0, 0)


@pytest.mark.parametrize(
    ("words", "name", "steps"),
    [
        ((), "DDIM", 3),
        (("--sampler=Heun",), "Heun", 3),
        (("--sampler", "Heun", "--seed=1"), "Heun", 3),
        (("--sampler.steps=5",), "DDIM", 5),
        (("--config=some.yaml",), "Euler", 3),
        (("--config=some.yaml", "--sampler.steps=5"), "Euler", 5),
    ],
)
def test_variables_set_the_options_of_a_class_wherever_it_is_given(
    words: tuple[str, ...],
    name: str,
    steps: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("some.yaml").write_text("sampler: {class_path: Euler, init_args: {steps: 7}}\n")
    monkeypatch.setenv("CGD_SAMPLE__SAMPLER__STEPS", "3")
    request = sample.read(["--ckpt=runs/diffusion", *words]).request
    assert (type(request.sampler).__name__, request.sampler.steps) == (name, steps)


def test_a_variable_names_no_class_that_a_file_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cgd: Callable[..., tuple[int, str, str]]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.py").write_text("raise SystemExit(77)\n")
    monkeypatch.setenv("CGD_FIT__MODEL__NETWORK", "evil.Network")
    code, _, err = cgd("fit", "--config=diffusion.yaml", "--print_config")
    assert (code, "'evil' is not trusted" in err) == (2, True), err


def test_variables_of_a_class_that_only_a_word_names_come_behind_it(
    monkeypatch: pytest.MonkeyPatch, cgd: Callable[..., tuple[int, str, str]]
) -> None:
    for name, value in (("DATA__BATCH_SIZE", "7"), ("MODEL__NETWORK__WIDTH", "24")):
        monkeypatch.setenv(f"CGD_FIT__{name}", value)
    words = ("--data=Digits", "--model", "DiffusionModule", "--model.network=MLP")
    code, out, err = cgd("fit", *words, "--print_config=skip_default")
    assert (code, "batch_size: 7" in out, "width: 24" in out) == (0, True, True), err
