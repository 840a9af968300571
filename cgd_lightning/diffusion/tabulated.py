"""A noise schedule that follows no formula: its betas one by one."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from cgd_lightning.diffusion.schedules import VariancePreserving


@dataclass(frozen=True)
class Tabulated(VariancePreserving):
    """The variances of DDPM's single steps as given, as a model of another project may have them.

    Args:
        variances: the betas of all timesteps, each above 0 and below 1, the least noisy level
            first. T is their number.
    """

    variances: tuple[float, ...] = field(repr=False)
    zero_terminal_snr: bool = False
    timesteps: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "variances", tuple(self.variances))
        object.__setattr__(self, "timesteps", len(self.variances))
        super().__post_init__()

    def betas(self) -> Tensor:
        return torch.tensor(self.variances, dtype=torch.float64)
