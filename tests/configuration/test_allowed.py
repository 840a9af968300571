"""What a configuration file may name: a walk through every class, and through every argument of
each.
"""

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import LayerSync, Precision
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints import Trust
from cgd_lightning.checkpoints.classes import check_spec
from cgd_lightning.checkpoints.listed import LISTED, OURS
from cgd_lightning.commands import fit  # noqa: F401  (all short names are known then)
from cgd_lightning.configuration.allowed import LIGHTNING, OPTIMIZERS, SCHEDULERS, lightning_classes
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.configuration.parser import OneLineErrors, instantiate
from cgd_lightning.configuration.trusted import take_trusted
from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.codec import Codec
from cgd_lightning.diffusion.guidance import Rule
from cgd_lightning.diffusion.guidance.image_weights import ImageWeight
from cgd_lightning.diffusion.guidance.weights import Weight
from cgd_lightning.diffusion.samplers import Sampler
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.feature_metric import FeatureMetric
from cgd_lightning.evaluation.measure import MetricFactory
from cgd_lightning.networks import ConvNet, Network
from cgd_lightning.training.module import NetworkFactory, OptimizerFactory, TrainingModule
from tests.command_line import TINY_CLASSIFIER

Cgd = Callable[..., tuple[int, str, str]]

SLOTS: dict[str, Any] = {
    "callbacks": Callback,
    "loggers": Logger,
    "profilers": Profiler,
    "strategies": Strategy,
    "plugins": Precision | LayerSync,
}

BASES = (
    Network,
    NoiseSchedule,
    Codec,
    Sampler,
    Rule,
    Weight,
    ImageWeight,
    NoisingDataModule,
    TrainingModule,
    FeatureMetric,
)


def classes() -> Iterator[tuple[str, Any]]:
    """Every class that a configuration file may name, and the type of the setting that it stands
    in.
    """
    for part, names in LIGHTNING.items():
        for name in names:
            yield f"lightning.pytorch.{part}.{name}", SLOTS[part]
    for name in OPTIMIZERS:
        yield f"torch.optim.{name}", OptimizerFactory
    for path in sorted(set(LISTED.values())):
        base = next(base for base in BASES if issubclass(found(path), base))
        yield path, {Network: NetworkFactory, FeatureMetric: MetricFactory}.get(base, base)


