"""`cgd sample`: guided images as files, a grid, and a JSON from which the same images can be made again."""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from jsonargparse import Namespace
from tqdm import tqdm

from cgd_lightning import checkpoint as checkpoints
from cgd_lightning.commands.hardware import PRECISIONS, pick_dtype
from cgd_lightning.commands.labels import parse_labels
from cgd_lightning.commands.parser import OneLineErrors, PackagedConfigFile, take_trusted
from cgd_lightning.commands.processes import start_processes
from cgd_lightning.commands.sample_files import SampleFolder, new_folder, open_folder
from cgd_lightning.diffusion.generate import generate
from cgd_lightning.diffusion.guidance import Chain, Clamp, Rule
from cgd_lightning.diffusion.samplers import Sampler
from cgd_lightning.errors import InputError

SCALE = "0 is off, 1 is Bayes' rule for an unconditional diffusion model, more trades variety for likeness"

CLAMP = "outside the guidance, or inside it as ADM does, which wants many steps of DDPM"


def run(args: list[str]) -> None:
    """Run `args`: "sample" and its options."""
    words, trust = take_trusted(args[1:])
    if any(word.startswith(("--guidance.scale", "--guidance.init_args.scale")) for word in words):
        raise InputError("--guidance.scale: the scale of the guidance is given once, as --scale")
    with tempfile.TemporaryDirectory() as folder:
        settings = parser().parse_args(_with_recorded(words, Path(folder)))
    sample(settings, trust)


def parser() -> OneLineErrors:
    """The options of `cgd sample`."""
    options = OneLineErrors(
        prog="cgd sample", default_env=True, env_prefix="CGD_SAMPLE_", description="Make guided images.", allow_abbrev=False
    )
    add = options.add_argument
    options.add_argument("--config", action=PackagedConfigFile, help="YAML file with options.")
    add("--from", metavar="samples.json", help="Make the images of an earlier `cgd sample` again; further options change them.")
    add("--ckpt", type=str | None, help="Run, version folder or file of the diffusion model.")
    add("--classifier", type=str | None, help="Run or file of the classifier. Default: the newest that fits, beside the diffusion run.")
    add("--scale", type=float, default=1.0, help=f"Strength of the guidance: {SCALE}.")
    add("--labels", type=str | None, help="Classes by name or index, 3,7, in turn. Default: all in turn.")
    add("--num_samples", type=int, default=64, help="Number of images.")
    options.add_subclass_arguments(Sampler, "sampler", default={"class_path": "DDIM"}, help="Sampler and its options.")
    options.add_subclass_arguments(Rule, "guidance", default={"class_path": "ClassifierGuidance"}, help="Guidance rule; takes --scale.")
    options.link_arguments("scale", "guidance.init_args.scale")
    add("--clamp", type=Literal["outside", "inside", "off"], default="outside", help=f"Where x0 is clamped to [-1, 1]: {CLAMP}.")
    add("--seed", type=int, default=0, help="Seed of the noise; each image has its own stream.")
    add("--batch_size", type=int, default=256, help="Images at a time.")
    add("--out", type=str | None, help="Folder for the results. Default: a new one under the run.")
    add("--format", type=Literal["png", "npz"], default="png", help="Images as PNG files or as one samples.npz.")
    add("--weights", type=Literal["ema", "raw"], default="ema", help="Moving average of the weights, or the last ones.")
    add("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps, ...")
    add("--precision", type=str, default="auto", help="auto (bf16 where the hardware is fast at it), fp32 or bf16.")
    add("--compile", type=bool, default=False, help="torch.compile the networks.")
    add("--trainer.devices", type=str | None, help="Number of devices; Lightning then drives one process for each.")
    add("--trainer.accelerator", type=str, default="auto", help="cpu, gpu, ..., where --trainer.devices is given.")
    add("--trainer.strategy", type=str, default="auto", help="Lightning strategy, where --trainer.devices is given.")
    add("--trainer.num_nodes", type=int, default=1, help="Number of machines.")
    return options


