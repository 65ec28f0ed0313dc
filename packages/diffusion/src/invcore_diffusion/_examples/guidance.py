"""Guidance, and the integrator of DiffPIR."""

from __future__ import annotations

from .._guidance.diffpir import DiffPIR
from .._guidance.dpg import DPG
from .._guidance.dps import DPS
from .._guidance.moment_matching import MomentMatching
from .._guidance.pigdm import PiGDM
from .._integrators.renoised import Renoised


def diffpir() -> dict[str, object]:
    """Instances of the guidance ``diffusion.diffpir``."""
    return {"default": DiffPIR()}


def dpg() -> dict[str, object]:
    """Instances of the guidance ``diffusion.dpg``."""
    return {"default": DPG()}


def dps() -> dict[str, object]:
    """Instances of the guidance ``diffusion.dps``."""
    return {"default": DPS(), "normalized": DPS(weight=50.0, normalized=True)}


def moment_matching() -> dict[str, object]:
    """Instances of the guidance ``diffusion.moment_matching``."""
    return {"default": MomentMatching()}


def pigdm() -> dict[str, object]:
    """Instances of the guidance ``diffusion.pigdm``."""
    return {"default": PiGDM(), "images in [0, 1]": PiGDM(variance=0.25)}


def renoised() -> dict[str, object]:
    """Instances of the integrator ``diffusion.renoised``."""
    return {"default": Renoised(), "all": Renoised(zeta=1.0)}
