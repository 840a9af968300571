"""Guidance rules and the weights of their terms, by short name."""

from cgd_lightning.diffusion.guidance.classifier import ClassifierGuidance as ClassifierGuidance
from cgd_lightning.diffusion.guidance.limiters import Clamp as Clamp
from cgd_lightning.diffusion.guidance.rule import Chain as Chain
from cgd_lightning.diffusion.guidance.rule import Rule as Rule
from cgd_lightning.diffusion.guidance.weights import Constant as Constant
from cgd_lightning.diffusion.guidance.weights import SqrtBeta as SqrtBeta
from cgd_lightning.diffusion.guidance.weights import Weight as Weight
