"""`cgd sweep`: which scale to use, by the same noise at several of them, measured and compared."""

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.listed import not_listed
from cgd_lightning.checkpoints.runs import beside, newest_first
from cgd_lightning.commands.sample import Asked, in_words, read, say
from cgd_lightning.commands.several import Option, combinations, read_options
from cgd_lightning.commands.stored_data import add_data_option, with_data
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.configuration.parser import OneLineErrors, take_trusted
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.choice import Measured
from cgd_lightning.evaluation.features import FeatureNetwork, JudgeFeatures
from cgd_lightning.evaluation.inception import InceptionScore
from cgd_lightning.evaluation.kept import cache_folder
from cgd_lightning.evaluation.measure import ALL_METRICS, Measure
from cgd_lightning.evaluation.networks.named import feature_network
from cgd_lightning.evaluation.reference import reference_of
from cgd_lightning.evaluation.scale_measure import ScaleMeasure
from cgd_lightning.sampling.hardware import pick_device
from cgd_lightning.sampling.sweep import SCALES, Sweep, Variant
from cgd_lightning.sampling.sweep_files import told, write_sweep
from cgd_lightning.sampling.sweep_run import sweep

OWN = ("scales", "judge", "features", "data", "out", "help")
"""Options of this command, beside those of `cgd sample`."""

SHORT = {"steps": "sampler.steps"}

NOT_HERE = {
    "scale": "give --scales 0,1,2,5",
    "animate": "cgd sample does it, at the scale that you choose",
    "format": "points are written as npz",
    "trainer": "cgd sweep works in one process",
    "print_config": "cgd sample has it",
}
"""Options of `cgd sample` that make no sense here, and what to do."""

ALONE = ("config", "from", "device", "compile", "trust", "trust-size", "trust_size")
"""Options that have one value."""

SAMPLES = 1000
"""Of each point, unless the user says another number."""


def run(args: list[str]) -> None:
    """Run `args`: "sweep" and its options."""
    if "--help" in args[1:] or "-h" in args[1:]:
        parser([], checkpoints.Trust()).print_help()
        return
    own, rest = _divided(read_options(args[1:]))
    plan, asked = _plan(_scales(own), rest)
    judge = _find_judge(own, plan)
    settings, options, gate = _settings(own, rest, plan, judge)
    data = with_data(options, settings, judge or checkpoints.find(_ckpt(plan))).data
    device = pick_device(asked.place.device)
    look = _look(settings, judge, data, device, gate)
    out = Path(settings.out or checkpoints.find(_ckpt(plan)).parent / "sweep")
    gate.check_place(out, "out")
    with in_words():
        result = sweep(
            plan,
            measure=look,
            out=out,
            real=lambda targets: _real(look, data, targets),
            device=device,
            trust=asked.trust,
            compile=asked.place.compile,
            say=say,
        )
    files = write_sweep(result, out, tuple(data.class_names))
    print("\n".join([*told(result), "", *result.advice, "", *map(str, files)]))


def parser(
    words: Sequence[str], trust: checkpoints.Trust, named_by: str = "judge"
) -> OneLineErrors:
    """The options that `cgd sweep` has beside those of `cgd sample`.

    The data set is that of the checkpoint in `words` that the option `named_by` names.
    """
    description = (
        "Which scale to use: the same noise and labels at several scales, and with none, measured "
        "and compared. Takes all options of cgd sample, and several values of each, separated by "
        "commas: --sampler.steps 10,20, short --steps 10,20; --labels is given several times. "
        f"Makes {SAMPLES:,} samples of each point unless --num_samples says otherwise."
    )
    options = OneLineErrors(prog="cgd sweep", description=description, allow_abbrev=False)
    usual = ",".join(f"{scale:g}" for scale in SCALES)
    options.add_argument(
        "--scales", type=str, default=usual, help="Scales of the guidance; 0 is always among them."
    )
    options.add_argument(
        "--judge",
        type=str | None,
        help="Run or file of the judge. Default: the newest beside the run that fits.",
    )
    options.add_argument(
        "--features",
        type=str | None,
        help="Network whose features are compared, as for cgd evaluate. Default: the judge.",
    )
    options.add_argument(
        "--out",
        type=str | None,
        help="Folder of the points, the table and the plots. Default: sweep, beside the file of "
        "--ckpt.",
    )
    if named_by == "ckpt":
        options.add_argument("--ckpt", type=str | None, help="The diffusion model.")
    add_data_option(options, list(words), named_by, "the judge", trust)
    return options