def _with_recorded(args: list[str], folder: Path) -> list[str]:
    """`args` with `--from samples.json` replaced by the options that stand in it, before the user's own."""
    place = next((i for i, arg in enumerate(args) if arg == "--from" or arg.startswith("--from=")), None)
    if place is None:
        return args
    joined = args[place] != "--from"
    name = args[place].partition("=")[2] if joined else (args[place + 1 : place + 2] or [""])[0]
    try:
        recorded = json.loads(Path(name).read_text())["options"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise InputError(f"--from {name}: not a samples.json written by cgd sample") from error
    config = folder / "recorded.json"
    config.write_text(json.dumps(recorded))
    return ["--config", str(config), *args[:place], *args[place + (1 if joined else 2) :]]


def sample(settings: Namespace, trust: tuple[str, ...] = ()) -> None:
    """Make the images that `settings` ask for and write them; prints the path of the grid."""
    if settings.ckpt is None:
        raise InputError("which diffusion model? give --ckpt runs/NAME, a version folder or a file, or --from samples.json")
    if settings.num_samples < 1:
        raise InputError(f"--num_samples {settings.num_samples}: wanted at least 1")
    ready = parser().instantiate(settings)
    rules: dict[str, list[Rule]] = {
        "inside": [Clamp(), ready.guidance],
        "outside": [ready.guidance, Clamp()],
        "off": [ready.guidance],
    }
    rule = Chain(rules[settings.clamp])

    path, card, classifier_path = _pair(settings, rule.needs_classifier)
    names = card.class_names or checkpoints.read(classifier_path or path).class_names
    labels = parse_labels(settings.labels, names, settings.num_samples)

    processes = start_processes(settings.device, **settings.trainer)
    dtype = pick_dtype(settings.precision, processes.device)
    denoiser = checkpoints.load(path, weights=settings.weights, device=processes.device, trust=trust)
    classifier = checkpoints.load(classifier_path, device=processes.device, trust=trust) if classifier_path else None
    if settings.compile:
        for model in filter(None, (denoiser, classifier)):
            model.network.compile()

    images = generate(
        denoiser,
        labels,
        ready.sampler,
        rule,
        classifier,
        seed=settings.seed,
        batch_size=settings.batch_size,
        shard=(processes.rank, processes.count),
        dtype=dtype,
        progress=lambda: bar.update(),
    )
    size = min(settings.batch_size, len(labels))
    starts = range(processes.rank * size, len(labels), processes.count * size)
    first = processes.rank == 0
    folder = (open_folder(settings.out) if settings.out else new_folder(path.parent / "samples")) if first else None
    with (
        SampleFolder(processes.broadcast(folder), labels, names, settings.format) as out,
        tqdm(total=len(starts) * ready.sampler.steps, unit="step", desc="sampling", disable=not first) as bar,
    ):
        for number, (start, chunk) in enumerate(zip(starts, images), start=1):
            out.add(start, chunk)
            bar.set_postfix_str(f"batch {number} of {len(starts)}")
        processes.barrier()
        grid = out.finish(_record(settings, path, classifier_path, dtype)) if first else None
    if first:
        print(grid)


def _pair(settings: Namespace, guided: bool) -> tuple[Path, checkpoints.Card, Path | None]:
    """The diffusion checkpoint, its card, and the classifier that goes with it, where one is needed. Says which."""
    path = checkpoints.find(settings.ckpt)
    card = checkpoints.read(path)
    if card.kind != "diffusion":
        raise InputError(f"--ckpt {path}: a {card.kind}, and a diffusion model was wanted" + _swap_hint(card.kind))
    _say(f"diffusion model: {path}")
    if not guided:
        return path, card, None
    classifier = checkpoints.find(settings.classifier) if settings.classifier else checkpoints.find_classifier(path, card)
    if classifier is None:
        raise InputError(
            f"guidance at scale {settings.scale} needs a classifier, and no run beside {path} fits; "
            "train one (cgd fit --config classifier.yaml), name one (--classifier RUN), or give --scale 0"
        )
    checkpoints.check_pair((path, card), (classifier, checkpoints.read(classifier)))
    _say(f"classifier: {classifier}")
    return path, card, classifier


def _swap_hint(kind: str) -> str:
    return "; the classifier goes to --classifier" if kind == "classifier" else ""


def _say(text: str) -> None:
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:
        print(text, file=sys.stderr)


def _record(settings: Namespace, path: Path, classifier: Path | None, dtype: Any) -> dict[str, Any]:
    """What samples.json says: the options that make the same images again, and how to read the scale."""
    skip = ("config", "from", "out", "trainer")
    options = {name: value for name, value in settings.as_dict().items() if name not in skip}
    options["guidance"]["init_args"].pop("scale", None)
    options |= {
        "ckpt": str(path.absolute()),
        "classifier": classifier and str(classifier.absolute()),
        "precision": next(name for name, value in PRECISIONS.items() if value == dtype),
    }
    from importlib.metadata import version

    return {"made_by": f"cgd-lightning {version('cgd-lightning')}", "scale": SCALE, "options": options}
