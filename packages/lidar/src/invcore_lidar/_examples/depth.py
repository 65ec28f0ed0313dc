"""Small instances of the estimators, for the conformance kit."""

from __future__ import annotations

import torch

from invcore import Solver
from invcore.denoisers import Median
from invcore.priors import PnP
from invcore.testing import SolverExample

from .._depth.matched_filter import MatchedFilter
from .._depth.regularized import RegularizedDepth
from .._models.tcspc import TCSPC
from .._photons.impulse import ImpulseResponse


def matched_filter() -> dict[str, object]:
    """Return both filters."""
    return {
        "tiny": _on_slanted_surface(MatchedFilter()),
        "cross-correlation": _on_slanted_surface(MatchedFilter(kind="correlation", background=0.05)),
    }


def regularized() -> dict[str, object]:
    """Return the estimate with total variation, and with a denoiser for the depths."""
    plug_and_play = RegularizedDepth(prior=PnP(denoiser=Median()), background=0.05, max_steps=5)
    return {
        "tiny": _on_slanted_surface(RegularizedDepth(max_steps=10)),
        "plug-and-play": _on_slanted_surface(plug_and_play),
    }


def _on_slanted_surface(solver: Solver) -> SolverExample:
    """The solver with noisy data of a small slanted surface."""
    operator = TCSPC(impulse=ImpulseResponse.gaussian(fwhm=300e-12), bins=40, bin_width=100e-12, shape=(5, 6))
    slope = torch.linspace(0.2, 0.3, 6, dtype=torch.float64).expand(1, 5, 6)
    x = operator.image(depth=slope, reflectivity=torch.full_like(slope, 8.0), background=0.05)
    physics = operator.physics().to(torch.float64)
    return SolverExample(solver, physics, physics(x, generator=torch.Generator().manual_seed(0)))
