"""`cgd sweep`: which scale to use, by the same noise at several of them, measured and compared.

Of edits of images, which `--images` says, `sweep_edits` does it.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.listed import not_listed
from cgd_lightning.commands import sweep_edits
from cgd_lightning.commands.measuring import shown_bar
from cgd_lightning.commands.sample import Asked, in_words, read, say
from cgd_lightning.commands.several import Option, combinations, read_options
from cgd_lightning.commands.stored_data import with_data
from cgd_lightning.commands.sweep_options import KEPT, SAMPLES, divided, parser, scales_of
from cgd_lightning.configuration.environment import with_environment
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.configuration.parser import OneLineErrors
from cgd_lightning.configuration.trusted import take_trusted
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.draws import draws_like
from cgd_lightning.evaluation.features import FeatureNetwork, JudgeFeatures
from cgd_lightning.evaluation.inception import InceptionScore
from cgd_lightning.evaluation.kept import cache_folder, is_lasting
from cgd_lightning.evaluation.measure import ALL_METRICS, Measure
from cgd_lightning.evaluation.measured import Measured
from cgd_lightning.evaluation.networks.named import feature_network
from cgd_lightning.evaluation.reference import reference_of
from cgd_lightning.evaluation.scale_measure import ScaleMeasure
from cgd_lightning.files import told_if_full
from cgd_lightning.sampling.hardware import pick_device
from cgd_lightning.sampling.sweep import Sweep, Variant
from cgd_lightning.sampling.sweep_files import told, write_sweep
from cgd_lightning.sampling.sweep_result import Point
from cgd_lightning.sampling.sweep_run import sweep


def run(args: list[str]) -> None:
    """Run `args`: "sweep" and its options."""
    if "--help" in args[1:] or "-h" in args[1:]:
        parser([], checkpoints.Trust()).print_help()
        return
    if sweep_edits.is_asked(args[1:]):
        sweep_edits.run(args)
        return
    own, rest = divided(read_options(args[1:]))
    if helps := [option for option in own if option.name.endswith(".help")]:
        parser([], checkpoints.Trust()).parse_args(helps[0].words(0))
    plan, asked = _plan(scales_of(own), rest)
    judge = _find_judge(own, plan)
    settings, options, gate = _settings(own, rest, plan, judge)
    data = with_data(options, settings, judge or checkpoints.find(_ckpt(plan))).data
    device = pick_device(asked.place.device)
    look = _look(settings, judge, data, device, gate)
    out = Path(settings.out or checkpoints.results_folder(checkpoints.find(_ckpt(plan))) / "sweep")
    gate.check_place(out, "out")
    files: list[Path] = []
    with in_words(), told_if_full(out, KEPT):
        result = sweep(
            plan,
            measure=look,
            out=out,
            real=lambda targets: _real(look, data, targets),
            device=device,
            trust=asked.trust,
            compile=asked.place.compile,
            say=say,
            write=lambda made: files.extend(write_sweep(made, out, tuple(data.class_names))),
        )
    more = [] if result.chosen is None else ["", _command(result.chosen)]
    print("\n".join([*told(result), "", *result.advice, *more, "", *map(str, files)]))


def _plan(scales: tuple[float, ...], rest: Sequence[Option]) -> tuple[Sweep, Asked]:
    """The sweep, and what is asked of where and how it is made."""
    usual = [f"--num_samples={SAMPLES}"] if not any(o.name == "from" for o in rest) else []
    variants, asked = [], None
    for words, chosen in combinations(rest):
        asked = read([*usual, *words], "cgd sweep")
        variants.append(Variant(asked.request, chosen, asked.unchanged))
    assert asked is not None
    with in_words():
        return Sweep(tuple(variants), scales), asked


def _ckpt(plan: Sweep) -> str | Path:
    ckpt = plan.variants[0].request.ckpt
    if ckpt is None:
        raise InputError("which diffusion model? give --ckpt runs/NAME, a version folder or a file")
    return ckpt


def _find_judge(own: Sequence[Option], plan: Sweep) -> Path | None:
    """The file of the judge. None if the user names other features and there is none.

    Raises InputError if there is none, or if it is the guide of these very samples.
    """
    path = checkpoints.find(_ckpt(plan))
    mine = (path, checkpoints.read(path))
    named = next((o.values[0] for o in own if o.name == "judge"), None)
    if named is not None:
        judge = checkpoints.find(named)
        checkpoints.check_judge((judge, checkpoints.read(judge)), mine)
    else:
        found = checkpoints.find_judge(*mine)
        if found is None and not any(option.name == "features" for option in own):
            raise InputError(
                f"no judge beside {path} fits, and the guide may not judge itself; train one (cgd "
                "fit --config judge.yaml), name one (--judge RUN), or other --features, as random"
            )
        if found is None:
            return None
        judge = found
    for variant in plan.variants:
        guide = variant.request.classifier
        if not isinstance(guide, str | Path) or not Path(guide).exists():
            continue
        if checkpoints.find(guide).samefile(judge):
            raise InputError(f"--judge {judge}: guides these samples itself; give another one")
    return judge


def _settings(
    own: Sequence[Option], rest: Sequence[Option], plan: Sweep, judge: Path | None
) -> tuple[Namespace, OneLineErrors, Gate]:
    """The settings of this command's own options, their parser, and the gate of them."""
    named_by = "ckpt" if judge is None else "judge"
    trusted = [o for o in rest if o.name.startswith("trust")]
    words = [w for o in own if o.name not in ("judge", "scales") for w in o.words(0)]
    words, gate = take_trusted([*words, *(w for o in trusted for w in o.words(0))])
    words.append(f"--{named_by}={judge or _ckpt(plan)}")
    options = parser(words, gate.trust, named_by)
    settings = options.parse_args(with_environment(words, options))
    gate.check({name: value for name, value in vars(settings).items() if name != named_by}, "")
    gate.keep_downloads_here(settings.data)
    if settings.features and "." in settings.features and not gate.trusts(settings.features):
        raise InputError(f"features: a file {not_listed(settings.features)}")
    return settings, options, gate


