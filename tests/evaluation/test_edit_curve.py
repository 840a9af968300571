"""The picture of flips against closeness."""

from pathlib import Path

import numpy as np
from PIL import Image

from cgd_lightning.evaluation.edit_curve import EditLine, write_curve
from cgd_lightning.evaluation.estimate import share


def test_the_picture_shows_lines_goal_and_half_of_the_distance(tmp_path: Path) -> None:
    weak = EditLine("strength 0.5", (2, 5), (3.0, 8.0), [share(10, 100), share(40, 100)])
    strong = EditLine("strength 0.9", (2, 5), (9.0, 20.0), [share(60, 100), share(97, 100)], best=1)
    pictures = {}
    for name, arguments in {
        "all": ([weak, strong], 100, 0.95, 22.0),
        "again": ([weak, strong], 100, 0.95, 22.0),
        "one": ([weak], 100, 0.95, 22.0),
        "goal": ([weak, strong], 100, 0.5, 22.0),
        "half": ([weak, strong], 100, 0.95, None),
    }.items():
        write_curve(tmp_path / name, *arguments)
        pictures[name] = np.asarray(Image.open(tmp_path / name).convert("RGB"))
    assert np.array_equal(pictures.pop("again"), pictures["all"])
    whole = pictures.pop("all")
    assert all(not np.array_equal(whole, other) for other in pictures.values())
    for color in ((0, 114, 178), (213, 94, 0)):  # the first two of the palette
        assert (whole == color).all(axis=2).sum() > 100
