"""Small fillings of k-space for the conformance kit; the first of each is tiny."""

from __future__ import annotations

from .._parallel.grappa import Grappa
from .._parallel.partial_fourier import Homodyne, Pocs
from .._parallel.spirit import Spirit


def grappa() -> dict[str, object]:
    """Return GRAPPA with a small and a long window."""
    return {"tiny": Grappa(kernel=3), "long": Grappa(kernel=(3, 7))}


def spirit() -> dict[str, object]:
    """Return SPIRiT with a small window."""
    return {"tiny": Spirit(kernel=3, max_steps=20)}


def homodyne() -> dict[str, object]:
    """Return homodyne detection in two and three dimensions."""
    return {"tiny": Homodyne(), "3-D": Homodyne(spatial_dims=3)}


def pocs() -> dict[str, object]:
    """Return projections onto convex sets."""
    return {"tiny": Pocs(steps=3)}
