"""Our own folder form, back to checkpoints: what `cgd export` wrote, or somebody shared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints import at_most, build
from cgd_lightning.checkpoints.classes import NO_TRUST
from cgd_lightning.checkpoints.folder_form import (
    AUTOENCODER,
    CONFIG,
    PAIR,
    WEIGHTS,
    is_folder_form,
    opened_folder,
)
from cgd_lightning.checkpoints.tensor_file import TensorFile
from cgd_lightning.checkpoints.tensors import Stored
from cgd_lightning.checkpoints.weights import count_numbers, fitted_weights
from cgd_lightning.exchange.imported import Imported

OPTIONS: tuple[str, ...] = ()
"""A folder of ours tells all."""


def recognise(source: Path) -> bool:
    """Whether `source` is such a folder, of one model or of a pair, or the weights in it."""
    if source.is_file():
        return is_folder_form(source) and source.with_name(CONFIG).is_file()
    places = (source, *(source / part for part in PAIR))
    return any((place / WEIGHTS).is_file() and (place / CONFIG).is_file() for place in places)


def told(source: Path) -> dict[str, object]:
    """What each model in it is.

    Raises InputError for a damaged one.
    """
    return {checkpoints.read(file).kind: str(file) for file in _files(source)}


def read(source: Path, given: Mapping[str, Any]) -> list[Imported]:
    """The model or the pair in `source`. Raises InputError for a damaged one."""
    return [_imported(file) for file in _files(source)]


def _imported(file: Path) -> Imported:
    """The model whose weights are `file`; they stay there, mapped, until they are written."""
    with opened_folder(file) as (card, weights):
        state = weights.tensors
        numbers = count_numbers(state, file, NO_TRUST)
        with at_most(numbers, 10 * len(state) + 100, "its weights do not fit its network: one"):
            model = build(card, file, device="meta")
        model.load_state_dict(fitted_weights(_Views(weights), state, model), assign=True)
    made_of = card.source or f"cgd-lightning: {file.absolute().parent.name}"
    frozen = model.eval().requires_grad_(False)
    return Imported(frozen, made_of, card.dataset, let_go=weights.let_go)


class _Views:
    """The weights of a folder, read without a copy."""

    def __init__(self, file: TensorFile) -> None:
        self.file, self.path = file, file.path

    def tensor(self, stored: Stored) -> Tensor:
        return self.file.view(stored)


def _files(source: Path) -> list[Path]:
    """The models in `source`, the diffusion model first and the autoencoder of latent ones last."""
    first = checkpoints.find(source)
    other = None if source.is_file() else checkpoints.paired(first)
    pair = [first] if other is None else [first, other]
    autoencoder = source / AUTOENCODER / WEIGHTS
    return [*pair, autoencoder] if autoencoder.is_file() else pair
