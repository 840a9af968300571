"""YAML for `cgd fit` and `cgd sample`, up to where they would begin to train or to sample."""

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from cgd_lightning import checkpoints
from cgd_lightning.commands import fit, main
from cgd_lightning.configuration.files import packaged_configs
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.errors import InputError
from cgd_lightning.networks import MLP
from cgd_lightning.sampling import write
from tests.fuzz import values
from tests.fuzz.damage import damaged
from tests.fuzz.outcome import Attempt, command

STOP = "far enough"

SAMPLE = {
    "scale": 2.0,
    "labels": "a,b",
    "num_samples": 4,
    "sampler": {"class_path": "DDIM", "init_args": {"steps": 5}},
    "guidance": [{"class_path": "ClassifierFree"}, {"class_path": "Clamp"}],
    "seed": 0,
    "out": "samples",
    "device": "cpu",
}

FIT = {
    "seed_everything": 0,
    "trainer": {
        "callbacks": [
            {"class_path": "EarlyStopping", "init_args": {"monitor": "val/loss", "patience": 3}}
        ],
        "logger": [{"class_path": "CSVLogger", "init_args": {"save_dir": "logs"}}],
        "profiler": "simple",
        "strategy": "auto",
        "plugins": [],
        "max_steps": 4,
    },
    "checkpoint": {"monitor": "val/loss"},
}

SLOTS = [
    "callbacks",
    "logger",
    "profiler",
    "strategy",
    "plugins",
    "accelerator",
    "devices",
    "barebones",
]
OTHERS = [
    "LambdaCallback",
    "lightning.pytorch.callbacks.LambdaCallback",
    "lightning.pytorch.callbacks.ModelCheckpoint",
    "lightning.pytorch.callbacks.BasePredictionWriter",
    "lightning.pytorch.callbacks.OnExceptionCheckpoint",
    "lightning.pytorch.loggers.CSVLogger",
    "lightning.pytorch.loggers.TensorBoardLogger",
    "lightning.pytorch.loggers.MLFlowLogger",
    "lightning.pytorch.profilers.AdvancedProfiler",
    "lightning.pytorch.profilers.PyTorchProfiler",
    "lightning.pytorch.strategies.DDPStrategy",
    "lightning.pytorch.strategies.DeepSpeedStrategy",
    "lightning.pytorch.plugins.environments.SLURMEnvironment",
    "lightning.pytorch.plugins.TorchCheckpointIO",
    "lightning.pytorch.plugins.MixedPrecision",
    "torch.optim.AdamW",
    "torch.optim.LBFGS",
    "torch.optim.lr_scheduler.LambdaLR",
    "torch.profiler.tensorboard_trace_handler",
]
WORDS = [
    "dirpath",
    "filename",
    "save_dir",
    "name",
    "dir",
    "monitor",
    "init_args",
    "fn",
    "on_fit_start",
]
WORDS += [
    "ddp_comm_hook",
    "parallel_devices",
    "checkpoint_io",
    "cluster_environment",
    "lr",
    "params",
]


class Config:
    """A good configuration with something wrong."""

    may_read = True

    def prepare(self, folder: Path) -> None:
        import tensorboard  # noqa: F401  (so that no case is charged for its import)
        import wandb  # noqa: F401

        self.ckpt = folder / "diffusion.ckpt"
        model = Denoiser(
            MLP(4, 1, 1, width=8, depth=1), Cosine(), "v", DataSpec((1, 4, 4), ("a", "b"))
        )
        checkpoints.save(model, self.ckpt)
        packaged = [
            file for file in packaged_configs() if file.stem not in ("wandb", "tensorboard")
        ]
        self.fit = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in packaged]
        self.packaged = [file.read_bytes() for file in packaged]

    def make(self, random: random.Random, folder: Path) -> str:
        self.words = ["fit", "--config", "hostile.yaml", "--trainer.accelerator=cpu"]
        good = _merged(random.choice(self.fit), FIT)
        if random.random() < 0.6:
            self.words, good = (
                ["sample", "--config", "hostile.yaml", "--ckpt", str(self.ckpt)],
                SAMPLE,
            )
        sort = random.choices(["values", "bytes", "text"], [75, 10, 15])[0]
        if sort == "values":
            text = yaml.safe_dump(_plain(values.mutated(random, good, _value)), sort_keys=False)
            data = text.encode("utf-8", "surrogatepass")
        elif sort == "bytes":
            data = damaged(random, yaml.safe_dump(good).encode())
        else:
            data = random.choice(TEXTS)
        (folder / "hostile.yaml").write_bytes(data)
        return f"{self.words[0]}, {sort}"

    def attempts(self, folder: Path) -> list[Attempt]:
        return [self._run]

    def _run(self) -> None:
        with _stopped(), warnings.catch_warnings():
            command(main.main, self.words)


@contextmanager
def _stopped() -> Iterator[None]:
    """Both commands end, as if by a mistake of the user, where they would begin."""
    end = mock.Mock(side_effect=InputError(STOP))
    with (
        mock.patch.object(fit.TrainingCLI, "instantiate_trainer", end),
        mock.patch.object(write, "start_processes", end),
    ):
        yield


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = {**one, **other}
    both["trainer"] = {**one.get("trainer", {}), **other["trainer"]}
    return both


