"""What `cgd convert` does with a folder of diffusers."""

import json
from pathlib import Path
from typing import Any

from cgd_lightning.exchange import diffusers, worlds
from cgd_lightning.exchange.imported import Imported


def tell(folder: Path) -> None:
    if diffusers.recognise(folder):
        json.dumps(diffusers.told(folder))


def read_sane(folder: Path, given: dict[str, Any]) -> list[Imported]:
    """What is read of a folder: networks that have their weights."""
    read = list(worlds.read(folder, given))
    for imported in read:
        state = imported.model.state_dict()
        assert all(tensor.device.type == "cpu" for tensor in state.values())
        assert all(bool(tensor.isfinite().all()) for tensor in state.values())
        json.dumps([imported.source, imported.notes])
    return read
