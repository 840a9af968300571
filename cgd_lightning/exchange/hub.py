"""A folder goes to the Hugging Face Hub, because the user says so and where he says."""

import re
from pathlib import Path

from cgd_lightning.checkpoints.hub import check_installed, refusal
from cgd_lightning.errors import InputError

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def check_name(repository: str) -> None:
    """Raises InputError unless `repository` is USER/REPO and `huggingface_hub` is installed."""
    if not _REPOSITORY.fullmatch(repository):
        raise InputError(f"--push {repository}: wanted USER/REPO")
    check_installed(f"--push {repository}")


def push(folder: Path, repository: str) -> str:
    """Put what is in `folder` into the repository USER/REPO, made if it is not there; its address.

    The token is the one that `hf auth login` left, or HF_TOKEN. Raises InputError if the Hub does
    not take it.
    """
    check_name(repository)
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        address = api.create_repo(repository, exist_ok=True)
        api.upload_folder(
            folder_path=folder, repo_id=repository, commit_message="Written by cgd export"
        )
    except Exception as error:  # of whichever library speaks HTTP in this version
        raise InputError(
            f"--push {repository}: {_refusal(error)}; {folder} is written, and waits"
        ) from error
    return str(address)


def _refusal(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403) or type(error).__name__ == "LocalTokenNotFoundError":
        return "you may not write there; log in with hf auth login, and a token that may write"
    return refusal(error)
