"""The U-Net's forward pass equals diffusers' `UNet2DModel` with the same weights: an independent
implementation.
"""

import pytest
import torch

from cgd_lightning.networks import UNet

RESIDUAL = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def weights_for_diffusers(
    net: UNet, levels: int, depth: int, attention_levels: set[int]
) -> dict[str, torch.Tensor]:
    """The network's weights under the names of `UNet2DModel`."""
    ours, theirs = net.state_dict(), {}

    def copy(target: str, source: str) -> None:
        for kind in ("weight", "bias"):
            if f"{source}.{kind}" in ours:
                theirs[f"{target}.{kind}"] = ours[f"{source}.{kind}"]

    def residual(target: str, source: str) -> None:
        for name, path in RESIDUAL.items():
            copy(f"{target}.{name}", f"{source}.{path}")

    def attention(target: str, source: str) -> None:
        copy(f"{target}.group_norm", f"{source}.norm")
        for kind in ("weight", "bias"):
            parts = ours[f"{source}.qkv.{kind}"].chunk(3)
            for name, part in zip(("to_q", "to_k", "to_v"), parts, strict=True):
                theirs[f"{target}.{name}.{kind}"] = (
                    part.flatten(1).squeeze() if kind == "weight" else part
                )
            out = ours[f"{source}.proj_out.{kind}"]
            theirs[f"{target}.to_out.0.{kind}"] = out.flatten(1) if kind == "weight" else out

    copy("time_embedding.linear_1", "time_embed.0")
    copy("time_embedding.linear_2", "time_embed.2")
    copy("class_embedding", "label_emb")
    copy("conv_in", "input_blocks.0.0")
    copy("conv_norm_out", "out.0")
    copy("conv_out", "out.2")
    residual("mid_block.resnets.0", "middle_block.0")
    attention("mid_block.attentions.0", "middle_block.1")
    residual("mid_block.resnets.1", "middle_block.2")
    block = 0
    for level in range(levels):
        for index in range(depth):
            block += 1
            residual(f"down_blocks.{level}.resnets.{index}", f"input_blocks.{block}.0")
            if level in attention_levels:
                attention(f"down_blocks.{level}.attentions.{index}", f"input_blocks.{block}.1")
        if level < levels - 1:
            block += 1
            residual(f"down_blocks.{level}.downsamplers.0", f"input_blocks.{block}.0")
    block = 0
    for position, level in enumerate(reversed(range(levels))):
        for index in range(depth + 1):
            residual(f"up_blocks.{position}.resnets.{index}", f"output_blocks.{block}.0")
            if level in attention_levels:
                attention(f"up_blocks.{position}.attentions.{index}", f"output_blocks.{block}.1")
            block += 1
        if level > 0:
            last = 2 if level in attention_levels else 1
            residual(f"up_blocks.{position}.upsamplers.0", f"output_blocks.{block - 1}.{last}")
    return theirs


def test_unet_equals_diffusers_with_the_same_weights():
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    net = UNet(
        image_size=16,
        in_channels=3,
        out_channels=6,
        model_channels=32,
        num_res_blocks=2,
        attention_resolutions=(2, 4),
        channel_mult=(1, 2, 2),
        num_classes=10,
        num_head_channels=16,
        resblock_updown=True,
        use_new_attention_order=True,
    ).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    reference = diffusers.UNet2DModel(
        sample_size=16,
        in_channels=3,
        out_channels=6,
        layers_per_block=2,
        num_class_embeds=10,
        block_out_channels=(32, 64, 64),
        attention_head_dim=16,
        down_block_types=("ResnetDownsampleBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        resnet_time_scale_shift="scale_shift",
        attn_norm_num_groups=32,
        upsample_type="resnet",
        downsample_type="resnet",
        norm_eps=1e-5,
    ).eval()
    reference.load_state_dict(
        weights_for_diffusers(net, levels=3, depth=2, attention_levels={1, 2})
    )

    x, t, y = torch.randn(2, 3, 16, 16), torch.tensor([3.0, 998.0]), torch.tensor([1, 7])
    with torch.no_grad():
        ours, theirs = net(x, t, y), reference(x, t, class_labels=y).sample
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
