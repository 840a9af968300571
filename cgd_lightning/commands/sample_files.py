"""The folder that `cgd sample` fills: grid.png, images/INDEX-CLASS.png or samples.npz, and at last samples.json.

Files get their final names when they are whole, and samples.json comes last: where it stands, everything does.
"""

import json
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.plots import grid, grid_places, stack, to_picture


def new_folder(under: Path) -> Path:
    """A folder 0, 1, ... in `under` that is not there yet, made."""
    number = max((int(p.name) for p in under.glob("*") if p.name.isdigit()), default=-1) + 1
    while True:
        try:
            (under / str(number)).mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return under / str(number)


def open_folder(out: str) -> Path:
    """The folder `out`, made if it is missing. Raises InputError if it holds samples already, OSError if it cannot be written to."""
    folder = Path(out)
    if (folder / "samples.json").exists():
        raise InputError(f"--out {out}: holds samples already; give another folder, or remove it first")
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".writable"
    probe.touch()
    probe.unlink()
    return folder


def write_targets(targets: Sequence[Target]) -> dict[str, list[Any]]:
    """What samples.json says of the images' targets: {"labels": classes}, or, where there are others than plain classes, a table.

    {"targets": each kind once, a class or weights of all classes; "target_of_image": its place in that list, for every image}.
    """
    if all(isinstance(target, int) for target in targets):
        return {"labels": list(targets)}
    places = {target: place for place, target in enumerate(dict.fromkeys(targets))}
    return {"targets": list(places), "target_of_image": [places[target] for target in targets]}


def read_targets(images: dict[str, Any]) -> list[Target]:
    """The target of every image, from what samples.json says of them. Raises KeyError, TypeError or ValueError if it does not tell."""
    table = images.get("targets")
    listed = images["labels"] if table is None else [table[place] for place in images["target_of_image"]]
    return [tuple(map(float, target)) if isinstance(target, list) else int(target) for target in listed]


class SampleFolder:
    """Takes uint8 chunks (B, C, H, W) as they come, from any process, and finishes when all are there.

    As a context it takes back what was not finished when an error ends it.
    """

    def __init__(self, folder: Path, targets: Sequence[Target], written: dict[Target, str], kind: Literal["png", "npz"]) -> None:
        self.folder, self.targets, self.written, self.kind = folder, targets, written, kind
        self.unfinished = folder / ".unfinished"

    def __enter__(self) -> "SampleFolder":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:
            shutil.rmtree(self.unfinished, ignore_errors=True)
            with suppress(OSError):
                self.folder.rmdir()

    def add(self, start: int, images: Tensor) -> None:
        """Keep a chunk, whose first image has index `start`."""
        self.unfinished.mkdir(exist_ok=True)
        if self.kind == "npz":
            np.save(self.unfinished / f"{start:08}.npy", images.permute(0, 2, 3, 1).numpy())
            return
        for index, image in enumerate(images, start):
            to_picture(image).save(self.unfinished / self._file(index))

    def finish(self, settings: dict[str, Any]) -> Path:
        """Write grid, samples and `settings` under their final names; the path of the grid."""
        places = grid_places(self.targets)
        if self.kind == "npz":
            array = np.concatenate([np.load(part) for part in sorted(self.unfinished.glob("*.npy"))])
            rows = [torch.from_numpy(array[indices]).permute(0, 3, 1, 2) for indices in places.values()]
        else:
            rows = [stack([Image.open(self.unfinished / self._file(i)) for i in indices]) for indices in places.values()]
        grid(rows, [self.written[target] for target in places]).save(self.unfinished / "grid.png")
        for name in ("grid.png", "animation.gif"):
            if (self.unfinished / name).exists():
                os.replace(self.unfinished / name, self.folder / name)
        if self.kind == "npz":
            np.savez(self.unfinished / "samples.npz", arr_0=array, arr_1=np.array([t if isinstance(t, int) else -1 for t in self.targets]))
            os.replace(self.unfinished / "samples.npz", self.folder / "samples.npz")
            shutil.rmtree(self.unfinished)
        else:
            os.replace(self.unfinished, self.folder / "images")
        text = json.dumps({**settings, "images": {"count": len(self.targets), **write_targets(self.targets)}}, indent=1)
        (self.folder / "samples.json.tmp").write_text(text)
        os.replace(self.folder / "samples.json.tmp", self.folder / "samples.json")
        return self.folder / "grid.png"

    def _file(self, index: int) -> str:
        digits = max(4, len(str(len(self.targets) - 1)))
        name = re.sub(r"[^\w.+-]", "_", self.written[self.targets[index]])
        return f"{index:0{digits}}-{name}.png"
