"""What a file of another project became."""

from dataclasses import dataclass

from cgd_lightning.checkpoints import Model


@dataclass(frozen=True)
class Imported:
    """A model that was read from elsewhere, ready to be written as a checkpoint of ours.

    source: what it was made from, in a line, for the card. dataset: the name of what it was trained
    on, where that is known. notes: what the user is told, a line each.
    """

    model: Model
    source: str
    dataset: str | None = None
    notes: tuple[str, ...] = ()
