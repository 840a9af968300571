"""Writes requests.npz: the images of the words in requests.json, by cgd_lightning on the path.

    OMP_NUM_THREADS=1 PYTHONPATH=CHECKOUT python tests/stored/make_requests.py

Images are uint8 (N, H, W, C), under the name of their request. `made_with` says by what they were
rounded: torch's version and the instructions of the processor.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

STORED = Path(__file__).parent

REQUESTS: dict[str, list[str]] = json.loads((STORED / "requests.json").read_text())
"""name -> the words of a `cgd sample` beside the stored checkpoints, without --out."""


def made_with() -> list[str]:
    return [torch.__version__, torch.backends.cpu.get_cpu_capability()]


def made(words: list[str], out: Path) -> NDArray[np.uint8]:
    """The images of `cgd WORDS --out=OUT`, run in the current folder."""
    from cgd_lightning.commands.main import main

    main([*words, f"--out={out}"])
    with np.load(out / "samples.npz") as arrays:
        images: NDArray[np.uint8] = arrays["arr_0"]
    return images


def lay_out(folder: Path) -> None:
    """Copy the stored checkpoints into `folder`."""
    for checkpoint in STORED.glob("*.ckpt"):
        shutil.copy(checkpoint, folder)


def write(file: Path) -> None:
    """Make all requests and write their images to `file`, an absolute path."""
    with tempfile.TemporaryDirectory() as place:
        lay_out(Path(place))
        os.chdir(place)
        arrays: dict[str, Any] = {"made_with": np.array(made_with())}
        arrays |= {name: made(words, Path("out", name)) for name, words in REQUESTS.items()}
        np.savez_compressed(file, **arrays)
        os.chdir(file.parent)


if __name__ == "__main__":
    import cgd_lightning

    print(f"{cgd_lightning.__file__} makes {len(REQUESTS)} requests", file=sys.stderr)
    write((STORED / "requests.npz").absolute())
