"""Your own images: a folder with a sub-folder for each class."""

import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Lock

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.data.images import ImageBatch, ImageTensors
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""The formats of these endings alone: for EPS, Pillow runs Ghostscript, whatever the ending."""

PIXELS = 2**26
"""At most so many pixels has an image, half of them in GIF and WebP; decoding takes up to 10 bytes
a pixel, in WebP 18.
"""

_large = Lock()
"""Large images are decoded one at a time, however many threads there are."""

LARGEST = 4096
"""Width and height that images are brought to, at most."""

CLASSES = 100_000

ROWS = 256

DAMAGE = (
    *(OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError, SyntaxError),
    *(AttributeError, EOFError, MemoryError, struct.error, zlib.error),
)
"""What Pillow raises for a damaged image."""

IN_MEMORY = 2**30
"""Bytes up to which all images of a folder are decoded once and kept."""


class Folder(NoisingDataModule):
    """Images in `root`/CLASS/FILE, of any size and mode: the shorter side is resized to
    `image_size` and the middle is cut out.

    root: the folder. image_size: width and height in pixels. channels: 3 for colour, 1 for grey.
    held_out: share of each class that goes to val, and again to test, the same images always. The
    other options are those of `NoisingDataModule`.
    """

    def __init__(
        self,
        root: str,
        image_size: int = 64,
        channels: int = 3,
        held_out: float = 0.1,
        schedule: NoiseSchedule | None = None,
        batch_size: int = 128,
        num_workers: int = 0,
        seed: int = 0,
        predict_timestep: int = 0,
    ) -> None:
        super().__init__(schedule, batch_size, num_workers, seed, predict_timestep)
        if channels not in (1, 3):
            raise InputError(f"channels {channels}: wanted 3 for colour or 1 for grey")
        if not 1 <= image_size <= LARGEST:
            raise InputError(f"image_size {image_size}: wanted 1 to {LARGEST} pixels")
        if not 0 < held_out < 0.5:
            raise InputError(f"held_out {held_out}: wanted a share between 0 and 0.5")
        self.root, self.held_out = Path(root), held_out
        self.image_shape = (channels, image_size, image_size)
        self.name = self.root.resolve().name
        self.files, self.labels, self.class_names = list_images(self.root)
        self._splits: dict[str, Dataset[ImageBatch]] = {}

    def split(self, name: str) -> Dataset[ImageBatch]:
        if not self._splits:
            places = split_by_class(self.labels, self.held_out)
            fits = len(self.files) * self.image_shape[0] * self.image_shape[1] ** 2 <= IN_MEMORY
            for part, where in places.items():
                streamed = ImageFiles(
                    [self.files[i] for i in where], self.labels[where], self.image_shape
                )
                self._splits[part] = streamed.in_memory() if fits else streamed
        return self._splits[name]


class ImageFiles(Dataset[ImageBatch]):
    """Images that are decoded when they are asked for."""

    def __init__(
        self, files: Sequence[Path], labels: Tensor, image_shape: tuple[int, int, int]
    ) -> None:
        self.files, self.labels, self.image_shape = files, labels, image_shape

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> ImageBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch:
        images = torch.stack([decode(self.files[i], self.image_shape) for i in indices])
        return ImageBatch(images, self.labels[indices], torch.as_tensor(indices))

    def in_memory(self) -> ImageTensors:
        """All of them, decoded once, in threads."""
        with ThreadPoolExecutor() as pool:
            images = list(pool.map(lambda file: decode(file, self.image_shape), self.files))
        return ImageTensors(torch.stack(images), self.labels)


def decode(file: Path, image_shape: tuple[int, int, int]) -> Tensor:
    """The image in `file`, uint8 (C, H, W), upright, resized and cropped.

    Raises InputError, naming the file, if it cannot be read or has more than PIXELS pixels.
    """
    channels, height, width = image_shape
    mode = "L" if channels == 1 else "RGB"
    try:
        with Image.open(file, formats=FORMATS) as image:
            most = PIXELS // 2 if image.format in ("GIF", "WEBP") else PIXELS
            if image.width * image.height > most:
                raise InputError(
                    f"{file}: {image.width} x {image.height} pixels; wanted at most {most}; make "
                    "it smaller or take it away"
                )
            with _large if image.width * image.height > PIXELS // 4 else nullcontext():
                ImageOps.exif_transpose(image, in_place=True)
                flat = _flatten(image, mode)
                fitted = ImageOps.fit(flat, (width, height), Image.Resampling.BICUBIC)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{file}: {error} Wanted at most {PIXELS} pixels; make it smaller or take it away"
        ) from error
    except DAMAGE as error:
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(
            f"{file}: not an image that can be read ({why}); repair it or take it away"
        ) from error
    pixels = torch.frombuffer(bytearray(fitted.tobytes()), dtype=torch.uint8)
    return pixels.reshape(height, width, channels).permute(2, 0, 1)


def _flatten(image: Image.Image, mode: str) -> Image.Image:
    """`image` in `mode`, on white where it is transparent."""
    if "transparency" not in image.info and image.mode not in ("RGBA", "LA", "PA"):
        return image if image.mode == mode else image.convert(mode)
    flat = Image.new(mode, image.size)
    for top in range(0, image.height, ROWS):  # in strips: each step takes a copy
        strip = image.crop((0, top, image.width, min(top + ROWS, image.height))).convert("RGBA")
        white = Image.new("RGBA", strip.size, "white")
        flat.paste(Image.alpha_composite(white, strip).convert(mode), (0, top))
    return flat


def list_images(root: Path) -> tuple[list[Path], Tensor, tuple[str, ...]]:
    """(files, labels int64 (N,), class names in alphabetical order) of the sub-folders of `root`.

    Raises InputError for a folder that is not there, fewer than two classes or more than CLASSES,
    an empty class, names that differ in case only or that cannot be printed, and a file in a class
    folder that is not an image by its ending.
    """
    if not root.is_dir():
        raise InputError(
            f"--data.root {root}: no such folder; give one with a sub-folder of images for each "
            "class"
        )
    folders = sorted(
        path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    names = tuple(folder.name for folder in folders)
    if len(folders) < 2:
        found = f"only the class {names[0]!r}" if names else "no sub-folders"
        raise InputError(
            f"--data.root {root}: {found}; wanted a sub-folder of images for each of at least two "
            "classes"
        )
    if len(folders) > CLASSES:
        raise InputError(f"--data.root {root}: {len(folders)} classes; wanted at most {CLASSES}")
    for name in names:
        if not name.isprintable():  # no lone surrogate is, so that the others are all UTF-8
            raise InputError(
                f"--data.root {root}: the class {name!a} has a name that cannot be printed; rename "
                "it, or set a UTF-8 locale"
            )
    twice = [
        name for name, count in Counter(name.casefold() for name in names).items() if count > 1
    ]
    if twice:
        clash = ", ".join(name for name in names if name.casefold() == twice[0])
        raise InputError(f"--data.root {root}: the classes {clash} differ in case only; rename one")
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        own = sorted(
            path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")
        )
        for path in own:
            if path.suffix.lower() not in ENDINGS:
                raise InputError(
                    f"{path}: not an image by its ending; take it away, or convert it to PNG or "
                    "JPEG"
                )
        if len(own) < 3:
            raise InputError(
                f"{folder}: {len(own)} images; each class needs at least 3, one each to train, "
                "validate and test on"
            )
        files += own
        labels += [label] * len(own)
    return files, torch.tensor(labels), names


def split_by_class(labels: Tensor, held_out: float) -> dict[str, Tensor]:
    """Indices of train, val and test: of each class the share `held_out`, but at least one image,
    goes to val and to test.
    """
    generator = torch.Generator().manual_seed(0)
    parts: dict[str, list[Tensor]] = {"train": [], "val": [], "test": []}
    for label in labels.unique():
        own = (labels == label).nonzero().flatten()
        own = own[torch.randperm(len(own), generator=generator)]
        count = max(1, round(held_out * len(own)))
        for part, chosen in zip(parts, (own[2 * count :], own[:count], own[count : 2 * count])):
            parts[part].append(chosen)
    return {part: torch.cat(chosen) for part, chosen in parts.items()}
