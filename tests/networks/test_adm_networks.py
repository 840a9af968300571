"""The published ADM networks: every one has the tensors, the parameters and the names of its
checkpoint.
"""

import pytest
import torch

from cgd_lightning.networks import EncoderUNet, Network, UNet

COMMON = {"resblock_updown": True, "use_scale_shift_norm": True}
MULT = {
    64: (1, 2, 3, 4),
    128: (1, 1, 2, 3, 4),
    256: (1, 1, 2, 2, 4, 4),
    512: (0.5, 1, 1, 2, 2, 4, 4),
}
LSUN = {
    "image_size": 256,
    "model_channels": 256,
    "num_head_channels": 64,
    "attention_resolutions": (8, 16, 32),
}
IMAGENET = {**LSUN, "num_classes": 1000}
UPSAMPLER = {
    "in_channels": 6,
    "channel_mult": MULT[256],
    "num_classes": 1000,
    "model_channels": 192,
}

# name: (arguments, input blocks, output blocks, tensors, millions of parameters)
DIFFUSION = {
    "64x64_diffusion": (
        {
            **IMAGENET,
            "image_size": 64,
            "model_channels": 192,
            "num_res_blocks": 3,
            "attention_resolutions": (2, 4, 8),
            "dropout": 0.1,
            "use_new_attention_order": True,
        },
        *(16, 16, 541, 295.9),
    ),
    "128x128_diffusion": (
        {
            "image_size": 128,
            "model_channels": 256,
            "num_heads": 4,
            "attention_resolutions": (4, 8, 16),
            "num_classes": 1000,
        },
        *(15, 15, 493, 421.5),
    ),
    "256x256_diffusion": (IMAGENET, 18, 18, 567, 553.8),
    "256x256_diffusion_uncond": (LSUN, 18, 18, 566, 552.8),
    "512x512_diffusion": (
        {**IMAGENET, "image_size": 512, "attention_resolutions": (16, 32, 64)},
        21,
        21,
        645,
        559.0,
    ),
    "64_256_upsampler": (
        {**UPSAMPLER, "image_size": 256, "num_heads": 4, "attention_resolutions": (8, 16, 32)},
        *(18, 18, 567, 311.8),
    ),
    "128_512_upsampler": (
        {
            **UPSAMPLER,
            "image_size": 512,
            "num_head_channels": 64,
            "attention_resolutions": (16, 32),
        },
        *(18, 18, 537, 308.8),
    ),
    "lsun": ({**LSUN, "dropout": 0.1}, 18, 18, 566, 552.8),
    "lsun_horse_nodropout": (LSUN, 18, 18, 566, 552.8),
}

# image size: (blocks per level, attention rates, input blocks, tensors, millions of parameters)
CLASSIFIER = {
    64: (4, (2, 4, 8), 20, 307, 65.4),
    128: (2, (4, 8, 16), 15, 221, 42.6),
    256: (2, (8, 16, 32), 18, 249, 54.1),
    # 54,448,360, also by a closed form of the scheme; quoted as 54.5 elsewhere
    512: (2, (16, 32, 64), 21, 281, 54.4),
}


def on_meta(network: type[Network], **options) -> Network:
    with torch.device("meta"):
        return network(**options)


def size(net: Network) -> tuple[int, float]:
    state = net.state_dict()
    return len(state), round(sum(tensor.numel() for tensor in state.values()) / 1e6, 1)


def shapes(net: Network) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


def published_unet(name: str) -> Network:
    options = {"in_channels": 3, "out_channels": 6, **COMMON, **DIFFUSION[name][0]}
    options.setdefault("channel_mult", MULT[options["image_size"]])
    return on_meta(UNet, **options)


def published_classifier(image_size: int) -> Network:
    depth, rates, *_ = CLASSIFIER[image_size]
    return on_meta(
        EncoderUNet,
        image_size=image_size,
        in_channels=3,
        out_channels=1000,
        model_channels=128,
        num_res_blocks=depth,
        attention_resolutions=rates,
        channel_mult=MULT[image_size],
        num_head_channels=64,
        pool="attention",
        **COMMON,
    )


@pytest.mark.parametrize("name", DIFFUSION)
def test_unet_has_the_size_of_the_published_checkpoint(name):
    net = published_unet(name)
    _, inputs, outputs, tensors, millions = DIFFUSION[name]
    assert (len(net.input_blocks), len(net.output_blocks)) == (inputs, outputs)
    assert size(net) == (tensors, millions)


@pytest.mark.parametrize("image_size", CLASSIFIER)
def test_classifier_has_the_size_of_the_published_checkpoint(image_size):
    net = published_classifier(image_size)
    _, _, inputs, tensors, millions = CLASSIFIER[image_size]
    assert len(net.input_blocks) == inputs
    assert size(net) == (tensors, millions)
    assert shapes(net)["out.2.positional_embedding"] == (512, 65)
    assert shapes(net)["out.2.c_proj.weight"] == (1000, 512, 1)


