"""Checkpoints that lie: what a card may say, and which weights a model takes."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints import Trust
from cgd_lightning.errors import InputError
from tests.checkpoints.test_checkpoints import KINDS, answer, denoiser, edit, judge, saved


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return saved(tmp_path / "model.ckpt", denoiser())


ENTRIES: dict[str, tuple[str, Any]] = {
    "a shape of text": ("image_shape", ["1", "8", "8"]),
    "a shape of bools": ("image_shape", [True, 8, 8]),
    "an empty side": ("image_shape", [1, 0, 8]),
    "a negative side": ("image_shape", [1, -8, 8]),
    "two sides": ("image_shape", [8, 8]),
    "a huge image": ("image_shape", [1000, 10_000, 10_000]),
    "a shape that is none": ("image_shape", None),
    "names of ints": ("class_names", [1, 2, 3]),
    "a name twice": ("class_names", ["a", "a", "b"]),
    "a name of nothing": ("class_names", ["", "b", "c"]),
    "half a letter": ("class_names", ["\ud800", "b", "c"]),
    "a name that moves the cursor": ("class_names", ["\x1b[2J", "b", "c"]),
    "a long name": ("class_names", ["a" * 2000, "b", "c"]),
    "many names": ("class_names", [str(i) for i in range(100_001)]),
    "shares of other classes": ("class_shares", [0.5, 0.5]),
    "a share of nothing": ("class_shares", [math.nan, 0.5, 0.5]),
    "a format of text": ("format", "1"),
    "a format of yes": ("format", True),
    "a version of ten thousand letters": ("version", "9" * 10_000),
    "a kind of list": ("kind", ["diffusion"]),
    "a range": ("image_range", [0, 255]),
    "another prediction": ("prediction", "score"),
    "no prediction": ("prediction", None),
    "a data set of control characters": ("dataset", "digits\x07"),
    "a partner of lists": ("partner", ["runs/x"]),
    "a network of text": ("network", "cgd_lightning.UNet"),
    "a network and more": (
        "network",
        {"class_path": "cgd_lightning.UNet", "init_args": {}, "dict_kwargs": {}},
    ),
    "a class path of ints": ("network", {"class_path": 3, "init_args": {}}),
}


@pytest.mark.parametrize(("entry", "value"), ENTRIES.values(), ids=ENTRIES)
def test_an_entry_of_a_card_has_its_own_type_and_bounds(entry: str, value: Any, file: Path) -> None:
    edit(file, lambda contents: contents["cgd"].update({entry: value}))
    for read in (checkpoints.read, checkpoints.load):
        with pytest.raises(
            InputError, match=f"^{file}: its description is damaged: {entry}"
        ) as error:
            read(file)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 600


ARGUMENTS: dict[str, dict[str, Any]] = {
    "a number for a list": {"channel_mult": 1},
    "text for a number": {"model_channels": "8"},
    "a switch for a number": {"model_channels": True},
    "a fraction for an integer": {"num_res_blocks": 1.5},
    "not a number": {"dropout": math.nan},
    "an object": {
        "channel_mult": {
            "class_path": "torch.nn.Linear",
            "init_args": {"in_features": 1, "out_features": 1},
        }
    },
    "many channels": {"model_channels": 10**6},
    "very many channels": {"model_channels": 10**12},
    "many layers": {"num_res_blocks": 10**6},
    "many levels": {"channel_mult": [1] * 9000},
    "a division by nothing": {"norm_groups": 0},
    "a size of nothing": {"image_size": 0},
}


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments_of_a_network_are_plain_and_ask_for_no_more_than_the_file_holds(
    arguments: dict[str, Any], file: Path
) -> None:
    edit(file, lambda contents: contents["cgd"]["network"]["init_args"].update(arguments))
    with pytest.raises(InputError, match=f"^{file}: "):
        checkpoints.load(file)


def test_a_schedule_of_a_million_timesteps_is_refused(file: Path) -> None:
    for steps in (10**6, 10**12, 1, 0, -5):
        wanted = {"timesteps": steps}
        edit(file, lambda contents: contents["cgd"]["schedule"]["init_args"].update(wanted))  # noqa: B023
        with pytest.raises(InputError, match=f"^{file}: timesteps {steps}"):
            checkpoints.load(file)


def first(contents: dict[str, Any]) -> str:
    return next(iter(contents["state_dict"]))


def replace(make: Callable[[Tensor], Any]) -> Callable[[dict[str, Any]], None]:
    def change(contents: dict[str, Any]) -> None:
        contents["state_dict"][first(contents)] = make(contents["state_dict"][first(contents)])

    return change


WEIGHTS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "complex": (lambda value: value.to(torch.complex64), "more than plain data"),
    "sparse": (lambda value: value.to_sparse(), "more than plain data"),
    "meta": (lambda value: value.to("meta"), "more than plain data|not a readable checkpoint"),
    "quantised": (
        lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
        "more than plain data",
    ),
    "a number": (lambda value: 3.0, "is no tensor"),
    "nothing": (lambda value: None, "is no tensor"),
    "a list": (lambda value: value.tolist(), "is no tensor"),
    "integers": (lambda value: value.long(), "holds torch.int64"),
    "expanded": (lambda value: torch.zeros(()).expand(2**40), "larger than its storage"),
    "of another shape": (lambda value: torch.ones(value.numel()), "is of shape"),
    "infinite": (lambda value: value / 0, "are not finite"),
    "not a number": (lambda value: value * math.nan, "are not finite"),
}


@pytest.mark.parametrize(("make", "says"), WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.filterwarnings("ignore")
def test_weights_are_dense_finite_numbers_of_the_networks_own_shapes(
    make: Callable[[Tensor], Any], says: str, file: Path
) -> None:
    edit(file, replace(make))
    with pytest.raises(InputError, match=says) as error:
        checkpoints.load(file)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_taken_in_that_of_the_network(
    dtype: torch.dtype, file: Path
) -> None:
    wanted = answer(checkpoints.load(file))
    edit(
        file,
        lambda contents: contents["state_dict"].update(
            {k: v.to(dtype) for k, v in contents["state_dict"].items()}
        ),
    )
    again = checkpoints.load(file)
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}
    assert torch.allclose(answer(again), wanted, atol=0.05)


def test_a_network_larger_than_the_bound_wants_to_be_trusted(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cgd_lightning.checkpoints.weights.MOST_PARAMETERS", 100)
    with pytest.raises(InputError, match="want --trust-size"):
        checkpoints.load(file)
    assert checkpoints.load(file, trust=Trust(any_size=True))


def test_hooks_that_count_layers_are_gone_afterwards(file: Path) -> None:
    checkpoints.load(file)
    edit(file, lambda contents: contents["cgd"]["network"]["init_args"].update(model_channels=512))
    with pytest.raises(InputError):
        checkpoints.load(file)
    assert torch.nn.Linear(1000, 1000).weight.numel() == 10**6
    from torch.nn.modules import module

    assert not module._global_parameter_registration_hooks
    assert not module._global_module_registration_hooks


@pytest.mark.parametrize(
    "name",
    [
        "torch.nn.Linear",
        "torchvision.models.resnet18",
        "torchmetrics.Accuracy",
        "lightning.pytorch.LightningModule",
    ],
)
def test_a_network_is_one_of_ours_and_of_no_other_package(name: str, file: Path) -> None:
    edit(file, lambda contents: contents["cgd"]["network"].update(class_path=name, init_args={}))
    with pytest.raises(InputError, match=f"names the class {name}.*--trust {name}"):
        checkpoints.load(file)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_card_comes_back_as_it_was_written(make: Callable[[], Any], tmp_path: Path) -> None:
    model = make()
    card = checkpoints.read(saved(tmp_path / "model.ckpt", model, dataset="digits"))
    assert vars(card) == checkpoints.describe(model, "digits")


def test_a_judge_needs_names_and_a_classifier_too(tmp_path: Path) -> None:
    path = saved(tmp_path / "judge.ckpt", judge())
    edit(path, lambda contents: contents["cgd"].update(class_names=[]))
    with pytest.raises(InputError, match="class_names: none"):
        checkpoints.load(path)


def test_one_name_may_be_trusted_as_text(file: Path) -> None:
    assert checkpoints.load(file, trust="mine")
    with pytest.raises(InputError, match=r"--trust mine;rm: wanted the name of a package"):
        checkpoints.load(file, trust="mine;rm")
