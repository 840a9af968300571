"""Wrong command lines that a user of Lightning, diffusers or guided-diffusion might type.

Each ends in one line that says what came, what was wanted and what to do, and leaves nothing
behind.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

Cgd = Callable[..., tuple[int, str, str]]

FIT = "fit --config diffusion.yaml"
SAMPLE = "sample --ckpt runs/diffusion"

FILES = {
    "network.yaml": (
        "model: {class_path: DiffusionModule, init_args: {network: {class_path: UNett}}}"
    ),
    "data.yaml": "data: {class_path: Digitz}",
    "schedule.yaml": "data: {class_path: Digits, init_args: {schedule: {class_path: Cosin}}}",
    "callbacks.yaml": "trainer: {callbacks: [{class_path: EarlyStoping}]}",
    "optimizer.yaml": "model: {init_args: {optimizer: {class_path: Adamm}}}",
    "sampler.yaml": "sampler: {class_path: ddim}",
    "guidance.yaml": "guidance: [{class_path: Clamp}, {class_path: CFG}]",
}

WRONG = {
    # A class that is misspelt within a list or a mapping, in a file and typed.
    f"{FIT} --config network.yaml": "model.network: no class 'UNett'; did you mean UNet?; give",
    f"{FIT} --config data.yaml": "data: no class 'Digitz'; did you mean Digits?; give CIFAR10, ",
    f"{FIT} --config schedule.yaml": "data.schedule: no class 'Cosin'; did you mean Cosine?",
    f"{FIT} --config callbacks.yaml": "trainer.callbacks: no class 'EarlyStoping'; did you mean "
    "EarlyStopping?; give BatchSizeFinder, ",
    f"{FIT} --config optimizer.yaml": "model.optimizer: no class 'Adamm'; did you mean Adam?",
    "sample --config sampler.yaml": "sampler: no class 'ddim'; did you mean DDIM?",
    "sample --config guidance.yaml": "guidance: no class 'CFG'; did you mean ClassifierFree?",
    f"{SAMPLE} --guidance [Clamp,Foo]": "guidance: no class 'Foo'; give Attribute, ",
    f"{SAMPLE} --guidance Classifier": "did you mean ClassifierGuidance?",
    f"{FIT} --trainer.callbacks EarlyStoping": "did you mean EarlyStopping?; known here: Batch",
    f"{FIT} --model.optimizer adamw": "model.optimizer: no class 'adamw'; did you mean AdamW?",
    f"{FIT} --model.optimizer Lion": "model.optimizer: no class 'Lion'; give ASGD, ",
    "evaluate --data Digts": "data: 'Digts' is not a NoisingDataModule; did you mean Digits?; ",
    "evaluate --metrics fid": "metrics: no class 'fid'; give an import path, as mine.Own",
    "evaluate --metrics KernelDistance": "metrics: 'KernelDistance': wanted an import path, as",
    # A class without an argument that it needs.
    f"{FIT} --trainer.callbacks EarlyStopping": "trainer.callbacks: EarlyStopping needs monitor; "
    "give --trainer.callbacks.monitor MONITOR",
    f"{FIT} --data Folder": "data: Folder needs root; give --data.root ROOT",
    "fit --model DiffusionModule": "model: DiffusionModule needs network; give --model.network ",
    f"{SAMPLE} --guidance Autoguidance": "guidance: Autoguidance needs weak; give --guidance.weak",
    "evaluate --data Folder": "data: Folder needs root; give --data.root ROOT",
    "diagnose --data Folder": "data: Folder needs root; give --data.root ROOT",
    "likelihood --data Folder": "data: Folder needs root; give --data.root ROOT",
    # An option of nothing, or of something else.
    "fit --model.network.help": "model: nothing is chosen that could have 'network'; give --model ",
    "fit --data.schedule.help": "data: nothing is chosen that could have 'schedule'; give --data ",
    f"{FIT} --data.foo.help": "data.foo: Digits has no option 'foo'",
    "sample --guidance.foo.help": "guidance.foo: ClassifierGuidance has no option 'foo'",
    "sample --sampler.foo.help": "sampler.foo: DDIM has no option 'foo'",
    f"{SAMPLE} --guidance.weight.low 3": "guidance.weight: nothing is chosen that could have "
    "'low'; give --guidance.weight NAME before it, one of Constant, Interval, Ramp, SqrtBeta",
    f"{SAMPLE} --sampler Heun --sampler.eta 1": "Heun has no option 'eta'; it has steps, spacing",
    f"{FIT} --data.schedule.beta_start 1": "Cosine has no option 'beta_start'; it has timesteps, ",
    f"{FIT} --trainer.gpus 1": "--trainer.gpus 1; did you mean --trainer.devices?",
    f"{SAMPLE} --num_samples few": "num_samples: 'few' is not an int",
    "sample --config diffusion.yaml": "model: no option of this command, for which the file is",
    f"{FIT} --model.network.channel_mult 1,2": "model.network.channel_mult: '1,2' is no list; "
    "wanted one, as [1,2]",
    f"{FIT} --trainer.logger tensorbord": "trainer.logger: no class 'tensorbord'; did you mean "
    "TensorBoardLogger?; give CSVLogger, ",
    f"{FIT} --optimizer AdamW": "--optimizer AdamW; did you mean --model.optimizer?",
    f"{SAMPLE} --spacing karras": "--spacing karras; did you mean --sampler.spacing?",
    # Files, checkpoints and other words.
    "fit": "--data and --model missing; give --config FILE; packaged: autoencoder.yaml, ",
    "fit --config difusion.yaml": "of that name; did you mean diffusion.yaml?; packaged: ",
    "fit --config fashion": "did you mean fashion-classifier.yaml or fashion-diffusion.yaml or",
    "fit diffusion.yaml": "diffusion.yaml; did you mean --config diffusion.yaml?",
    "sample runs/diffusion": "runs/diffusion; did you mean --ckpt runs/diffusion?",
    "evaluate images": "images; did you mean --samples images?",
    "convert": "SOURCE is missing",
    "validate": "which checkpoint? cgd validate --ckpt_path runs/NAME",
    "validate --ckpt runs/diffusion": "--ckpt: not an option of this command; which checkpoint? ",
    "validate runs/diffusion": "runs/diffusion: not an option of this command; which checkpoint? ",
    "test --ckpt_path": "--ckpt_path: wanted a run, version folder or file behind it",
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_words_get_one_line(
    line: str, cgd: Cgd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text)
    code, out, err = cgd(*line.split())
    *before, error = err.splitlines()
    assert (code, out) == (1 if line.startswith(("validate", "test")) else 2, "")
    assert error.startswith(f"error: cgd {line.split()[0]}: ")
    assert WRONG[line] in error
    assert all(word.startswith("config: ") for word in before)
    assert len(error) < 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(
    ("line", "says"),
    {
        f"{FIT} --trainer.val_check_interval=0": "trainer.val_check_interval 0: wanted more than 0",
        f"{FIT} --trainer.accumulate_grad_batches=0": "accumulate_grad_batches 0: wanted more than",
        f"{FIT} --trainer.devices=zero": "trainer: `devices` selected with `CPUAccelerator` should",
        f"{FIT} --trainer.strategy=fsdp": "trainer.strategy fsdp: shares out one network over",
        f'{FIT} --trainer.strategy={{"class_path":"lightning.pytorch.strategies.FSDPStrategy"}}': ""
        "trainer.strategy FSDPStrategy: shares out one network over devices, and here each has ",
        f"{SAMPLE} --trainer.devices=2 --trainer.strategy=fsdp": "give --trainer.strategy ddp",
        f"{FIT} --model.network.dropout=3": "model.network: dropout probability has to be between",
        f"{FIT} --model.network=EncoderUNet": "model.network EncoderUNet: not for a diffusion model"
        "; give UNet, MLP, DiffusersUNet, or your own",
        f"{FIT} --model=ClassifierModule": "model.network UNet: not for a classifier model; give ",
        f"{FIT} --model=JudgeModule": "model.network UNet: not for a judge model; give ConvNet, or",
        f"{FIT} --trainer.accelerator=tpuu": "invalid accelerator name: `accelerator='tpuu'`. Avai",
        f"{FIT} --trainer.accelerator=gpu": "gpu backend found; give --trainer.accelerator auto",
        f"{FIT} --ckpt_path=runs/diffusion": "channel_mult [1] there, [1, 2] here, ",
        f"{SAMPLE} --steps=1 --out=file": "file: a file, where a folder was wanted; give another",
    }.items(),
)
def test_what_is_wrong_with_a_run_or_a_machine_is_said_in_one_line(
    line: str, says: str, cgd: Cgd
) -> None:
    Path("file").touch()
    code, _, err = cgd(*line.split())
    assert code == 1
    assert says in err.splitlines()[-1]
    assert err.count("error: ") == 1
