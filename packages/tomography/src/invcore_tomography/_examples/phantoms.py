"""Examples of phantoms and simulated scans, for the conformance kit. The first of each is tiny."""

from __future__ import annotations

from .._demo import SheppLoganScan
from .._geometry.grid import Grid
from .._phantoms.datasets import RandomEllipses


def ellipses() -> dict[str, object]:
    """Return sets of images: small, and a volume."""
    return {
        "tiny": RandomEllipses(grid=Grid(shape=(16, 20), spacing=0.1), length=4, count=(1, 3)),
        "volume": RandomEllipses(grid=Grid(shape=(8, 10, 12), spacing=0.2), length=2, count=(2, 2)),
    }


def shepp_logan() -> dict[str, object]:
    """Return a small simulated scan."""
    return {"tiny": SheppLoganScan(columns=48, views=20, full_views=60)}
