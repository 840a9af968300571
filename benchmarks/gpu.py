"""Training and guided sampling on one device: images a second, share of its limit, memory.

    python benchmarks/gpu.py --device cuda --deadline 300 --out runs/gpu

The networks are those of `mnist-*.yaml`, of `cifar10-*.yaml` and of ADM's published pair of 64
pixels, with random weights. First large products of matrices are measured, the device's limit in
practice. Then come the cells: a step of training of either network (noised batch, loss, gradient,
AdamW, moving average), and a guided step of DDIM, in variants of precision, layout and compilation.
A time is the median of steps between two synchronisations, after a warm-up. Floating-point
operations are counted by torch, those of multiplications in products and convolutions, 2 each.
After every cell gpu.json and gpu.md are written anew; cells that the deadline leaves out are told.

On a CPU images are few, the networks of CIFAR-10 and the ADM are of 32 channels, and float16 and
TF32 are left out.
"""

import argparse
import json
import platform
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cgd_lightning import networks
from cgd_lightning.configuration.files import packaged_configs
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance import Chain, Clamp, ClassifierGuidance
from cgd_lightning.diffusion.process import NoisyBatch, add_noise
from cgd_lightning.diffusion.samplers import DDIM
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.exchange.adm_published import CLASSES, PUBLISHED
from cgd_lightning.sampling.hardware import fast_bf16, pick_device
from cgd_lightning.training.average import MovingAverage
from cgd_lightning.training.modules import ClassifierModule, DiffusionModule

SETTING_UP = 60.0
"""Seconds for what comes before the steps of a cell."""

STEPS = 50
"""Of DDIM, for an image."""

TASKS = ("train predictor", "train classifier", "sample")

BATCHES = {"cuda": {"mnist": 1024, "cifar10": 256, "adm64": 64}}
FEW = {"mnist": 4, "cifar10": 1, "adm64": 1}
"""Images at a time, by kind of device; FEW elsewhere."""

NARROWED, NARROW = ("cifar10", "adm64"), {"model_channels": 32, "num_head_channels": 32}
"""What is made smaller on a CPU, and how."""


@dataclass(frozen=True)
class Variant:
    """How a cell is computed. precision: fp32, tf32, bf16 or fp16."""

    precision: str
    channels_last: bool = False
    compile: bool = False

    def __str__(self) -> str:
        words = [self.precision]
        words += ["channels_last"] if self.channels_last else []
        return " ".join(words + (["compiled"] if self.compile else []))

    @property
    def dtype(self) -> torch.dtype:
        """What products are computed in."""
        return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision, torch.float32)


def variants(device: torch.device) -> tuple[Variant, ...]:
    """In the order in which they are measured: what may take minutes to compile comes last.

    On a CPU that is slow at bfloat16 all are in float32.
    """
    half = "bf16" if fast_bf16(device) else "fp32"
    alone = (Variant("tf32", True), Variant("fp16", True)) if device.type == "cuda" else ()
    last = (Variant(half, True), *alone, Variant(half, True, True))
    return tuple(dict.fromkeys((Variant("fp32"), Variant(half), *last)))


class TooLongError(Exception):
    """A cell went beyond its time."""


