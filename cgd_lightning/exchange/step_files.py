"""A step of guidance as a file that other programs run, and beside it what they need to sample.

    FILE.onnx or FILE.pt2       the graph, weights inside
    FILE.json                   levels, classes, and the difference from what is computed here

Nothing is written that does not give the same numbers as `ClassifierGuidance`.
"""

import copy
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from cgd_lightning.checkpoints.plain_json import read_mapping
from cgd_lightning.checkpoints.state_dicts import sha256
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.codec import PIXELS, Pixels
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.samplers import DDIM
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError
from cgd_lightning.exchange.guided_step import OUTPUTS, GuidedStep
from cgd_lightning.exchange.meeting import covered
from cgd_lightning.exchange.onnx_graph import check_installed, run_onnx, to_onnx
from cgd_lightning.exchange.step_check import largest_differences
from cgd_lightning.exchange.step_graph import step_graph
from cgd_lightning.files import open_plain, parents, whole

FORMAT = "cgd-lightning guided step"
VERSION = 1

MOST_JSON = 2**24
"""Bytes of a JSON that is read; one of the most timesteps, on two schedules, has half of them."""

BOUND = 1e-4
"""The largest difference from what is computed here, as `step_check` measures it."""

HALF_BOUND = 0.1
"""The same of weights in float16 from those in float32."""

Form = Literal["onnx", "torch"]

SUFFIXES: dict[Form, str] = {"onnx": ".onnx", "torch": ".pt2"}

Run = Callable[[Sequence[Tensor]], Sequence[Tensor]]


def check_place(out: Path, form: Form) -> None:
    """Raises InputError unless a file of `form` and its JSON can be written at `out`.

    A JSON of ours without its graph, which a kill between the two leaves, is replaced.
    """
    if out.suffix != SUFFIXES[form]:
        raise InputError(f"{out}: wanted a file FILE{SUFFIXES[form]}, beside which FILE.json")
    beside = out.with_suffix(".json")
    for file in (out, beside):
        if os.path.lexists(file) and not (file == beside and _is_left_over(file)):
            raise InputError(f"{file} is there already; give another name")
    if form == "onnx":
        check_installed()


def _is_left_over(file: Path) -> bool:
    """Whether `file` is a JSON of a step, and no graph is beside it."""
    if any(os.path.lexists(file.with_suffix(suffix)) for suffix in SUFFIXES.values()):
        return False
    try:
        with open_plain(file, MOST_JSON) as opened:
            return read_mapping(opened.read()).get("format") == FORMAT
    except (OSError, ValueError, RecursionError):
        return False


@dataclass(frozen=True)
class Written:
    """What was written: the number of bytes of the graph, and the largest differences by output.

    half: those of weights in float16 from those in float32; None where they are as they were.
    """

    size: int
    differences: dict[str, float]
    half: dict[str, float] | None


def write_step(
    denoiser: Denoiser,
    classifier: NoisyClassifier,
    out: Path,
    form: Form,
    half: bool = False,
    progress: Callable[[], object] = lambda: None,
) -> Written:
    """Write the step of `denoiser`, guided by `classifier`, to `out` and the JSON beside it.

    half: weights in float16, computed with in float32. progress: called after each of three parts:
    the graph is traced, written, and compared. Raises InputError for a pair that has no such graph,
    or whose graph gives other numbers; then nothing is written.
    """
    check_place(out, form)
    if half and form != "onnx":
        raise InputError("half: only a file of ONNX stores weights as float16")
    covered(denoiser, classifier)
    rounding = None
    if half:
        full = denoiser, classifier
        denoiser, classifier = rounded(denoiser), rounded(classifier)
        step = GuidedStep(denoiser, classifier)
        rounding = largest_differences(lambda inputs: step(*inputs), *full)
        _check(rounding, HALF_BOUND, "weights in float16 give other images than in float32")
    step = GuidedStep(denoiser, classifier)
    graph = step_graph(step)
    progress()
    # The graph comes last: where it is, its JSON is too.
    with parents(out), whole(out) as unfinished, whole(out.with_suffix(".json")) as beside:
        run: Run
        if form == "onnx":
            unfinished.write_bytes(to_onnx(graph, step.inputs, OUTPUTS, half).SerializeToString())
            progress()
            run = run_onnx(unfinished)
        else:
            with unfinished.open("wb") as file:
                torch.export.save(graph, file)
            progress()
            run = _run_torch(unfinished)
        differences = largest_differences(run, denoiser, classifier)
        _check(differences, BOUND, "the graph gives other numbers than guidance does here")
        contents = facts(denoiser, classifier, step)
        contents["model"] = _told(unfinished, out.name)
        contents["weights"] = "fp16" if half else "fp32"
        contents["largest_difference"] = differences
        contents["largest_difference_of_fp16"] = rounding
        beside.write_text(_as_text(contents), encoding="utf-8")
        progress()
        return Written(unfinished.stat().st_size, differences, rounding)


