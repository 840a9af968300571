"""The inception score: how sure a network is of each image, and how various it finds them all.

    IS = exp(mean_i KL(p(y | x_i) || mean_j p(y | x_j)))

Salimans et al. 2016 (arXiv:1606.03498), section 4, over all images at once, without splits. It is
from 1 to the number of classes, and looks at no real image. Of another network than Inception it is
called inception_score_lite.
"""

import torch
from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.doubles import WITHOUT_FLOAT64, DoubleMetric
from cgd_lightning.evaluation.estimate import Estimate, about
from cgd_lightning.evaluation.feature_metric import check_whole_number
from cgd_lightning.evaluation.jackknife import BLOCKS, DEGREES, block_of, jackknife_error, pairs


class InceptionScore(DoubleMetric):
    """The score above as a scalar in float64.

    The states are sums over blocks of images: their number, their probabilities, and p log p.

    Args:
        num_classes: Number K of classes of the network.
    """

    doubles = ("counts", "probabilities", "negentropies")
    higher_is_better = True

    counts: Tensor
    probabilities: Tensor
    negentropies: Tensor
    not_finite: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        check_whole_number(num_classes, "num_classes of an inception score")
        self.num_classes = num_classes
        for name, shape in (
            ("counts", (BLOCKS,)),
            ("probabilities", (BLOCKS, num_classes)),
            ("negentropies", (BLOCKS,)),
        ):
            zeros = torch.zeros(shape, dtype=torch.float64)
            self.add_state(name, zeros, dist_reduce_fx="sum")
        none = torch.zeros((), dtype=torch.int64)
        self.add_state("not_finite", none, dist_reduce_fx="sum")

    def update(self, logits: Tensor) -> None:
        """Take in logits (N, K). Raises InputError for another number of classes."""
        if logits.ndim != 2 or logits.shape[1] != self.num_classes:
            raise InputError(
                f"logits of shape {tuple(logits.shape)}: wanted (N, {self.num_classes})"
            )
        own = logits.cpu() if logits.device.type in WITHOUT_FLOAT64 else logits
        log_p = own.to(self.counts.device).double().log_softmax(dim=1)
        p = log_p.exp()
        self.not_finite += p.isnan().any(dim=1).sum()
        block = block_of(self.counts.sum().long() + torch.arange(len(p), device=p.device))
        self.counts.index_add_(0, block, torch.ones_like(p[:, 0]))
        self.probabilities.index_add_(0, block, p)
        self.negentropies.index_add_(0, block, (p * log_p.nan_to_num(neginf=0)).sum(dim=1))

    def compute(self) -> Tensor:
        return self._score()

    def estimate(self) -> Estimate:
        """The score with its interval."""
        with self.sync_context(
            dist_sync_fn=self.dist_sync_fn,
            should_sync=self._to_sync,
            should_unsync=self._should_unsync,
        ):
            return self._estimate()

    def _estimate(self) -> Estimate:
        value = self._score()
        if self.counts.min() < 2:
            return Estimate(value.item())
        without = self._scores([*[(j,) for j in range(BLOCKS)], *pairs()])[:, None]
        error = jackknife_error(value[None], without[:BLOCKS], without[BLOCKS:])
        return about(value.item(), error.item(), DEGREES, least=1.0)

    def _score(self) -> Tensor:
        if not self.counts.sum():
            raise InputError("no images: wanted at least one for an inception score")
        if self.not_finite:
            raise InputError(
                f"the logits of {int(self.not_finite)} of {int(self.counts.sum())} images are not "
                "finite: the network that makes them is damaged, or its numbers overflow"
            )
        return self._scores([()])[0]

    def _scores(self, outs: list[tuple[int, ...]]) -> Tensor:
        """The scores (S,) without the blocks of each of S tuples, on the host."""
        scores = []
        for out in outs:
            kept = torch.tensor([block not in out for block in range(BLOCKS)])
            n, p, negentropy = (
                state.cpu()[kept].sum(dim=0)
                for state in (self.counts, self.probabilities, self.negentropies)
            )
            mean = p / n
            scores.append((negentropy / n - mean.xlogy(mean).sum()).exp())
        return torch.stack(scores)
