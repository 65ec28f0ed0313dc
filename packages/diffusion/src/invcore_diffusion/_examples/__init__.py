"""Instances that the conformance kit tests."""

from __future__ import annotations

from .._guidance.dps import DPS
from .._integrators.euler import Ancestral, Euler
from .._schedules.karras import Karras


def karras() -> dict[str, object]:
    """Instances of the schedule ``diffusion.karras``."""
    return {"default": Karras()}


def euler() -> dict[str, object]:
    """Instances of the integrator ``diffusion.euler``."""
    return {"default": Euler()}


def ancestral() -> dict[str, object]:
    """Instances of the integrator ``diffusion.ancestral``."""
    return {"DDPM": Ancestral(), "half": Ancestral(eta=0.5)}


def dps() -> dict[str, object]:
    """Instances of the guidance ``diffusion.dps``."""
    return {"default": DPS()}
