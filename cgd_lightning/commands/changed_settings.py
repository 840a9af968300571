"""Settings of a run that goes on which are not those that it was begun with."""

import json
from pathlib import Path
from typing import Any

import yaml

from cgd_lightning.checkpoints import schema
from cgd_lightning.configuration.files import MOST_BYTES, load_yaml
from cgd_lightning.files import open_plain
from cgd_lightning.sampling.claim import differences

OF_THE_COMMAND = ("ckpt_path", "config", "name")
"""Settings of one command rather than of its run."""


def changed_settings(file: Path, text: str) -> str:
    """Which settings in `text` differ from those in `file`, the run's config.yaml, and how.

    Empty if none does, or if there is no such file.
    """
    try:
        with open_plain(file, MOST_BYTES) as stored:
            there = _of_the_run(stored.read().decode("utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return "those of before cannot be read"
    return differences(there, _of_the_run(text))


def _of_the_run(text: str) -> dict[str, Any]:
    """The settings in `text` as JSON has them. Raises ValueError or YAMLError if it is damaged."""
    settings = schema.mapping(load_yaml(text))
    kept = {name: value for name, value in settings.items() if name not in OF_THE_COMMAND}
    plain: dict[str, Any] = json.loads(json.dumps(kept, default=str, skipkeys=True))
    return plain
