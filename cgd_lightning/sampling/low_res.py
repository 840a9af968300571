"""The images that a diffusion model is to enlarge: `low_res` of a request."""

from pathlib import Path

from torch import Tensor

from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance.rule import Guide
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.request import Request, RequestError
from cgd_lightning.sampling.sources import Samples, open_source


def read_low_res(
    request: Request, denoiser: Denoiser, classifier: Guide | None = None
) -> Samples[Tensor] | None:
    """The first `num_samples` images of `low_res`, with their classes if these are known.

    Labels of the request take the place of these. None for a diffusion model that enlarges
    none. Raises RequestError for images that are missing, of another shape, fewer than wanted, or
    of unknown class where the diffusion model is told it; and for images that nothing enlarges.
    """
    shape, path, count = denoiser.low_res_shape, request.low_res, request.num_samples
    if shape is None and path is None:
        return None
    if shape is None:
        raise RequestError(
            f" {path}: {request.ckpt} enlarges no images; leave it out, or name an upsampler",
            "low_res",
        )
    channels, height, width = shape
    if path is None:
        raise RequestError(
            f"{request.ckpt} enlarges images of shape {list(shape)}; give them as "
            "low_res=FOLDER, images or what cgd sample wrote"
        )
    names = (classifier or denoiser).class_names
    try:
        found = open_source(Path(path), (channels, height, width), names, "low_res", advice="")
        images = found.images[:count]
    except InputError as error:
        raise RequestError(str(error).removeprefix("low_res"), "low_res") from error
    if len(images) < count:
        raise RequestError(
            f" {count}: low_res holds {len(images)} images; give at most as many",
            "num_samples",
        )
    if request.labels is not None:
        return Samples(images, None, found.ours)
    if found.targets is None and (denoiser.conditional or classifier is not None):
        raise RequestError(
            f" {path}: does not tell the classes of its images, as sub-folders named by them or "
            "an npz would; give labels=CLASSES for them in turn",
            "low_res",
        )
    targets = None if found.targets is None or not names else found.targets[:count]
    return Samples(images, targets, found.ours)
