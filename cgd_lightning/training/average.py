"""The moving average of the weights, with which all is done but the training itself.

    average <- d average + (1 - d) weights,   d = min(decay, (1 + n) / (10 + n)) after n steps

The smaller d of the first steps forgets the weights of before the training sooner.
"""

import torch
from torch import Tensor, nn


class MovingAverage:
    """Moves the weights of `average` towards those of `model`, all in one operation.

    Buffers are copied, but with `statistics` those of floats, such as the statistics of a batch
    norm, are averaged as the weights are. decay: the largest d, 0 to 1. step: the steps that were
    done before, which are averaged already.
    """

    def __init__(
        self,
        average: nn.Module,
        model: nn.Module,
        decay: float,
        step: int,
        statistics: bool = False,
    ) -> None:
        self.decay, self.step = decay, step
        self.averages: list[Tensor] = list(average.parameters())
        self.weights: list[Tensor] = list(model.parameters())
        self.buffers: list[tuple[Tensor, Tensor]] = []
        for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
            if statistics and mine.is_floating_point():
                self.averages.append(mine)
                self.weights.append(theirs)
            else:
                self.buffers.append((mine, theirs))

    @torch.no_grad()
    def move(self, step: int) -> None:
        """Take in the weights after `step` steps, unless that was done.

        The gradients of several batches may go into one step.
        """
        if step <= self.step:
            return
        self.step = step
        keep = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.averages, self.weights, 1 - keep)
        for mine, theirs in self.buffers:
            mine.copy_(theirs)
