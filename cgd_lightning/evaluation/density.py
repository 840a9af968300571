"""Density and coverage: how the generated images fill the balls about the real ones.

    density  = 1/(k N) sum over generated images: in how many balls each lies
    coverage = share of the real images whose ball holds a generated image

A ball reaches from a real image to its k-th nearest other real one. Naeem et al. 2020
(arXiv:2002.09797), eq. 3 and 4: unlike precision and recall, one outlier among the images makes no
wide ball that holds everything.
"""

from collections.abc import Sequence

from torch import Tensor

from cgd_lightning.evaluation.all_features import AllFeatures
from cgd_lightning.evaluation.estimate import Estimate, about, share_of_variance
from cgd_lightning.evaluation.feature_metric import check_whole_number
from cgd_lightning.evaluation.neighbours import distance_to_nearest, visits
from cgd_lightning.evaluation.occupancy import marks, reached_variance

LEAST = 32
"""Fewer generated images have no interval."""


class DensityCoverage(AllFeatures):
    """Density, from 0, and coverage, 0 to 1, by the nearest neighbours of features, in float64.

    Density is about 1 for images of the real distribution, and more where samples crowd among the
    real ones. The states are all features, in float32.

    Args:
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
        count, visitors = self._visits()
        return count.double().mean() / self.k, (visitors[:, 0] > 0).double().mean()

    def intervals(self, values: Sequence[float]) -> list[Estimate]:
        count, visitors = self._visits()
        n, balls = len(count), len(visitors)
        if n < LEAST:
            return [Estimate(value) for value in values]
        # With the balls fixed, density is a mean over independent images.
        error = count.double().std().item() / self.k / n**0.5
        density = about(values[0], error, n - 1, least=0.0)
        spread, degrees = reached_variance(visitors, n)
        return [density, share_of_variance(values[1], spread, degrees, balls)]

    def _visits(self) -> tuple[Tensor, Tensor]:
        return self.of_both("visits", self._look)

    def _look(self) -> tuple[Tensor, Tensor]:
        real, generated = self.sides()
        radius = self.of_real("radius", lambda: distance_to_nearest(real, self.k))
        return visits(generated, real, radius, marks(len(generated)).to(real))
