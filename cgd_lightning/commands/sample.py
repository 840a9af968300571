"""`cgd sample`: guided images as files, a grid, and a JSON from which the same images can be made
again.
"""

import json
import os
import re
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import yaml
from jsonargparse import Namespace
from tqdm import tqdm

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.commands.foreign import CALL, foreign_classifier
from cgd_lightning.commands.guidance import (
    compose,
    is_ours,
    scale_of,
    settings_with_scale,
    singles,
    with_files,
)
from cgd_lightning.commands.pair import find_pair, say
from cgd_lightning.commands.recorded import MOST_SAMPLES, read_recorded
from cgd_lightning.configuration.files import MOST_BYTES, OWN_FILES, PackagedConfigFile, load_yaml
from cgd_lightning.configuration.parser import OneLineErrors, instantiate, take_trusted
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.generate import generate
from cgd_lightning.diffusion.guidance import Rule
from cgd_lightning.diffusion.samplers import Sampler
from cgd_lightning.diffusion.targets import parse_targets
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.animation import Animation
from cgd_lightning.sampling.claim import claim
from cgd_lightning.sampling.files import SampleFolder, new_folder
from cgd_lightning.sampling.hardware import PRECISIONS, pick_dtype
from cgd_lightning.sampling.processes import start_processes

SCALE = (
    "0 is off, 1 is Bayes' rule for an unconditional diffusion model, more trades variety for "
    "likeness"
)

CLEAN = (
    "One of clean images, with --guidance CleanGuidance, is a judge, or a call: "
    "'torchvision.models.resnet18(weights=DEFAULT)'."
)

SCALE_OF_A_RULE = re.compile(r"--guidance(\.init_args|\.rule)*\.scale(=|$)")

CLAMP = "outside the guidance, or inside it as ADM does, which wants many steps of DDPM"


def run(args: list[str]) -> None:
    """Run `args`: "sample" and its options."""
    words, gate = take_trusted(args[1:])
    words, recorded = _take_recorded(words, gate.trust)
    with tempfile.TemporaryDirectory(prefix=OWN_FILES) as folder:
        settings = parser(_sampler_of(words, recorded)).parse_args(
            [*_as_config(recorded, Path(folder)), *words]
        )
    gate.check(vars(settings), "")
    if settings.out is None and settings.ckpt is not None and not gate.stays(settings.ckpt):
        raise InputError(
            f"--ckpt {settings.ckpt}: stands in a file, outside this folder; say where the images "
            "go, with --out FOLDER"
        )
    if settings.out is None and settings.ckpt is not None and Path(settings.ckpt).exists():
        gate.check_place(checkpoints.find(settings.ckpt).parent / "samples", "out")
    if (
        recorded
        and settings.ckpt is not None
        and settings.ckpt == recorded.get("ckpt")
        and not Path(settings.ckpt).exists()
    ):
        moved = "if it was moved, name it with --ckpt, and its classifier with --classifier"
        raise InputError(f"--from: its model {settings.ckpt} is not there; {moved}")
    own = settings_with_scale(settings.guidance)
    typed = any(SCALE_OF_A_RULE.match(word) for word in words)
    if settings.scale is not None and (typed or (own is not None and own["scale"] != 1)):
        if "--scale" in [
            word.partition("=")[0] for word in words
        ] or settings.scale != recorded.get("scale"):
            raise InputError(
                "the scale of the outermost guidance rule is given twice; give it once, as --scale "
                "or in --guidance"
            )
        settings.scale = None
    sample(settings, gate.trust, gate.typed, recorded)


