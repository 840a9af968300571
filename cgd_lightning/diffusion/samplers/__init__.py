"""Samplers, by short name."""

from cgd_lightning.diffusion.samplers.ddim import DDIM as DDIM
from cgd_lightning.diffusion.samplers.ddpm import DDPM as DDPM
from cgd_lightning.diffusion.samplers.dpm_solver import DPMSolver as DPMSolver
from cgd_lightning.diffusion.samplers.dpm_solver import DPMSolverSDE as DPMSolverSDE
from cgd_lightning.diffusion.samplers.heun import Euler as Euler
from cgd_lightning.diffusion.samplers.heun import Heun as Heun
from cgd_lightning.diffusion.samplers.langevin import AnnealedLangevin as AnnealedLangevin
from cgd_lightning.diffusion.samplers.langevin import LangevinCorrector as LangevinCorrector
from cgd_lightning.diffusion.samplers.sampler import Sampler as Sampler
