"""Picture files of any size and kind, decoded to uint8 tensors of one shape."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
"""Of an image that are laid on white at once."""

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


def _flatten(image: Image.Image, mode: str) -> Image.Image:
    """`image` in `mode`, on white where it is transparent; of 16 bits the upper 8 count.

    Raises ValueError for pixels whose range nobody can tell: floats, and integers of 32 bits.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
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
        white = Image.new("RGBA", strip.size, "white")
        flat.paste(Image.alpha_composite(white, strip).convert(mode), (0, top))
    return flat
