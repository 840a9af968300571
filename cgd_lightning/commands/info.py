"""`cgd info`: what a checkpoint is, or a file of another project."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from cgd_lightning import checkpoints
from cgd_lightning.errors import InputError
from cgd_lightning.exchange import worlds

SHOWN = 100
"""Of the names of the classes, and of other lists."""


def run(args: list[str]) -> None:
    """Run `args`: "info" and the path of a checkpoint, version folder or run folder."""
    if len(args) != 2 or args[1] in ("-h", "--help"):
        usage = (
            "usage: cgd info FILE_OR_RUN\n\n  cgd info runs/diffusion\n"
            "  cgd info 64x64_diffusion.pt\n\nWhat a checkpoint is: kind, network, schedule, "
            "classes, data set, step."
        )
        if args[1:] and args[1] in ("-h", "--help"):
            print(usage)
            return
        raise InputError(f"{len(args) - 1} arguments; wanted one: cgd info FILE_OR_RUN")
    given = Path(args[1])
    world = worlds.world_of(given)
    if world not in (None, worlds.ours):
        _dump({"file": str(given), **world.told(given)})
        return
    path = checkpoints.find(args[1])
    card, sizes = checkpoints.read(path), checkpoints.sizes(path)
    facts = {
        "file": str(path),
        "written": datetime.fromtimestamp(path.stat().st_mtime).isoformat(" ", "seconds"),
    }
    told = {**facts, **sizes, **vars(card)}
    for name in ("class_names", "class_shares"):
        told[name] = _shortened(told[name])
    if card.schedule is not None:
        arguments = card.schedule["init_args"]
        shown = {name: _shortened(value) for name, value in arguments.items()}
        told["schedule"] = {**card.schedule, "init_args": shown}
    _dump(told)


def _shortened(value: Any) -> Any:
    """A long list without what comes after the first ones."""
    if not isinstance(value, list | tuple) or len(value) <= SHOWN:
        return value
    return [*value[:SHOWN], f"... {len(value)} in all"]


def _dump(told: dict[str, Any]) -> None:
    yaml.safe_dump(
        told, sys.stdout, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True
    )