def test_64_px_unet_has_the_published_names_and_shapes():
    found = shapes(published_unet("64x64_diffusion"))
    expected = {
        "time_embed.0.weight": (768, 192),
        "time_embed.2.bias": (768,),
        "label_emb.weight": (1000, 768),
        "input_blocks.0.0.weight": (192, 3, 3, 3),
        "input_blocks.1.0.emb_layers.1.weight": (384, 768),
        "input_blocks.4.0.in_layers.2.weight": (192, 192, 3, 3),
        "input_blocks.5.0.skip_connection.weight": (384, 192, 1, 1),
        "input_blocks.5.1.norm.weight": (384,),
        "input_blocks.5.1.qkv.weight": (1152, 384, 1),
        "input_blocks.5.1.proj_out.bias": (384,),
        "middle_block.0.out_layers.0.weight": (768,),
        "middle_block.1.qkv.bias": (2304,),
        "middle_block.2.out_layers.3.weight": (768, 768, 3, 3),
        "output_blocks.0.0.in_layers.0.weight": (1536,),
        "output_blocks.3.2.in_layers.2.weight": (768, 768, 3, 3),
        "output_blocks.15.0.skip_connection.weight": (192, 384, 1, 1),
        "out.0.weight": (192,),
        "out.2.weight": (6, 192, 3, 3),
    }
    assert {name: found.get(name) for name in expected} == expected
    # full resolution has no attention; the last block of a level with attention has its upsampler
    # at index 2
    absent = [
        "input_blocks.1.1.",
        "input_blocks.1.0.skip_connection",
        "output_blocks.15.1.",
        "output_blocks.3.3.",
    ]
    assert not [name for name in found for start in absent if name.startswith(start)]


def test_512_px_unet_takes_half_of_the_model_channels_at_full_size():
    found = shapes(published_unet("512x512_diffusion"))
    assert found["input_blocks.0.0.weight"] == (128, 3, 3, 3)
    assert found["out.2.weight"] == (6, 128, 3, 3)


def test_upsampler_of_a_level_without_attention_has_index_1():
    found = shapes(published_unet("256x256_diffusion"))
    assert "output_blocks.11.1.in_layers.2.weight" in found
    assert "output_blocks.8.2.in_layers.2.weight" in found


def small(network: type[Network] = UNet, **options) -> Network:
    return on_meta(
        network,
        **{
            "image_size": 16,
            "in_channels": 3,
            "out_channels": 3,
            "model_channels": 32,
            "num_res_blocks": 1,
            "channel_mult": (1, 2),
            "attention_resolutions": (2,),
            **options,
        },
    )


def test_resampling_convolutions_are_named_op_and_conv():
    found = shapes(small())
    assert found["input_blocks.2.0.op.weight"] == (32, 32, 3, 3)
    assert found["output_blocks.1.2.conv.weight"] == (64, 64, 3, 3)
    assert found["output_blocks.1.1.qkv.weight"] == (192, 64, 1)


def test_resampling_without_convolution_has_no_parameters():
    found = shapes(small(conv_resample=False))
    assert not [name for name in found if ".op." in name or ".conv." in name]
    assert "input_blocks.3.0.in_layers.2.weight" in found
    assert len(found) == len(shapes(small())) - 4


def test_added_embedding_is_half_as_wide_as_scale_and_shift():
    added = shapes(small(use_scale_shift_norm=False))["input_blocks.1.0.emb_layers.1.weight"]
    assert added == (32, 128)
    assert shapes(small())["input_blocks.1.0.emb_layers.1.weight"] == (64, 128)


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (
            "adaptive",
            {"0.weight": (64,), "0.bias": (64,), "3.weight": (10, 64, 1, 1), "3.bias": (10,)},
        ),
        (
            "attention",
            {
                "0.weight": (64,),
                "0.bias": (64,),
                "2.positional_embedding": (64, 65),
                "2.qkv_proj.weight": (192, 64, 1),
                "2.qkv_proj.bias": (192,),
                "2.c_proj.weight": (10, 64, 1),
                "2.c_proj.bias": (10,),
            },
        ),
        # 32 + 32 + 32 + 64 of the input blocks, 64 of the middle
        (
            "spatial",
            {"0.weight": (2048, 224), "0.bias": (2048,), "2.weight": (10, 2048), "2.bias": (10,)},
        ),
        (
            "spatial_v2",
            {
                "0.weight": (2048, 224),
                "0.bias": (2048,),
                "1.weight": (2048,),
                "1.bias": (2048,),
                "3.weight": (10, 2048),
                "3.bias": (10,),
            },
        ),
    ],
)
def test_pools_have_the_published_names_and_shapes(pool, expected):
    net = small(EncoderUNet, out_channels=10, pool=pool)
    assert shapes(net.out) == expected
    assert {name.split(".")[0] for name in shapes(net)} == {
        "time_embed",
        "input_blocks",
        "middle_block",
        "out",
    }


def test_encoder_is_the_downward_half_of_the_unet():
    unet, encoder = shapes(small()), shapes(small(EncoderUNet))
    shared = {
        name: shape
        for name, shape in unet.items()
        if not name.startswith(("output_blocks", "out."))
    }
    assert {name: shape for name, shape in encoder.items() if not name.startswith("out.")} == shared