def facts(denoiser: Denoiser, classifier: NoisyClassifier, step: GuidedStep) -> dict[str, Any]:
    """What another program must know to sample with `step`, the step of these two."""
    sampler = DDIM()
    data, (low, high) = denoiser.data, PIXELS.bounds
    own = classifier.schedule if step.own_schedule else None
    return {
        "format": FORMAT,
        "version": VERSION,
        "made_by": f"cgd-lightning {version('cgd-lightning')}",
        "inputs": list(step.inputs),
        "outputs": list(OUTPUTS),
        "image_shape": list(data.x0_shape),
        "class_names": list(classifier.class_names),
        "class_shares": list(classifier.class_shares) or None,
        "conditional": denoiser.conditional,
        "prediction": denoiser.prediction,
        **_levels(denoiser.schedule),
        "classifier": {
            "covers": list(covered(denoiser, classifier)),
            "schedule": None if own is None else _levels(own),
        },
        "codec": {
            "kind": "pixels",
            "low": low,
            "high": high,
            "greys_per_unit": Pixels.greys_per_unit,
        },
        "clamp": True,
        "sampler": {
            "name": type(sampler).__name__,
            "steps": sampler.steps,
            "eta": sampler.eta,
            "spacing": sampler.spacing,
        },
    }


def _levels(schedule: NoiseSchedule) -> dict[str, Any]:
    """alpha and sigma of all timesteps, and how levels between them are found."""
    levels = [schedule.level(t) for t in range(schedule.timesteps)]
    halves = [schedule.level(t + 0.5) for t in range(schedule.timesteps - 1)]
    between = None
    if all(abs(level.radius - 1) < 1e-9 for level in (*levels, *halves)):
        between = "variance preserving"
    elif all(abs(level.alpha - 1) < 1e-9 for level in (*levels, *halves)):
        between = "variance exploding"
    return {
        "timesteps": schedule.timesteps,
        "alpha": [level.alpha for level in levels],
        "sigma": [level.sigma for level in levels],
        "between": between,
    }


def rounded(model: Any) -> Any:
    """A copy of `model` whose weights are numbers of float16, as far as they lie in its range."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for weight in model.parameters():
            narrow = weight.half().to(weight.dtype)
            weight.copy_(torch.where(narrow.isfinite(), narrow, weight))
    return model


def _as_text(contents: dict[str, Any]) -> str:
    """JSON with an entry a line, as tables have thousands of numbers."""
    entries = [
        f"{json.dumps(name)}: {json.dumps(value, allow_nan=False, ensure_ascii=False)}"
        for name, value in contents.items()
    ]
    return "{\n" + ",\n".join(entries) + "\n}\n"


def _check(differences: dict[str, float], bound: float, says: str) -> None:
    name = max(differences, key=lambda name: differences[name])
    if not differences[name] <= bound:
        raise InputError(
            f"{says}: the largest difference is {differences[name]:.2g} in {name}, and at most "
            f"{bound:g} was wanted; nothing is written"
        )


def _run_torch(file: Path) -> Run:
    with file.open("rb") as opened:
        module = torch.export.load(opened).module()
    return lambda inputs: module(*inputs)


def _told(file: Path, name: str) -> dict[str, Any]:
    return {"file": name, "sha256": sha256(file), "bytes": file.stat().st_size}
