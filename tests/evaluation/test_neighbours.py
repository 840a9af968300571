import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from cgd_lightning.evaluation import neighbours
from cgd_lightning.evaluation.neighbours import (
    distance_to_nearest,
    in_a_ball,
    nearest_balls,
    nearest_others,
    visits,
)


def distances(x: Tensor, y: Tensor) -> np.ndarray:
    """Every |x_i - y_j| by its definition."""
    return np.sqrt(((x.numpy()[:, None] - y.numpy()[None]) ** 2).sum(-1))


def points(n: int, d: int, seed: int, far: float = 0.0, steps: float = 0.0) -> Tensor:
    """`far`: from the origin. `steps`: of a lattice on which they lie, with many ties."""
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return far + (x / steps).round() * steps if steps else far + x


KINDS = {
    "apart": {},
    "on a lattice": {"steps": 1.0},
    "far from the origin": {"far": 1e5},
    "so far that no product tells them apart": {"far": 1e7, "steps": 0.5},
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("block", [2**20, 700], ids=["one block", "many blocks"])
@pytest.mark.parametrize("k", [1, 3, 20])
def test_they_are_what_all_distances_say(
    kind: dict[str, float], block: int, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", block)
    x, y = points(130, 5, seed=0, **kind), points(90, 5, seed=1, **kind)
    radius = distance_to_nearest(x, k)
    np.testing.assert_allclose(radius, np.sort(distances(x, x), axis=1)[:, k], rtol=1e-14)
    assert torch.equal(
        in_a_ball(y, x, radius), torch.from_numpy((distances(y, x) <= radius.numpy()).any(axis=1))
    )


def test_the_surface_belongs_to_the_ball() -> None:
    """The k-th neighbour of a point lies on its ball; 1e-12 further out is outside."""
    centre, x = points(1, 64, seed=2, far=3e3), points(500, 64, seed=3, far=3e3)
    for i in range(0, 500, 50):
        radius = torch.cdist(centre, x[i : i + 1], compute_mode="donot_use_mm_for_euclid_dist")[0]
        assert in_a_ball(x[i : i + 1], centre, radius).item()
        assert not in_a_ball(x[i : i + 1], centre, radius * (1 - 1e-12)).item()


def test_a_row_that_is_there_twice_is_at_distance_0() -> None:
    x = points(40, 64, seed=4, far=1e4).repeat(2, 1)
    assert torch.equal(distance_to_nearest(x, 1), torch.zeros(80, dtype=torch.float64))
    assert in_a_ball(x, x[:40], torch.zeros(40, dtype=torch.float64)).all()


def test_the_order_of_the_rows_changes_no_bit() -> None:
    x = points(200, 33, seed=5, far=100.0, steps=0.25)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    assert torch.equal(distance_to_nearest(x, 3)[order], distance_to_nearest(x[order], 3))


@pytest.mark.parametrize("block", [2**20, 700], ids=["one block", "many blocks"])
def test_the_nearest_rows_and_balls_are_those_of_all_distances(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", block)
    x, y = points(130, 5, seed=6), points(90, 5, seed=7)
    among = distances(x, x) + np.diag(np.full(130, np.inf))
    found, indices = nearest_others(x, 9)
    np.testing.assert_allclose(found, np.sort(among, axis=1)[:, :9], rtol=1e-6)
    np.testing.assert_array_equal(indices, among.argsort(axis=1)[:, :9])
    radius = distance_to_nearest(x, 3)
    across = distances(y, x)
    order = (across / radius.numpy()).argsort(axis=1)[:, :7]
    found, indices = nearest_balls(y, x, radius, 7)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(found, np.take_along_axis(across, order, axis=1), rtol=1e-6)


@pytest.mark.parametrize("block", [2**20, 700], ids=["one block", "many blocks"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_visits_are_counted_and_weighed(
    kind: dict[str, float], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", block)
    x, y = points(130, 5, seed=0, **kind), points(90, 5, seed=1, **kind)
    radius = distance_to_nearest(x, 3)
    inside = torch.from_numpy(distances(y, x) <= radius.numpy())
    weights = torch.arange(180, dtype=torch.float64).view(90, 2)
    count, total = visits(y, x, radius, weights)
    assert torch.equal(count, inside.sum(dim=1))
    assert torch.equal(total, inside.double().T @ weights)


EQUAL = """
import re
from pathlib import Path
import torch
from cgd_lightning.evaluation.neighbours import distance_to_nearest, visits

def peak():
    # Of getrusage, a child inherits the peak of who started it.
    return int(re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])

x = torch.randn(7, 2, dtype=torch.float64)[torch.arange(20_000) % 7]
distance_to_nearest(x[:7_000], 3)
before = peak()
assert not distance_to_nearest(x, 3).any()
wide, one = torch.randn(7, 512, dtype=torch.float64)[torch.arange(10_000) % 7], torch.ones(104, 1)
radius = torch.zeros(10_000, dtype=torch.float64)
assert set(visits(wide[:104], wide, radius, one.double())[0].tolist()) == {1428, 1429}
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read in /proc")
def test_memory_does_not_grow_with_the_number_of_rows_that_are_equal() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EQUAL],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 200_000
