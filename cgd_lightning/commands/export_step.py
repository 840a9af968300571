"""`cgd export --to onnx` and `--to torch`: a guided step as one graph, which other programs run."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from tqdm import tqdm

from cgd_lightning.commands.export_options import NONE, parser
from cgd_lightning.errors import InputError
from cgd_lightning.exchange.step_files import SUFFIXES, Written, check_place, write_step

STEPS = tuple(SUFFIXES)
"""The forms that are a file with a step, and no folder."""


OF_A_FOLDER = ("push", "samples", "license", "scale", "device")
"""Options that say nothing of a step."""


def check_asked(settings: Namespace, typed: Collection[str]) -> None:
    """Raises InputError for what is said of a folder, and for a place that is taken.

    typed: the options on the command line, as --scale.
    """
    usual = parser().get_defaults()
    for name in OF_A_FOLDER:
        if f"--{name}" in typed or settings[name] != usual[name]:
            raise InputError(f"--{name} {settings[name]}: is of a folder; leave it out, or --to")
    if settings.classifier == NONE:
        raise InputError(
            f"--classifier none: --to {settings.to} writes a step of guidance, which needs one; "
            "leave it out"
        )
    check_place(Path(settings.out), settings.to)


def to_step(settings: Namespace, models: Sequence[Any], out: Path) -> list[str]:
    """Write the step of `models`, denoiser and classifier, to `out`; what is said of it."""
    if len(models) != 2:
        raise InputError(
            f"--to {settings.to}: writes a step of guidance, which needs a diffusion model and a "
            f"classifier of noisy images, and {settings.run} has no such pair; give the run of the "
            "diffusion model, and --classifier"
        )
    with tqdm(total=3, desc=settings.to, unit="part", delay=2) as bar:
        written = write_step(models[0], models[1], out, settings.to, settings.half, bar.update)
    return [f"{written.size:,} bytes", *told_differences(written)]


def told_differences(written: Written) -> list[str]:
    """What is said of how far a step that was written is from what is computed here."""
    name = max(written.differences, key=lambda name: written.differences[name])
    lines = [f"largest difference: {written.differences[name]:.2g} ({name})"]
    for name, difference in written.differences.items():
        lines.append(f"  {name}: {difference:.2g}")
    if written.half is not None:
        lines.append(f"of float16 from float32: {max(written.half.values()):.2g}")
    return lines
