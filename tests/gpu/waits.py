"""How often the host waits for the device."""

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


def waits(work: Callable[[], object], device: torch.device) -> int:
    """Events in `work` for which the host waits, and copies from the device to the host.

    None on a CPU, where the meta device of other tests stands for one that must not be waited for.
    """
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
        torch.cuda.synchronize(device)
    with profile(activities=activities) as found:
        work()
    return sum(
        event.count
        for event in found.key_averages()
        if event.key in WAITS or event.key.startswith("Memcpy DtoH")
    )


class NoWaits:
    """Between `begin` and `end` CUDA raises an error where the host would wait."""

    def __init__(self, device: torch.device) -> None:
        self.on_cuda = device.type == "cuda"

    def begin(self) -> None:
        if self.on_cuda:
            torch.cuda.set_sync_debug_mode("error")

    def end(self) -> None:
        if self.on_cuda:
            torch.cuda.set_sync_debug_mode("default")
