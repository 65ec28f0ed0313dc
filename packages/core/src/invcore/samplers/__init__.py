"""Samplers, with explicit state and randomness, and the parts of diffusion samplers."""

from ._base import Sampler as Sampler
from ._chain import Chain as Chain
from ._diffusion import Guidance as Guidance
from ._diffusion import Integrator as Integrator
from ._diffusion import Schedule as Schedule

__all__ = ["Chain", "Guidance", "Integrator", "Sampler", "Schedule"]
