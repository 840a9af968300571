"""Anomaly maps: how much is wrong with each pixel of an image, (N, H, W).

    |x' - x|                 an edit x' of the image x against it, in grey levels
    |grad_x log p(k | x)|    the gradient of a classifier, without any edit: the baseline

Over channels the largest counts. Reconstruction, the other baseline, is the first of an edit at
scale 0.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier, check_statistics
from cgd_lightning.diffusion.codec import PIXELS
from cgd_lightning.diffusion.guidance.classifier import input_gradient
from cgd_lightning.errors import InputError

VISIBLE = 8
"""Grey levels of 255 by which a pixel changes at least where it is said to have changed."""


def difference_map(originals: Tensor, edited: Tensor, blur: int = 0) -> Tensor:
    """How many grey levels were changed, float32 (N, H, W), of uint8 images (N, C, H, W).

    blur: it is averaged over squares of 2 blur + 1 pixels, at a border over what is in the image.
    Raises InputError for images of different shapes.
    """
    check_pair(originals, edited)
    return blurred((edited.float() - originals.float()).abs().amax(dim=1), blur)


def distances(originals: Tensor, edited: Tensor) -> Tensor:
    """Mean absolute difference of each image, in grey levels: float32 (N,)."""
    check_pair(originals, edited)
    return (edited.float() - originals.float()).abs().flatten(1).mean(dim=1)


def changed_shares(originals: Tensor, edited: Tensor, least: int = VISIBLE) -> Tensor:
    """Share of each image's pixels that changed by `least` grey levels or more: float32 (N,).

    In any channel.
    """
    return (difference_map(originals, edited) >= least).float().flatten(1).mean(dim=1)


def check_pair(originals: Tensor, edited: Tensor) -> None:
    """Raises InputError unless these are uint8 images of one shape (N, C, H, W), N > 0."""
    for images in (originals, edited):
        if images.dtype != torch.uint8 or images.ndim != 4 or not len(images):
            raise InputError(
                f"images are {images.dtype} of shape {list(images.shape)}; wanted uint8 "
                "(N, C, H, W), at least one"
            )
    if originals.shape != edited.shape:
        raise InputError(
            f"originals of shape {list(originals.shape)} and edited images of shape "
            f"{list(edited.shape)}: wanted one for one"
        )


def gradient_map(
    classifier: NoisyClassifier | CleanClassifier,
    images: Tensor,
    label: int,
    blur: int = 0,
    batch_size: int = 256,
) -> Tensor:
    """|grad_x log p(label | x)|, float32 (N, H, W), of uint8 images (N, C, H, W).

    A classifier of noisy images is asked at its least noise, of images without noise. blur: as of
    `difference_map`. Raises InputError for a label that the classifier lacks, and for one that
    lives in latents, whose gradient is no map of pixels.
    """
    names = classifier.class_names
    if names and not 0 <= label < len(names):
        raise InputError(f"label {label}: this classifier knows labels 0 to {len(names) - 1}")
    codec = classifier.data.codec
    if codec != PIXELS:
        raise InputError("a classifier of latents: its gradient is no map of pixels; give another")
    check_statistics(classifier)

    def log_p(x: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(classifier, NoisyClassifier):
            logits = classifier.logits(x, torch.zeros(len(x), device=x.device))
        else:
            logits = classifier.logits(x)
        every = logits.log_softmax(dim=-1)
        return every[:, label], every

    device = next(classifier.parameters(), torch.empty(0)).device
    parts = [
        input_gradient(log_p, codec.encode(part.to(device)))[0].abs().amax(dim=1).cpu()
        for part in images.split(batch_size)
    ]
    return blurred(torch.cat(parts).float(), blur)


def unit_maps(maps: Tensor) -> Tensor:
    """Maps (N, H, W), each by its own largest value, so that images count alike; 0 stays 0.

    The gradient of log p vanishes where a classifier is sure: without this its maps are told apart
    by how sure it is, and not by pixels.
    """
    largest = maps.amax(dim=(1, 2), keepdim=True)
    return torch.where(largest > 0, maps / largest, maps)


def blurred(maps: Tensor, blur: int) -> Tensor:
    """Maps (N, H, W), each pixel the mean of those at most `blur` rows and columns away."""
    if blur < 0:
        raise InputError(f"blur {blur}: wanted 0 pixels or more")
    if blur == 0:
        return maps
    side = 2 * blur + 1
    return F.avg_pool2d(maps[:, None], side, 1, blur, count_include_pad=False)[:, 0]
