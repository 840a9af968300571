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
from torchmetrics.utilities import dim_zero_cat

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.estimate import Estimate, about, within
from cgd_lightning.evaluation.feature_metric import FeatureMetric, double
from cgd_lightning.evaluation.neighbours import distance_to_nearest, visits
from cgd_lightning.evaluation.subsamples import GROUPS, extrapolated_variance


class DensityCoverage(FeatureMetric):
    """(density from 0, coverage from 0 to 1), as scalars in float64.

    Density is about 1 for images of the real distribution, and more where samples crowd among the
    real ones. The states are all features, in float32.

    Args:
        num_features: Width d of the features.
        k: The neighbour to which a ball reaches; more than k real images are needed.
    """

    names = ("density", "coverage")
    higher_is_better = True

    real_features: list[Tensor]
    generated_features: list[Tensor]

    def __init__(self, num_features: int, k: int = 5) -> None:
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise InputError(f"k {k!r} of density and coverage: wanted a whole number from 1")
        wants = f"density and coverage with k = {k} need more than {k} of each"
        super().__init__(num_features, k + 1, wants)
        self.k = k
        for name in ("real_features", "generated_features"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def add(self, features: Tensor, side: int) -> None:
        # Flat, since a process that has no images gathers an empty vector, not an empty matrix.
        (self.real_features, self.generated_features)[side].append(features.float().flatten())

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
        return self.of_generated("visits", self._look)

    def _look(self) -> tuple[Tensor, Tensor]:
        real, generated = (
            double(dim_zero_cat(state).reshape(-1, self.num_features))
            for state in (self.real_features, self.generated_features)
        )
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(len(generated), generator=generator).to(real.device)
        radius = self.of_real("radius", lambda: distance_to_nearest(real, self.k))
        return visits(generated[order], real, radius, GROUPS)
