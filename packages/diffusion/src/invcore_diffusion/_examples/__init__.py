"""Instances that the conformance kit tests."""

from __future__ import annotations

from .._guidance.dps import DPS
from .._integrators.euler import Ancestral, Euler
from .._schedules.karras import Karras
from .flows import empirical_flow as empirical_flow
from .flows import flow_matching as flow_matching
from .flows import from_velocity as from_velocity
from .flows import gaussian_flow as gaussian_flow
from .flows import to_velocity as to_velocity


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
