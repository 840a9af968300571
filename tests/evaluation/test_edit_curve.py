"""What edits are compared with, and the picture of flips against closeness."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cgd_lightning.evaluation.class_distance import class_distance
from cgd_lightning.evaluation.edit_curve import EditLine, write_curve
from cgd_lightning.evaluation.edit_measure import EditReport
from cgd_lightning.evaluation.estimate import share


def grey(*levels: int) -> torch.Tensor:
    """Images of one grey level each, uint8 (N, 1, 2, 2)."""
    return torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2)


def test_the_distance_of_classes_is_to_images_of_what_is_asked_for() -> None:
    images, labels = grey(10, 12, 40, 100), [0, 0, 1, 2]
    assert class_distance(images, labels, [1, 1, 1, 1]) == 30  # 30, 28 and 60
    assert class_distance(images[:2], [0, 1], [1, 0]) == 2
    weights = (0.0, 0.5, 0.5)  # one of two classes; the last two images show that already
    assert class_distance(images[:3], [0, 1, 2], [weights] * 3) in (2, 16, 30)
    assert class_distance(images, labels, [3] * 4) is None
    many = torch.randint(0, 256, (60, 1, 4, 4), dtype=torch.uint8)
    classes = [i % 3 for i in range(60)]
    targets = [(k + 1) % 3 for k in classes]
    assert class_distance(many, classes, targets) == class_distance(many, classes, targets)


def reports(*pairs: tuple[int, float]) -> list[EditReport]:
    """(flips of 100, median L1) of each point."""
    return [
        EditReport(100, "judge", share(hits, 100), share(0, 100), None, l1, l1, 0.1, 0.1, 8)
        for hits, l1 in pairs
    ]


def test_the_picture_shows_lines_goal_and_half_of_the_distance(tmp_path: Path) -> None:
    weak = EditLine("strength 0.5", (2, 5), reports((10, 3.0), (40, 8.0)))
    strong = EditLine("strength 0.9", (2, 5), reports((60, 9.0), (97, 20.0)), best=1)
    pictures = {}
    for name, arguments in {
        "all": ([weak, strong], 0.95, 22.0),
        "again": ([weak, strong], 0.95, 22.0),
        "one": ([weak], 0.95, 22.0),
        "goal": ([weak, strong], 0.5, 22.0),
        "half": ([weak, strong], 0.95, None),
    }.items():
        write_curve(tmp_path / name, *arguments)
        pictures[name] = np.asarray(Image.open(tmp_path / name).convert("RGB"))
    assert np.array_equal(pictures.pop("again"), pictures["all"])
    whole = pictures.pop("all")
    assert all(not np.array_equal(whole, other) for other in pictures.values())
    for color in ((0, 114, 178), (213, 94, 0)):  # the first two of the palette
        assert (whole == color).all(axis=2).sum() > 100
