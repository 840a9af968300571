"""`cgd evaluate --edits`: did edits become what they were to, and do their maps find lesions?"""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from jsonargparse import Namespace

from cgd_lightning.commands.evaluate_eyes import eyes_of
from cgd_lightning.commands.evaluate_judge import check_judge_of
from cgd_lightning.commands.evaluate_options import JUDGE
from cgd_lightning.commands.evaluate_real import listed, reference_of
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.configuration.parser import OneLineErrors, instantiate
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.anomaly import Threshold
from cgd_lightning.evaluation.measure import METRICS, Measure
from cgd_lightning.evaluation.reference import hash_of
from cgd_lightning.sampling.edit_evaluated import maps_sheet, told_of_edits
from cgd_lightning.sampling.edit_evaluation import (
    Maps,
    check_apart,
    evaluate_edits,
    made_otherwise,
    measure_maps,
    threshold_of,
)
from cgd_lightning.sampling.edit_source import StoredEdits, read_edits
from cgd_lightning.sampling.evaluated import free_place, write_evaluation
from cgd_lightning.sampling.references import write_reference
from cgd_lightning.sampling.true_masks import read_true_masks

OF_VALIDATION = ("validation", "validation_masks")
"""Options that are given together, or not at all."""

FURTHEST = 1_000
"""Pixels to which --blur and --near reach."""


def check_edits(settings: Namespace) -> None:
    """Raises InputError for options of edits that do not go together."""
    edits, masks = settings.edits is not None, settings.masks is not None
    if edits and settings.samples is not None:
        raise InputError("--edits and --samples: wanted one of them; evaluate the other by itself")
    if edits and settings.judge is None:
        raise InputError(
            "--edits: wanted a judge, who says what they show: --judge RUN, one that guided nothing"
        )
    if masks and not edits:
        raise InputError(f"--masks {settings.masks}: of which edits? give them with --edits FOLDER")
    for name in ("blur", "near"):
        if not 0 <= settings[name] <= FURTHEST:
            raise InputError(f"--{name} {settings[name]}: wanted 0 to {FURTHEST:,} pixels")
    given = [f"--{name} {settings[name]}" for name in OF_VALIDATION if settings[name] is not None]
    of_maps = [*given, *([f"--blur {settings.blur}"] if settings.blur else [])]
    if of_maps and not masks:
        raise InputError(f"{of_maps[0]}: of which maps? give true masks of the edits with --masks")
    if len(given) == 1:
        missing = "--validation_masks" if settings.validation_masks is None else "--validation"
        raise InputError(
            f"{given[0]}: a threshold wants edits and their masks; give {missing}, too"
        )


def run_edits(settings: Namespace, options: OneLineErrors, gate: Gate) -> None:
    """Measure edits, as `settings` say."""
    eyes = eyes_of(settings, gate)
    assert eyes.judge is not None
    own, folder = eyes.features, Path(settings.edits)
    judge = own if settings.features == JUDGE else eyes.judge
    edits = read_edits(folder, judge.class_names, eyes.image_shape)
    check_judge_of(edits, settings.judge, eyes.judge.name, judge.hash)
    out = Path(settings.out) if settings.out is not None else folder / "evaluation"
    gate.check_place(out, "out")
    maps, otherwise = _maps(settings, edits)
    if settings.reference is not None and not any(w.startswith("--data") for w in gate.options):
        settings.data = None  # the judge's, for which nobody asked
    ready = instantiate(options, settings)
    shape = edits.originals.shape[1:]
    reference, real = reference_of(settings, eyes, shape, ready.data, "edits")
    measure = Measure(own, reference, metrics=(*METRICS, *listed(ready.metrics)), judge=judge)
    evaluation = evaluate_edits(edits, judge, measure, real, maps)
    evaluation = replace(evaluation, notes=(*evaluation.notes, *otherwise))
    about = {
        "originals": hash_of(edits.originals),
        "edits": hash_of(edits.edited),
        "features": own.hash,
        "judge": judge.hash,
        "reference": reference.hash,
        "maps": None if maps is None else _about(maps),
    }
    facts = {
        "made_by": f"cgd-lightning {version('cgd-lightning')}",
        "about": about,
        "edits": evaluation.report.to_plain(),
        "maps": None if maps is None else maps.report.to_plain(),
        "judge": {"name": judge.name, "hash": judge.hash},
        "recognised": measure.recognised,
        "notes": list(evaluation.notes),
    }
    if settings.write_reference is not None:
        write_reference(Path(settings.write_reference), reference, own)
    if settings.out is None:
        out = free_place(out, about)
    write_evaluation(out, facts, {"maps": None if maps is None else maps_sheet(edits, maps)})
    print("\n".join([*told_of_edits(settings.edits, evaluation, judge, own), "", f"{out}"]))


def _maps(settings: Namespace, edits: StoredEdits) -> tuple[Maps | None, list[str]]:
    """(what maps of `edits` find, notes on it); None where nobody gives true masks."""
    if settings.masks is None:
        return None, []
    true = read_true_masks(Path(settings.masks), edits, resize=settings.resize)
    threshold, notes = _threshold(settings, edits)
    return measure_maps(edits, true, threshold, settings.blur, settings.near), notes


def _threshold(settings: Namespace, edits: StoredEdits) -> tuple[Threshold | None, list[str]]:
    """(it, fixed on the edits of other images, notes on these); None where there are none."""
    if settings.validation is None:
        return None, []
    option = "--validation"
    others = read_edits(Path(settings.validation), option=option)
    try:
        check_apart(edits, others)
    except InputError as error:
        raise InputError(f"{option} {settings.validation}: {error}") from error
    folder = Path(settings.validation_masks)
    true = read_true_masks(folder, others, "--validation_masks", settings.resize)
    differing = made_otherwise(edits, others)
    notes = [f"{option} {settings.validation}: made with {differing}"] if differing else []
    return threshold_of(others, true, settings.blur), notes


def _about(maps: Maps) -> dict[str, object]:
    fixed = maps.report.threshold
    return {
        "masks": maps.true.hash,
        "blur": maps.blur,
        "near": maps.near,
        "threshold": None if fixed is None else fixed.value,
    }
