"""Objects become plain data and plain data objects, in one way for all of them."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from cgd_lightning.checkpoints.classes import MOST_DEPTH, check_spec, construct, describe_object
from cgd_lightning.checkpoints.listed import LISTED, NO_TRUST, OURS, Trust
from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.diffusion.codec import Codec, Pixels
from cgd_lightning.diffusion.guidance import (
    Attribute,
    Autoguidance,
    Chain,
    Clamp,
    ClassifierGuidance,
    EntropyScale,
    Interval,
    Ramp,
    Rule,
    SqrtBeta,
)
from cgd_lightning.diffusion.samplers import LangevinCorrector, Sampler
from cgd_lightning.diffusion.schedules import Cosine, Linear, NoiseSchedule
from cgd_lightning.errors import InputError
from cgd_lightning.networks import Network
from cgd_lightning.values import Value, arguments

CLASSES = [
    getattr(import_module(f"cgd_lightning.{module}"), name)
    for module, names in OURS.items()
    for name in names
]
REMEMBERED = [cls for cls in CLASSES if issubclass(cls, Value | Network)]

NEEDED: dict[str, dict[str, Any]] = {
    "Attribute": {"rule": ClassifierGuidance(), "classifier": "runs/other", "label": "3"},
    "Autoguidance": {"weak": "runs/weak"},
    "Chain": {"rules": (ClassifierGuidance(), Clamp())},
    "DiscriminatorGuidance": {"discriminator": "runs/other"},
    "DiffusersAutoencoder": {"block_out_channels": (32,)},
    "DiffusersUNet": {
        "block_out_channels": (32,),
        "down_block_types": ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",),
    },
    "Latents": {
        "autoencoder": "runs/autoencoder",
        "hash": "0" * 16,
        "latent_shape": (2, 4, 4),
        "shift": (0.5, -0.5),
        "scale": (1.0, 2.0),
    },
    "Interval": {"low": -5.0, "high": 3.0},
    "MLP": {"width": 8, "depth": 1},
    "MLPClassifier": {"width": 8, "depth": 1},
    "Projection": {"rule": ClassifierGuidance()},
    "Rescale": {"rule": ClassifierGuidance()},
    "Tabulated": {"variances": (0.1, 0.2)},
}
"""The arguments of classes that have no default for them, and smaller networks."""


def made(cls: type) -> Any:
    sizes = {"image_size": 8, "in_channels": 1, "out_channels": 1}
    taken = cls.__init__.__code__.co_varnames  # type: ignore[misc]
    needed = {name: value for name, value in NEEDED.get(cls.__name__, {}).items() if name in taken}
    return cls(**(sizes if issubclass(cls, Network) else {}), **needed)


def through_a_file(thing: Any) -> Any:
    return json.loads(json.dumps(describe_object(thing)))


def test_all_but_data_sets_and_trainings_remember_their_arguments() -> None:
    others = {cls for cls in CLASSES if cls not in REMEMBERED}
    assert len(REMEMBERED) > 25
    assert {cls.__module__.split(".")[1] for cls in others} == {"data", "evaluation", "training"}


@pytest.mark.parametrize("cls", REMEMBERED, ids=lambda cls: cls.__name__)
def test_every_listed_class_comes_back_from_plain_data_as_it_was(cls: type) -> None:
    thing = made(cls)
    spec = through_a_file(thing)
    assert LISTED[spec["class_path"]] == f"{cls.__module__}.{cls.__name__}"
    base = nn.Module if issubclass(cls, Network) else Value
    again = construct(spec, base, "file", NO_TRUST)
    assert type(again) is cls
    if isinstance(thing, Value):
        assert again == thing
        assert hash(again) == hash(thing)
    assert through_a_file(again) == spec


def test_objects_in_objects_come_back_too() -> None:
    rule = Chain(
        [
            ClassifierGuidance(2.0, SqrtBeta(Cosine(timesteps=500)), EntropyScale()),
            Attribute(ClassifierGuidance(1.5, Interval(-4.0, 2.0)), "runs/other", "3|7"),
            Chain([Autoguidance("runs/weak", 3.0), Clamp(-2.0, 2.0)]),
        ]
    )
    spec = through_a_file(rule)
    weight = spec["init_args"]["rules"][0]["init_args"]["weight"]["init_args"]
    assert weight["schedule"]["init_args"]["timesteps"] == 500
    assert construct(spec, Rule, "file", NO_TRUST) == rule
    sampler = LangevinCorrector(17, corrections=2, predictor="reverse_diffusion")
    assert construct(through_a_file(sampler), Sampler, "file", NO_TRUST) == sampler
    assert construct(through_a_file(Pixels()), Codec, "file", NO_TRUST) == Pixels()


def test_a_bare_name_of_an_older_file_is_that_of_a_listed_class() -> None:
    spec = {"class_path": "ClassifierGuidance", "init_args": {"weight": {"class_path": "SqrtBeta"}}}
    assert construct(spec, Rule, "file", NO_TRUST) == ClassifierGuidance(weight=SqrtBeta())


WRONG: dict[str, tuple[Any, str]] = {
    "another kind of rule": ({"class_path": "DDIM"}, "which is not a Rule"),
    "a sampler for a weight": (
        {"class_path": "ClassifierGuidance", "init_args": {"weight": {"class_path": "DDIM"}}},
        "which is not a Weight",
    ),
    "a program for a weight": (
        {
            "class_path": "ClassifierGuidance",
            "init_args": {"weight": {"class_path": "subprocess.Popen", "init_args": {"args": "x"}}},
        },
        "names the class subprocess.Popen, and 'subprocess' is not trusted",
    ),
    "a program in a list": (
        {"class_path": "Chain", "init_args": {"rules": [{"class_path": "os.system"}]}},
        "names the class os.system",
    ),
    "an entry more": (
        {"class_path": "Clamp", "init_args": {}, "call": "x"},
        "a Rule is described by the unknown entry 'call'",
    ),
    "an argument that is not there": (
        {"class_path": "Clamp", "init_args": {"height": 1.0}},
        "height: an argument that it does not have",
    ),
    "text for a number": (
        {"class_path": "Clamp", "init_args": {"low": "0"}},
        "Clamp does not take the arguments stored there: low: '0', where float was wanted",
    ),
    "plain data for an object": ([], "a Rule is described by a list"),
}


@pytest.mark.parametrize(("spec", "says"), WRONG.values(), ids=WRONG)
def test_what_a_file_may_not_describe_is_one_line(spec: Any, says: str) -> None:
    for read in (check_spec, construct):
        with pytest.raises(InputError, match=r"^file: ") as error:
            read(spec, Rule, "file", NO_TRUST)
        assert says in str(error.value)


def test_an_untrusted_class_is_told_with_what_trusts_it() -> None:
    with pytest.raises(InputError, match=r"add --trust mine$"):
        construct({"class_path": "mine.Rule"}, Rule, "file", NO_TRUST)
    with pytest.raises(InputError, match="which is no class that a file may name; nothing"):
        construct({"class_path": "cgd_lightning.mine.Rule"}, Rule, "file", NO_TRUST)


def test_objects_stand_in_each_other_to_a_depth() -> None:
    def nested(depth: int) -> dict[str, Any]:
        spec: dict[str, Any] = {"class_path": "Clamp"}
        for _ in range(depth):
            spec = {"class_path": "Chain", "init_args": {"rules": [spec]}}
        return spec

    assert isinstance(construct(nested(MOST_DEPTH - 1), Rule, "file", NO_TRUST), Chain)
    for depth in (MOST_DEPTH + 1, 300):
        with pytest.raises(InputError, match=r"more than 6 objects in each other"):
            construct(nested(depth), Rule, "file", NO_TRUST)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module with a user's own rule, of a rule and of plain data that hold weights."""
    (tmp_path / "mine_of_test.py").write_text(
        "import subprocess\n"
        "from subprocess import Popen\n"
        "from cgd_lightning.diffusion.guidance import Rule\n"
        "from cgd_lightning.values import Value\n"
        "class Both(Rule):\n"
        "    def __init__(self, one, more=None):\n"
        "        self.one, self.more = one, more\n"
        "    def bind(self, denoise, classifier, labels):\n"
        "        return denoise\n"
        "class Weighed(Value):\n"
        "    def __init__(self, factor):\n"
        "        self.factor = factor\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield import_module("mine_of_test")
    sys.modules.pop("mine_of_test")


def test_objects_in_a_users_own_class_come_back_where_it_is_trusted(mine: Any) -> None:
    rule = mine.Both(ClassifierGuidance(2.0), {"weights": [Ramp(), mine.Weighed(3)]})
    spec = through_a_file(rule)
    again = construct(spec, Rule, "file", Trust(("mine_of_test",)))
    assert type(again) is mine.Both
    assert again.one == rule.one
    assert again.more["weights"][0] == Ramp()
    assert arguments(again.more["weights"][1]) == {"factor": 3}
    with pytest.raises(InputError, match="'mine_of_test' is not trusted"):
        construct(spec, Rule, "file", NO_TRUST)


@pytest.mark.parametrize(
    "path",
    [
        *("subprocess.Popen", "cgd_lightning.Digits", "cgd_lightning.UNet", "os.system"),
        *("mine_of_test.Popen", "mine_of_test.subprocess.Popen", "mine_of_test.subprocess"),
    ],
)
def test_a_trusted_class_brings_no_others_in(path: str, mine: Any) -> None:
    for inner in ({"class_path": path, "init_args": {}}, {"class_path": path}):
        spec = {"class_path": "mine_of_test.Both", "init_args": {"one": [{"of": inner}]}}
        with pytest.raises(InputError, match=r"is not trusted|is not a Value|cannot be imported"):
            construct(spec, Rule, "file", Trust(("mine_of_test",)))


def test_what_does_not_remember_its_arguments_is_refused_wherever_it_stands(mine: Any) -> None:
    for thing in (nn.Identity(), object(), mine.Both(nn.Identity()), mine.Both([Path("x")])):
        with pytest.raises(InputError, match="does not remember its constructor arguments"):
            describe_object(thing)


@dataclass(frozen=True)
class Later(Linear):
    """A schedule of a user's own."""

    timesteps: int = 300


def test_a_class_that_is_not_listed_is_described_by_its_own_module() -> None:
    spec = describe_object(Later())
    assert spec["class_path"] == f"{__name__}.Later"
    assert construct(spec, NoiseSchedule, "file", Trust((__name__.partition(".")[0],))) == Later()


def test_a_data_set_is_checked_and_never_made_of_a_description_alone() -> None:
    spec = {"class_path": "cgd_lightning.Digits", "init_args": {"image_size": 8, "seed": 3}}
    assert check_spec(spec, NoisingDataModule, "file", NO_TRUST, without=("seed",)) == {
        "class_path": "cgd_lightning.data.digits.Digits",
        "init_args": {"image_size": 8},
    }
