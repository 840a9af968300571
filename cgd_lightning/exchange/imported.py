"""What a file of another project became."""

from collections.abc import Callable
from dataclasses import dataclass

from cgd_lightning.checkpoints import Model


@dataclass(frozen=True)
class Imported:
    """A model that was read from elsewhere, ready to be written as a checkpoint of ours.

    source: what it was made from, in a line, for the card. dataset: the name of what it was trained
    on, where that is known. notes: what the user is told, a line each. let_go: gives back the
    memory of weights that are views of a file and were looked at; changes of them are lost.
    alone, guided: flags of `cgd sample` that sample from it as that project does, without a
    classifier and with one.
    """

    model: Model
    source: str
    dataset: str | None = None
    notes: tuple[str, ...] = ()
    let_go: Callable[[], None] = lambda: None
    alone: str = "--scale 0"
    guided: str = "--scale 1"
