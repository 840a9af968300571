"""Picture files of any size and kind, decoded to uint8 tensors of one shape."""

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.limits import MOST_PIXELS

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""The formats of these endings alone: for EPS, Pillow runs Ghostscript, whatever the ending."""

MODES = {1: "L", 3: "RGB"}
"""Pillow's, by the number of channels."""

GREY = {"1", "L", "LA", "I", "I;16", "I;16B", "F"}
"""Pillow's modes of images without colour."""

ROWS = 256
"""Of a transparent image that are laid on its ground at once."""

_large = Lock()
"""Large images are decoded one at a time, however many threads there are."""

DAMAGE = (
    *(OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError, SyntaxError),
    *(AttributeError, EOFError, MemoryError, struct.error, zlib.error),
)
"""What Pillow raises for a damaged image."""


def decode(file: Path, image_shape: tuple[int, int, int]) -> Tensor:
    """The image in `file`, uint8 (C, H, W), upright, resized and cropped.

    Raises InputError, naming the file, if it cannot be read or has more than MOST_PIXELS pixels.
    """
    channels, height, width = image_shape
    with _opened(file) as image:
        flat = _flatten(image, MODES[channels])
        return _to_tensor(ImageOps.fit(flat, (width, height), Image.Resampling.BICUBIC))


def decode_as_it_is(file: Path) -> Tensor:
    """The image in `file`, uint8 (C, H, W), upright, in its own size; C is 1 if it is grey, else 3.

    Raises InputError as `decode` does.
    """
    with _opened(file) as image:
        return _to_tensor(_flatten(image, "L" if image.mode in GREY else "RGB"))


@dataclass(frozen=True, eq=False)
class White:
    """Where a picture is white, bool (1, H, W): in the upper half of its grey levels.

    brightest: its highest grey level. full: that of white, 255 or 65535.
    """

    where: Tensor = field(repr=False)
    brightest: int
    full: int

    def brought_to(self, size: tuple[int, int]) -> Tensor:
        """The same at `size` (H, W), with the crop of `decode`: white where any white is covered.

        Averages, as images are resized by, would lose small parts.
        """
        height, width = self.where.shape[1:]
        scale = min(height / size[0], width / size[1])
        rows = _covered(self.where, 1, size[0], scale)
        return _covered(rows, 2, size[1], scale)


def _covered(white: Tensor, dim: int, count: int, scale: float) -> Tensor:
    """Whether any is white in each of `count` stretches of `scale` in the middle of `dim`."""
    first, slack = (white.shape[dim] - count * scale) / 2, 1e-6  # for rounding
    parts = []
    for index in range(count):
        begin = max(math.floor(first + index * scale + slack), 0)
        end = min(math.ceil(first + (index + 1) * scale - slack), white.shape[dim])
        parts.append(white.narrow(dim, begin, end - begin).any(dim=dim))
    return torch.stack(parts, dim=dim)


def decode_white(file: Path) -> White:
    """Where the image in `file` is white, upright, in its own size; it is not where transparent.

    Raises InputError as `decode` does.
    """
    with _opened(file) as image:
        if _is_wide(image):
            levels, full = np.asarray(image).astype(np.int32), 65535
        else:
            levels, full = np.asarray(_flatten(image, "L", "black")), 255
        where = torch.from_numpy(levels > full // 2)
        return White(where[None], int(levels.max()), full)


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """The image in `file`, upright. What fails on it within becomes an InputError."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            most = MOST_PIXELS // 2 if image.format in ("GIF", "WEBP") else MOST_PIXELS
            if image.width * image.height > most:
                raise InputError(
                    f"{file}: {image.width} x {image.height} pixels; wanted at most {most}; make "
                    "it smaller or take it away"
                )
            with _large if image.width * image.height > MOST_PIXELS // 4 else nullcontext():
                ImageOps.exif_transpose(image, in_place=True)
                yield image
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{file}: {error} Wanted at most {MOST_PIXELS} pixels; make it smaller or take it away"
        ) from error
    except DAMAGE as error:
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(
            f"{file}: not an image that can be read ({why}); repair it or take it away"
        ) from error


def _to_tensor(image: Image.Image) -> Tensor:
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.reshape(image.height, image.width, -1).permute(2, 0, 1)


def _is_wide(image: Image.Image) -> bool:
    """Whether its grey levels have 16 bits."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _flatten(image: Image.Image, mode: str, ground: str = "white") -> Image.Image:
    """`image` in `mode`, on `ground` where it is transparent; of 16 bits the upper 8 count.

    Raises ValueError for pixels whose range nobody can tell: floats, and integers of 32 bits.
    """
    if _is_wide(image):
        # Pillow would clip what is above 255.
        wide = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8)).convert(mode)
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode}; wanted 8 or 16 bits")
    if "transparency" not in image.info and image.mode not in ("RGBA", "LA", "PA"):
        return image if image.mode == mode else image.convert(mode)
    flat = Image.new(mode, image.size)
    for top in range(0, image.height, ROWS):  # in strips: each step takes a copy
        strip = image.crop((0, top, image.width, min(top + ROWS, image.height))).convert("RGBA")
        below = Image.new("RGBA", strip.size, ground)
        flat.paste(Image.alpha_composite(below, strip).convert(mode), (0, top))
    return flat