@dataclass
class Report:
    """What was measured, as it is written."""

    device: str
    torch: str
    limits: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """gpu.json and gpu.md in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "gpu.json").write_text(json.dumps(asdict(self), indent=1) + "\n")
        (folder / "gpu.md").write_text(self.table() + "\n")

    def table(self) -> str:
        """The table, in Markdown."""
        limits = ", ".join(f"{name} {value:.3g}" for name, value in self.limits.items())
        lines = [
            f"{self.device}, torch {self.torch}; largest product of matrices, TFLOP/s: {limits}",
            "",
            f"| network | what | variant | batch | ms a step | images/s (sampling: {STEPS} steps) "
            "| share of the limit | peak GB |",
            "|---|---|---|--:|--:|--:|--:|--:|",
        ]
        for row in self.rows:
            share = "" if row["share"] is None else f"{row['share']:.0%}"
            memory = "" if row["peak_gb"] is None else f"{row['peak_gb']:.2f}"
            lines.append(
                f"| {row['network']} | {row['task']} | {row['variant']} | {row['batch']} "
                f"| {row['ms']:.1f} | {row['images_per_s']:.3g} | {share} | {memory} |"
            )
        lines += ["", *(f"Not measured: {text}" for text in self.left_out)]
        return "\n".join(lines).rstrip()


def main(words: list[str] | None = None) -> None:
    """Measure what there is time for."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--device", default="cuda")
    options.add_argument("--deadline", type=float, default=300, help="seconds for all")
    options.add_argument("--cell", type=float, default=4, help="seconds for steps of a cell")
    options.add_argument("--compile", type=float, default=90, help="seconds to compile a cell")
    options.add_argument("--networks", nargs="+", default=list(FEW), choices=list(FEW))
    options.add_argument("--variants", nargs="+", help="names, as fp32 or 'bf16 channels_last'")
    options.add_argument("--out", type=Path, default=Path("runs/gpu"))
    asked = options.parse_args(words)
    device, end = pick_device(asked.device), time.perf_counter() + asked.deadline
    report = Report(_name(device), torch.__version__)
    for precision in dict.fromkeys(each.precision for each in variants(device)):
        report.limits[precision] = limit(device, Variant(precision), asked.cell / 4)
    pairs: dict[str, tuple[Denoiser, NoisyClassifier]] = {}
    flops: dict[tuple[str, str], int] = {}
    late: list[str] = []
    for variant in variants(device):
        if str(variant) not in (asked.variants or [str(variant)]):
            continue
        for network in asked.networks:
            if network not in pairs:
                pairs[network] = build(network, narrow=device.type != "cuda")
            for task in TASKS:
                name = f"{network}, {task}, {variant}"
                own = asked.cell + (asked.compile if variant.compile else SETTING_UP)
                left = min(own, end - time.perf_counter())
                if left < asked.cell:
                    late.append(name)
                    continue
                try:
                    with at_most(left):
                        row = measure(
                            pairs[network], network, task, variant, device, asked.cell, flops
                        )
                except (TooLongError, torch.OutOfMemoryError, RuntimeError) as error:
                    said = str(error).splitlines()[0] if str(error) else f"beyond {left:.0f} s"
                    report.left_out.append(f"{name}: {type(error).__name__}, {said[:200]}")
                else:
                    row["share"] = row["tflops"] / report.limits[variant.precision]
                    report.rows.append(row)
                    print(f"{name}: {row['ms']:.1f} ms, {row['images_per_s']:.3g} images/s")
                report.write(asked.out)
    if late:
        report.left_out.append(f"{len(late)} cells, for which no time was left: {'; '.join(late)}")
    report.write(asked.out)
    print(report.table())


def limit(device: torch.device, variant: Variant, seconds: float) -> float:
    """TFLOP/s of a large product of matrices."""
    size = 8192 if device.type == "cuda" else 512
    a, b = (torch.randn(size, size, device=device, dtype=variant.dtype) for _ in range(2))
    with told(variant):
        return 2e-12 * size**3 / median_time(lambda: a @ b, device, seconds)


def build(network: str, narrow: bool) -> tuple[Denoiser, NoisyClassifier]:
    """Noise predictor and classifier on the CPU, with random weights.

    narrow: those of CIFAR-10 and the ADM of 32 channels.
    """
    if network == "adm64":
        return _adm(narrow)
    shape, classes = {"mnist": ((1, 28, 28), 10), "cifar10": ((3, 32, 32), 10)}[network]
    data = DataSpec(shape, tuple(map(str, range(classes))))
    made = []
    for role, outputs in (("diffusion", shape[0]), ("classifier", classes)):
        [file] = [each for each in packaged_configs() if each.name == f"{network}-{role}.yaml"]
        told_by = yaml.safe_load(file.read_text())["model"]["init_args"]
        wanted = told_by["network"]
        if narrow and network in NARROWED:
            wanted["init_args"] |= NARROW
        made.append(
            getattr(networks, wanted["class_path"])(
                shape[1], shape[0], outputs, **wanted["init_args"]
            )
        )
        if role == "diffusion":
            prediction = told_by["prediction"]
    return Denoiser(made[0], Cosine(), prediction, data), NoisyClassifier(made[1], Cosine(), data)


def _adm(narrow: bool) -> tuple[Denoiser, NoisyClassifier]:
    made: list[nn.Module] = []
    for name, kind in (("64x64_diffusion", networks.UNet), ("64x64_classifier", None)):
        published = PUBLISHED[name]
        arguments = {
            **published.told,
            "image_size": published.settings["image_size"],
            "num_head_channels": published.settings["num_head_channels"],
            "use_new_attention_order": published.settings["attention_order"] == "new",
            "dropout": published.settings.get("dropout", 0.0),
        }
        if narrow:
            arguments |= NARROW
        if kind is None:
            arguments["out_channels"] = CLASSES
        made.append((kind or networks.EncoderUNet)(**arguments))
    data = DataSpec((3, 64, 64), tuple(map(str, range(CLASSES))))
    denoiser = Denoiser(made[0], Cosine(), "eps", data, learned_variance=True)
    return denoiser, NoisyClassifier(made[1], Cosine(), data)


