"""The options of `cgd convert`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cgd_lightning.configuration.parser import OneLineErrors


@dataclass(frozen=True)
class Given:
    """What the user knows of a model, beside what its file tells.

    Args:
        published: which of the published files of guided-diffusion it is, where its name does not
            say it: 256x256_diffusion_uncond, lsun_cat, 64x64_classifier, ...
        image_size: height and width of its images in pixels; an autoencoder takes others than
            those it was trained on.
        small_size: height and width of the images that an upsampler enlarges.
        num_heads: number of attention heads.
        num_heads_upsample: number of heads on the way up. Default: as many as on the way down.
        num_head_channels: channels of an attention head, which decides the number of heads.
        attention_order: how heads lie in the weights; new where it was trained with
            use_new_attention_order.
        num_res_blocks: residual blocks per level, where a classifier's weights fit several.
        schedule: noise schedule that it was trained on; scaled_linear in diffusers alone.
        timesteps: number of timesteps of the training, diffusion_steps in guided-diffusion.
        rescale_timesteps: whether the network is told t times 1000 / timesteps.
        prediction: what it predicts: eps, x0 (guided-diffusion's predict_xstart), or v.
        dropout: probability that a feature is dropped, if it is trained on. Samples do not depend
            on it.
        class_names: names of the classes in the order of their labels, a,b,c; or imagenet.
        images: folder of the training images, whose classes are named as the files are up to the
            first "_", or as its sub-folders.
    """

    published: str | None = None
    image_size: int | None = None
    small_size: int | None = None
    num_heads: int | None = None
    num_heads_upsample: int | None = None
    num_head_channels: int | None = None
    attention_order: Literal["legacy", "new"] | None = None
    num_res_blocks: int | None = None
    schedule: Literal["linear", "cosine", "scaled_linear"] | None = None
    timesteps: int | None = None
    rescale_timesteps: bool | None = None
    prediction: Literal["eps", "x0", "v"] | None = None
    dropout: float | None = None
    class_names: str | None = None
    images: Path | None = None


def parser() -> OneLineErrors:
    """The options of `cgd convert`."""
    options = OneLineErrors(
        prog="cgd convert",
        description="An ordinary checkpoint of what another project made: of a file of "
        "guided-diffusion or improved-diffusion, of a folder of diffusers, and of a folder that "
        "cgd export wrote. What a file does not tell and changes the images "
        "has to be given.",
        allow_abbrev=False,
    )
    options.examples = (
        "cgd convert 64x64_diffusion.pt --out runs/adm64",
        "cgd convert ddpm-cifar10-32 --out runs/cifar10  # a folder of diffusers",
    )
    options.add_argument("source", type=str, help="File or folder of the other project.")
    options.add_argument(
        "--out",
        type=str | None,
        help="Run folder to make, with OUT/version_0/best.ckpt. Default: runs/NAME, as the source "
        "is called.",
    )
    options.add_class_arguments(Given, None)
    return options
