"""The autoencoder of a latent model: named in its checkpoint, found beside its run, known by hash.

A codec in a card is a value, which tells of an autoencoder; here it gets the network.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from cgd_lightning.checkpoints.folder_form import AUTOENCODER, WEIGHTS, is_folder_form
from cgd_lightning.checkpoints.hub import is_hub
from cgd_lightning.checkpoints.runs import beside, find_partner, newest_first
from cgd_lightning.diffusion.autoencoder import Autoencoder
from cgd_lightning.diffusion.codec import Codec
from cgd_lightning.diffusion.latents import Latents
from cgd_lightning.errors import InputError


def hash_weights(network: nn.Module, start: str = "") -> str:
    """The first 16 digits of the SHA-256 of `start`, the weights and their names."""
    digest = hashlib.sha256(start.encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def latents_of(autoencoder: Autoencoder, name: str) -> Latents:
    """The codec of an autoencoder that lies at `name`, a run or file."""
    return autoencoder.codec(name, hash_weights(autoencoder))


Load = Callable[[Path], Autoencoder | None]
"""The autoencoder in a file; None for a file of another kind."""


def opened_codec(codec: Codec, checkpoint: Path, load: Load) -> Codec:
    """`codec` of the model in `checkpoint`, with its autoencoder if it has one.

    The autoencoder is the one of that hash where the codec says, or among the runs beside that of
    the checkpoint. Raises InputError if it is not there.
    """
    if not isinstance(codec, Latents):
        return codec
    return codec.opened(_found(codec, checkpoint, load)[1])


def autoencoder_file(codec: Codec, checkpoint: Path, load: Load) -> Path | None:
    """The file from which `opened_codec` takes the autoencoder; None where there is none."""
    return _found(codec, checkpoint, load)[0] if isinstance(codec, Latents) else None


def _found(codec: Latents, checkpoint: Path, load: Load) -> tuple[Path, Autoencoder]:
    """The file of the autoencoder, and what is in it."""
    others = []
    for file in _candidates(codec, checkpoint):
        try:
            autoencoder = load(file)
        except InputError as error:
            others.append(f"; {error}")
            continue
        if autoencoder is None:
            continue
        hash = hash_weights(autoencoder)
        if hash == codec.hash and autoencoder.latent_shape == codec.latent_shape:
            return file, autoencoder
        others.append(f"; {file} is another one, {hash}")
    raise InputError(
        f"{checkpoint}: its latents are those of the autoencoder {codec.hash}, which was "
        f"{codec.autoencoder} and is neither there nor in a run beside this one; put it back, "
        "under any name (one that is trained anew is another one)"
        f"{''.join(others[:1])}"
    )


def _candidates(codec: Latents, checkpoint: Path) -> Iterator[Path]:
    """The files in which the autoencoder may be, the likeliest first."""
    runs = beside(checkpoint)
    if is_folder_form(checkpoint):
        homes = (checkpoint.parent, checkpoint.parent.parent)
        files = [home / AUTOENCODER / WEIGHTS for home in homes]
        yield from (file for file in files if file.is_file())
    if not is_hub(codec.autoencoder):  # a file does not decide what is fetched
        with suppress(InputError, OSError):  # OSError of a path that no system takes
            yield find_partner(codec.autoencoder, runs)
    yield from newest_first(runs)
