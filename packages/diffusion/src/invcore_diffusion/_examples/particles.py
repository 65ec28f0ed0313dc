"""Samplers with several particles for each of the data."""

from __future__ import annotations

from invcore.testing import SamplerExample

from .._particles.enkg import EnKG
from .._particles.filtering import FPS, MCGdiff
from .._particles.scg import SCG
from .._particles.smc import TwistedSMC
from .._schedules.karras import Karras

_LEVELS = Karras(sigma_min=0.03, sigma_max=10.0, rho=3.0)


def smc() -> dict[str, object]:
    """Instances of the sampler ``diffusion.smc``."""
    return {
        "small": SamplerExample(
            lambda known: TwistedSMC(known.denoiser, particles=8, variance=0.6, schedule=_LEVELS, steps=40),
            tolerance=0.1,
            draws=1000,
        )
    }


def mcgdiff() -> dict[str, object]:
    """Instances of the sampler ``diffusion.mcgdiff``."""
    return {
        "small": SamplerExample(
            lambda known: MCGdiff(known.denoiser, particles=12, variance=0.6, schedule=_LEVELS, steps=40),
            tolerance=0.1,
            draws=1000,
        )
    }


def fps() -> dict[str, object]:
    """Instances of the sampler ``diffusion.fps``."""
    return {
        "small": SamplerExample(
            lambda known: FPS(known.denoiser, particles=8, variance=0.6, schedule=_LEVELS, steps=40),
            tolerance=0.1,
            draws=1000,
        )
    }


def scg() -> dict[str, object]:
    """Instances of the sampler ``diffusion.scg``."""
    return {
        "small": SamplerExample(lambda known: SCG(known.denoiser, schedule=_LEVELS, steps=30), draws=1000)
    }


def enkg() -> dict[str, object]:
    """Instances of the sampler ``diffusion.enkg``."""
    return {
        "small": SamplerExample(
            lambda known: EnKG(known.denoiser, particles=12, flow_steps=2, schedule=_LEVELS, steps=30),
            draws=1000,
        )
    }
