"""Replacement: what is known of an image stays, whatever guidance and sampler make of the rest.

    x0~ = where it may change: the prediction,  elsewhere: the image

and eps~ = (x_t - alpha x0~) / sigma. The replacement of Song et al. 2021 (arXiv:2011.13456),
section 5, and of RePaint, Lugmayr et al. 2022 (arXiv:2201.09865), made in the prediction and not in
x_t: so every sampler takes it, and its last step, to x0~, ends on the image exactly.
"""

import torch
from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoise, Prediction
from cgd_lightning.diffusion.level import Level


def keep(denoise: Denoise, x0: Tensor, changes: Tensor) -> Denoise:
    """`denoise` with clean images `x0` (B, C, H, W) known where they may not change.

    changes: bool (B, 1, H, W). Stands around all guidance. The prediction before guidance knows the
    images too, for samplers that start from it.
    """

    def put(prediction: Prediction, x_t: Tensor, level: Level) -> Prediction:
        known = (x_t - level.alpha * x0) / level.sigma
        return prediction._replace(
            x0=torch.where(changes, prediction.x0, x0),
            eps=torch.where(changes, prediction.eps, known),
        )

    def kept(x_t: Tensor, level: Level) -> Prediction:
        prediction = denoise(x_t, level)
        base = prediction.base
        return put(prediction, x_t, level)._replace(
            base=None if base is None else put(base, x_t, level)
        )

    return kept
