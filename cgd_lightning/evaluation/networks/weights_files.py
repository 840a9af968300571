"""Where the published weights of a feature network are found on this machine."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from cgd_lightning.checkpoints.weights import mismatch
from cgd_lightning.errors import InputError


def in_package(package: str, file: str) -> Path:
    """`file` of an installed package, which is not imported.

    Raises InputError if it is not installed.
    """
    return check_installed(package, "which has its weights").parent / file


def check_installed(package: str, why: str) -> Path:
    """Where `package` begins, which is not imported.

    Raises InputError, which says how to install it, if it is not there.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise InputError(
            f'{package} is not installed, {why}: pip install "cgd-lightning[features]"'
        )
    return Path(spec.origin)


def given_or_kept(given: str | None, name: str, url: str) -> Path:
    """The file of weights that is `given`, or the one that torch.hub has fetched from `url` before.

    Nothing is fetched. name: of the network. Raises InputError if there is neither.
    """
    if given is not None:
        return Path(given)
    kept = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not kept.is_file():
        raise InputError(
            f"--features {name}: its weights are not here; give them with --weights FILE, or put "
            f"{url} into {kept.parent}"
        )
    return kept


def fill(network: nn.Module, state: Mapping[str, Tensor], file: Path) -> None:
    """Put the tensors of `state` into `network`. Raises InputError if they do not fit."""
    problem = mismatch(dict(state), network.state_dict())
    if problem:
        raise InputError(f"{file}: weights of another network: {problem}")
    network.load_state_dict(state)
