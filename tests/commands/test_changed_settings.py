"""Which settings of a run are others than those that it was begun with."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cgd_lightning.commands.changed_settings import changed_settings
from cgd_lightning.configuration.files import MOST_BYTES

BEFORE = "data: {batch_size: 2}\nckpt_path: null\nname: a\nconfig: [x.yaml]\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BEFORE, ""),
        ("# the same\ndata:\n  batch_size: 2\nckpt_path: last\nname: b\n", ""),
        ("data: {batch_size: 3}\n", "data.batch_size 2 there, 3 here"),
        ("data: {batch_size: 2}\nday: 2001-01-01\n", 'day not given there, "2001-01-01" here'),
        ("data: {batch_size: 2, 2001-01-01: no name}\n", ""),
    ],
)
def test_settings_of_the_run_alone_are_compared(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(BEFORE)
    assert changed_settings(tmp_path / "config.yaml", text) == told


def test_a_run_without_a_configuration_has_nothing_that_differs(tmp_path: Path) -> None:
    assert changed_settings(tmp_path / "config.yaml", BEFORE) == ""


def link(file: Path) -> None:
    file.with_name("other").write_text(BEFORE)
    file.symlink_to("other")


ODD: dict[str, Callable[[Path], object]] = {
    "a list": lambda file: file.write_text("[1]"),
    "no YAML": lambda file: file.write_text("a: *b"),
    "no text": lambda file: file.write_bytes(b"\xff"),
    "too much": lambda file: file.write_text(BEFORE + "#" * MOST_BYTES),
    "a pipe": os.mkfifo,
    "a link": link,
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_what_cannot_be_read_is_said(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / "config.yaml")
    assert changed_settings(tmp_path / "config.yaml", BEFORE) == "those of before cannot be read"
