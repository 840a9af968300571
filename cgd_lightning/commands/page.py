"""`cgd page`: a pair as a static site, on which the scale is dragged and the images follow."""

from pathlib import Path

from jsonargparse import Namespace
from tqdm import tqdm

from cgd_lightning import checkpoints
from cgd_lightning.commands.export_step import told_differences
from cgd_lightning.commands.measuring import command_parser
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.configuration.parser import OneLineErrors
from cgd_lightning.configuration.trusted import take_trusted
from cgd_lightning.errors import InputError, printable
from cgd_lightning.exchange.onnx_graph import check_installed
from cgd_lightning.exchange.page_files import built_page, check_page, write_page
from cgd_lightning.exchange.page_server import address, listening
from cgd_lightning.folders import is_free

DEFAULT_PORT = 8000


def parser() -> OneLineErrors:
    """The options of `cgd page`."""
    options = command_parser(
        "page",
        "A pair as a static site that samples in the browser: drag the scale and watch.",
    )
    options.examples = (
        "cgd page --ckpt runs/diffusion --serve",
        "cgd page --ckpt runs/diffusion --out FOLDER --half",
    )
    options.add_argument("--ckpt", type=str | None, help="Run or file of the diffusion model.")
    options.add_argument(
        "--classifier",
        type=str | None,
        help="Run or file of the classifier. Default: the one that cgd sample takes.",
    )
    options.add_argument(
        "--out",
        type=str | None,
        help="Folder that is written, new or empty. Default: page in the run's version folder.",
    )
    options.add_argument(
        "--half",
        type=bool,
        nargs="?",
        const=True,
        default=False,
        help="Store the weights as float16, in half the bytes; it computes in float32 as before.",
    )
    options.add_argument(
        "--serve",
        type=bool,
        nargs="?",
        const=True,
        default=False,
        help="Show it to the browsers of this machine until Ctrl-C. Without --ckpt, the page that "
        "is in the folder of --out.",
    )
    options.add_argument(
        "--port",
        type=int | None,
        help=f"Of --serve; 0 takes any that is free. Default: {DEFAULT_PORT}.",
    )
    return options


def run(args: list[str]) -> None:
    """Run `args`: "page" and its options."""
    words, gate = take_trusted(args[1:])
    settings = parser().parse_args(words)
    gate.check(vars(settings), "")
    _check(settings)
    if settings.ckpt is None:
        out = Path(settings.out)
        check_page(out)
    else:
        out = _place(settings, gate)
    if not settings.serve:
        _make(settings, out, gate)
        return
    # The port is had before the work begins.
    port = DEFAULT_PORT if settings.port is None else settings.port
    with listening(out, port) as server:
        if settings.ckpt is not None:
            _make(settings, out, gate)
        print(f"{address(server)} until Ctrl-C", flush=True)
        server.serve_forever()


def _check(settings: Namespace) -> None:
    """Raises InputError for options that have nothing to do."""
    if settings.port is not None and not settings.serve:
        raise InputError("--port: is of --serve; add it")
    if settings.ckpt is not None:
        return
    if not settings.serve or settings.out is None:
        raise InputError(
            "of which pair? cgd page --ckpt RUN, or cgd page --out FOLDER --serve for a page "
            "that is there"
        )
    for name in ("classifier", "half"):
        if settings[name]:
            raise InputError(f"--{name}: is of a page that is made; give --ckpt RUN, too")


def _place(settings: Namespace, gate: Gate) -> Path:
    """The folder that the page shall be written to."""
    out = Path(settings.out or checkpoints.results_folder(checkpoints.find(settings.ckpt)) / "page")
    gate.check_place(out, "out")
    if not is_free(out):
        raise InputError(
            f"--out {out}: is there already, and not an empty folder; give another, or show what "
            f"is there: cgd page --out {out} --serve"
        )
    return out


def _make(settings: Namespace, out: Path, gate: Gate) -> None:
    """Write the page and say what it is."""
    path = checkpoints.find(settings.ckpt)
    built_page()
    check_installed()
    classifier = _classifier(path, settings.classifier)
    denoiser, guide = (checkpoints.load(file, trust=gate.trust) for file in (path, classifier))
    with tqdm(total=3, desc="page", unit="part", delay=2) as bar:
        page = write_page(denoiser, guide, out, settings.half, bar.update)
    print(f"page: {page.size:,} bytes")
    print(f"model: {page.model.size:,} bytes{'' if settings.half else '; --half halves them'}")
    for line in (*told_differences(page.model), f"{out}"):
        print(printable(line))


def _classifier(path: Path, named: str | None) -> Path:
    """The classifier `named`, or else the one that goes with the diffusion model of `path`."""
    card = checkpoints.read(path)
    if card.kind != "diffusion":
        raise InputError(
            f"--ckpt {path}: is {checkpoints.a_kind(card.kind)}; give the diffusion model, and the "
            "classifier with --classifier"
        )
    file = checkpoints.find_classifier(path, card) if named is None else checkpoints.find(named)
    if file is None:
        raise InputError(f"{path}: no classifier beside it fits; give one with --classifier")
    checkpoints.check_pair((path, card), (file, checkpoints.read(file)))
    return file
