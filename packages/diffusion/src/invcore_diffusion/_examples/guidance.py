"""Guidance, and the integrator of DiffPIR."""

from __future__ import annotations

from .._guidance.ald import ALD
from .._guidance.ddnm import DDNM
from .._guidance.diffpir import DiffPIR
from .._guidance.dpg import DPG
from .._guidance.dps import DPS
from .._guidance.flow_dps import FlowDPS
from .._guidance.loss_guided import LossGuided
from .._guidance.moment_matching import MomentMatching
from .._guidance.pigdm import PiGDM
from .._guidance.replacement import Replacement
from .._integrators.renoised import Renoised


def ald() -> dict[str, object]:
    """Instances of the guidance ``diffusion.ald``."""
    return {"default": ALD(), "more": ALD(gamma=2.0)}


def null_space() -> dict[str, object]:
    """Instances of the guidance ``diffusion.null_space``."""
    return {"default": DDNM()}


def diffpir() -> dict[str, object]:
    """Instances of the guidance ``diffusion.diffpir``."""
    return {"default": DiffPIR()}


def dpg() -> dict[str, object]:
    """Instances of the guidance ``diffusion.dpg``."""
    return {"default": DPG()}


def dps() -> dict[str, object]:
    """Instances of the guidance ``diffusion.dps``."""
    return {"default": DPS(), "normalized": DPS(normalized=True)}


def gradient_steps() -> dict[str, object]:
    """Instances of the guidance ``diffusion.gradient_steps``."""
    return {"default": FlowDPS()}


def loss_guided() -> dict[str, object]:
    """Instances of the guidance ``diffusion.loss_guided``."""
    return {"default": LossGuided(), "one": LossGuided(draws=1)}


def moment_matching() -> dict[str, object]:
    """Instances of the guidance ``diffusion.moment_matching``."""
    return {"default": MomentMatching()}


def pigdm() -> dict[str, object]:
    """Instances of the guidance ``diffusion.pigdm``."""
    return {"default": PiGDM(), "images in [0, 1]": PiGDM(variance=0.25)}


def replacement() -> dict[str, object]:
    """Instances of the guidance ``diffusion.replacement``."""
    return {"default": Replacement(), "half": Replacement(weight=0.5)}


def renoised() -> dict[str, object]:
    """Instances of the integrator ``diffusion.renoised``."""
    return {"default": Renoised(), "all": Renoised(zeta=1.0), "FlowDPS": Renoised(zeta=None)}