def _plain(value: Any) -> Any:
    """`value` without what YAML cannot write: keys that are mappings, and numbers of endless
    digits.
    """
    if isinstance(value, dict):
        return {
            str(name) if not isinstance(name, int) else name: _plain(part)
            for name, part in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def _value(random: random.Random) -> Any:
    if random.random() < 0.5:
        return values.hostile(random)
    path = random.choice(OTHERS)
    inner = {random.choice(WORDS): values.hostile(random, 2) for _ in range(random.randrange(3))}
    if random.random() < 0.3:
        inner[random.choice(WORDS)] = {
            "class_path": random.choice([*OTHERS, *values.CLASSES]),
            "init_args": {},
        }
    return {"class_path": path, "init_args": inner}


def _slot(slot: str, value: str) -> bytes:
    return f"trainer:\n  {slot}: {value}\n".encode()


BOMB = b"a: &a [x, x]\n" + b"".join(
    b"%c: &%c [*%c, *%c, *%c, *%c]\n" % (n + 1, n + 1, *(n,) * 4) for n in range(ord("a"), ord("p"))
)
TEXTS = [
    BOMB,
    b"&a [*a]\n",
    b"sampler: &a {class_path: DDIM, init_args: *a}\n",
    b"<<: {seed: 5}\n",
    b"<<: [{seed: 5}, {seed: 6}]\nscale: 3\n",
    b"<<: &a\n  <<: *a\n",
    b"seed: 1\nseed: 2\n",
    b"seed: !!python/object/apply:os.system ['touch ../canary/new']\n",
    b"seed: !!python/name:os.system\n",
    b"seed: !!python/object/new:subprocess.Popen [[touch, ../canary/new]]\n",
    b"seed: !!binary aGVsbG8=\n",
    b"seed: !!set {1, 2}\n",
    b"seed: !!timestamp 2001-99-99\n",
    b"seed: 2001-01-01\n",
    b"seed: !!int x\n",
    b"seed: 0x" + b"f" * 5000 + b"\n",
    b"seed: " + b"9" * 5000 + b"\n",
    b"seed: 1:" + b"59:" * 3000 + b"59\n",
    b"scale: .nan\n",
    b"scale: .inf\n",
    b"? [a, b]\n: c\n",
    b"? {a: b}\n: c\n",
    b"config: hostile.yaml\n",
    b"config: [hostile.yaml, hostile.yaml]\n",
    b"config: /etc/passwd\n",
    b"config: http://127.0.0.1:1/x\n",
    b"from: ../canary/kept\n",
    b"print_config: null\n",
    b"help: true\n",
    b"sampler.help: DDIM\n",
    b"sampler: DDIM\n",
    b"sampler: evil.Evil\n",
    b"sampler: [DDIM]\n",
    b"sampler: hostile.yaml\n",
    b"sampler: ../canary/kept\n",
    b"guidance: hostile.yaml\n",
    b"guidance: '{class_path: os.system}'\n",
    b"guidance: http://127.0.0.1:1/x\n",
    b"classifier: 'os.system(touch)'\n",
    b"classifier: 'torch.hub.load(x)'\n",
    b"classifier: ../canary/kept\n",
    b"out: /tmp/cgd-outside\n",
    b"model: hostile.yaml\n",
    b"model: {class_path: evil.Evil}\n",
    b"data: {class_path: Folder, init_args: {root: /etc}}\n",
    b"data: {class_path: Folder, init_args: {root: http://127.0.0.1:1/x}}\n",
    b"data: {class_path: MNIST, init_args: {root: ../canary, download: true}}\n",
    b"- a\n- b\n",
    b"just text\n",
    b"",
    b"\0",
    b"a: \0\n",
    b"\xff\xfe\x00",
    b"a: \xff\n",
    b"%YAML 9.9\n---\na: b\n",
    b"---\na: 1\n---\nb: 2\n",
    b"{" * 10_000,
    b"[" * 49 + b"]" * 49,
    b"a: " + b"x" * 2**17 + b"\n",
    b"a: " + b"x" * 2**18 + b"\n",
    b"'" * 100_000,
    b"a: [" + b"x, " * 19_000 + b"]\n",
    b"a:\n" + b"".join(b" " * n + b"a:\n" for n in range(1, 45)),
    b"@a",
    b"\t- x",
    b"a: b: c",
    b"a: \x1b[31m\n",
    b"a: \xc2\x85\xe2\x80\xa8\n",
    b"\xe2\x80\xae: 1\n",
    *(_slot(slot, "evil.Evil") for slot in SLOTS),
    *(_slot(slot, "{class_path: evil.Evil}") for slot in SLOTS),
    *(
        _slot(slot, "[{class_path: os.system, init_args: {command: touch ../canary/new}}]")
        for slot in SLOTS
    ),
    *(_slot(slot, "http://127.0.0.1:1/x") for slot in SLOTS),
    *(_slot(slot, "../canary/new") for slot in SLOTS),
    *(_slot(slot, "-1") for slot in SLOTS),
    _slot("default_root_dir", "/tmp/cgd-outside"),
    _slot("default_root_dir", "s3://bucket/x"),
    _slot("default_root_dir", "../canary"),
    _slot("logger", "{class_path: CSVLogger, init_args: {save_dir: /tmp/cgd-outside}}"),
    _slot("logger", "{class_path: TensorBoardLogger, init_args: {save_dir: ../canary}}"),
    _slot(
        "profiler", "{class_path: SimpleProfiler, init_args: {dirpath: ../canary, filename: new}}"
    ),
    _slot("precision", "99"),
    _slot("max_time", "99:99:99:99"),
    _slot("gradient_clip_val", ".nan"),
]