def _divided(options: Sequence[Option]) -> tuple[list[Option], list[Option]]:
    """(options of this command, options of `cgd sample`), by their full names."""
    own: list[Option] = []
    rest: list[Option] = []
    for option in options:
        name = SHORT.get(option.name, option.name)
        first = name.partition(".")[0]
        if first in NOT_HERE:
            raise InputError(f"--{name}: not for cgd sweep; {NOT_HERE[first]}")
        if len(option.values) > 1 and (name in ALONE or (first in OWN and name != "scales")):
            raise InputError(f"--{name}: takes one value, and {len(option.values)} were given")
        (own if first in OWN else rest).append(Option(name, option.values))
    return own, rest


def _scales(own: Sequence[Option]) -> tuple[float, ...]:
    given = [option.values for option in own if option.name == "scales"]
    if not given:
        return SCALES
    scales = []
    for text in given[-1]:
        try:
            scale = float(text or "")
        except ValueError:
            scale = math.nan
        if not math.isfinite(scale):
            what = "none" if text is None else repr(text)
            raise InputError(f"--scales {what}: wanted numbers, as --scales 0,1,2,5,10")
        scales.append(scale)
    return tuple(scales)


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
        found = _newest_judge(*mine)
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
        own_file = isinstance(guide, str | Path) and Path(guide).exists()
        if own_file and checkpoints.find(guide).samefile(judge):  # type: ignore[arg-type]
            raise InputError(f"--judge {judge}: guides these samples itself; give another one")
    return judge


def _newest_judge(path: Path, card: checkpoints.Card) -> Path | None:
    """The newest judge beside the run of `path` that knows its images and classes."""
    for file in newest_first(beside(path)):
        with suppress(InputError):  # of a file that is none, or does not fit
            checkpoints.check_judge((file, checkpoints.read(file)), (path, card))
            return file
    return None


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
    settings = options.parse_args(words)
    gate.check({name: value for name, value in vars(settings).items() if name != named_by}, "")
    gate.keep_downloads_here(settings.data)
    if settings.features and "." in settings.features and not gate.trusts(settings.features):
        raise InputError(f"features: a file {not_listed(settings.features)}")
    return settings, options, gate


def _look(
    settings: Namespace, judge: Path | None, data: Any, device: torch.device, gate: Gate
) -> ScaleMeasure:
    """What measures each point: the judge, or other features with it, against test images."""
    from cgd_lightning.data.images import sample_images

    judges: FeatureNetwork | None = None
    if judge is not None:
        network = checkpoints.load(judge, CleanClassifier, device=device, trust=gate.trust)
        judges = JudgeFeatures(network, f"{judge}")
    named = settings.features not in (None, "judge")
    features = feature_network(settings.features, None, device) if named else judges
    if features is None:
        raise InputError("--features judge: no judge is there; name one with --judge")
    test = data.split("test")
    real = sample_images(test, len(test))
    name = f"test images of {data.name}"
    reference = reference_of(features, real.images, real.labels, name, cache_folder())
    return ScaleMeasure(
        Measure(features, reference, metrics=(*ALL_METRICS, InceptionScore), judge=judges)
    )


def _real(look: ScaleMeasure, data: Any, targets: Sequence[Target]) -> Measured | None:
    """As many training images of the same classes; None if there are not so many."""
    from cgd_lightning.data.images import sample_images

    train = data.split("train")
    batch = sample_images(train, min(len(train), 20 * len(targets)))
    places: list[int] = []
    left: dict[Target, list[int]] = {}
    for target in targets:
        if target not in left:
            if not isinstance(target, int):
                return None
            left[target] = (batch.labels == target).nonzero()[:, 0].tolist()
        if not left[target]:
            return None
        places.append(left[target].pop(0))
    return look(batch.images[places], targets, 0.0)
