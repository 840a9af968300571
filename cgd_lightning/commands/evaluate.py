"""`cgd evaluate`: what networks see in samples, beside what they see in as many real images.

Of edits, which have an option of their own, see `evaluate_edits`.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from cgd_lightning.checkpoints.listed import not_listed
from cgd_lightning.commands.evaluate_edits import check_edits, run_edits
from cgd_lightning.commands.evaluate_eyes import Eyes, eyes_of
from cgd_lightning.commands.evaluate_judge import with_judge_of_edits
from cgd_lightning.commands.evaluate_options import JUDGE, parser
from cgd_lightning.commands.evaluate_real import kept_in, listed, reference_of
from cgd_lightning.commands.measuring import read_words, shown_bar
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.configuration.parser import instantiate
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.reference import Reference, hash_of
from cgd_lightning.sampling.evaluated import (
    contact_sheet,
    free_place,
    nearest_sheet,
    told,
    write_evaluation,
)
from cgd_lightning.sampling.evaluation import Evaluation, Training, evaluate
from cgd_lightning.sampling.references import write_reference
from cgd_lightning.sampling.sources import Samples, open_source
from cgd_lightning.streams import Stream


def run(args: list[str]) -> None:
    """Run `args`: "evaluate" and its options."""
    settings, options, gate = read_words([args[0], *with_judge_of_edits(args[1:])], parser)
    _check(settings, gate)
    if settings.edits is not None:
        run_edits(settings, options, gate)
        return
    eyes = eyes_of(settings, gate)
    if settings.reference is not None and not any(w.startswith("--data") for w in gate.options):
        settings.data = None  # the judge's, for which nobody asked
    ready = instantiate(options, settings)
    data, names = ready.data, eyes.class_names(ready.data)
    shape = eyes.image_shape or (None if data is None else data.image_shape)
    samples = open_source(Path(settings.samples), shape, names, resize=settings.resize)
    out = _place(settings, samples, gate)
    reference, _ = reference_of(settings, eyes, samples.images.shape[1:], data)
    evaluation = evaluate(
        eyes.features,
        reference,
        samples,
        _training(settings, samples, data),
        listed(ready.metrics),
        eyes.judge,
        kept_in(settings, eyes.features),
        shown_bar,
    )
    out = _write(settings, out, evaluation, samples, reference, eyes, names)
    print("\n".join([*told(settings.samples, evaluation, eyes.features, eyes.judge), "", f"{out}"]))


def _check(settings: Namespace, gate: Gate) -> None:
    """Raises InputError for settings that do not suffice, or that a file may not give."""
    check_edits(settings)
    without_judge = settings.judge is None and settings.features == JUDGE
    if settings.edits is None and (settings.samples is None or without_judge):
        raise InputError(
            "wanted the samples and the judge: cgd evaluate --samples "
            "runs/diffusion/version_0/samples/0 --judge runs/judge; or, without a judge, other "
            "--features, as efficientnet-lite0, and --data or --reference"
        )
    if settings.judge is None and settings.data is None and settings.reference is None:
        raise InputError("which real images? give --reference FOLDER, --data NAME or --judge RUN")
    if "." in settings.features and not gate.trusts(settings.features):
        raise InputError(f"features: a file {not_listed(settings.features)}")
    for name, least in (("batch_size", 1), ("num_training", 0)):
        if settings[name] is not None and settings[name] < least:
            raise InputError(f"--{name} {settings[name]}: wanted at least {least}")
    if settings.write_reference is not None:
        gate.check_place(settings.write_reference, "write_reference")


def _place(settings: Namespace, samples: Samples[Stream], gate: Gate) -> Path:
    """The folder that is written to. Raises InputError if only a file can have said it."""
    source = Path(settings.samples)
    place = source.stem
    if source.is_file() and source.parent.name:  # sweeps call all their files samples.npz
        place = f"{source.parent.name}-{place}"
    usual = source / "evaluation" if samples.ours else Path("evaluation") / place
    out = Path(settings.out) if settings.out is not None else usual
    gate.check_place(out, "out")
    return out


def _training(settings: Namespace, samples: Samples[Stream], data: Any) -> Training | None:
    if data is None:
        return None
    return Training.of(data.split("train"), len(samples.images), settings.num_training)


def _write(
    settings: Namespace,
    out: Path,
    evaluation: Evaluation,
    samples: Samples[Stream],
    reference: Reference,
    eyes: Eyes,
    names: tuple[str, ...],
) -> Path:
    """Write what was measured, and tell the folder."""
    real, others, judge = evaluation.real, evaluation.against_others, eyes.judge
    about = {
        "samples": hash_of(samples.images),
        "features": eyes.features.hash,
        "judge": None if judge is None else judge.hash,
        "reference": reference.hash,
    }
    facts = {
        "made_by": f"cgd-lightning {version('cgd-lightning')}",
        "about": about,
        "samples": evaluation.report.to_plain(),
        "real_images": None if real is None else {"what": evaluation.real_name, **real.to_plain()},
        "samples_beside_them": None if others is None else others.to_plain(),
        "judge": None if judge is None else {"name": judge.name, "hash": judge.hash},
        "recognised": evaluation.recognised,
    }
    nearest = nearest_sheet(evaluation.nearest) if evaluation.nearest else None
    if settings.write_reference is not None:
        write_reference(Path(settings.write_reference), reference, eyes.features)
    if settings.out is None:
        out = free_place(out, about)
    contact = contact_sheet(samples.images, samples.targets, names)
    write_evaluation(out, facts, {"contact": contact, "nearest": nearest})
    return out
