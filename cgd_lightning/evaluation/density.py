"""Density and coverage: how the generated images fill the balls about the real ones.

    density  = 1/(k N) sum over generated images: in how many balls each lies
    coverage = share of the real images whose ball holds a generated image

A ball reaches from a real image to its k-th nearest other real one. Naeem et al. 2020
(arXiv:2002.09797), eq. 3 and 4: unlike precision and recall, one outlier among the images makes no
wide ball that holds everything.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from cgd_lightning.evaluation.all_features import AllFeatures, check_whole_number
from cgd_lightning.evaluation.estimate import Estimate, about, within
from cgd_lightning.evaluation.neighbours import distance_to_nearest, visits
from cgd_lightning.evaluation.subsamples import GROUPS, extrapolated_variance


class DensityCoverage(AllFeatures):
    """(density from 0, coverage from 0 to 1), as scalars in float64.

    Density is about 1 for images of the real distribution, and more where samples crowd among the
    real ones. The states are all features, in float32.

    Args:
        num_features: Width d of the features.
        k: The neighbour to which a ball reaches; more than k real images are needed.
    """

    names = ("density", "coverage")
    higher_is_better = True

    def __init__(self, num_features: int, k: int = 5) -> None:
        check_whole_number(k, "k of density and coverage")
        wants = f"density and coverage with k = {k} need more than {k} of each"
        super().__init__(num_features, k + 1, wants)
        self.k = k

    def value(self) -> tuple[Tensor, Tensor]:
        count, reached = self._visits()
        return count.double().mean() / self.k, reached.any(dim=0).double().mean()

    def intervals(self, values: Sequence[float]) -> list[Estimate]:
        count, reached = self._visits()
        n = len(count)
        if n < 2 * GROUPS:
            return [Estimate(value) for value in values]
        # With the balls fixed, density is a mean over independent images.
        error = count.double().std().item() / self.k / n**0.5
        density = about(values[0], error, n - 1, least=0.0)
        spread = max(extrapolated_variance(reached) ** 0.5, 1 / reached.shape[1])
        return [density, within(about(values[1], spread, n - 1), 0.0, 1.0)]

    def _visits(self) -> tuple[Tensor, Tensor]:
        return self.of_both("visits", self._look)

    def _look(self) -> tuple[Tensor, Tensor]:
        real, generated = self.sides()
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(len(generated), generator=generator).to(real.device)
        radius = self.of_real("radius", lambda: distance_to_nearest(real, self.k))
        return visits(generated[order], real, radius, GROUPS)