def _sampler_of(words: Sequence[str], recorded: Mapping[str, Any]) -> str:
    """The class of sampler that is asked for, so that its own defaults count, and not those of the
    class that it takes the place of.
    """
    typed = [value for word, value in zip(words, [*words[1:], ""]) if word == "--sampler"]
    typed += [word.partition("=")[2] for word in words if word.startswith("--sampler=")]
    files = [value for word, value in zip(words, [*words[1:], ""]) if word == "--config"]
    files += [word.partition("=")[2] for word in words if word.startswith("--config=")]
    for file in (
        file for file in files if os.path.isfile(file) and os.path.getsize(file) <= MOST_BYTES
    ):
        with suppress(OSError, yaml.YAMLError, TypeError, KeyError):
            typed.insert(
                0, load_yaml(Path(file).read_text(encoding="utf-8"))["sampler"]["class_path"]
            )
    asked: list[Any] = [
        recorded.get("sampler", {}).get("class_path"),
        os.environ.get("CGD_SAMPLE__SAMPLER"),
        *typed,
    ]
    return next(
        (
            name
            for name in reversed(asked)
            if isinstance(name, str) and re.fullmatch(r"[\w.]+", name)
        ),
        "DDIM",
    )


def parser(sampler: str = "DDIM") -> OneLineErrors:
    """The options of `cgd sample`; `sampler` is the class whose defaults count."""
    options = OneLineErrors(
        prog="cgd sample",
        default_env=True,
        env_prefix="CGD_SAMPLE_",
        description="Make guided images.",
        allow_abbrev=False,
    )
    add = options.add_argument
    options.add_argument("--config", action=PackagedConfigFile, help="YAML file with options.")
    add(
        "--from",
        metavar="samples.json",
        help="Make the images of an earlier `cgd sample` again; further options change them.",
    )
    add("--ckpt", type=str | None, help="Run, version folder or file of the diffusion model.")
    add(
        "--classifier",
        type=str | None,
        help=f"Run or file of the classifier. Default: the newest that fits, beside the diffusion run. {CLEAN}",
    )
    add(
        "--scale",
        type=float | None,
        help=f"Strength of the guidance: {SCALE}. Default: that of the outermost rule, 1 unless it says otherwise.",
    )
    add(
        "--labels",
        type=str | None,
        help="Classes by name or index, 3,7, in turn; 3|7 is either, !3 all others, 3+7 a mixture. Default: all in turn.",
    )
    add("--num_samples", type=int, default=64, help="Number of images.")
    try:
        options.add_subclass_arguments(
            Sampler, "sampler", default={"class_path": sampler}, help="Sampler and its options."
        )
    except ValueError:  # no such class: said when the words are parsed
        return parser()
    default = {"class_path": "ClassifierGuidance"}
    add(
        "--guidance",
        type=Rule | list[Rule],
        default=default,
        help="Guidance rule, or a list of them, the first innermost; takes --scale.",
    )
    add(
        "--clamp",
        type=Literal["outside", "inside", "off"],
        default="outside",
        help=f"Where x0 is clamped to [-1, 1]: {CLAMP}.",
    )
    add("--seed", type=int, default=0, help="Seed of the noise; each image has its own stream.")
    add("--batch_size", type=int, default=256, help="Images at a time.")
    add("--out", type=str | None, help="Folder for the results. Default: a new one under the run.")
    switch: dict[str, Any] = {"type": bool, "nargs": "?", "const": True, "default": False}
    add(
        "--animate",
        **switch,
        help="Also write animation.gif: x_t and the predicted image, step by step.",
    )
    add(
        "--format",
        type=Literal["png", "npz"],
        default="png",
        help="Images as PNG files or as one samples.npz.",
    )
    weights = (
        "Weights of the diffusion model: their moving average, or the last ones. All other models "
        "give their average."
    )
    add("--weights", type=Literal["ema", "raw"], default="ema", help=weights)
    add("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps, ...")
    add(
        "--precision",
        type=str,
        default="auto",
        help="auto (bf16 where the hardware is fast at it), fp32 or bf16.",
    )
    add("--compile", **switch, help="torch.compile the networks.")
    add(
        "--trainer.devices",
        type=str | None,
        help="Number of devices; Lightning then drives one process for each.",
    )
    add(
        "--trainer.accelerator",
        type=str,
        default="auto",
        help="cpu, gpu, ..., where --trainer.devices is given.",
    )
    add(
        "--trainer.strategy",
        type=str,
        default="auto",
        help="Lightning strategy, where --trainer.devices is given.",
    )
    add("--trainer.num_nodes", type=int, default=1, help="Number of machines.")
    return options


