"""Samplers that are methods of the literature."""

from __future__ import annotations

from invcore.testing import SamplerExample

from .._sampling import methods
from .._sampling.red_diff import REDDiff
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


def ald() -> dict[str, object]:
    """Instances of the sampler ``diffusion.ald``."""
    return {"default": SamplerExample(lambda known: methods.ald(known.denoiser, steps=40))}


def ddnm() -> dict[str, object]:
    """Instances of the sampler ``diffusion.ddnm``."""
    return {"default": SamplerExample(lambda known: methods.ddnm(known.denoiser))}


def flow_dps() -> dict[str, object]:
    """Instances of the sampler ``diffusion.flow_dps``."""
    return {"default": SamplerExample(lambda known: methods.flow_dps(known.denoiser))}


def ilvr() -> dict[str, object]:
    """Instances of the sampler ``diffusion.ilvr``."""
    return {"default": SamplerExample(lambda known: methods.ilvr(known.denoiser, steps=200))}


def lgd() -> dict[str, object]:
    """Instances of the sampler ``diffusion.lgd``."""
    return {"default": SamplerExample(lambda known: methods.lgd(known.denoiser, draws=4, steps=100))}


def repaint() -> dict[str, object]:
    """Instances of the sampler ``diffusion.repaint``."""
    return {
        "default": SamplerExample(lambda known: methods.repaint(known.denoiser, jump=5, repeats=2, steps=100))
    }


def score_sde() -> dict[str, object]:
    """Instances of the sampler ``diffusion.score_sde``."""
    return {"default": SamplerExample(lambda known: methods.score_sde(known.denoiser, steps=100))}


def tmpd() -> dict[str, object]:
    """Instances of the sampler ``diffusion.tmpd``."""
    return {"default": SamplerExample(lambda known: methods.tmpd(known.denoiser, steps=50))}


def red_diff() -> dict[str, object]:
    """Instances of the sampler ``diffusion.red_diff``."""
    return {"default": SamplerExample(lambda known: REDDiff(known.denoiser, steps=100))}
