"""Instances that the conformance kit tests."""

from __future__ import annotations

from invcore.testing import SamplerExample

from .._guidance.dps import DPS
from .._sampling.diffusion import DiffusionSampler
from .flow_solvers import d_flow as d_flow
from .flow_solvers import flow_map as flow_map
from .flow_solvers import flow_prior as flow_prior
from .flow_solvers import noise_length as noise_length
from .flow_solvers import pnp_flow as pnp_flow
from .flows import distribution_matching as distribution_matching
from .flows import empirical_flow as empirical_flow
from .flows import flow_matching as flow_matching
from .flows import from_velocity as from_velocity
from .flows import gaussian_flow as gaussian_flow
from .flows import score_matching as score_matching
from .flows import to_velocity as to_velocity
from .guidance import ald as ald
from .guidance import diffpir as diffpir
from .guidance import dpg as dpg
from .guidance import dps as dps
from .guidance import gradient_steps as gradient_steps
from .guidance import loss_guided as loss_guided
from .guidance import moment_matching as moment_matching
from .guidance import null_space as null_space
from .guidance import pigdm as pigdm
from .guidance import renoised as renoised
from .guidance import replacement as replacement
from .integrators import ancestral as ancestral
from .integrators import churn as churn
from .integrators import consistency as consistency
from .integrators import dpm_solver as dpm_solver
from .integrators import euler as euler
from .integrators import heun as heun
from .integrators import midpoint as midpoint
from .integrators import predictor_corrector as predictor_corrector
from .integrators import runge_kutta as runge_kutta
from .integrators import unipc as unipc
from .mcmc import gibbs as gibbs
from .mcmc import hmc as hmc
from .mcmc import mala as mala
from .mcmc import myula as myula
from .mcmc import nuts as nuts
from .mcmc import pcn as pcn
from .mcmc import pnp_ula as pnp_ula
from .mcmc import psgla as psgla
from .mcmc import sk_rock as sk_rock
from .mcmc import ula as ula
from .networks import network as network
from .networks import wiener_unet as wiener_unet
from .particles import enkg as enkg
from .particles import fps as fps
from .particles import mcgdiff as mcgdiff
from .particles import scg as scg
from .particles import smc as smc
from .schedules import cosine as cosine
from .schedules import discrete as discrete
from .schedules import edm as edm
from .schedules import flow as flow
from .schedules import karras as karras
from .schedules import scaled as scaled
from .schedules import ve as ve
from .schedules import vp as vp
from .shipped import color as color
from .shipped import gray as gray
from .shipped import patches as patches
from .split import blind as blind
from .split import daps as daps
from .split import pnp_dm as pnp_dm


def diffusion() -> dict[str, object]:
    """Instances of the sampler ``diffusion.diffusion``."""
    return {"DPS": SamplerExample(lambda known: DiffusionSampler(known.denoiser, guidance=DPS()))}