def _take_recorded(args: list[str], trust: Trust) -> tuple[list[str], dict[str, Any]]:
    """`args` without `--from samples.json`, and the options that stand in it, as far as a guidance
    that the user gives leaves them.
    """
    place = next(
        (i for i, arg in enumerate(args) if arg == "--from" or arg.startswith("--from=")), None
    )
    if place is None:
        return args, {}
    joined = args[place] != "--from"
    name = args[place].partition("=")[2] if joined else (args[place + 1 : place + 2] or [""])[0]
    recorded = read_recorded(name, trust)
    rest = [*args[:place], *args[place + (1 if joined else 2) :]]
    for whole, options in (("--guidance", ("guidance", "scale")), ("--sampler", ("sampler",))):
        if any(word == whole or word.startswith(f"{whole}=") for word in rest):
            recorded = {
                option: value for option, value in recorded.items() if option not in options
            }
    return rest, recorded


def _as_config(recorded: dict[str, Any], folder: Path) -> list[str]:
    """What gives `recorded` options to the parser, before the user's own, by a file in `folder`."""
    if not recorded:
        return []
    config = folder / "recorded.json"
    config.write_text(json.dumps(recorded), encoding="utf-8")
    return ["--config", str(config)]


def sample(
    settings: Namespace,
    trust: Trust = NO_TRUST,
    typed: Collection[str] = (),
    recorded: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Make the images that `settings` ask for and write them; prints the path of the grid.

    trust: packages whose classes files may name. typed: values that were typed on the command line
    and may be called. recorded: options of an earlier run; those of them that this one does not use
    are no mistake of the user.
    """
    if settings.ckpt is None:
        raise InputError(
            "which diffusion model? give --ckpt runs/NAME, a version folder or a file, or --from "
            "samples.json"
        )
    for option in ("num_samples", "batch_size"):
        if type(settings[option]) is not int or not 1 <= settings[option] <= MOST_SAMPLES:
            raise InputError(f"--{option} {settings[option]}: wanted 1 to {MOST_SAMPLES:,}")
    ready = instantiate(parser(settings.sampler.class_path), settings)
    rule = compose(ready.guidance, settings.scale, settings.clamp)
    if getattr(ready.sampler, "mean_shift", False) and settings.clamp == "outside":
        raise InputError(
            "--sampler.mean_shift: starts from the prediction before guidance, which --clamp "
            "outside leaves as it is; add --clamp inside"
        )
    given = {
        name
        for name in ("classifier", "labels")
        if settings[name] is not None and settings[name] != recorded.get(name)
    }
    off = scale_of(ready.guidance) == 0
    path, card, classifier_path = find_pair(settings, rule, explicit="classifier" in given, off=off)

    processes = start_processes(settings.device, **settings.trainer)
    dtype = pick_dtype(settings.precision, processes.device)

    taken: dict[str, Path] = {}

    def read(name: str) -> Any:
        if CALL.fullmatch(name):
            model: Any = foreign_classifier(
                name, card.image_shape, processes.device, typed=name in typed, trust=trust
            )
        else:
            taken[name] = checkpoints.find(name)
            checkpoints.check_shapes((path, card), (taken[name], checkpoints.read(taken[name])))
            model = checkpoints.load(taken[name], device=processes.device, trust=trust)
        if settings.compile:
            model.network.compile()
        return model

    denoiser = checkpoints.load(
        path, weights=settings.weights, device=processes.device, trust=trust
    )
    if getattr(ready.sampler, "variance", None) == "learned" and not denoiser.learned_variance:
        raise InputError(
            f"--sampler.variance learned: {path} did not learn any; sample with fixed_small or "
            "fixed_large"
        )
    rule.load(read)
    for name, file in taken.items():
        say(f"model in the guidance: {name} is {file}")
    if "labels" in given and not off and not _reads_labels(denoiser, rule, ready.guidance):
        raise InputError(
            f"--labels {settings.labels}: neither the diffusion model nor the guidance is told the class of an image; leave it out, or add "
            "guidance by a classifier, as in '[{class_path: ClassifierGuidance}, ...]'"
        )
    if denoiser.conditional and NoisyClassifier in rule.guides:
        free = (
            ""
            if denoiser.null_label is None
            else "--guidance ClassifierFree --scale S guides without one, "
        )
        say(
            "note: this diffusion model is told the class itself, and the classifier counts it "
            f"again; {free}--scale 0 is the model alone"
        )
    classifier = read(str(classifier_path)) if classifier_path else None
    names = classifier.class_names if classifier else card.class_names
    targets, written = parse_targets(
        settings.labels, names, settings.num_samples, classifier.class_shares if classifier else ()
    )
    if settings.compile:
        denoiser.network.compile()

    size = min(settings.batch_size, len(targets))
    first = processes.rank == 0
    animation = (
        Animation(targets[:size], written, ready.sampler.evaluations)
        if settings.animate and first
        else None
    )
    images = generate(
        denoiser,
        targets,
        ready.sampler,
        rule,
        classifier,
        seed=settings.seed,
        batch_size=settings.batch_size,
        shard=(processes.rank, processes.count),
        dtype=dtype,
        progress=lambda: bar.update(),
        watch=animation,
    )
    starts = range(processes.rank * size, len(targets), processes.count * size)
    record = _record(settings, scale_of(ready.guidance), path, classifier_path, taken, dtype)
    folder = (
        (Path(settings.out) if settings.out else new_folder(path.parent / "samples"))
        if first
        else None
    )
    with (
        claim(folder, record["options"]) if folder else nullcontext() as own,
        tqdm(
            total=len(starts) * ready.sampler.steps, unit="step", desc="sampling", disable=not first
        ) as bar,
    ):
        out = SampleFolder(processes.broadcast(own), targets, written, settings.format)
        for number, (start, chunk) in enumerate(zip(starts, images), start=1):
            out.add(start, chunk)
            bar.set_postfix_str(f"batch {number} of {len(starts)}")
        processes.barrier()
        if animation is not None:
            animation.save(out.unfinished / "animation.gif")
        grid = out.finish(record) if first else None
    if first:
        print(grid)


def _reads_labels(denoiser: Denoiser, rule: Rule, given: Rule | list[Rule]) -> bool:
    """Whether the classes asked for change anything; a rule of the user's own may read them."""
    told = [
        denoiser,
        *(
            weak
            for single in singles(given)
            if isinstance(weak := getattr(single, "weak", None), Denoiser)
        ),
    ]
    return (
        bool(rule.guides)
        or any(model.conditional for model in told)
        or not all(map(is_ours, singles(given)))
    )


def _record(
    settings: Namespace,
    scale: float | None,
    path: Path,
    classifier: Path | str | None,
    taken: Mapping[str, Path],
    dtype: Any,
) -> dict[str, Any]:
    """What samples.json says: the options that make the same images again, and how to read the
    scale.
    """
    skip = ("config", "from", "out", "trainer", "animate")
    if (own := settings_with_scale(settings.guidance)) is not None:
        del own["scale"]
    options = {name: value for name, value in settings.as_dict().items() if name not in skip}
    options |= {
        "ckpt": str(path.absolute()),
        "classifier": str(classifier.absolute()) if isinstance(classifier, Path) else classifier,
        "guidance": with_files(options["guidance"], taken),
        "scale": scale,
        "precision": next(name for name, value in PRECISIONS.items() if value == dtype),
    }
    from importlib.metadata import version

    return {
        "made_by": f"cgd-lightning {version('cgd-lightning')}",
        "scale": SCALE,
        "options": options,
    }
