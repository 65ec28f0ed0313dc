"""Samplers that draw given the data and given the prior in turn."""

from __future__ import annotations

import torch

from invcore import Physics, Space
from invcore.noises import GaussianNoise
from invcore.operators import Convolution
from invcore.testing import SamplerExample

from .._sampling.blind import Blind
from .._sampling.daps import DAPS
from .._sampling.pnp_dm import PnPDM
from .._schedules.karras import Karras


def daps() -> dict[str, object]:
    """Instances of the sampler ``diffusion.daps``."""
    levels = Karras(sigma_min=0.03, sigma_max=10.0, rho=3.0)
    return {
        "one step": SamplerExample(
            lambda known: DAPS(known.denoiser, flow_steps=1, variance=0.6, schedule=levels, steps=40),
            draws=1000,
        )
    }


def pnp_dm() -> dict[str, object]:
    """Instances of the sampler ``diffusion.pnp_dm``."""
    return {
        "small": SamplerExample(
            lambda known: PnPDM(known.denoiser, rho=0.1, start=3.0, decay=0.8, inner=16, burn_in=30),
            draws=1000,
        )
    }


def blind() -> dict[str, object]:
    """Instances of the sampler ``diffusion.blind``."""
    kernel = torch.tensor([[0.7, 0.3]], dtype=torch.float64)
    return {
        "kernel": SamplerExample(
            lambda known: Blind(
                denoiser=known.denoiser,
                parameter="kernel",
                mean=kernel,
                deviation=0.2,
                start=3.0,
                decay=0.8,
                inner=5,
                burn_in=20,
            ),
            physics=Physics(Convolution(kernel, Space((1, 2))), GaussianNoise(sigma=0.3)),
            y=torch.tensor([[1.0, 0.2]], dtype=torch.float64),
        )
    }
