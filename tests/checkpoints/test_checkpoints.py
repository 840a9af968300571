import os
import pickle
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cgd_lightning import checkpoints, networks
from cgd_lightning.checkpoints import Model
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import (
    Cosine,
    Linear,
    NoiseSchedule,
    Sigmoid,
    VarianceExploding,
)
from cgd_lightning.errors import InputError
from cgd_lightning.networks import ConvNet, EncoderUNet, Network, UNet
from tests.command_line import TINY_DIFFUSION, status

NAMES = ("cat", "dog", "7")
SHAPE = (1, 8, 8)
DATA = DataSpec(SHAPE, NAMES)
SMALL: dict[str, Any] = {
    "model_channels": 8,
    "channel_mult": (1,),
    "num_res_blocks": 1,
    "attention_resolutions": (),
}


def denoiser(schedule: NoiseSchedule | None = None, prediction: Any = "eps") -> Denoiser:
    return Denoiser(randomised(UNet(8, 1, 1, **SMALL)), schedule or Linear(), prediction, DATA)


def noisy_classifier(names: tuple[str, ...] = NAMES, size: int = 8) -> NoisyClassifier:
    return NoisyClassifier(
        randomised(EncoderUNet(size, 1, len(names), **SMALL)),
        Cosine(),
        DataSpec((1, size, size), names),
    )


def judge() -> CleanClassifier:
    return CleanClassifier(randomised(ConvNet(8, 1, 3, width=4, dropout=0.5)), DATA)


def randomised(network: Network) -> Network:
    """`network` with every number in it changed, so that a weight or a buffer that is not stored
    shows.
    """
    generator = torch.Generator().manual_seed(3)
    for value in (*network.parameters(), *network.buffers()):
        if value.is_floating_point():
            value.data.add_(0.1 * torch.rand(value.shape, generator=generator))
    return network


def answer(model: Any) -> Tensor:
    x, t = (
        torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0)),
        torch.tensor([3.0, 700.0]),
    )
    if isinstance(model, Denoiser):
        return model.output(x, t)[0]
    return model.logits(x) if isinstance(model, CleanClassifier) else model.logits(x, t)


