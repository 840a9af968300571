"""What a checkpoint tells of its own measurement, as settings before those of the user.

These are its network and its data set.
"""

import re
import sys
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.classes import check_spec
from cgd_lightning.commands.stored_data import stored_data, stored_weighting
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError

MODULES = {
    "diffusion": "DiffusionModule",
    "classifier": "ClassifierModule",
    "judge": "JudgeModule",
    "autoencoder": "AutoencoderModule",
}


def with_own_config(args: list[str], folder: Path, gate: Gate) -> list[str]:
    """`args` with `--ckpt_path` resolved to a file, and what that file tells put first.

    It tells the model and the data set, which stand before the user's own options. Both are values
    that a schema has checked; of the configuration of the training only plain options of the data
    are read.
    """
    named, rest = _take_ckpt_path(args[1:])
    if named is None:
        if "--help" in args or "-h" in args:
            return args
        came = [word for word in rest if word.startswith("--ckpt")]
        came += [word for word in rest[:1] if word[:1] != "-"]
        what = f"{came[0]}: not an option of this command; " if came else ""
        raise InputError(f"{what}which checkpoint? cgd {args[0]} --ckpt_path runs/NAME")
    if not named or named.startswith("-"):
        raise InputError("--ckpt_path: wanted a run, version folder or file behind it")
    file = checkpoints.find(named)
    card = checkpoints.read(file)
    stored = {"model": stored_model(file, card, gate.trust)}
    data = stored_data(file, gate.trust, named=any(re.match(r"--data(=|$)", word) for word in rest))
    if data is not None:
        if (autoencoder := checkpoints.find_autoencoder(file, card, gate.trust)) is not None:
            data["init_args"]["autoencoder"] = str(autoencoder)
        if card.schedule is not None:
            data["init_args"]["schedule"] = check_spec(
                card.schedule, NoiseSchedule, file, gate.trust
            )
        stored["data"] = data
    config = folder / "stored.yaml"
    config.write_text(yaml.safe_dump(stored), encoding="utf-8")
    print(f"checkpoint: {file}", file=sys.stderr)
    return [args[0], "--config", str(config), *rest, "--ckpt_path", str(file)]


def _take_ckpt_path(words: list[str]) -> tuple[str | None, list[str]]:
    """The value of the first `--ckpt_path` in `words`, if there is one, and the other words."""
    for place, word in enumerate(words):
        if word.startswith("--ckpt_path="):
            return word.partition("=")[2], words[:place] + words[place + 1 :]
        if word == "--ckpt_path":
            return (words[place + 1 : place + 2] or [""])[0], words[:place] + words[place + 2 :]
    return None, words


def stored_model(file: Path, card: checkpoints.Card, trust: checkpoints.Trust) -> dict[str, Any]:
    """The module that measures a checkpoint as its training did, as plain values.

    It is described by the card, with default options of training.
    """
    network = check_spec(
        card.network, nn.Module, file, trust, without=("image_size", "in_channels", "out_channels")
    )
    network["init_args"] = {name: _as_list(value) for name, value in network["init_args"].items()}
    init_args: dict[str, Any] = {"network": network}
    if card.kind == "diffusion":
        init_args |= {
            "prediction": card.prediction,
            "learned_variance": card.learned_variance,
        }
        init_args["min_snr_gamma"] = stored_weighting(file)
    return {"class_path": f"cgd_lightning.{MODULES[card.kind]}", "init_args": init_args}


def _as_list(value: Any) -> Any:
    return [_as_list(part) for part in value] if isinstance(value, list | tuple) else value
