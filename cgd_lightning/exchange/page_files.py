"""The page of a pair: a static site that samples with it in a browser.

FOLDER/index.html, assets/, ...       the same of every pair, built from TypeScript beforehand
FOLDER/model/pair.onnx, pair.json     the pair, as `step_files` writes it
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.errors import InputError
from cgd_lightning.exchange.guided_step import check_can_be_a_step
from cgd_lightning.exchange.step_files import Written, write_step
from cgd_lightning.folders import whole_folder

MODEL = "model"
"""The folder of the pair within a page."""

MOST_BYTES = 200_000_000
"""Of the weights: while a browser opens them it holds them some four times, and a phone stops a
page that takes about 1 GB."""

MOST_NUMBERS = 3 * 256 * 256
"""Of an image, as `page/src/pair.ts` takes them."""

MOST_CLASSES = 10_000
MOST_NAME = 200
"""Letters of the name of a class; both as `page/src/pair.ts` takes them."""

CHANNELS = (1, 3)

PACKAGE = Path(__file__).parents[1]
SOURCE = PACKAGE.parent / "page"
"""Where the page is built, in a checkout."""

PLACES = (PACKAGE / "page", SOURCE / "dist")
"""Where a built page is looked for: as a wheel has it, and as a checkout does."""


@dataclass(frozen=True)
class Page:
    """What was written: the bytes of the page without its model, and what is said of the model."""

    size: int
    model: Written


def built_page() -> Path:
    """The folder of the built page, from a wheel or from a checkout; it may hold a model, too.

    Raises InputError where it was not built, with how to build it.
    """
    for folder in PLACES:
        if (folder / "index.html").is_file():
            return folder
    if (SOURCE / "package.json").is_file():
        raise InputError(
            f"{SOURCE / 'dist'}: the page was not built; with Node.js 20 or later: "
            f"npm --prefix {SOURCE} ci && npm --prefix {SOURCE} run build"
        )
    raise InputError(
        "this installation came without the page; install a wheel that `make wheel` made in a "
        "checkout where npm is, or take cgd from such a checkout"
    )


def check_bearable(denoiser: Denoiser, classifier: NoisyClassifier, half: bool) -> None:
    """Raises InputError for a pair that the page cannot show, or a browser cannot hold.

    half: whether its weights are stored in float16.
    """
    check_can_be_a_step(denoiser, classifier)
    shape = denoiser.image_shape
    if shape[0] not in CHANNELS or shape[0] * shape[1] * shape[2] > MOST_NUMBERS:
        raise InputError(
            f"images of {' x '.join(map(str, shape))}: the page shows those of 1 or 3 channels, "
            f"of at most {MOST_NUMBERS:,} numbers"
        )
    names = classifier.class_names
    if len(names) > MOST_CLASSES:
        raise InputError(f"{len(names):,} classes: the page shows at most {MOST_CLASSES:,}")
    # The browser counts a letter beyond 16 bits as two.
    longest = max(names, key=lambda name: len(name.encode("utf-16-le", "surrogatepass")))
    if len(longest.encode("utf-16-le", "surrogatepass")) > 2 * MOST_NAME:
        raise InputError(
            f"class {longest[:20]!r}...: the page shows names of at most {MOST_NAME} letters; "
            "train with shorter ones"
        )
    count = sum(value.numel() for model in (denoiser, classifier) for value in model.parameters())
    size = count * (2 if half else 4)
    if size > MOST_BYTES:
        smaller = "--half halves them" if 2 * count <= MOST_BYTES and not half else ""
        raise InputError(
            f"{size:,} bytes of weights: a browser bears {MOST_BYTES:,}; "
            + (smaller or "train smaller networks, --half or not")
        )


def write_page(
    denoiser: Denoiser,
    classifier: NoisyClassifier,
    out: Path,
    half: bool = False,
    progress: Callable[[], object] = lambda: None,
) -> Page:
    """Write the page of `denoiser`, guided by `classifier`, to the folder `out`, new or empty.

    half, progress: as of `write_step`. Raises InputError for a pair of which there is no page, or
    where none was built, and FileExistsError for a folder that is taken; then nothing is written.
    """
    site = built_page()
    check_bearable(denoiser, classifier, half)
    with whole_folder(out) as folder:
        size = sum(_copied(site, folder, name) for name in _files_of(site))
        graph = folder / MODEL / "pair.onnx"
        return Page(size, write_step(denoiser, classifier, graph, "onnx", half, progress))


def _files_of(site: Path) -> list[Path]:
    """The files of the page, within the folder `site`, without the model that may lie there."""
    files = (file.relative_to(site) for file in site.rglob("*") if file.is_file())
    return [file for file in files if file.parts[0] != MODEL]


def _copied(site: Path, folder: Path, name: Path) -> int:
    """Copy the file `name` from `site` to `folder`; its bytes."""
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(site / name, target)
    return target.stat().st_size


def check_page(folder: Path) -> None:
    """Raises InputError unless `folder` holds a page with its model."""
    for name in ("index.html", f"{MODEL}/pair.json", f"{MODEL}/pair.onnx"):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder}: holds no page, for {name} is not there; make one: "
                "cgd page --ckpt RUN --out FOLDER"
            )
