"""`make gpu`: its benchmark runs on a CPU too, and what it lacks is named."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.benchmarks import script


def test_the_benchmark_writes_what_it_had_time_for_and_tells_what_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = script("gpu", monkeypatch)
    monkeypatch.setitem(gpu.FEW, "mnist", 1)
    words = ["--device=cpu", "--networks", "mnist", "--variants", "fp32", "--cell=0.01"]
    gpu.main([*words, "--deadline=100", "--out", str(tmp_path)])
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert [row["task"] for row in report["rows"]] == list(gpu.TASKS)
    for row in report["rows"]:
        assert row["tflops"] == pytest.approx(row["share"] * report["limits"]["fp32"])
    assert "| mnist | sample | fp32 | 1 |" in (tmp_path / "gpu.md").read_text()
    gpu.main([*words, "--deadline=0", "--out", str(tmp_path)])
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["rows"] == []
    assert report["left_out"][0].startswith("3 cells, for which no time was left: mnist, train")


def test_a_training_step_counts_three_times_the_forward_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Forward, and backward to the weights and to the inputs."""
    gpu = script("gpu", monkeypatch)
    counted = []
    denoiser, _ = gpu.build("mnist", narrow=True)
    for work in (gpu.training_step(denoiser, 1), lambda: forward(denoiser)):
        with gpu.FlopCounterMode(display=False) as counter:
            work()
        counted.append(counter.get_total_flops())
    assert 2.8 < counted[0] / counted[1] <= 3.0


def forward(denoiser: Any) -> None:
    denoiser.output(torch.zeros(1, *denoiser.image_shape), torch.zeros(1))


def test_what_is_missing_is_named_with_its_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheels = script("wheels", monkeypatch)
    assert "torch>=2.7" in wheels.dependencies()
    assert list(wheels.missing(["jsonargparse[signatures]>=4", "pytest>=8"])) == []
    assert sorted(wheels.missing(["no-such-thing>=3", "torch>=99"])) == [
        "no-such-thing>=3",
        "torch>=99",
    ]
    with pytest.raises(SystemExit, match=r"no \*.whl is there"):
        wheels.main(["--wheels", str(tmp_path)])
