"""What a step changes of the original is lessened, and small changes are undone.

    d = x0~ - x0,    x0~ <- x0 + sign(d) max(|d| - shrinkage, 0)

Soft thresholding, the proximal step of an L1 penalty on the change, in the prediction of the clean
image: proximal guidance, Han et al. 2023 (arXiv:2306.05414), there in the predicted noise and
between two prompts.
"""

from torch import Tensor
from torch.nn.functional import softshrink

from cgd_lightning.diffusion.denoiser import Denoise, Prediction
from cgd_lightning.diffusion.level import Level


def proximal(denoise: Denoise, x0: Tensor, shrinkage: float) -> Denoise:
    """`denoise` with its clean images nearer to `x0` (B, C, H, W) by `shrinkage` in every value.

    shrinkage: at least 0, in units of x0. Stands around all guidance.
    """

    def nearer(x_t: Tensor, level: Level) -> Prediction:
        prediction = denoise(x_t, level)
        change = softshrink(prediction.x0 - x0, shrinkage)
        return prediction.limited_to(Prediction.from_x0(x_t, level, x0 + change))

    return nearer
