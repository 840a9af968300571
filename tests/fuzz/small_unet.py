"""A U-Net that is made and written in no time."""

from collections.abc import Sequence

from cgd_lightning.networks import UNet


def small_unet(channels: int, levels: Sequence[int]) -> UNet:
    """Of images of 8 x 8. levels: its widths in units of 8."""
    return UNet(
        8,
        channels,
        channels,
        model_channels=8,
        channel_mult=levels,
        attention_resolutions=[],
        num_res_blocks=1,
        norm_groups=2,
    )
