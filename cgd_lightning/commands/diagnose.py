"""`cgd diagnose`: is a classifier good enough to guide, where in the noise, with which scale?"""

import json
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Any

from jsonargparse import Namespace
from tqdm import tqdm

from cgd_lightning import checkpoints
from cgd_lightning.commands.diagnose_options import parser
from cgd_lightning.commands.measuring import read_words
from cgd_lightning.commands.stored_data import with_data
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.diagnosis import Diagnosis, diagnose
from cgd_lightning.evaluation.diagnosis.checks import FEWEST
from cgd_lightning.evaluation.diagnosis.figures import save
from cgd_lightning.evaluation.diagnosis.report import bounds
from cgd_lightning.files import whole
from cgd_lightning.sampling.hardware import pick_device

OF_THE_MEANS = 5_000
"""Training images, at most, that the class means are taken of."""


def run(args: list[str]) -> None:
    """Run `args`: "diagnose" and its options."""
    settings, options, gate = read_words(args, parser)
    path, diffusion = find_pair(settings)
    data = with_data(options, settings, checkpoints.find(settings.ckpt)).data
    _check_data(data, path, settings.num_images)
    device = pick_device(settings.device)
    classifier = checkpoints.load(path, NoisyClassifier, device=device, trust=gate.trust)
    denoiser = (
        None
        if diffusion is None
        else checkpoints.load(diffusion, Denoiser, device=device, trust=gate.trust)
    )
    found = measure(classifier, denoiser, data, settings)
    out = Path(
        settings.out or checkpoints.results_folder(checkpoints.find(settings.ckpt)) / "diagnosis"
    )
    write(found, out)
    print(f"classifier: {path}\ndiffusion model: {diffusion or 'none'}")
    print(f"{found.images} test images of {data.name}\n\n{found.table()}\n")
    print("\n".join(found.verdict))
    if found.advice is not None and diffusion is not None:
        print(f"try: {as_command(found, path, diffusion)}")
    print(f"written: {out / 'diagnosis.json'}, {out / 'diagnosis.png'}")


def find_pair(settings: Namespace) -> tuple[Path, Path | None]:
    """The files of the classifier and of the diffusion model, if there is one.

    Raises InputError for files that are not there, are of another kind or do not go together.
    """
    if settings.ckpt is None:
        raise InputError("which classifier? give --ckpt runs/NAME, a version folder or a file")
    path = checkpoints.find(settings.ckpt)
    card = checkpoints.read(path)
    if card.kind not in ("classifier", "diffusion"):
        raise InputError(
            f"--ckpt {path}: {checkpoints.a_kind(card.kind)}, which has never seen noise; a "
            "classifier of noisy images was wanted"
        )
    partner = "classifier" if card.kind == "diffusion" else "diffusion"
    if settings[card.kind] is not None:
        raise InputError(f"--{card.kind}: --ckpt {path} is one itself; leave one of them out")
    if partner == "classifier":
        return _classifier_for(path, card, settings.classifier), path
    return path, _diffusion_for(path, card, settings.diffusion)


def _classifier_for(path: Path, card: checkpoints.Card, named: str | None) -> Path:
    found = checkpoints.find(named) if named else checkpoints.find_classifier(path, card)
    if found is None:
        raise InputError(
            f"--ckpt {path}: a diffusion model, and no classifier beside it fits; name one with "
            "--classifier, or train one: cgd fit --config classifier.yaml"
        )
    checkpoints.check_pair((path, card), (found, checkpoints.read(found)))
    return found


def _diffusion_for(path: Path, card: checkpoints.Card, named: str | None) -> Path | None:
    if named:
        found = checkpoints.find(named)
        checkpoints.check_pair((found, checkpoints.read(found)), (path, card))
        return found
    if (other := checkpoints.paired(path)) is not None:
        checkpoints.check_pair((other, checkpoints.read(other)), (path, card))
        return other
    for file in checkpoints.newest_first(checkpoints.beside(path)):
        with suppress(InputError):  # of a file that this classifier cannot guide, or is none
            checkpoints.check_pair((file, checkpoints.read(file)), (path, card))
            return file
    return None


def _check_data(data: Any, path: Path, num_images: int) -> None:
    card = checkpoints.read(path)
    for name, mine in (("image_shape", data.image_shape), ("class_names", data.class_names)):
        known = getattr(card, name)
        if known and list(mine) != known:
            raise InputError(
                f"--data {data.name}: {name.replace('_', ' ')} {list(mine)}; {path} was trained on "
                f"{known}"
            )
    test = len(data.split("test"))
    if num_images < FEWEST:
        raise InputError(f"--num_images {num_images}: a diagnosis needs {FEWEST} at least")
    if test < FEWEST:
        raise InputError(
            f"{data.name} has {test} test images: a diagnosis needs {FEWEST} at least; add images, "
            "or hold out a larger share when both networks are trained (--data.held_out)"
        )


def measure(
    classifier: NoisyClassifier, denoiser: Denoiser | None, data: Any, settings: Namespace
) -> Diagnosis:
    """The diagnosis by the test images of `data`, with a bar that shows what is left."""
    from cgd_lightning.data.images import sample_images

    test = sample_images(data.split("test"), settings.num_images)
    train = sample_images(data.split("train"), OF_THE_MEANS)
    with tqdm(desc="diagnose", unit="batch") as bar:

        def expect(total: int) -> Any:
            bar.reset(total)
            return bar.update

        return diagnose(
            classifier,
            test.images,
            test.labels,
            denoiser,
            training=(train.images, train.labels),
            levels=settings.levels,
            scale=settings.scale,
            seed=settings.seed,
            batch_size=settings.batch_size,
            progress=expect,
        )


def write(found: Diagnosis, out: Path) -> None:
    """Write diagnosis.json and diagnosis.png into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    with whole(out / "diagnosis.json") as unfinished:
        text = json.dumps(found.to_plain(), indent=1, allow_nan=False)
        unfinished.write_text(text + "\n", encoding="utf-8")
    save(found, out / "diagnosis.png")


def as_command(found: Diagnosis, classifier: Path, diffusion: Path) -> str:
    """The advice as a command line."""
    advice = found.advice
    assert advice is not None
    pair = f"--ckpt {quote(str(diffusion))} --classifier {quote(str(classifier))}"
    words = f"cgd sample {pair} --scale {advice.scale:g}"
    if advice.low is None and advice.high is None:
        return words
    low, high = bounds(advice, found.levels)
    return (
        f"{words} --guidance.weight Interval --guidance.weight.low {low:g} "
        f"--guidance.weight.high {high:g}"
    )
