"""How the learning rate grows and falls over a run."""

import math
from collections.abc import Callable

from cgd_lightning.errors import InputError


def rate_factor(warmup_steps: int, decay: str, total: float) -> Callable[[int], float]:
    """step -> factor on the learning rate.

    It grows linearly for `warmup_steps`, then falls to 0 at step `total`, or stays. decay:
    "constant", "linear" or "cosine". Raises ValueError if it should fall and the run has no end.
    """
    if decay != "constant" and not math.isfinite(total):
        raise InputError(
            f"decay {decay}: the run has no end to decay to; give --trainer.max_steps or "
            "--trainer.max_epochs"
        )

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        if decay == "constant":
            return 1.0
        done = min((step - warmup_steps) / max(total - warmup_steps, 1), 1.0)
        return 1 - done if decay == "linear" else (1 + math.cos(math.pi * done)) / 2

    return factor
