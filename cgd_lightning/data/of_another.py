"""What data sets have in common that are made of another one, called `of`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from cgd_lightning.data.datamodule import NoisingDataModule
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


class OfAnother(NoisingDataModule):
    """A data set made of the images of another one, `of`, which a subclass sets."""

    of: NoisingDataModule

    def prepare_data(self) -> None:
        """Download what the other data set lacks, then as of any."""
        with named_by("of"):
            self.of.prepare_data()
        super().prepare_data()

    def split_of(self, name: str) -> Images:
        """A split of the other data set."""
        with named_by("of"):
            return cast(Images, self.of.split(name))
