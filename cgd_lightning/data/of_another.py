"""What data sets have in common that are made of another one, called `of`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from cgd_lightning.data.images import ImageBatch
from cgd_lightning.errors import InputError


class Images(Protocol):
    """A split, as data sets here give it: torch's own class declares neither of these."""

    def __len__(self) -> int: ...

    def __getitems__(self, indices: list[int], /) -> ImageBatch: ...


@contextmanager
def named_by(option: str) -> Iterator[None]:
    """Options of the data set in another are called by the whole name in errors."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace("--data.", f"--data.{option}.")) from error
