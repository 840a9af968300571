"""Memorisation: are samples nearer to training images than new real images are?

    nearest_training = mean over samples of the distance to the nearest training image,
                       over the same mean of held-out real images
    copied           = share of the samples that are nearer to a training image than all but 1% of
                       the held-out images are

A model that draws from the data's distribution gives about 1 and 0.01; one that repeats its
training images gives less, and more. Distances are of features.
"""

from collections.abc import Sequence

from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.all_features import AllFeatures
from cgd_lightning.evaluation.estimate import Estimate, about, share
from cgd_lightning.evaluation.feature_metric import check_none, double
from cgd_lightning.evaluation.features import not_finite
from cgd_lightning.evaluation.neighbours import nearest

NEAR = 0.01
"""So many of the held-out images count as near."""


class NearestTraining(AllFeatures):
    """Distance to the nearest training image, and the share that is copied, 0 to 1, in float64.

    The real images are those of the training; held-out ones come by `update_held_out`. The states
    are all features, in float32.
    """

    names = ("nearest_training", "copied")

    held_out: list[Tensor]

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, 1, "distances to training images need at least 1 of each")
        self.add_state("held_out", [], dist_reduce_fx="cat")

    def update_held_out(self, features: Tensor) -> None:
        """Take in features (N, d) of real images that were not trained on.

        Raises InputError if they are not of width d.
        """
        self._check_width(features, "held-out")
        self._forget(real=True)
        self.held_out.append(features.float().flatten())

    def value(self) -> tuple[Tensor, Tensor]:
        own, usual = self._distances()
        return own.mean() / usual.mean(), self._near(own, usual).double().mean()

    def intervals(self, values: Sequence[float]) -> list[Estimate]:
        own, usual = self._distances()
        n = len(own)
        if n < 2:
            return [Estimate(value) for value in values]
        error = (own.std() / usual.mean()).item() / n**0.5
        ratio = about(values[0], error, n - 1, least=0.0)
        return [ratio, share(int(self._near(own, usual).sum()), n)]

    def _near(self, own: Tensor, usual: Tensor) -> Tensor:
        # A copy is one also where held-out images are copies themselves.
        return (own < usual.quantile(NEAR)) | (own == 0)

    def _distances(self) -> tuple[Tensor, Tensor]:
        """The distance to the nearest training image: of samples (N,), of held-out images (H,)."""
        training, generated = self.sides()
        held_out = self._whole(self.held_out) if self.held_out else training[:0]
        if not len(held_out):
            raise InputError("no held-out images: they tell which distance is usual; give some")
        check_none(int(not_finite(held_out)), len(held_out), "held-out")
        usual = self.of_real("usual", lambda: nearest(held_out, training)[0])
        return self.of_both("own", lambda: nearest(generated, training)[0]), usual


def closest(generated: Tensor, training: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The closest pairs, nearest first: (distances, places of samples, of training images).

    Each sample stands in one pair at most; features are (N, d) and (T, d), and at most `count`
    pairs are given.
    """
    distances, places = nearest(double(generated), double(training))
    order = distances.argsort()[:count]
    return distances[order], order, places[order]
