"""`cgd convert`: an ordinary checkpoint of what another project made."""

from pathlib import Path
from shlex import quote

from cgd_lightning import checkpoints
from cgd_lightning.commands.convert_options import Given, parser
from cgd_lightning.diffusion.autoencoder import Autoencoder
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.errors import InputError, printable
from cgd_lightning.exchange import worlds
from cgd_lightning.exchange.imported import Imported
from cgd_lightning.exchange.model_card import latent_training
from cgd_lightning.folders import whole_folders


def run(args: list[str]) -> None:
    """Run `args`: "convert", the source and options."""
    settings = parser().parse_args(args[1:])
    source = Path(settings.source)
    out = Path(settings.out) if settings.out else Path("runs") / source.absolute().stem
    _check_free(out)
    given = {name: settings[name] for name in vars(Given()) if settings[name] is not None}
    imported = worlds.read(source, given)
    runs = dict(zip(_runs(out, imported), imported, strict=True))
    for run in runs:
        _check_free(run)
    write(runs)
    for run, found in runs.items():
        _say(f"{_sentence(found)}: {run / 'version_0' / 'best.ckpt'}")
    for note in dict.fromkeys(note for found in imported for note in found.notes):
        _say(f"note: {note}")
    _say(f"next: {_next(runs)}")


def _say(line: str) -> None:
    """Print one line, whatever the files of a stranger are called or hold."""
    print(printable(line))


def write(runs: dict[Path, Imported]) -> None:
    """Write each model as the checkpoint of a new run folder: all are whole, or none is there.

    The first run comes to be last.
    """
    with whole_folders(*reversed(list(runs))) as folders:
        for folder, found in zip(reversed(folders), runs.values(), strict=True):
            file = folder / "version_0" / "best.ckpt"
            file.parent.mkdir()
            checkpoints.save(
                found.model,
                file,
                dataset=found.dataset,
                source=printable(found.source),
                let_go=found.let_go,
            )
            checkpoints.read(file)


def _check_free(run: Path) -> None:
    if run.exists() or run.is_symlink():
        raise InputError(f"--out {run}: is there already; give a name that is free")


def _runs(out: Path, imported: list[Imported]) -> list[Path]:
    """Where each model goes: the first to OUT, others to OUT-classifier and OUT-autoencoder."""
    beside = {NoisyClassifier: "-classifier", Autoencoder: "-autoencoder"}
    return [
        out.with_name(f"{out.name}{beside.get(type(found.model), '')}") if number else out
        for number, found in enumerate(imported)
    ]


def _sentence(found: Imported) -> str:
    """What a model is, in a line."""
    model = found.model
    numbers = sum(parameter.numel() for parameter in model.parameters())
    kind = "diffusion model" if isinstance(model, Denoiser) else "classifier"
    if isinstance(model, Autoencoder):
        kind = f"autoencoder with latents {' x '.join(map(str, model.latent_shape))}"
    names = model.class_names
    classes = f" of {len(names)} classes" if names else ""
    size = " x ".join(map(str, model.image_shape))
    return f"{kind}{classes}, images {size}, {numbers:,} parameters, from {found.source}"


def _next(runs: dict[Path, Imported]) -> str:
    """The next command to type."""
    run, found = next(iter(runs.items()))
    ckpt = quote(str(run))
    if isinstance(found.model, NoisyClassifier):
        return f"cgd sample --ckpt DIFFUSION --classifier {ckpt} --scale 1"
    if isinstance(found.model, Autoencoder):
        return latent_training(found.model.image_shape, ckpt)
    if not isinstance(found.model, Denoiser):
        return f"cgd info {ckpt}"
    path = checkpoints.find(run)
    small = "" if found.model.low_res_shape is None else " --low_res FOLDER"
    # Nothing guides an upsampler there; a classifier that lies beside it is of other use.
    partner = None if small else checkpoints.find_classifier(path, checkpoints.read(path))
    flags = found.alone if partner is None else found.guided
    return f"cgd sample --ckpt {ckpt}{small} {flags}"
