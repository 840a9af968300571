"""Models on the Hugging Face Hub, by name: hf://USER/REPO[/diffusion|/classifier][@REVISION].

A name means a connection only where the user types it, or gives it to a function. What is fetched
are the files of our folder form alone, into the cache of `huggingface_hub`, which is an extra; what
lies there already is not fetched again, and HF_HUB_OFFLINE=1 keeps it from asking.
"""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from cgd_lightning.checkpoints.folder_form import AUTOENCODER, FILES, PAIR
from cgd_lightning.errors import InputError, one_line

FORM = "hf://USER/REPO, with /classifier of a pair, and @REVISION"

_PART = r"[A-Za-z0-9][\w.-]{0,95}"
_NAME = re.compile(
    rf"hf:/{{1,2}}(?P<repo>{_PART}/{_PART})(?:/(?P<part>{'|'.join(PAIR)}))?"
    r"(?:@(?P<revision>[\w./-]{1,200}))?",
    re.ASCII,
)
_CACHED = re.compile(r"models--(?P<user>.+?)--(?P<name>.+)", re.ASCII)


def is_hub(path: str | Path) -> bool:
    """Whether `path` names a model on the Hub. A `Path` of such a name has lost one slash."""
    return str(path).startswith(("hf://", "hf:/"))


def check_installed(what: str) -> None:
    """Raises InputError, which begins with `what`, unless `huggingface_hub` is installed."""
    if find_spec("huggingface_hub") is None:
        raise InputError(
            f"{what}: wants the package huggingface_hub; pip install 'cgd-lightning[hub]'"
        )


@cache
def fetch(name: str) -> Path:
    """The folder with the files of the model `name`, fetched where they are not there yet.

    Raises InputError if `name` is of another form, if the package is not installed, and if there is
    no such repository, no way to it, or no model of ours in it.
    """
    parts = _NAME.fullmatch(name)
    if parts is None:
        raise InputError(f"{name}: wanted {FORM}")
    check_installed(name)
    from huggingface_hub import snapshot_download

    wanted = [*FILES, *(f"{folder}/{file}" for folder in (*PAIR, AUTOENCODER) for file in FILES)]
    try:
        kept = snapshot_download(parts["repo"], revision=parts["revision"], allow_patterns=wanted)
    except Exception as error:  # of whichever library speaks HTTP in this version
        raise InputError(f"{name}: {refusal(error)}") from error
    folder = Path(kept) / (parts["part"] or "")
    if not any((folder / file).is_file() for file in wanted):
        raise InputError(
            f"{name}: holds no model of cgd-lightning, which is a config.json and a "
            "model.safetensors, as cgd export --push makes them"
        )
    return folder


def refusal(error: Exception) -> str:
    """What an error of `huggingface_hub` means, in a line."""
    kinds = {cls.__name__ for cls in type(error).__mro__}
    if "GatedRepoError" in kinds:
        return "its owner gives access on demand: ask on its page, and log in with hf auth login"
    if "RepositoryNotFoundError" in kinds:
        return "no such repository, or a private one; for that, log in with hf auth login"
    if "RevisionNotFoundError" in kinds:
        return "has no such revision"
    if kinds & {"LocalEntryNotFoundError", "OfflineModeIsEnabled"}:
        from huggingface_hub.constants import HF_HUB_OFFLINE

        why = "HF_HUB_OFFLINE is set" if HF_HUB_OFFLINE else "the Hub cannot be reached"
        return f"not in the cache as a whole, and {why}"
    if kinds & {"ConnectError", "ConnectionError", "TimeoutException", "Timeout"}:
        return f"the Hub cannot be reached: {one_line(error)}"
    return one_line(error)


def cached_name(folder: Path) -> str | None:
    """USER--REPO, if `folder` lies in the cache of the Hub, and has it from there."""
    for inner, outer in zip(folder.parents, list(folder.parents)[1:]):
        if inner.name == "snapshots" and (match := _CACHED.fullmatch(outer.name)):
            return f"{match['user']}--{match['name']}"
    return None