def saved(path: Path, model: Model, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoints.save(model, path, **options)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return saved(tmp_path / "model.ckpt", denoiser())


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    contents = torch.load(path, weights_only=True)
    change(contents)
    torch.save(contents, path)


KINDS: dict[str, Callable[[], Model]] = {
    "eps": lambda: denoiser(Linear(), "eps"),
    "x0": lambda: denoiser(Cosine(timesteps=50), "x0"),
    "v": lambda: denoiser(VarianceExploding(sigma_max=20.0), "v"),
    "classifier": noisy_classifier,
    "judge": judge,
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_model_comes_back_as_it_was_in_eval_mode_and_frozen(
    make: Callable[[], Model], tmp_path: Path
) -> None:
    model = make().train()
    path = saved(tmp_path / "model.ckpt", model, dataset="digits", partner="runs/other")
    random_state = torch.get_rng_state()
    again = checkpoints.load(path)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert type(again) is type(model)
    mine, theirs = model.state_dict(), again.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert torch.allclose(answer(again), answer(model.eval()), atol=1e-5)
    assert not any(module.training for module in again.modules())
    assert not any(parameter.requires_grad for parameter in again.parameters())
    for name in ("schedule", "prediction", "class_names", "image_shape"):
        assert getattr(again, name, None) == getattr(model, name, None)
    assert again.network.init_args == model.network.init_args
    card = checkpoints.read(path)
    assert (card.dataset, card.partner, card.class_names) == ("digits", "runs/other", list(NAMES))


@pytest.mark.parametrize(
    "schedule",
    [Linear(100, 2e-4, 0.03), Cosine(s=0.01), Sigmoid(tau=0.8), VarianceExploding(sigma_min=0.02)],
)
def test_every_schedule_comes_back_with_its_numbers(
    schedule: NoiseSchedule, tmp_path: Path
) -> None:
    again = checkpoints.load(saved(tmp_path / "model.ckpt", denoiser(schedule))).schedule
    t = torch.linspace(0, schedule.timesteps - 1, 50, dtype=torch.float64)
    assert again == schedule
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(schedule.alpha_sigma(t), again.alpha_sigma(t))
    )


def test_our_own_networks_hold_nothing_but_weights() -> None:
    """`load` builds them on the meta device, where anything else would be lost."""
    own = [
        cls
        for cls in vars(networks).values()
        if isinstance(cls, type) and issubclass(cls, Network) and cls is not Network
    ]
    assert len(own) >= 3
    for cls in own:
        with torch.device("meta"):
            network = cls(16, 1, 3)
        for part in network.modules():
            assert not part._non_persistent_buffers_set
            assert not [name for name, value in vars(part).items() if isinstance(value, Tensor)]


def test_the_shares_of_the_classes_come_back_and_older_files_have_none(tmp_path: Path) -> None:
    network = EncoderUNet(8, 1, 2, model_channels=8, channel_mult=(1,), num_res_blocks=1)
    checkpoints.save(
        NoisyClassifier(network, Linear(), DataSpec((1, 8, 8), ("a", "b"), (0.75, 0.25))),
        tmp_path / "new.ckpt",
    )
    assert checkpoints.load(tmp_path / "new.ckpt").class_shares == (0.75, 0.25)
    contents = torch.load(tmp_path / "new.ckpt", weights_only=True)
    del contents["cgd"]["class_shares"]
    torch.save(contents, tmp_path / "old.ckpt")
    assert checkpoints.load(tmp_path / "old.ckpt").class_shares == ()


def test_a_loaded_network_with_dropout_gives_one_answer(tmp_path: Path) -> None:
    network = randomised(EncoderUNet(8, 1, 3, **SMALL, dropout=0.5))
    model = NoisyClassifier(network, Linear(), DATA).train()
    assert not torch.equal(answer(model), answer(model))
    again = checkpoints.load(saved(tmp_path / "model.ckpt", model))
    assert torch.equal(answer(again), answer(again))


class NotOnlyWeights(Network):
    """Answers with numbers that no state_dict holds: a buffer, an attribute, and one that the
    constructor reads off a tensor.
    """

    def __init__(
        self, image_size: int, in_channels: int, out_channels: int, top: float = 4.0
    ) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.register_buffer("steps", torch.linspace(0, top, 5), persistent=False)
        self.attribute = torch.linspace(0, top, 5)
        self.number = float(torch.linspace(0, top, 5).sum())

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return x * self.weight * self.steps.sum() * self.attribute.sum() + self.number


def test_a_users_network_comes_back_with_what_is_not_among_its_weights(tmp_path: Path) -> None:
    model = Denoiser(NotOnlyWeights(8, 1, 1, top=6.0), Linear(), "eps", DATA)
    again = checkpoints.load(saved(tmp_path / "model.ckpt", model), trust=("tests",))
    assert answer(again)[0, 0, 0, 0] != 0
    assert torch.equal(answer(again), answer(model))


def test_the_average_is_loaded_unless_the_raw_weights_are_asked_for(tmp_path: Path) -> None:
    average, raw = denoiser(), denoiser()
    with torch.no_grad():
        next(raw.parameters()).add_(1)
    path = tmp_path / "model.ckpt"
    weights = {f"ema.{name}": value for name, value in average.state_dict().items()}
    weights |= {f"model.{name}": value for name, value in raw.state_dict().items()}
    torch.save(
        {"cgd": checkpoints.describe(average), "state_dict": weights, "global_step": 7}, path
    )
    assert torch.equal(next(checkpoints.load(path).parameters()), next(average.parameters()))
    assert torch.equal(
        next(checkpoints.load(path, weights="raw").parameters()), next(raw.parameters())
    )
    assert checkpoints.sizes(path) == {
        "parameters": sum(p.numel() for p in average.parameters()),
        "step": 7,
    }


def test_raw_weights_that_are_not_there_are_not_replaced_by_the_average(file: Path) -> None:
    with pytest.raises(InputError, match=f"{file}: holds no raw weights"):
        checkpoints.load(file, weights="raw")


class Command:
    """Makes the folder `ran` when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def write_code(path: Path, how: str) -> None:
    contents = {"cgd": checkpoints.describe(denoiser()), "state_dict": {}, "loops": Command()}
    if how == "pickle":
        path.write_bytes(pickle.dumps(contents))
    else:
        torch.save(contents, path, _use_new_zipfile_serialization=how == "zip")


@pytest.fixture(params=["zip", "legacy", "pickle"])
def code(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with code in it, in the current folder."""
    monkeypatch.chdir(tmp_path)
    write_code(Path("code.ckpt"), request.param)
    return Path("code.ckpt")


@pytest.fixture(params=["", "1"], ids=["", "weights_only off"])
def unsafe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without torch's switch that turns `weights_only` off by default."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", request.param)


@pytest.mark.usefixtures("unsafe")
def test_code_in_a_checkpoint_is_refused_and_does_not_run(code: Path) -> None:
    for read in (checkpoints.read, checkpoints.load, checkpoints.sizes):
        with pytest.raises(InputError, match=r"code\.ckpt: not a readable checkpoint"):
            read(code)
    assert not Path("ran").exists()


def test_the_code_would_run_if_it_were_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_code(Path("code.ckpt"), "zip")
    torch.load("code.ckpt", weights_only=False)
    assert Path("ran").exists()


@pytest.mark.usefixtures("unsafe")
@pytest.mark.parametrize(
    "command", ["sample --ckpt", "sample --classifier", "info", "validate --ckpt_path"]
)
def test_commands_refuse_code_in_a_checkpoint(
    command: str, code: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoints.save(denoiser(), "model.ckpt")
    words = command.split()
    extra = ["--ckpt=model.ckpt"] if "--classifier" in words else []
    assert status(*words, str(code), *extra) == 1
    errors = [
        line
        for line in capfd.readouterr().err.splitlines()
        if not line.startswith("diffusion model: ")
    ]
    assert len(errors) == 1
    assert errors[0].startswith(f"error: cgd {words[0]}: code.ckpt: not a readable checkpoint")
    assert not Path("ran").exists()


@pytest.mark.usefixtures("unsafe")
def test_a_training_does_not_go_on_from_code(code: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert status("fit", *TINY_DIFFUSION, f"--ckpt_path={code}") == 1
    assert "error: cgd fit: code.ckpt: not a readable checkpoint" in capfd.readouterr().err
    assert not Path("ran").exists()
    assert not Path("runs").exists()


MODULE = """
from pathlib import Path
Path(__file__).with_name("imported").touch()
from cgd_lightning.diffusion.schedules import Linear
from cgd_lightning.networks import UNet
class Mine(UNet):
    def forward(self, x, t):
        return super().forward(x, t) + 1
class MyLinear(Linear):
    pass
"""


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkpoint of a network from foreign_module.py in the current folder, which makes the file
    `imported` when it is imported.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("foreign_module.py").write_text(MODULE)
    import foreign_module  # type: ignore[import-not-found]

    checkpoints.save(
        Denoiser(randomised(foreign_module.Mine(8, 1, 1, **SMALL)), Linear(), "eps", DATA),
        "foreign.ckpt",
    )
    del sys.modules["foreign_module"]
    Path("imported").unlink()
    yield Path("foreign.ckpt")
    sys.modules.pop("foreign_module", None)


def name_foreign_schedule(contents: dict[str, Any]) -> None:
    contents["cgd"]["network"]["class_path"] = "cgd_lightning.UNet"
    contents["cgd"]["schedule"]["class_path"] = "foreign_module.MyLinear"


def test_a_class_of_a_foreign_module_is_not_imported(foreign: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"foreign\.ckpt: names the class foreign_module\.Mine.*--trust foreign_module",
    ):
        checkpoints.load(foreign)
    assert status("sample", f"--ckpt={foreign}", "--scale=0", "--num_samples=1") == 1
    assert checkpoints.read(foreign).network["class_path"] == "foreign_module.Mine"
    edit(foreign, name_foreign_schedule)
    with pytest.raises(
        InputError, match=r"foreign\.ckpt: names the class foreign_module\.MyLinear"
    ):
        checkpoints.load(foreign)
    with pytest.raises(InputError, match="not trusted"):
        checkpoints.load(foreign, trust=("foreign", "module", "foreign_module.Mine", ""))
    assert not Path("imported").exists()
    assert "foreign_module" not in sys.modules


def test_a_class_of_a_trusted_module_is_loaded(foreign: Path) -> None:
    model = checkpoints.load(foreign, trust=("foreign_module",))
    assert Path("imported").exists()
    assert type(model.network).__name__ == "Mine"
    plain = UNet(8, 1, 1, **SMALL).eval()
    plain.load_state_dict(model.network.state_dict())
    t = torch.tensor([3.0, 700.0])
    assert torch.allclose(
        model.network(torch.ones(2, *SHAPE), t), plain(torch.ones(2, *SHAPE), t) + 1, atol=1e-5
    )
    edit(foreign, name_foreign_schedule)
    assert (
        type(checkpoints.load(foreign, trust=("foreign_module",)).schedule).__name__ == "MyLinear"
    )


@pytest.mark.parametrize("part", ["network", "schedule"])
@pytest.mark.parametrize(
    "class_path",
    [
        "torch.hub.load",
        "torch.load",
        "cgd_lightning.checkpoints.archive.os.system",
        "cgd_lightning.checkpoints.archive.os",
        "cgd_lightning.errors.InputError",
        "torch.nn",
        "torch",
        "torch.nn.NoSuchLayer",
        "cgd_lightning..networks.UNet",
        "cgd_lightning.",
        "",
    ],
)
def test_a_trusted_package_is_no_way_to_anything_but_networks_and_schedules(
    class_path: str, part: str, file: Path
) -> None:
    touched = file.with_name("touched")
    edit(
        file,
        lambda contents: contents["cgd"][part].update(
            class_path=class_path, init_args={"command": f"touch {touched}"}
        ),
    )
    with pytest.raises(InputError, match=re.escape(f"{file}: names ")):
        checkpoints.load(file)
    assert not touched.exists()


def test_a_schedule_is_no_network_and_a_network_no_schedule(file: Path) -> None:
    edit(
        file,
        lambda contents: contents["cgd"]["network"].update(
            class_path="cgd_lightning.diffusion.schedules.Linear", init_args={}
        ),
    )
    with pytest.raises(
        InputError,
        match=f"{file}: its description is damaged: network: Linear, where one of UNet, SuperRes, ",
    ):
        checkpoints.load(file)
    edit(file, lambda contents: contents["cgd"].update(checkpoints.describe(denoiser())))
    edit(file, lambda contents: contents["cgd"]["schedule"].update(class_path="cgd_lightning.UNet"))
    with pytest.raises(
        InputError, match=f"{file}: names cgd_lightning.UNet, which is not a NoiseSchedule"
    ):
        checkpoints.load(file)


DAMAGED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "unknown argument": (
        lambda c: c["cgd"]["network"]["init_args"].update(wide=3),
        "does not take the arguments stored there",
    ),
    "missing argument": (
        lambda c: c["cgd"]["network"]["init_args"].pop("image_size"),
        "does not take the arguments stored there",
    ),
    "argument of the wrong kind": (
        lambda c: c["cgd"]["network"]["init_args"].update(model_channels="8"),
        "does not take the arguments",
    ),
    "argument out of range": (
        lambda c: c["cgd"]["network"]["init_args"].update(model_channels=-8),
        "does not take the arguments",
    ),
    "image size that does not fit": (
        lambda c: c["cgd"]["network"]["init_args"].update(patch_size=3),
        "image_size 8",
    ),
    "unknown schedule argument": (
        lambda c: c["cgd"]["schedule"]["init_args"].update(beta=3),
        "does not take the arguments",
    ),
    "schedule out of range": (
        lambda c: c["cgd"]["schedule"]["init_args"].update(beta_end=7),
        "betas from",
    ),
    "arguments that are a list": (
        lambda c: c["cgd"]["network"].update(init_args=[8, 1, 1]),
        "its description is damaged: network: a list",
    ),
    "newer format": (
        lambda c: c["cgd"].update(format=2, version="9.1"),
        "cgd-lightning '9.1' in format 2",
    ),
    "newer format with other parts": (
        lambda c: c.update(cgd={"format": 2, "version": "9.1"}),
        "written by cgd-lightning '9.1' in format 2",
    ),
    "no format": (lambda c: c["cgd"].pop("format"), "its description is damaged: format"),
    "unknown kind": (
        lambda c: c["cgd"].update(kind="video"),
        "its description is damaged: kind: 'video'",
    ),
    "no network": (lambda c: c["cgd"].pop("network"), "its description is damaged: network"),
    "network of nothing": (
        lambda c: c["cgd"].update(network=None),
        "its description is damaged: network",
    ),
    "no schedule": (
        lambda c: c["cgd"].update(schedule=None),
        "its description is damaged: schedule",
    ),
    "other weights": (
        lambda c: c["cgd"]["network"]["init_args"].update(model_channels=16),
        "its weights do not fit",
    ),
    "a weight too few": (
        lambda c: c["state_dict"].pop("ema.network.out.2.bias"),
        "its weights do not fit",
    ),
    "a weight too many": (
        lambda c: c["state_dict"].update({"ema.network.extra": torch.ones(1)}),
        "its weights do not fit",
    ),
    "no weights": (lambda c: c.update(state_dict={}), "holds no ema weights"),
    "no description": (lambda c: c.pop("cgd"), "not a checkpoint of cgd-lightning"),
    "a description of another kind": (
        lambda c: c.update(cgd="diffusion"),
        "not a checkpoint of cgd-lightning",
    ),
    "no state": (lambda c: c.pop("state_dict"), "not a checkpoint of cgd-lightning"),
}


@pytest.mark.parametrize(("change", "says"), DAMAGED.values(), ids=DAMAGED)
def test_a_checkpoint_that_does_not_hang_together_is_refused_by_name(
    change: Callable[[dict[str, Any]], object], says: str, file: Path
) -> None:
    checkpoints.load(file)
    edit(file, change)
    with pytest.raises(InputError, match=f"^{re.escape(str(file))}: .*{re.escape(says)}"):
        checkpoints.load(file)


FOREIGN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "text": lambda whole: b"hello",
    "cut in its directory": lambda whole: whole[:-10],
    "cut in half": lambda whole: whole[: len(whole) // 2],
    "cut at once": lambda whole: whole[:30],
    "zeroed in the middle": lambda whole: whole[:200] + bytes(4000) + whole[4200:],
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_is_no_whole_checkpoint_is_refused_by_name(
    change: Callable[[bytes], bytes], file: Path
) -> None:
    file.write_bytes(change(file.read_bytes()))
    for read in (checkpoints.read, checkpoints.load, checkpoints.sizes):
        with pytest.raises(InputError, match=f"^{file}: not a readable checkpoint"):
            read(file)


@pytest.mark.parametrize(
    "contents",
    [[1, 2], {"state_dict": {}}, torch.ones(3)],
    ids=["list", "of another program", "tensor"],
)
def test_a_torch_file_of_another_program_is_refused_by_name(contents: Any, tmp_path: Path) -> None:
    torch.save(contents, tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other\.pt: not a checkpoint of cgd-lightning"):
        checkpoints.load(tmp_path / "other.pt")


def test_a_network_that_does_not_remember_its_arguments_is_not_stored(tmp_path: Path) -> None:
    model = Denoiser(torch.nn.Conv2d(1, 1, 1), Linear(), "eps", DATA)
    with pytest.raises(
        InputError,
        match=r"Conv2d does not remember its constructor arguments; derive it from cgd",
    ):
        checkpoints.save(model, tmp_path / "model.ckpt")
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_folder_as_it_was(file: Path) -> None:
    before = file.read_bytes()
    unwritable: Any = lambda: None  # noqa: E731
    with pytest.raises((pickle.PicklingError, AttributeError)):
        checkpoints.save(denoiser(), file, dataset=unwritable)
    assert list(file.parent.iterdir()) == [file]
    assert file.read_bytes() == before
