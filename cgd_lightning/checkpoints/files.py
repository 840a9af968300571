"""Checkpoint files: enough in each to build the network again, and nothing that runs.

A file holds, beside the weights, plain data under "cgd": import path and constructor arguments of
the network, schedule and codec, prediction type, image shape, class names, data set. What a file
says is checked against a closed list of entries before anything is made of it (`archive`,
`entries`, `listed`). A model may as well be a folder (`folder_form`), and is then named by the file
of its weights.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar, cast, overload
from weakref import WeakValueDictionary

import torch

from cgd_lightning.amounts import size
from cgd_lightning.checkpoints.archive import Archive
from cgd_lightning.checkpoints.autoencoders import autoencoder_file, opened_codec
from cgd_lightning.checkpoints.card import Card, Model, build, check_kind, describe
from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.checkpoints.entries import decode
from cgd_lightning.checkpoints.folder_form import (
    is_folder_form,
    opened_folder,
    read_config,
    read_sizes,
    read_training,
)
from cgd_lightning.checkpoints.runs import find
from cgd_lightning.checkpoints.size import at_most
from cgd_lightning.checkpoints.tensors import Stored
from cgd_lightning.checkpoints.weights import (
    Source,
    count_numbers,
    fitted_weights,
    stored_weights,
)
from cgd_lightning.diffusion.autoencoder import Autoencoder
from cgd_lightning.errors import InputError
from cgd_lightning.files import FULL, flush, whole

MOST_CONFIG = 2**18
"""Characters in the configuration of a training."""

PART = 2**25
"""Bytes that are written before the memory of what was written is given back."""

PER_TENSOR = 500
"""Bytes that a file has of a tensor beside its numbers, about."""

M = TypeVar("M", bound=Model)


def save(
    model: Model,
    path: str | Path,
    dataset: str | None = None,
    partner: str | None = None,
    source: str | None = None,
    let_go: Callable[[], None] | None = None,
) -> None:
    """Write `model` alone, without a training state, to the file `path`, whole or not at all.

    dataset: its name. partner: the classifier that `cgd sample` takes unless told otherwise.
    source: what the model was converted from. let_go: gives back the memory of weights that are
    views of a file; it is called again and again while they are written.
    """
    weights = {f"ema.{name}": tensor for name, tensor in model.state_dict().items()}
    write({"cgd": describe(model, dataset, partner, source), "state_dict": weights}, path, let_go)


def write(
    contents: dict[str, Any], path: str | Path, let_go: Callable[[], None] | None = None
) -> None:
    """Write `contents` to the file `path`, whole or not at all; `let_go` as for `save`.

    Raises OSError if the disk does not take it.
    """
    with whole(path) as unfinished:
        try:
            if let_go is None:
                torch.save(contents, unfinished)
            else:
                with unfinished.open("wb") as file:
                    torch.save(contents, cast(BinaryIO, _InParts(file, let_go)))
            flush(unfinished)  # some disks say only now that they are full
        except (RuntimeError, OSError) as error:
            # RuntimeError is torch's word for a disk that is full.
            full = isinstance(error, OSError) and error.errno in FULL
            if not full and "inline_container" not in str(error):
                raise
            # Of a limit, the system says so; torch does not say why it could not write.
            torchs = "could not be written; is the disk full?"
            why = error.strerror if isinstance(error, OSError) else torchs
            raise OSError(f"{path}: {why}; {_room(Path(path), unfinished, contents)}") from error


def _room(path: Path, unfinished: Path, contents: Any) -> str:
    """How much room `contents` found at `path`, how much is missing, and what is kept."""
    wanted, taken = _bytes_of(contents), unfinished.stat().st_size if unfinished.exists() else 0
    kept = "; what was there before is kept" if path.is_file() else ""
    return (
        f"it took {size(taken)} of about {size(wanted)}, and about "
        f"{size(max(wanted - taken, PER_TENSOR))} more are needed{kept}"
    )


def _bytes_of(contents: Any) -> int:
    """About the bytes of a file of nested dicts, lists and tuples; views of a tensor count once."""
    storages: dict[int, int] = {}
    parts = [contents]
    while parts:
        part = parts.pop()
        if isinstance(part, torch.Tensor):
            storage = part.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        elif isinstance(part, dict):
            parts.extend(part.values())
        elif isinstance(part, list | tuple):
            parts.extend(part)
    return sum(storages.values()) + PER_TENSOR * len(storages)


class _InParts:
    """A file that is written to, as torch.save does; `let_go` is called after each `PART`."""

    def __init__(self, file: BinaryIO, let_go: Callable[[], None]) -> None:
        self.file, self.let_go, self.since = file, let_go, 0

    def write(self, part: bytes) -> int:
        written = self.file.write(part)
        self.since += written
        if self.since >= PART:
            self.let_go()
            self.since = 0
        return written

    def flush(self) -> None:
        self.file.flush()


def read(path: str | Path) -> Card:
    """The card of a checkpoint.

    Raises InputError if the file is damaged, foreign, of a newer format or holds more than plain
    data.
    """
    if is_folder_form(path):
        return read_config(path)
    with opened(path) as archive:
        return decode(archive.contents["cgd"], path)


def sizes(path: str | Path) -> dict[str, int]:
    """The number of trained parameters in a checkpoint, and the step of its training.

    {"parameters": ..., "step": ...}, without the step where it does not tell.
    """
    if is_folder_form(path):
        return read_sizes(path)
    with opened(path) as archive:
        stored = archive.contents["state_dict"].items()
        count = sum(
            value.numel
            for name, value in stored
            if str(name).startswith("ema.") and isinstance(value, Stored)
        )
        step = archive.contents.get("global_step")
        return {"parameters": count, **({"step": step} if type(step) is int else {})}


def stored_config(path: str | Path) -> str | None:
    """The configuration of the training that wrote a checkpoint, as text, if it tells.

    Nothing has looked into the text.
    """
    if is_folder_form(path):
        return read_training(path)
    with opened(path) as archive:
        text = archive.contents.get("cgd_config")
    if text is not None and (type(text) is not str or len(text) > MOST_CONFIG):
        raise InputError(f"{path}: its configuration is damaged")
    return text


@contextmanager
def opened(path: str | Path) -> Iterator[Archive]:
    """A checkpoint of this package, open. Raises InputError if the file is none."""
    if is_folder_form(path):
        raise InputError(f"{path}: a model alone, and a checkpoint of a training was wanted")
    with Archive(path) as archive:
        contents = archive.contents
        if not isinstance(contents, dict) or not all(
            isinstance(contents.get(part), dict) for part in ("cgd", "state_dict")
        ):
            raise InputError(
                f"{path}: not a checkpoint of cgd-lightning; cgd info tells whether cgd convert "
                "can take it over"
            )
        yield archive


@overload
def load(
    path: str | Path,
    *,
    weights: Literal["ema", "raw"] = "ema",
    device: str | torch.device = "cpu",
    trust: Trust | str | Sequence[str] = (),
) -> Any: ...
@overload
def load(
    path: str | Path,
    kind: type[M],
    *,
    weights: Literal["ema", "raw"] = "ema",
    device: str | torch.device = "cpu",
    trust: Trust | str | Sequence[str] = (),
) -> M: ...
def load(
    path: str | Path,
    kind: type[Any] | None = None,
    *,
    weights: Literal["ema", "raw"] = "ema",
    device: str | torch.device = "cpu",
    trust: Trust | str | Sequence[str] = (),
) -> Any:
    """The model in a checkpoint: in eval mode, frozen, on `device`.

    path: as for `find`. kind: `Denoiser`, `NoisyClassifier`, `CleanClassifier` or `Autoencoder`, if
    it must be of that one. weights: the moving average, or those that the optimiser left. trust:
    packages from which the network's class may be imported, beside the networks of this one. The
    autoencoder of a latent model is found and loaded with it. Raises InputError as `read` does, for
    another kind, for a class of any other package, and for weights that are
    damaged, not finite or of another shape.
    """
    path, trust = find(path), Trust.of(trust)
    with _held(path, weights) as (card, state, source), torch.inference_mode(False):
        if kind is not None:
            check_kind((path, card), kind)
        if not state:
            raise InputError(f"{path}: holds no {weights} weights")
        numbers = count_numbers(state, path, trust)
        # The networks of this package hold weights and nothing else, and need not be filled twice;
        # another may hold more.
        ours = not trust.covers(str(card.network["class_path"]))
        with at_most(
            numbers, 10 * len(state) + 100, "its weights do not fit the network that it names: one"
        ):
            model = build(card, path, trust, device="meta" if ours else "cpu")
        model.load_state_dict(fitted_weights(source, state, model), assign=True)
        model.data = replace(
            model.data,
            codec=opened_codec(
                model.data.codec,
                path,
                lambda file: _autoencoder(file, device, trust),
            ),
        )
        return model.to(memory_format=torch.channels_last).to(device).eval().requires_grad_(False)


def find_autoencoder(path: Path, card: Card, trust: Trust = NO_TRUST) -> Path | None:
    """The file of the autoencoder of the model in `path`; None if it lives in another space.

    Raises InputError if it is not there.
    """
    codec = card.data(path, trust).codec
    return autoencoder_file(codec, path, lambda file: _autoencoder(file, "cpu", trust))


_IN_USE: WeakValueDictionary[tuple[object, ...], Autoencoder] = WeakValueDictionary()
"""Autoencoders that some model decodes by; those of a pair are one."""


def _autoencoder(path: Path, device: str | torch.device, trust: Trust) -> Autoencoder | None:
    """The autoencoder in a file, None for a file of another kind."""
    state = path.stat()
    key = (path.absolute(), state.st_ino, state.st_size, state.st_mtime_ns, str(device), trust)
    found = _IN_USE.get(key)
    if found is None:
        if read(path).kind != "autoencoder":
            return None
        found = _IN_USE[key] = load(path, Autoencoder, device=device, trust=trust)
    return found


@contextmanager
def _held(path: Path, weights: str) -> Iterator[tuple[Card, dict[str, Stored], Source]]:
    """(card, weights that have not been read yet, the open file that they are read from)."""
    if is_folder_form(path):
        with opened_folder(path) as (card, file):
            yield card, file.tensors if weights == "ema" else {}, file
        return
    with opened(path) as archive:
        card = decode(archive.contents["cgd"], path)
        yield card, stored_weights(archive, "ema." if weights == "ema" else "model."), archive