def _look(
    settings: Namespace, judge: Path | None, data: Any, device: torch.device, gate: Gate
) -> ScaleMeasure:
    """What measures each point: the judge, or other features with it, against test images."""
    from cgd_lightning.data.images import ChosenImages

    judges: FeatureNetwork | None = None
    if judge is not None:
        network = checkpoints.load(judge, CleanClassifier, device=device, trust=gate.trust)
        judges = JudgeFeatures(network, f"{judge}")
    named = settings.features not in (None, "judge")
    features = feature_network(settings.features, None, device) if named else judges
    if features is None:
        raise InputError("--features judge: no judge is there; name one with --judge")
    test = data.split("test")
    real = ChosenImages(test, len(test))
    name = f"test images of {data.name}"
    keep = cache_folder() if is_lasting(features) else None
    bar = shown_bar("real images")
    reference = reference_of(features, real, real.labels, name, keep, bar)
    return ScaleMeasure(
        Measure(features, reference, metrics=(*ALL_METRICS, InceptionScore), judge=judges)
    )


def _real(look: ScaleMeasure, data: Any, targets: Sequence[Target]) -> Measured | None:
    """As many training images of the same classes; None if there are not so many."""
    from cgd_lightning.data.images import ChosenImages

    train = data.split("train")
    images = ChosenImages(train, 20 * len(targets))
    drawn = draws_like(images.labels, targets)
    if not drawn:
        return None
    labels: list[Target] = images.labels[drawn[0]].tolist()
    return look(images[drawn[0]], labels, 0.0)


def _command(chosen: Point) -> str:
    """What to type for more of the chosen."""
    words = [f"--from={chosen.folder / 'samples.json'}", f"--seed={chosen.request.seed + 1}"]
    return f"for others like the chosen: cgd sample {shlex.join(words)}"
