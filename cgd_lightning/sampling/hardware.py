"""Which device, and which precision it is fast at."""

import torch

from cgd_lightning.errors import InputError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def pick_device(name: str) -> torch.device:
    """The device called `name`; "auto" is the GPU if there is one.

    Raises InputError for one that is not there.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ImportError, NotImplementedError, ValueError) as error:
        raise InputError(
            f"device {name!r}: not to be had here ({str(error).splitlines()[0]}); try --device auto"
        ) from error
    if device.type == "meta":
        raise InputError("device 'meta': holds no numbers; try --device auto")
    return device


def pick_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What the networks compute in: "fp32", "bf16", or "auto".

    "auto" is bf16 where the hardware is fast at it.
    """
    if precision == "auto":
        return torch.bfloat16 if fast_bf16(device) else torch.float32
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r}: wanted auto, {' or '.join(PRECISIONS)}")
    return PRECISIONS[precision]


def fast_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and (
        torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    )
