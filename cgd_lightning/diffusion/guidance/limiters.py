"""Limiters keep a prediction within bounds."""

from torch import Tensor

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoise, Prediction
from cgd_lightning.diffusion.guidance.rule import Rule
from cgd_lightning.diffusion.schedules import Level


class Clamp(Rule):
    """x0 clamped to the range of the data, and eps = (x_t - alpha x0) / sigma derived again.

    Ho et al. 2020 (arXiv:2006.11239), section 3.2. ADM clamps inside the guidance, and what guidance adds is bounded by nothing: at the
    noisiest levels sigma^2 / alpha multiplies the error of the classifier's gradient. Outside, it is bounded too.
    """

    def __init__(self, low: float = -1.0, high: float = 1.0) -> None:
        self.low, self.high = low, high

    def bind(self, denoise: Denoise, classifier: NoisyClassifier | None, labels: Tensor) -> Denoise:
        def clamped(x_t: Tensor, level: Level) -> Prediction:
            prediction = denoise(x_t, level)
            x0 = prediction.x0.clamp(self.low, self.high)
            return prediction.limited_to(Prediction.from_x0(x_t, level, x0))

        return clamped
