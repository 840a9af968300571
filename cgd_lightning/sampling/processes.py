"""One process, or as many as Lightning is asked to start, for work that is dealt out in chunks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, cast

import torch

from cgd_lightning.errors import InputError
from cgd_lightning.peers import current
from cgd_lightning.sampling.hardware import pick_device
from cgd_lightning.sampling.strategies import check_starts_commands, check_strategy


@dataclass(frozen=True)
class Processes:
    """This process's place among all, and its device.

    Here it waits for the others, hears from the first, and gathers what all have, by rank.
    """

    rank: int
    count: int
    device: torch.device
    barrier: Callable[[], None]
    broadcast: Callable[[Any], Any]
    gather: Callable[[Any], list[Any]]


@dataclass(frozen=True)
class Devices:
    """Devices that share the work.

    Args:
        devices: number of devices; Lightning then drives one process for each.
        accelerator: cpu, gpu, ..., where devices is given.
        strategy: Lightning strategy, where devices is given.
        num_nodes: number of machines.
    """

    devices: str | None = None
    accelerator: str = "auto"
    strategy: str = "auto"
    num_nodes: int = 1


def start_processes(device: str, several: Devices) -> Processes:
    """This process alone on `device`, or Lightning's processes where `several` are given.

    These are one a device. Lightning is imported in the second case only. Raises InputError for
    what is not there.
    """
    if several.devices is None and several.num_nodes == 1:
        return Processes(
            0, 1, pick_device(device), lambda: None, lambda value: value, lambda value: [value]
        )
    check_strategy(several.strategy)
    check_starts_commands(several.strategy)
    from lightning.fabric import Fabric
    from lightning.fabric.strategies.launchers import subprocess_script

    try:
        options = {**vars(several), "devices": _count(several.devices)}
        fabric = Fabric(**options)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"--trainer options: {error}") from error
    with ending_together(subprocess_script):
        fabric.launch()
    return Processes(
        *(fabric.global_rank, fabric.world_size, fabric.device),
        *(fabric.barrier, fabric.broadcast, partial(_gather, fabric.world_size)),
    )


def _gather(count: int, value: Any) -> list[Any]:
    values = [value] * count
    if count > 1:
        torch.distributed.all_gather_object(values, value)
    return values


@contextmanager
def ending_together(launcher: ModuleType) -> Iterator[None]:
    """Processes that Lightning's `launcher` starts in this block end together.

    `Peers.watch` takes the place of its own observer, which kills without a word, and only the
    processes whose first one lives. That is a private name; pyproject.toml pins Lightning's
    version.
    """
    own, peers = cast(Any, launcher), current()
    before, own._launch_process_observer = own._launch_process_observer, peers.watch
    if not _are_grouped():
        peers.disband = _disband
    try:
        with peers.starting():
            yield
    finally:
        own._launch_process_observer = before


def _are_grouped() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _disband() -> None:
    """Leave the group of processes, where the next command would wait for those that are gone."""
    if _are_grouped():
        torch.distributed.destroy_process_group()


def _count(devices: str | None) -> Any:
    return "auto" if devices is None else int(devices) if devices.lstrip("-").isdigit() else devices
