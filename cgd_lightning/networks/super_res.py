"""ADM's upsampler: a U-Net that reads a small image beside the noisy large one.

    eps = unet(cat(x_t, resize(low_res)), t, y)

Dhariwal and Nichol 2021 (arXiv:2105.05233), section 5.2, after Nichol and Dhariwal 2021
(arXiv:2102.09672) and Saharia et al. 2021 (arXiv:2104.07636). The small image is not noisy.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.networks.unet import UNet


class SuperRes(UNet):
    """Noisy images (B, in_channels, H, W) and small ones -> a prediction (B, out_channels, H, W).

    Names and order of the parameters are those of `UNet`, and of openai/guided-diffusion. The first
    convolution reads twice the channels: the noisy image, then the small one, resized bilinearly.
    All other arguments are those of `UNet`.

    Args:
        image_size: height and width of the large image in pixels, given by the data; a multiple of
            2^(levels - 1), otherwise InputError.
        small_size: height and width of the small image, below image_size; a quarter of it, as in
            both of ADM, if none is given.
    """

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        out_channels: int,
        small_size: int | None = None,
        model_channels: int = 64,
        num_res_blocks: int = 2,
        attention_resolutions: Sequence[int] = (2, 4),
        dropout: float = 0.0,
        channel_mult: Sequence[float] = (1, 2, 4),
        conv_resample: bool = True,
        num_classes: int | None = None,
        use_checkpoint: bool = False,
        num_heads: int = 1,
        num_head_channels: int = -1,
        num_heads_upsample: int = -1,
        use_scale_shift_norm: bool = True,
        resblock_updown: bool = False,
        use_new_attention_order: bool = False,
        norm_groups: int = 32,
        timestep_scale: float = 1.0,
    ) -> None:
        small_size = image_size // 4 if small_size is None else small_size
        if not 1 <= small_size < image_size:
            raise InputError(
                f"small_size {small_size} of image_size {image_size}: wanted 1 to {image_size - 1}"
            )
        super().__init__(
            image_size,
            2 * in_channels,
            out_channels,
            model_channels=model_channels,
            num_res_blocks=num_res_blocks,
            attention_resolutions=attention_resolutions,
            dropout=dropout,
            channel_mult=channel_mult,
            conv_resample=conv_resample,
            num_classes=num_classes,
            use_checkpoint=use_checkpoint,
            num_heads=num_heads,
            num_head_channels=num_head_channels,
            num_heads_upsample=num_heads_upsample,
            use_scale_shift_norm=use_scale_shift_norm,
            resblock_updown=resblock_updown,
            use_new_attention_order=use_new_attention_order,
            norm_groups=norm_groups,
            timestep_scale=timestep_scale,
        )
        self.low_res_shape = (in_channels, small_size, small_size)

    def forward(
        self, x: Tensor, t: Tensor, y: Tensor | None = None, low_res: Tensor | None = None
    ) -> Tensor:
        """The prediction (B, out_channels, H, W) for images `x` (B, in_channels, H, W).

        t: timesteps (B,), float32. y: labels (B,), int64, if the network has classes. low_res: the
        small images (B, in_channels, h, w), in the range of x0. Raises InputError without them.
        """
        if low_res is None:
            raise InputError(
                f"no low_res: this network enlarges images of shape {self.low_res_shape}, pass "
                "them beside the noisy ones"
            )
        large = F.interpolate(
            low_res.to(x.dtype), x.shape[-2:], mode="bilinear", align_corners=False
        )
        return super().forward(torch.cat([x, large], dim=1), t, y)
