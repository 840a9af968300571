"""Loaders that deal a data set over processes and can go on in the middle of an epoch.

An epoch's order depends on (seed, epoch) alone, and place and epoch follow from the number of
batches trained on. So a resumed run sees what the uninterrupted one would have seen.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler


class ShuffledShard(DistributedSampler):
    """This process's share of the indices, in an order that (seed, epoch) fixes.

    All shares are equally long. A DistributedSampler by name, so that Lightning leaves it alone and
    calls `set_epoch`.
    """

    def __init__(self, size: int, seed: int, rank: int, processes: int) -> None:
        self.size, self.seed, self.rank, self.processes = size, seed, rank, processes
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return self.size // self.processes

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.size, generator=generator)[: len(self) * self.processes]
        start, self.start = self.start, 0
        return iter(order[self.rank :: self.processes][start:].tolist())


class OrderedShard(DistributedSampler):
    """This process's share of the indices, in order, each exactly once.

    Shares may differ in length by one.
    """

    def __init__(self, size: int, rank: int, processes: int) -> None:
        self.indices = range(rank, size, processes)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def set_epoch(self, epoch: int) -> None:
        """The order is the same in every epoch."""


class ResumableLoader(DataLoader):
    """Training batches over a `ShuffledShard`, in whole batches alone.

    trained: tells how many batches the run was trained on. Every iteration goes on from there,
    because Lightning counts an epoch that `max_steps` cut short as a whole one, and forgets a
    loader's state where `max_epochs` ends the run.
    """

    def __init__(
        self,
        dataset: Dataset,
        shard: ShuffledShard,
        batch_size: int,
        trained: Callable[[], int],
        **options: Any,
    ) -> None:
        super().__init__(dataset, sampler=shard, batch_size=batch_size, drop_last=True, **options)
        self.shard, self.trained = shard, trained

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # A generator, so that this comes after Lightning's own `set_epoch`.
        epoch, done = divmod(self.trained(), len(self))
        self.shard.set_epoch(epoch)
        self.shard.start = done * (self.batch_size or 1)
        yield from super().__iter__()

    def state_dict(self) -> dict[str, int]:
        """Nothing; that there is one tells Lightning that this loader can go on in mid-epoch."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing: the place follows from `trained`."""