def measure(
    pair: tuple[Denoiser, NoisyClassifier],
    network: str,
    task: str,
    variant: Variant,
    device: torch.device,
    seconds: float,
    flops: dict[tuple[str, str], int],
) -> dict[str, Any]:
    """One cell. flops: of a step, by network and task; counted here where they are missing."""
    size = BATCHES.get(device.type, FEW)[network]
    layout = torch.channels_last if variant.channels_last else torch.contiguous_format
    denoiser, classifier = (deepcopy(m).to(device, memory_format=layout) for m in pair)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    if task == "sample":
        step = guided_step(denoiser.eval(), classifier.eval(), size)
    else:
        step = training_step(denoiser if task == "train predictor" else classifier, size)
    with told(variant), torch.autocast(device.type, variant.dtype, enabled=_narrow(variant)):
        if (network, task) not in flops:
            with FlopCounterMode(display=False) as counter:
                step()
            flops[network, task] = counter.get_total_flops()
        if variant.compile:
            denoiser.network.compile(dynamic=False)
            classifier.network.compile(dynamic=False)
        once = median_time(step, device, seconds)
    on_cuda = device.type == "cuda"
    return {
        "network": f"{network}, narrow" if network in NARROWED and not on_cuda else network,
        "task": task,
        "variant": str(variant),
        "batch": size,
        "ms": 1e3 * once,
        "images_per_s": size / once / (STEPS if task == "sample" else 1),
        "tflops": 1e-12 * flops[network, task] / once,
        "peak_gb": torch.cuda.max_memory_allocated(device) / 1e9 if on_cuda else None,
    }


def training_step(model: Denoiser | NoisyClassifier, size: int) -> Callable[[], object]:
    """A step of the training of `model` on `size` images, as `cgd fit` makes it."""
    device = next(model.parameters()).device
    kind = DiffusionModule if isinstance(model, Denoiser) else ClassifierModule
    measures = kind(lambda *_: model.network)
    if isinstance(measures, DiffusionModule) and isinstance(model, Denoiser):
        measures.learned_variance = model.learned_variance
    model.train()
    average = deepcopy(model).requires_grad_(False).eval()
    moving = MovingAverage(average, model, 0.999, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    x0 = torch.rand(size, *model.image_shape, device=device) * 2 - 1
    y = torch.arange(size, device=device) % len(model.class_names)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        t = torch.rand(size, device=device).mul(model.schedule.timesteps).floor()
        eps = torch.randn_like(x0)
        batch = NoisyBatch(x0, add_noise(x0, t, eps, model.schedule), t, eps, y, y)
        measures.measure(model, batch)["loss"].mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        moving.move(done)

    return step


def guided_step(denoiser: Denoiser, classifier: NoisyClassifier, size: int) -> Callable[[], object]:
    """A step of guided DDIM for `size` images, in the middle of the noise."""
    for model in (denoiser, classifier):
        model.requires_grad_(False)
    device = next(denoiser.parameters()).device
    y = torch.arange(size, device=device) % len(denoiser.class_names)
    rule = Chain([Clamp(), ClassifierGuidance(1.0)])
    denoise = rule.bind(denoiser.bind(y), classifier, y)
    levels = denoiser.schedule.levels(STEPS)[STEPS // 2 : STEPS // 2 + 2]
    x = torch.randn(size, *denoiser.image_shape, device=device)

    def step() -> None:
        with torch.no_grad():
            for _ in DDIM(STEPS).walk(denoise, x, levels, lambda: x):
                pass

    return step


def median_time(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Seconds that `work` takes, in the median of as many as fit, at least 3 and at most 50."""
    times: list[float] = []
    for _ in range(2):  # warm-up; the first may compile
        work()
    _wait(device)
    end = time.perf_counter() + seconds
    while len(times) < 3 or (time.perf_counter() < end and len(times) < 50):
        begin = time.perf_counter()
        work()
        _wait(device)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


@contextmanager
def told(variant: Variant) -> Iterator[None]:
    """float32 products in TF32 for that variant alone."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = variant.precision == "tf32"
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises TooLongError after so many seconds, between two operations."""

    def stop(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _narrow(variant: Variant) -> bool:
    return variant.dtype != torch.float32


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
