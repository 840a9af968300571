"""Guidance rules and the weights of their terms, by short name."""

from cgd_lightning.diffusion.guidance.attribute import Attribute as Attribute
from cgd_lightning.diffusion.guidance.classifier import ClassifierGuidance as ClassifierGuidance
from cgd_lightning.diffusion.guidance.classifier_free import Autoguidance as Autoguidance
from cgd_lightning.diffusion.guidance.classifier_free import ClassifierFree as ClassifierFree
from cgd_lightning.diffusion.guidance.clean import CleanGuidance as CleanGuidance
from cgd_lightning.diffusion.guidance.discriminator import (
    DiscriminatorGuidance as DiscriminatorGuidance,
)
from cgd_lightning.diffusion.guidance.image_weights import EntropyScale as EntropyScale
from cgd_lightning.diffusion.guidance.image_weights import ImageWeight as ImageWeight
from cgd_lightning.diffusion.guidance.image_weights import UnitGradient as UnitGradient
from cgd_lightning.diffusion.guidance.limiters import Clamp as Clamp
from cgd_lightning.diffusion.guidance.limiters import DynamicThreshold as DynamicThreshold
from cgd_lightning.diffusion.guidance.limiters import Projection as Projection
from cgd_lightning.diffusion.guidance.limiters import Rescale as Rescale
from cgd_lightning.diffusion.guidance.rule import Chain as Chain
from cgd_lightning.diffusion.guidance.rule import Rule as Rule
from cgd_lightning.diffusion.guidance.weights import Constant as Constant
from cgd_lightning.diffusion.guidance.weights import Interval as Interval
from cgd_lightning.diffusion.guidance.weights import Ramp as Ramp
from cgd_lightning.diffusion.guidance.weights import SqrtBeta as SqrtBeta
from cgd_lightning.diffusion.guidance.weights import Weight as Weight
