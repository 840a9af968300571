"""A metric whose states are the features of all images, in float32."""

from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from cgd_lightning.evaluation.feature_metric import FeatureMetric, double


class AllFeatures(FeatureMetric):
    """Keeps the features as they come; `sides` gives them. Arguments as of `FeatureMetric`."""

    real_features: list[Tensor]
    generated_features: list[Tensor]

    def __init__(self, num_features: int, least: int, wants: str) -> None:
        super().__init__(num_features, least, wants)
        for name in ("real_features", "generated_features"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def add(self, features: Tensor, side: int) -> None:
        # Flat, since a process that has no images gathers an empty vector, not an empty matrix.
        (self.real_features, self.generated_features)[side].append(features.float().flatten())

    def sides(self) -> tuple[Tensor, Tensor]:
        """The features (R, d) of real and (N, d) of generated images, in float64."""
        real, generated = map(self._whole, (self.real_features, self.generated_features))
        return real, generated

    def _whole(self, state: list[Tensor]) -> Tensor:
        return double(dim_zero_cat(state).reshape(-1, self.num_features))
