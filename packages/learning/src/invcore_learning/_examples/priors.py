"""Instances of learned priors."""

from __future__ import annotations

from .._priors.input_convex import InputConvexNetwork
from .._priors.input_convex import input_convex as of_network
from .._priors.patch_flow import PatchFlow
from .._priors.patch_flow import patchnr as of_flow
from .probes import initialized


def input_convex() -> dict[str, object]:
    """Instances of the prior ``learning.input_convex``."""
    small = InputConvexNetwork(features=3, depth=2, size=3)
    volume = InputConvexNetwork(features=2, depth=3, size=3, spatial_dims=3, strong_convexity=0.5)
    return {
        "two layers": of_network(initialized(small), rtol=1e-8),
        "3-D, strongly convex": of_network(initialized(volume), rtol=1e-8),
    }


def patchnr() -> dict[str, object]:
    """Instances of the prior ``learning.patchnr``."""
    return {"3 x 3": of_flow(initialized(PatchFlow(patch=3, layers=2, hidden=8)))}
