"""Instances of samplers by flows."""

from __future__ import annotations

from invcore.testing import SamplerExample

from .._flows.sampler import FlowSampler
from .._flows.sampler import ot_ode as OTODE
from .._latent.latino import Latino


def flow() -> dict[str, object]:
    """Instances of the sampler ``diffusion.flow``."""
    return {
        "moment matching": SamplerExample(
            lambda known: FlowSampler(known.denoiser, steps=15, moves=0), exact=("gaussian",)
        ),
        "moved": SamplerExample(
            lambda known: FlowSampler(known.denoiser, steps=12), tolerance=0.08, draws=1000
        ),
    }


def ot_ode() -> dict[str, object]:
    """Instances of the sampler ``diffusion.ot_ode``."""
    return {"from noise": SamplerExample(lambda known: OTODE(known.denoiser))}


def latino() -> dict[str, object]:
    """Instances of the sampler ``diffusion.latino``."""
    return {"default": SamplerExample(lambda known: Latino(known.denoiser))}
