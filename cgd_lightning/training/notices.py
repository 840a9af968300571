"""What a callback says to the user while a training runs: each thing once."""

import sys

from lightning.pytorch import Trainer
from tqdm import tqdm


class Notices:
    """Prints `text` under a callback's name, on the first process alone and only the first time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.said: set[str] = set()

    def once(self, text: str, trainer: Trainer, key: str | None = None) -> None:
        """Say `text`, unless it was said. key: what makes it the same, if not the text itself."""
        text = " ".join(text.split())
        if (key or text) not in self.said:
            self.always(text, trainer)
        self.said.add(key or text)

    def always(self, text: str, trainer: Trainer) -> None:
        """Say `text`."""
        if trainer.is_global_zero:
            tqdm.write(f"{self.name}: {text}", file=sys.stderr)  # above a progress bar, not in it
