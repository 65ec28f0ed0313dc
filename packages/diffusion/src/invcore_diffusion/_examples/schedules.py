"""Schedules that the conformance kit tests."""

from __future__ import annotations

import torch

from .._schedules.edm import EDM
from .._schedules.flow import Flow
from .._schedules.karras import Karras
from .._schedules.scaled import Scaled
from .._schedules.variance_exploding import VarianceExploding
from .._schedules.variance_preserving import Cosine, Discrete, VariancePreserving

_BETAS = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)


def cosine() -> dict[str, object]:
    """Instances of the schedule ``diffusion.cosine``."""
    return {"default": Cosine()}


def discrete() -> dict[str, object]:
    """Instances of the schedule ``diffusion.discrete``."""
    whole = Discrete.from_betas(_BETAS, whole=True)
    return {"whole": whole, "between": Discrete.from_betas(_BETAS, spacing="karras")}


def edm() -> dict[str, object]:
    """Instances of the schedule ``diffusion.edm``."""
    return {"default": EDM(), "geometric": EDM(spacing="log_snr")}


def flow() -> dict[str, object]:
    """Instances of the schedule ``diffusion.flow``."""
    return {"default": Flow(), "geometric": Flow(spacing="log_snr")}


def karras() -> dict[str, object]:
    """Instances of the schedule ``diffusion.karras``."""
    return {"default": Karras()}


def scaled() -> dict[str, object]:
    """Instances of the schedule ``diffusion.scaled``."""
    return {"half": Scaled(VariancePreserving(), factor=0.5)}


def ve() -> dict[str, object]:
    """Instances of the schedule ``diffusion.ve``."""
    return {"default": VarianceExploding()}


def vp() -> dict[str, object]:
    """Instances of the schedule ``diffusion.vp``."""
    return {"default": VariancePreserving(), "karras": VariancePreserving(spacing="karras")}