def found(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


@pytest.fixture(scope="module")
def events() -> Iterator[list[str]]:
    """What the process does that a file may not make it do, while it is listened to; empty it
    before.
    """
    seen: list[str] = []
    listening = [True]

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if not listening:
            return
        if event in (
            "subprocess.Popen",
            "os.system",
            "os.exec",
            "os.posix_spawn",
            "socket.connect",
            "socket.getaddrinfo",
            "urllib.Request",
        ):
            seen.append(f"{event} {arguments[:2]}")
        if event in (
            "os.remove",
            "os.rename",
            "os.rmdir",
            "os.mkdir",
            "shutil.rmtree",
            "os.symlink",
        ):
            seen.append(f"{event} {arguments[0]}")
        if event == "open" and isinstance(arguments[0], str) and "outside" in arguments[0]:
            seen.append(f"open {arguments[0]}")

    sys.addaudithook(hear)
    yield seen
    listening.clear()


def hostile(folder: Path) -> list[Any]:
    """What is fed to every argument: a program to run, an object of a listed class, a path out of
    the run, URLs.
    """
    run = {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", str(folder / "ran")]}}
    launch = {
        "class_path": "torch.distributed.launcher.api.elastic_launch",
        "init_args": {"config": None, "entrypoint": "/bin/sh"},
    }
    nested = {"class_path": "torch.optim.SGD", "init_args": {"defaults": run}}
    return [
        run,
        [run],
        {"x": run},
        launch,
        nested,
        "os.system",
        str(folder / "outside/x"),
        "../outside/x",
        "http://127.0.0.1:9/x",
        "local:///x",
    ]


@pytest.mark.parametrize(
    ("class_path", "slot"),
    classes(),
    ids=lambda value: value.rpartition(".")[2] if isinstance(value, str) else "",
)
def test_no_argument_of_a_class_that_a_file_may_name_runs_writes_or_fetches_anything(
    class_path: str, slot: Any, events: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, gate = take_trusted(["fit"], lightning=True)
    parser = OneLineErrors(exit_on_error=False)
    parser.add_argument("--slot", type=slot)
    taken(parser, gate, {"class_path": class_path})  # what its library does when it is first used
    for name in [*inspect.signature(found(class_path)).parameters, "no_such_argument"]:
        for value in hostile(tmp_path):
            for key in ("init_args", "dict_kwargs"):
                events.clear()
                outcome = taken(parser, gate, {"class_path": class_path, key: {name: value}})
                assert not events, (name, value, events)
                assert not list(tmp_path.iterdir()), (name, value)
                if isinstance(value, dict | list):
                    assert outcome == "refused", (name, value)


def taken(parser: ArgumentParser, gate: Gate, spec: dict[str, Any]) -> str:
    """Whether a file's `spec` is "taken" or "refused", as a command takes settings: parsed,
    checked, made.
    """
    try:
        settings = parser.parse_object({"slot": spec})
        gate.check(vars(settings), "")
        instantiate(parser, settings)
    except (InputError, ModuleNotFoundError, TypeError):
        return "refused"
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("argparse", "jsonargparse", "lightning"):
            return "refused"
        raise
    return "taken"


def test_the_lists_name_classes_that_are_there_and_take_what_is_listed() -> None:
    for module, names in OURS.items():
        for name in names:
            assert found(f"cgd_lightning.{module}.{name}").__module__ == f"cgd_lightning.{module}"
    for part, classes_ in LIGHTNING.items():
        for name, words in classes_.items():
            parameters = inspect.signature(found(f"lightning.pytorch.{part}.{name}")).parameters
            assert set(words.split()) <= set(parameters) or "kwargs" in parameters, name
    for name in (
        *(f"torch.optim.{name}" for name in OPTIMIZERS),
        *(f"torch.optim.lr_scheduler.{name}" for name in SCHEDULERS),
    ):
        assert isinstance(found(name), type)
    assert "lightning.pytorch.callbacks.LambdaCallback" not in lightning_classes()


@pytest.mark.parametrize(
    "class_path", sorted(set(LISTED.values())), ids=lambda path: path.rpartition(".")[2]
)
def test_a_class_of_ours_in_a_checkpoint_or_record_takes_values_of_its_own_types_alone(
    class_path: str, tmp_path: Path
) -> None:
    base = next(base for base in BASES if issubclass(found(class_path), base))
    for name in [*inspect.signature(found(class_path)).parameters, "no_such_argument"]:
        for value in hostile(tmp_path):
            try:
                spec = check_spec(
                    {"class_path": class_path, "init_args": {name: value}}, base, "file", Trust()
                )
            except InputError:
                continue
            assert spec["init_args"] == {name: value}
            assert isinstance(value, str)


FILES = {
    "a callback that takes functions": (
        "trainer: {callbacks: {class_path: LambdaCallback, init_args: {on_fit_start: os.getcwd}}}",
        "names the class lightning.pytorch.callbacks.LambdaCallback",
    ),
    "a strategy with a hook": (
        "trainer: {strategy: {class_path: DDPStrategy, init_args: {ddp_comm_hook: "
        "torch.optim.SGD}}}",
        "",
    ),
    "a profiler elsewhere": (
        "trainer: {profiler: {class_path: SimpleProfiler, init_args: {dirpath: /tmp/x, filename: "
        "y}}}",
        "outside this folder",
    ),
    "a checkpoint elsewhere": (
        "trainer: {callbacks: [{class_path: ModelCheckpoint, init_args: {dirpath: ../x, monitor: "
        "val/loss}}]}",
        "outside this folder",
    ),
    "a name that is a path": (
        "trainer: {callbacks: [{class_path: ModelCheckpoint, init_args: {filename: ../../x, "
        "monitor: val/loss}}]}",
        "which is no plain name",
    ),
    "a logger elsewhere": (
        "trainer: {logger: {class_path: CSVLogger, init_args: {save_dir: 'local:///tmp/x'}}}",
        "outside this folder",
    ),
    "runs elsewhere": ("trainer: {default_root_dir: /tmp/x}", "outside this folder"),
    "a run to go on with": ("ckpt_path: /tmp/x/last.ckpt", "outside this folder"),
    "a network by a function": (
        "model: {class_path: ClassifierModule, init_args: {network: torch.hub.load}}",
        "names the class torch.hub.load",
    ),
    "an optimiser by its base": (
        "model: {class_path: ClassifierModule, init_args: {optimizer: {class_path: "
        "torch.optim.Optimizer, init_args: {defaults: {}}}}}",
        "names the class torch.optim.Optimizer",
    ),
    "an optimiser with an object": (
        "model: {init_args: {optimizer: {class_path: torch.optim.SGD, init_args: {lr: "
        "{class_path: torch.optim.SGD}}}}}",
        "",
    ),
    "a nested file at a URL": ("model: http://127.0.0.1:9/x.yaml", ""),
    "a file of data at a URL": (
        "data: {class_path: Folder, init_args: {root: 'http://127.0.0.1:9/x'}}",
        "no such folder",
    ),
    "a template that becomes a path": (
        "trainer: {callbacks: [{class_path: ModelCheckpoint, init_args: {filename: "
        "'{step:c}{step:c}/x', monitor: val/loss}}]}",
        "which is no plain name",
    ),
    "a template that grows": (
        "trainer: {callbacks: [{class_path: ModelCheckpoint, init_args: {filename: "
        "'{step:>9999999999}', monitor: val/loss}}]}",
        "which is no plain name",
    ),
    "a home": ("trainer: {default_root_dir: $HOME/sub}", "outside this folder"),
    "another profiler by a word": ("trainer: {profiler: pytorch}", "may say simple, advanced"),
    "another strategy by a word": ("trainer: {strategy: deepspeed}", "may say auto, ddp"),
    "a compiler": ("model: {init_args: {compile: true}}", "torch.compile, which runs a compiler"),
    "a pipe for settings": ("data: pipe", "not a regular file"),
    "a seed past all seeds": ("seed_everything: 10000000000000000000000", "wanted 0 to 4294967295"),
    "a number for a group": ("checkpoint: 3", "checkpoint"),
    "an alias bomb": (
        "a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\n",
        "alias",
    ),
    "a deep list": ("trainer: {callbacks: " + "[" * 200 + "]" * 200 + "}", "deeper than"),
    "a long file": ("# " + "x" * 300_000, "at most"),
    "an object of Python": ("seed_everything: !!python/object/apply:os.system ['touch ran']", ""),
    "a network of any size": (
        "model: {init_args: {network: {class_path: EncoderUNet, init_args: {model_channels: "
        "1000000}}}}",
        "--trust-size",
    ),
    "a rate that is no number": (
        "model: {init_args: {optimizer: {class_path: torch.optim.Adam, init_args: {lr: .nan}}}}",
        "model.optimizer",
    ),
    "a rate below nothing": (
        "model: {init_args: {optimizer: {class_path: torch.optim.Adam, init_args: {lr: -1}}}}",
        "model.optimizer",
    ),
}


@pytest.mark.parametrize(("text", "says"), FILES.values(), ids=FILES)
def test_a_hostile_configuration_is_one_line_and_leaves_nothing(
    text: str, says: str, workplace: Path, events: list[str], cgd: Cgd
) -> None:
    Path("hostile.yaml").write_text(text)
    os.mkfifo("pipe")
    words = (
        [word for word in TINY_CLASSIFIER if "model_channels" not in word]
        if "model_channels" in text
        else TINY_CLASSIFIER
    )
    events.clear()
    code, _, err = cgd("fit", *words, "--config=hostile.yaml")
    assert code in (1, 2), err
    assert [
        event for event in events if "socket" in event or "Popen" in event or "system" in event
    ] == []
    *_, last = err.strip().splitlines()
    assert last.startswith("error: cgd fit: ")
    assert says in last
    assert "Traceback" not in err
    assert sorted(path.name for path in Path("runs/classifier").iterdir()) == ["version_0"]
    assert not Path("ran").exists()


def test_what_is_typed_is_trusted_as_it_stands(workplace: Path, tmp_path: Path, cgd: Cgd) -> None:
    short = ("--trainer.max_steps=1", "--trainer.val_check_interval=1")
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    code, _, err = cgd("fit", *TINY_CLASSIFIER, *short, f"--trainer.default_root_dir={elsewhere}")
    assert code == 0, err
    assert (elsewhere / "classifier/version_0/last.ckpt").is_file()
    Path("root.yaml").write_text(f"trainer: {{default_root_dir: {elsewhere}/deeper}}")
    assert cgd("fit", *TINY_CLASSIFIER, *short, "--config=root.yaml")[0] == 1
    average = "lightning.pytorch.callbacks.EMAWeightAveraging"
    listed = f'[{{"class_path": "LambdaCallback"}}, {{"class_path": "{average}"}}]'
    code, _, err = cgd("fit", *TINY_CLASSIFIER, *short, f"--trainer.callbacks={listed}")
    assert code == 0, err
    Path("lambda.yaml").write_text("trainer: {callbacks: {class_path: LambdaCallback}}")
    code, _, err = cgd(
        "fit",
        *TINY_CLASSIFIER,
        *short,
        "--config=lambda.yaml",
        "--trust=lightning.pytorch.callbacks",
    )
    assert code == 0, err


def test_trust_of_one_command_ends_with_it() -> None:
    take_trusted(["fit", "--trust", "mine"])
    from jsonargparse._common import denying_import_path_entry

    assert denying_import_path_entry("mine.Network") is None
    take_trusted(["fit"])
    assert denying_import_path_entry("mine.Network") is not None


def test_a_data_set_that_a_file_places_elsewhere_is_read_and_not_downloaded(
    workplace: Path, tmp_path: Path, cgd: Cgd
) -> None:
    elsewhere = tmp_path.parent / f"{tmp_path.name}-data"
    mnist = f"{{class_path: MNIST, init_args: {{root: {elsewhere}}}}}"
    within = f"{{class_path: Lesions, init_args: {{of: {mnist}}}}}"
    for data, option in ((mnist, "--data.download"), (within, "--data.of.download")):
        Path("data.yaml").write_text(f"data: {data}")
        code, _, err = cgd(
            "fit",
            *[word for word in TINY_CLASSIFIER if "image_size" not in word],
            "--config=data.yaml",
        )
        assert code == 1
        assert f"{option} true" in err
        assert not elsewhere.exists()


def test_the_gate_takes_what_a_namespace_holds() -> None:
    gate = Gate((), Trust(), lightning_classes(), ())
    gate.check(
        Namespace(
            a=Namespace(class_path="cgd_lightning.UNet", init_args=Namespace(channel_mult=(1, 2)))
        ),
        "",
    )
    with pytest.raises(InputError, match=r"names the class os\.system"):
        gate.check(Namespace(a=[Namespace(class_path="os.system")]), "x")


@pytest.mark.parametrize("command", ["evaluate", "likelihood"])
def test_a_file_of_data_places_nothing_elsewhere_in_commands_that_measure(
    command: str, workplace: Path, cgd: Cgd, events: list[str]
) -> None:
    elsewhere = workplace.parent / f"{workplace.name}-elsewhere"
    Path("data.yaml").write_text(
        f"class_path: MNIST\ninit_args: {{root: {elsewhere}, download: true}}\n"
    )
    ours = checkpoints.load("runs/classifier")
    checkpoints.save(
        CleanClassifier(ConvNet(16, 1, 10, width=4).eval(), ours.data),
        "judge.ckpt",
    )
    assert (
        cgd(
            "sample",
            "--ckpt=runs/diffusion",
            "--scale=0",
            "--num_samples=4",
            "--sampler.steps=2",
            "--out=few",
        )[0]
        == 0
    )
    events.clear()
    words = (
        ["--samples=few", "--judge=judge.ckpt"]
        if command == "evaluate"
        else ["--ckpt=runs/diffusion", "--num_images=2"]
    )
    code, _, err = cgd(command, *words, "--data=data.yaml")
    assert code == 1
    assert "no files of mnist there" in err or "images of shape" in err
    assert not [event for event in events if "socket" in event]
    assert not elsewhere.exists()
