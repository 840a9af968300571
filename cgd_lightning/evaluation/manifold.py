"""Improved precision and recall: which images lie within the manifold of the other side.

    manifold(X) = the balls around every x in X out to its k-th nearest neighbour in X
    precision   = share of the generated images within manifold(real)
    recall      = share of the real images within manifold(generated)

Kynkaanniemi et al. 2019 (arXiv:1904.06991), eq. 1 and 2. A ball holds its surface, so distances
must be exact there: |a - b|^2 as |a|^2 + |b|^2 - 2 ab loses the images on it to rounding, first of
all those that are in both sets.
"""

from collections.abc import Sequence

from torch import Tensor

from cgd_lightning.evaluation.all_features import AllFeatures
from cgd_lightning.evaluation.estimate import Estimate, share, share_of_variance
from cgd_lightning.evaluation.feature_metric import check_whole_number
from cgd_lightning.evaluation.half_samples import DEGREES, covered_variance
from cgd_lightning.evaluation.neighbours import distance_to_nearest, in_a_ball


class PrecisionRecall(AllFeatures):
    """Precision and recall by the nearest neighbours of features, each from 0 to 1, in float64.

    The states are all features, in float32. Distances are sums of squared differences in float64,
    each by itself, so that neither batches nor the order of the images change a value.

    Args:
        k: The neighbour to which a ball reaches; more than k images of each side are needed.
    """

    names = ("precision", "recall")
    higher_is_better = True

    def __init__(self, num_features: int, k: int = 3) -> None:
        check_whole_number(k, "k of precision and recall")
        wants = f"precision and recall with k = {k} need more than {k} of each"
        super().__init__(num_features, k + 1, wants)
        self.k = k

    def value(self) -> tuple[Tensor, Tensor]:
        real, generated = self.sides()
        radius = self.of_real("radius", lambda: distance_to_nearest(real, self.k))
        return in_a_ball(generated, real, radius).double().mean(), _covered(real, generated, self.k)

    def intervals(self, values: Sequence[float]) -> list[Estimate]:
        # With the manifold of real images fixed, precision is a share of independent images.
        precision = share(values[0] * self.generated, self.generated)
        if self.generated < 4 * (self.k + 1):
            return [precision, Estimate(values[1])]
        real, generated = self.sides()
        spread = covered_variance(real, generated, self.k)
        return [precision, share_of_variance(values[1], spread, DEGREES, len(real))]


def _covered(queries: Tensor, support: Tensor, k: int) -> Tensor:
    """The share of `queries` (N, d) that lie within the manifold of `support` (M, d)."""
    return in_a_ball(queries, support, distance_to_nearest(support, k)).double().mean()
