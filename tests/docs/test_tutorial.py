"""docs/tutorial.ipynb: its code runs, what is stored came of it, and its words are its own."""

import ast
import base64
import re
from pathlib import Path

import nbformat
import pytest
import torch
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[2]
NOTEBOOK = nbformat.read(ROOT / "docs" / "tutorial.ipynb", as_version=4)
CODE = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
SHORT = {"STEPS": 12, "WALK": 10, "SAMPLES": 20}


def shortened(source: str) -> str:
    """The first cell, which is constants alone, with those of `SHORT`."""
    names = [node.targets[0].id for node in ast.parse(source).body]
    assert names == list(SHORT)
    return "\n".join(f"{name} = {value}" for name, value in SHORT.items())


def test_every_cell_runs_and_the_step_by_hand_is_the_librarys(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    plt.switch_backend("Agg")
    names: dict = {}
    for number, cell in enumerate(CODE):
        source = cell.source if number else shortened(cell.source)
        exec(compile(source, f"cell {cell.id}", "exec"), names)
        if cell.id == "check":
            assert torch.allclose(names["mine"][-1], names["theirs"], atol=1e-3)
            assert not torch.allclose(names["mine"][-2], names["theirs"], atol=1e-3)
    assert not any(tmp_path.iterdir())


def test_what_is_stored_came_of_one_run_without_errors_or_warnings() -> None:
    assert [cell.execution_count for cell in CODE] == list(range(1, len(CODE) + 1))
    outputs = [output for cell in CODE for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {
        *("stream", "display_data", "execute_result"),
    }
    assert all(output.name == "stdout" for output in outputs if output.output_type == "stream")
    assert stored("check") == "True"
    assert stored("schedule-check") == "True"


def stored(cell_id: str) -> str:
    """The value that the last line of a cell came to."""
    cell = next(cell for cell in CODE if cell.id == cell_id)
    return cell.outputs[-1].data["text/plain"]


def test_each_cell_that_draws_has_its_picture() -> None:
    drawing = re.compile(r"^(show\(|plt\.show\()", re.MULTILINE)
    for cell in CODE:
        pictures = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
        called = drawing.findall(cell.source)
        assert len(pictures) == len(called), cell.id
        assert all(base64.b64decode(p).startswith(b"\x89PNG") for p in pictures)


def test_the_numbers_in_its_words_are_those_it_printed() -> None:
    words = "".join(cell.source for cell in NOTEBOOK.cells if cell.cell_type == "markdown")
    printed = {cell.id: "".join(o.get("text", "") for o in cell.outputs) for cell in CODE}
    low, high = re.findall(r"between ([\d.]+) and ([\d.]+)", printed["weight"])[0]
    assert f"{low} to {high} of Bayes' weight at 95%" in words
    signs = dict(re.findall(r"(right|wrong) sign: (\d+)%", printed["sign-curve"]))
    assert int(signs["right"]) > 90 > 10 > int(signs["wrong"])


def test_the_file_is_small_and_knows_no_machine() -> None:
    text = (ROOT / "docs" / "tutorial.ipynb").read_text()
    assert len(text) < 700_000
    assert not re.search(r"/(home|root|work|tmp|usr)/|\.venv|site-packages", text)
    assert set(NOTEBOOK.metadata) == {"kernelspec", "language_info"}
    assert all(not cell.metadata for cell in NOTEBOOK.cells)


def runs(text: str, length: int = 8) -> set[tuple[str, ...]]:
    """Every run of so many words in a row."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return set(zip(*(words[start:] for start in range(length))))


def test_no_sentence_is_that_of_the_tutorial_it_retells() -> None:
    own = runs("\n".join(cell.source for cell in NOTEBOOK.cells))
    assert len(own) > 1000
    assert own & runs(NOTEBOOK.cells[0].source)
    for text in (ROOT.parent / "shared").glob("000_*.txt"):
        assert not own & runs(text.read_text())
