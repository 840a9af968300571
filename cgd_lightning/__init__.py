"""Classifier-guided diffusion as PyTorch Lightning modules with one command line.

The names below are imported when they are first used, so that importing the package costs nothing
and never imports Lightning by itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cgd_lightning.checkpoints import load as load
    from cgd_lightning.checkpoints import save as save
    from cgd_lightning.data.datamodule import NoisingDataModule as NoisingDataModule
    from cgd_lightning.data.digits import Digits as Digits
    from cgd_lightning.data.folder import Folder as Folder
    from cgd_lightning.data.generated import WithGenerated as WithGenerated
    from cgd_lightning.data.lesions import Lesions as Lesions
    from cgd_lightning.data.vision import MNIST as MNIST
    from cgd_lightning.diffusion.autoencoder import Autoencoder as Autoencoder
    from cgd_lightning.diffusion.classifier import CleanClassifier as CleanClassifier
    from cgd_lightning.diffusion.classifier import NoisyClassifier as NoisyClassifier
    from cgd_lightning.diffusion.codec import Codec as Codec
    from cgd_lightning.diffusion.codec import Pixels as Pixels
    from cgd_lightning.diffusion.data_spec import DataSpec as DataSpec
    from cgd_lightning.diffusion.denoiser import Denoiser as Denoiser
    from cgd_lightning.diffusion.denoiser import Prediction as Prediction
    from cgd_lightning.diffusion.generate import generate as generate
    from cgd_lightning.diffusion.guidance import Attribute as Attribute
    from cgd_lightning.diffusion.guidance import Autoguidance as Autoguidance
    from cgd_lightning.diffusion.guidance import Chain as Chain
    from cgd_lightning.diffusion.guidance import Clamp as Clamp
    from cgd_lightning.diffusion.guidance import ClassifierFree as ClassifierFree
    from cgd_lightning.diffusion.guidance import ClassifierGuidance as ClassifierGuidance
    from cgd_lightning.diffusion.guidance import CleanGuidance as CleanGuidance
    from cgd_lightning.diffusion.guidance import DiscriminatorGuidance as DiscriminatorGuidance
    from cgd_lightning.diffusion.guidance import DynamicThreshold as DynamicThreshold
    from cgd_lightning.diffusion.guidance import EntropyScale as EntropyScale
    from cgd_lightning.diffusion.guidance import Interval as Interval
    from cgd_lightning.diffusion.guidance import Projection as Projection
    from cgd_lightning.diffusion.guidance import Ramp as Ramp
    from cgd_lightning.diffusion.guidance import Rescale as Rescale
    from cgd_lightning.diffusion.guidance import Rule as Rule
    from cgd_lightning.diffusion.guidance import SqrtBeta as SqrtBeta
    from cgd_lightning.diffusion.guidance import UnitGradient as UnitGradient
    from cgd_lightning.diffusion.latents import Latents as Latents
    from cgd_lightning.diffusion.level import Level as Level
    from cgd_lightning.diffusion.likelihood import Likelihood as Likelihood
    from cgd_lightning.diffusion.samplers import DDIM as DDIM
    from cgd_lightning.diffusion.samplers import DDPM as DDPM
    from cgd_lightning.diffusion.samplers import AnnealedLangevin as AnnealedLangevin
    from cgd_lightning.diffusion.samplers import DPMSolver as DPMSolver
    from cgd_lightning.diffusion.samplers import DPMSolverSDE as DPMSolverSDE
    from cgd_lightning.diffusion.samplers import Euler as Euler
    from cgd_lightning.diffusion.samplers import Heun as Heun
    from cgd_lightning.diffusion.samplers import LangevinCorrector as LangevinCorrector
    from cgd_lightning.diffusion.samplers import Sampler as Sampler
    from cgd_lightning.diffusion.samplers.inversion import invert as invert
    from cgd_lightning.diffusion.schedules import Cosine as Cosine
    from cgd_lightning.diffusion.schedules import Linear as Linear
    from cgd_lightning.diffusion.schedules import NoiseSchedule as NoiseSchedule
    from cgd_lightning.diffusion.schedules import ScaledLinear as ScaledLinear
    from cgd_lightning.diffusion.schedules import Sigmoid as Sigmoid
    from cgd_lightning.diffusion.schedules import VarianceExploding as VarianceExploding
    from cgd_lightning.diffusion.start import Start as Start
    from cgd_lightning.evaluation.density import DensityCoverage as DensityCoverage
    from cgd_lightning.evaluation.diagnosis.diagnose import diagnose as diagnose
    from cgd_lightning.evaluation.feature_metric import FeatureMetric as FeatureMetric
    from cgd_lightning.evaluation.features import FeatureNetwork as FeatureNetwork
    from cgd_lightning.evaluation.features import JudgeFeatures as JudgeFeatures
    from cgd_lightning.evaluation.frechet import FrechetDistance as FrechetDistance
    from cgd_lightning.evaluation.inception import InceptionScore as InceptionScore
    from cgd_lightning.evaluation.kernel import KernelDistance as KernelDistance
    from cgd_lightning.evaluation.manifold import PrecisionRecall as PrecisionRecall
    from cgd_lightning.evaluation.measure import Measure as Measure
    from cgd_lightning.evaluation.monge import MongeDistance as MongeDistance
    from cgd_lightning.evaluation.reference import Reference as Reference
    from cgd_lightning.evaluation.report import Report as Report
    from cgd_lightning.networks import MLP as MLP
    from cgd_lightning.networks import ConvAutoencoder as ConvAutoencoder
    from cgd_lightning.networks import ConvNet as ConvNet
    from cgd_lightning.networks import EncoderUNet as EncoderUNet
    from cgd_lightning.networks import MLPClassifier as MLPClassifier
    from cgd_lightning.networks import Network as Network
    from cgd_lightning.networks import NoisyConvNet as NoisyConvNet
    from cgd_lightning.networks import SuperRes as SuperRes
    from cgd_lightning.networks import UNet as UNet
    from cgd_lightning.sampling.edit import edit as edit
    from cgd_lightning.sampling.edit_images import EditImages as EditImages
    from cgd_lightning.sampling.edit_sweep import EditSweep as EditSweep
    from cgd_lightning.sampling.edit_sweep_run import sweep_edits as sweep_edits
    from cgd_lightning.sampling.edits import Edits as Edits
    from cgd_lightning.sampling.edits import Verdicts as Verdicts
    from cgd_lightning.sampling.job import Job as Job
    from cgd_lightning.sampling.record import read_request as read_request
    from cgd_lightning.sampling.request import Request as Request
    from cgd_lightning.sampling.resolve import resolve as resolve
    from cgd_lightning.sampling.resolve import sample as sample
    from cgd_lightning.sampling.sweep_run import sweep as sweep
    from cgd_lightning.training.autoencoder import AutoencoderModule as AutoencoderModule
    from cgd_lightning.training.guided_sampler import GuidedSampler as GuidedSampler
    from cgd_lightning.training.modules import ClassifierModule as ClassifierModule
    from cgd_lightning.training.modules import DiffusionModule as DiffusionModule
    from cgd_lightning.training.modules import JudgeModule as JudgeModule
    from cgd_lightning.training.muon import MuonAdamW as MuonAdamW
    from cgd_lightning.training.quiet import quieten as quieten

_HOMES = {
    "Cosine": "diffusion.schedules",
    "Linear": "diffusion.schedules",
    "ScaledLinear": "diffusion.schedules",
    "Sigmoid": "diffusion.schedules",
    "VarianceExploding": "diffusion.schedules",
    "DensityCoverage": "evaluation.density",
    "FrechetDistance": "evaluation.frechet",
    "InceptionScore": "evaluation.inception",
    "KernelDistance": "evaluation.kernel",
    "PrecisionRecall": "evaluation.manifold",
    "MongeDistance": "evaluation.monge",
    "Report": "evaluation.report",
    "Reference": "evaluation.reference",
    "Level": "diffusion.level",
    "Prediction": "diffusion.denoiser",
    "FeatureMetric": "evaluation.feature_metric",
    "FeatureNetwork": "evaluation.features",
    "diagnose": "evaluation.diagnosis.diagnose",
    "sweep": "sampling.sweep_run",
    "JudgeFeatures": "evaluation.features",
    "Measure": "evaluation.measure",
    "NoiseSchedule": "diffusion.schedules",
    "Sampler": "diffusion.samplers",
    "Rule": "diffusion.guidance",
    "Codec": "diffusion.codec",
    "Pixels": "diffusion.codec",
    "Latents": "diffusion.latents",
    "Autoencoder": "diffusion.autoencoder",
    "ConvAutoencoder": "networks",
    "DataSpec": "diffusion.data_spec",
    "read_request": "sampling.record",
    "resolve": "sampling.resolve",
    "sample": "sampling.resolve",
    "EditImages": "sampling.edit_images",
    "EditSweep": "sampling.edit_sweep",
    "Edits": "sampling.edits",
    "Start": "diffusion.start",
    "Verdicts": "sampling.edits",
    "edit": "sampling.edit",
    "sweep_edits": "sampling.edit_sweep_run",
    "Job": "sampling.job",
    "Request": "sampling.request",
    "load": "checkpoints",
    "save": "checkpoints",
    "NoisingDataModule": "data.datamodule",
    "Digits": "data.digits",
    "Folder": "data.folder",
    "Lesions": "data.lesions",
    "WithGenerated": "data.generated",
    "MNIST": "data.vision",
    "CleanClassifier": "diffusion.classifier",
    "NoisyClassifier": "diffusion.classifier",
    "Denoiser": "diffusion.denoiser",
    "generate": "diffusion.generate",
    "Attribute": "diffusion.guidance",
    "Autoguidance": "diffusion.guidance",
    "Chain": "diffusion.guidance",
    "Clamp": "diffusion.guidance",
    "ClassifierFree": "diffusion.guidance",
    "ClassifierGuidance": "diffusion.guidance",
    "CleanGuidance": "diffusion.guidance",
    "DiscriminatorGuidance": "diffusion.guidance",
    "DynamicThreshold": "diffusion.guidance",
    "EntropyScale": "diffusion.guidance",
    "Interval": "diffusion.guidance",
    "Projection": "diffusion.guidance",
    "Ramp": "diffusion.guidance",
    "Rescale": "diffusion.guidance",
    "SqrtBeta": "diffusion.guidance",
    "UnitGradient": "diffusion.guidance",
    "Likelihood": "diffusion.likelihood",
    "AnnealedLangevin": "diffusion.samplers",
    "DDIM": "diffusion.samplers",
    "DDPM": "diffusion.samplers",
    "DPMSolver": "diffusion.samplers",
    "DPMSolverSDE": "diffusion.samplers",
    "Euler": "diffusion.samplers",
    "Heun": "diffusion.samplers",
    "LangevinCorrector": "diffusion.samplers",
    "invert": "diffusion.samplers.inversion",
    "ConvNet": "networks",
    "EncoderUNet": "networks",
    "MLP": "networks",
    "MLPClassifier": "networks",
    "Network": "networks",
    "NoisyConvNet": "networks",
    "SuperRes": "networks",
    "UNet": "networks",
    "AutoencoderModule": "training.autoencoder",
    "GuidedSampler": "training.guided_sampler",
    "ClassifierModule": "training.modules",
    "DiffusionModule": "training.modules",
    "JudgeModule": "training.modules",
    "MuonAdamW": "training.muon",
    "quieten": "training.quiet",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
