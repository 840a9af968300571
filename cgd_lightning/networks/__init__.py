"""Neural networks that read noisy images and timesteps, and remember how they were built."""

from cgd_lightning.networks.autoencoder import ConvAutoencoder
from cgd_lightning.networks.convnet import ConvNet
from cgd_lightning.networks.diffusers_autoencoder import DiffusersAutoencoder
from cgd_lightning.networks.diffusers_unet import DiffusersUNet
from cgd_lightning.networks.encoder import EncoderUNet
from cgd_lightning.networks.mlp import MLP, MLPClassifier
from cgd_lightning.networks.network import Network
from cgd_lightning.networks.noisy_convnet import NoisyConvNet
from cgd_lightning.networks.super_res import SuperRes
from cgd_lightning.networks.unet import UNet

__all__ = [
    "MLP",
    "ConvAutoencoder",
    "ConvNet",
    "DiffusersAutoencoder",
    "DiffusersUNet",
    "EncoderUNet",
    "MLPClassifier",
    "Network",
    "NoisyConvNet",
    "SuperRes",
    "UNet",
]
