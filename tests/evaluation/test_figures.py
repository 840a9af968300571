"""The style of figures, and the files that they become."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from PIL import Image

from cgd_lightning.evaluation import figures


def drawn() -> Any:
    figure, (left, right) = figures.panels(2, width=2.0, height=1.5)
    figures.curve(left, [1, 2, 3], [1.0, 3.0, 2.0], [0.5, 2.5, 1.5], [1.5, 3.5, 2.5], "ours")
    figures.curve(left, [1, 2, 3], [2.0, 2.0, 2.0], label="theirs", dashed=True)
    figures.level(left, 2.5, "real images")
    figures.caption(left, "FID-lite", "step", "distance")
    figures.points(right, [1, 2], [0.3, 0.2], [0.2, 0.2], [0.6, 0.3])
    figures.logarithmic(right)
    figures.caption(right, "loss")
    return figure


def test_equal_figures_are_equal_bytes_without_date_or_version(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        figures.save(drawn(), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert set(picture.info) == {"dpi"}
        assert picture.size == (4 * figures.DPI, 1.5 * figures.DPI)


@pytest.mark.parametrize(
    ("count", "columns", "shape"), [(1, 3, (1, 1)), (3, 3, (1, 3)), (4, 3, (2, 3)), (5, 2, (3, 2))]
)
def test_panels_fill_rows_and_no_empty_one_is_left(
    count: int, columns: int, shape: tuple[int, int]
) -> None:
    figure, axes = figures.panels(count, columns, width=3.0, height=2.0)
    assert figure.axes == axes
    places = [each.get_subplotspec() for each in axes]
    assert [(place.num1, place.num2) for place in places] == [(i, i) for i in range(count)]
    assert places[0].get_gridspec().get_geometry() == shape
    assert tuple(figure.get_size_inches()) == (3.0 * shape[1], 2.0 * shape[0])


def test_curves_take_the_colours_in_turn_and_their_shades_and_bars_have_the_heights() -> None:
    figure = drawn()
    left, right = figure.axes
    assert [line.get_color() for line in left.lines[:2]] == list(figures.PALETTE[:2])
    [shade] = left.collections
    assert sorted({y for _, y in shade.get_paths()[0].vertices}) == [0.5, 1.5, 2.5, 3.5]
    [bars] = right.collections
    assert [[round(y, 9) for _, y in bar] for bar in bars.get_segments()] == [
        [0.2, 0.6],
        [0.2, 0.3],
    ]
    assert [text.get_text() for text in left.get_legend().get_texts()] == [
        "ours",
        "theirs",
        "real images",
    ]
    assert right.get_legend() is None


def test_a_single_point_is_seen_and_a_long_curve_has_no_marks() -> None:
    _, (axes,) = figures.panels(1)
    for n in (1, figures.MARKED, figures.MARKED + 1):
        figures.curve(axes, range(n), range(n))
    assert [line.get_marker() for line in axes.lines] == ["o", "o", ""]


@pytest.mark.parametrize(
    ("least", "most", "numbers"),
    [
        (0.3, 0.9, {"0.3", "0.5", "0.7"}),
        (0.1, 40.0, {"0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50"}),
        (0.001, 1000.0, {"0.001", "0.01", "0.1", "1", "10", "100", "1000"}),
    ],
)
def test_a_logarithmic_axis_has_plain_numbers_as_many_as_fit(
    least: float, most: float, numbers: set[str]
) -> None:
    figure, (axes,) = figures.panels(1)
    figures.curve(axes, [1, 2], [least, most])
    figures.logarithmic(axes)
    figure.draw_without_rendering()
    bottom, top = axes.get_ylim()
    seen = {t.get_text() for t in axes.get_yticklabels() if bottom <= t.get_position()[1] <= top}
    assert seen == numbers


def test_a_save_that_fails_leaves_what_stood_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old.png").write_bytes(b"before")
    figure = drawn()

    def full(file: Path, **_: Any) -> None:
        file.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(figure, "savefig", full)
    for name in ("old.png", "new.png"):
        with pytest.raises(OSError, match="no space left"):
            figures.save(figure, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["old.png"]
    assert (tmp_path / "old.png").read_bytes() == b"before"


def test_the_settings_of_a_session_decide_nothing_and_are_left_as_they_are(tmp_path: Path) -> None:
    figures.save(drawn(), tmp_path / "plain.png")
    mine = {"text.usetex": True, "font.size": 30, "lines.marker": "x", "axes.facecolor": "red"}
    with matplotlib.rc_context({**mine, "xtick.direction": "in", "savefig.facecolor": "blue"}):
        before = dict(matplotlib.rcParams)
        figures.save(drawn(), tmp_path / "mine.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "mine.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


def test_no_settings_of_a_folder_are_heeded_and_no_window_is_thought_of(tmp_path: Path) -> None:
    figures.save(drawn(), tmp_path / "here.png")
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nlines.linewidth: 9\n")
    program = (
        "import sys; sys.path.insert(0, ROOT)\n"
        "from cgd_lightning.evaluation import figures\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from tests.evaluation.test_figures import drawn\n"
        "figures.save(drawn(), 'there.png')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    ).replace("ROOT", repr(str(Path(__file__).parents[2])))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "there.png").read_bytes() == (tmp_path / "here.png").read_bytes()


def test_neither_the_package_nor_its_help_imports_matplotlib(tmp_path: Path) -> None:
    program = (
        "import sys, cgd_lightning, cgd_lightning.evaluation.figures\n"
        "from cgd_lightning.commands.main import main\n"
        "main(['--help'])\n"
        "print([name for name in sys.modules if name.partition('.')[0] == 'matplotlib'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
