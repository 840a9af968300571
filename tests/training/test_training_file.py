"""A checkpoint is whole, and of a training, before anything is gone on with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cgd_lightning.errors import InputError
from cgd_lightning.training.training_file import OF_A_TRAINING, check_whole

Contents = dict[str, Any]


def training() -> Contents:
    return {
        "cgd": {},
        "epoch": 0,
        "global_step": 3,
        "state_dict": {"weight": torch.zeros(50), "count": torch.tensor(1)},
        "loops": {"fit_loop": {}},
        "optimizer_states": [{"moment": torch.full((50,), 7.0)}],
        "lr_schedulers": [],
    }


def test_a_training_that_is_whole_is_taken(tmp_path: Path) -> None:
    torch.save(training(), tmp_path / "x.ckpt")
    check_whole(tmp_path / "x.ckpt")


def test_one_bit_of_an_optimiser_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "x.ckpt"
    torch.save(training(), file)
    moment = torch.full((50,), 7.0).numpy().tobytes()
    data = bytearray(file.read_bytes())
    data[data.index(moment)] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"x\.ckpt: "):
        check_whole(file)


@pytest.mark.parametrize("name", [name for name in OF_A_TRAINING if name != "state_dict"])
def test_a_part_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    contents = training()
    del contents[name]
    torch.save(contents, tmp_path / "x.ckpt")
    with pytest.raises(InputError, match=rf"only a model \({name} missing\)"):
        check_whole(tmp_path / "x.ckpt")


WRONG: dict[str, tuple[Callable[[Contents], object], str]] = {
    "an epoch below 0": (lambda c: c.update(epoch=-1), "epoch "),
    "a step below 0": (lambda c: c.update(global_step=-1), "global_step "),
    "a step that is none": (lambda c: c.update(global_step=1.0), "global_step "),
    "no optimiser": (lambda c: c.update(optimizer_states=[]), "optimizer_states is no list"),
    "optimisers by name": (lambda c: c.update(optimizer_states={"a": 1}), "optimizer_states is no"),
    "no loop": (lambda c: c.update(loops={}), "loops holds no counters"),
    "a list of loops": (lambda c: c.update(loops=[1]), "loops holds no counters"),
    "a weight of no number": (
        lambda c: c["state_dict"]["weight"].fill_(float("nan")),
        "its weights are not finite, beginning with weight",
    ),
}


@pytest.mark.parametrize(("change", "says"), WRONG.values(), ids=WRONG)
def test_a_state_that_no_training_goes_on_with_is_refused(
    change: Callable[[Contents], object], says: str, tmp_path: Path
) -> None:
    contents = training()
    change(contents)
    torch.save(contents, tmp_path / "x.ckpt")
    with pytest.raises(InputError, match=f"not the state of such a training: {says}"):
        check_whole(tmp_path / "x.ckpt")
