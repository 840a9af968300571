"""`cgd export`: a model in a form in which others read it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import Namespace
from tqdm import tqdm

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints import Card, Model
from cgd_lightning.checkpoints.classes import Trust
from cgd_lightning.checkpoints.folder_form import AUTOENCODER, write_folder
from cgd_lightning.commands.export_card import card_of, shown, told_training
from cgd_lightning.commands.export_options import NONE, parser
from cgd_lightning.commands.export_step import STEPS, check_asked, to_step
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.configuration.trusted import take_trusted
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.errors import InputError, printable
from cgd_lightning.exchange import adm_write, diffusers, hub
from cgd_lightning.files import as_umask_says
from cgd_lightning.folders import is_free, whole_folder
from cgd_lightning.sampling.caption import Caption, png_text
from cgd_lightning.sampling.preview import preview


@dataclass(frozen=True)
class Asked:
    """What is exported: (file, card) of each network, the diffusion model first; to which folder.

    trust: what the files may name.
    """

    models: tuple[tuple[Path, Card], ...]
    out: Path
    trust: Trust

    def load(self) -> Iterator[tuple[Path, Card, Model]]:
        """(file, card, model) of each, one at a time."""
        for path, card in self.models:
            yield path, card, checkpoints.load(path, trust=self.trust)


def run(args: list[str]) -> None:
    """Run `args`: "export" and its options."""
    words, gate = take_trusted(args[1:])
    settings = parser().parse_args(words)
    gate.check(vars(settings), "")
    asked = _asked(settings, gate)
    forms = {"folder": _to_folder, "adm": _to_adm, "diffusers": _to_diffusers}
    forms |= dict.fromkeys(STEPS, _to_step)
    notes = forms[settings.to](settings, asked)
    for line in (*notes, f"{asked.out}"):
        print(printable(line))
    if settings.push is not None:
        print(hub.push(asked.out, settings.push))


def _asked(settings: Namespace, gate: Gate) -> Asked:
    """What is wanted. Raises InputError for what cannot be had, before anything is loaded."""
    if settings.run is None or settings.out is None:
        raise InputError("what, and where to? cgd export runs/NAME --out FOLDER")
    if settings.push is not None:
        if "--push" not in gate.options:
            raise InputError(
                "push: stands in a file; give it on the command line, --push USER/REPO"
            )
        hub.check_name(settings.push)
    out = Path(settings.out)
    gate.check_place(out, "out")
    if settings.half and settings.to != "onnx":
        raise InputError("--half: is of files of ONNX; leave it out, or give --to onnx")
    if settings.to in STEPS:
        check_asked(settings, gate.options)
    elif not is_free(out):
        raise InputError(f"--out {out}: is there already, and not an empty folder; give another")
    path = checkpoints.find(settings.run)
    first = (path, checkpoints.read(path))
    classifier = _classifier(settings, *first)
    return Asked((first,) if classifier is None else (first, classifier), out, gate.trust)


def _classifier(settings: Namespace, path: Path, card: Card) -> tuple[Path, Card] | None:
    """The classifier that goes with a diffusion model, as `cgd sample` takes it."""
    named = settings.classifier
    if card.kind != "diffusion":
        own = checkpoints.a_kind(card.kind)
        if named not in (None, NONE):
            raise InputError(f"--classifier {named}: {path} is {own} itself")
        if settings.samples not in (None, NONE):
            raise InputError(f"--samples {settings.samples}: {path} is {own}, and makes none")
        return None
    if named == NONE or settings.to == "diffusers":
        return None
    file = checkpoints.find_classifier(path, card) if named is None else checkpoints.find(named)
    if file is None:
        return None
    theirs = checkpoints.read(file)
    checkpoints.check_pair((path, card), (file, theirs))
    return file, theirs


def _to_folder(settings: Namespace, asked: Asked) -> list[str]:
    pair, upsampler = len(asked.models) > 1, False
    with whole_folder(asked.out) as folder:
        for path, card, model in asked.load():
            upsampler |= isinstance(model, Denoiser) and model.low_res_shape is not None
            place = folder / card.kind if pair else folder
            _write(model, place, path, card, asked.trust)
            del model
        first, card = asked.models[0]  # those of a pair have one autoencoder
        if (autoencoder := checkpoints.find_autoencoder(first, card, asked.trust)) is not None:
            known = checkpoints.read(autoencoder)
            model = checkpoints.load(autoencoder, trust=asked.trust)
            _write(model, folder / AUTOENCODER, autoencoder, known, asked.trust)
        picture = _picture(settings, asked, folder, upsampler)
        text = card_of(settings, folder, checkpoints.find(folder), picture, upsampler).text()
        (folder / "README.md").write_text(text, encoding="utf-8")
    lines = [f"{card.kind}: {path}" for path, card in asked.models]
    if asked.models[0][1].kind == "diffusion" and not pair and settings.classifier != NONE:
        lines.append("note: no classifier beside it fits, so that none is in the folder")
    if upsampler and settings.samples is None:
        lines.append("note: it enlarges images, so that none of its own are shown; --samples does")
    return lines


def _write(model: Model, place: Path, path: Path, card: Card, trust: Trust) -> None:
    """Writes `model`, of the checkpoint `path` and its card, into the folder `place`."""
    step = checkpoints.sizes(path).get("step")
    write_folder(model, place, card.dataset, card.source, step, told_training(path, trust))


def _picture(settings: Namespace, asked: Asked, folder: Path, upsampler: bool) -> str | None:
    """Writes grid.png into `folder`; what it shows. None if there is none."""
    if asked.models[0][1].kind != "diffusion" or settings.samples == NONE:
        return None
    if settings.samples is not None:
        image, words, facts = shown(Path(settings.samples), asked.models[0][0])
    elif upsampler:
        return None
    else:
        scale = settings.scale if len(asked.models) > 1 else 0
        with tqdm(desc="sampling", unit="step", delay=2) as bar:
            image, request = preview(
                folder, scale, settings.device, asked.trust, lambda: bar.update()
            )
        words = f"Samples of {request.sampler} at scale {request.strength or 0:g}, not chosen."
        facts = dict(Caption.of(request).facts)
    image.save(folder / "grid.png", pnginfo=png_text(facts))
    return words


def _to_adm(settings: Namespace, asked: Asked) -> list[str]:
    lines = []
    with whole_folder(asked.out) as folder:
        for _, card, model in asked.load():
            written = adm_write.write(model, folder / f"{card.kind}.pt")
            name = "MODEL_FLAGS" if card.kind == "diffusion" else "CLASSIFIER_FLAGS"
            lines += [f'{name}="{written.flags}"', *(f"note: {note}" for note in written.notes)]
        (folder / "FLAGS.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return lines


def _to_diffusers(settings: Namespace, asked: Asked) -> list[str]:
    ((path, card, model),) = asked.load()
    if not isinstance(model, Denoiser):
        raise InputError(
            f"--to diffusers: {path} is no diffusion model, and only these are written for "
            "diffusers; --to folder takes all"
        )
    with whole_folder(asked.out) as folder:
        notes = diffusers.write(model, folder, dataset=card.dataset, source=card.source)
        for file in list(folder.rglob("*")):
            if file.is_file():
                as_umask_says(file)
    return [f"note: {note}" for note in notes]


def _to_step(settings: Namespace, asked: Asked) -> list[str]:
    return to_step(settings, [model for _, _, model in asked.load()], asked.out)
