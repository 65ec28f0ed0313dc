"""Samplers that are methods of the literature."""

from __future__ import annotations

from invcore.testing import SamplerExample

from .._sampling import methods
from .._sampling.spectral import DDRM, DDNMPlus
from .flow_samplers import flow as flow
from .flow_samplers import latino as latino
from .flow_samplers import ot_ode as ot_ode


def ddnm_plus() -> dict[str, object]:
    """Instances of the sampler ``diffusion.ddnm_plus``."""
    return {"default": SamplerExample(lambda known: DDNMPlus(known.denoiser, steps=50))}


def ddrm() -> dict[str, object]:
    """Instances of the sampler ``diffusion.ddrm``."""
    return {"default": SamplerExample(lambda known: DDRM(known.denoiser, steps=50))}


def diffpir() -> dict[str, object]:
    """Instances of the sampler ``diffusion.diffpir``."""
    return {"default": SamplerExample(lambda known: methods.diffpir(known.denoiser, steps=50))}


def dpg() -> dict[str, object]:
    """Instances of the sampler ``diffusion.dpg``."""
    return {"default": SamplerExample(lambda known: methods.dpg(known.denoiser, number=64, steps=50))}


def dps() -> dict[str, object]:
    """Instances of the sampler ``diffusion.dps``."""
    return {"default": SamplerExample(lambda known: methods.dps(known.denoiser, steps=200))}


def pigdm() -> dict[str, object]:
    """Instances of the sampler ``diffusion.pigdm``."""
    return {"default": SamplerExample(lambda known: methods.pigdm(known.denoiser, steps=50))}
