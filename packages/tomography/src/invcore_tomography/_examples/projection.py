"""Examples of X-ray transforms and filtered backprojection, for the conformance kit."""

from __future__ import annotations

from typing import Any

import torch

from invcore import Physics
from invcore.testing import ModelExample

from .._fbp.fbp import FBP
from .._geometry.grid import Grid
from .._geometry.scans import cone, fan, helical, laminography, parallel
from .._projection.astra import AstraXRay
from .._projection.local_voxel import LocalVoxel
from .._projection.weighted import WeightedXRay
from .._projection.xray import XRay


def xray() -> dict[str, object]:
    """Return X-ray transforms: parallel, fan and curved fan beam, one view, cone beam, laminography."""
    # derivatives by the geometry jump where a ray passes through a pixel's center: no ray does here
    return {
        "tiny": XRay(
            geometry=parallel(
                torch.tensor([0.3, 1.2, 2.2], dtype=torch.float64), columns=5, offset=0.13, grid=(4, 3)
            )
        ),
        "one view": XRay(geometry=parallel([0.3], columns=4, grid=(5, 5))),
        "fan": XRay(
            geometry=fan(3, source_distance=6.0, detector_distance=4.0, columns=5, pitch=1.3, grid=(3, 4))
        ),
        "curved, two channels": XRay(
            geometry=fan(
                3,
                source_distance=6.0,
                detector_distance=4.0,
                columns=5,
                pitch=1.3,
                detector="curved",
                offset=0.2,
                grid=(4, 3),
            ),
            channels=2,
        ),
        "cone": XRay(
            geometry=cone(
                [0.43, 2.71],
                source_distance=9.0,
                detector_distance=4.0,
                rows=2,
                columns=3,
                pitch=1.2,
                offset=0.2,
                row_offset=0.15,
                grid=(2, 3, 4),
            )
        ),
        "laminography": XRay(geometry=laminography(3, tilt=0.5, rows=3, columns=4, grid=(3, 4, 3))),
    }


def weighted_xray() -> dict[str, object]:
    """Return a scan with a weight for each ray, and one with a weight for each view."""
    weights = torch.rand(1, 3, 5, generator=torch.Generator().manual_seed(0)) + 0.5
    beam: dict[str, Any] = {"source_distance": 6.0, "detector_distance": 4.0, "pitch": 1.3}
    return {
        "tiny": WeightedXRay(geometry=parallel([0.3, 1.4, 2.3], columns=5, grid=(4, 3)), weights=weights),
        "fan": WeightedXRay(geometry=fan(3, columns=5, grid=(3, 4), **beam), weights=weights[..., :1]),
    }


def astra() -> dict[str, object]:
    """Return ASTRA's projectors: parallel beam by all three, and a fan beam."""
    scan = parallel([0.3, 1.2, 2.2], columns=5, offset=0.13, grid=(4, 3))
    return {
        "tiny": AstraXRay(geometry=scan),
        "line, two channels": AstraXRay(geometry=scan, projector="line", channels=2),
        "strip": AstraXRay(
            geometry=parallel(3, columns=5, pitch=1.5, grid=Grid(shape=(4, 4), center=(1.0, 0.0))),
            projector="strip",
        ),
        "fan": AstraXRay(
            geometry=fan(3, source_distance=6.0, detector_distance=4.0, columns=5, pitch=1.3, grid=(3, 4))
        ),
    }


def fbp() -> dict[str, object]:
    """Return filtered backprojections: parallel, fan, short scan on a curved detector, cone beam, helix."""
    beam: dict[str, Any] = {"source_distance": 20.0, "detector_distance": 9.0, "pitch": 1.7}
    return {
        "tiny": FBP(geometry=parallel([0.3, 1.4, 2.3], columns=5, offset=0.13, grid=(4, 3))),
        "one view, two channels": FBP(geometry=parallel([0.3], columns=4, grid=(5, 5)), channels=2),
        "fan": FBP(geometry=fan(5, columns=5, offset=0.2, grid=(3, 4), **beam), filter="hann"),
        "short scan, curved": FBP(
            geometry=fan(torch.arange(8) * 0.55 + 0.1, columns=6, detector="curved", grid=(4, 3), **beam)
        ),
        "cone": FBP(geometry=cone(4, rows=3, columns=4, grid=(2, 3, 4), **beam), cutoff=0.8),
        "helix": FBP(geometry=helical(6, advance=1.5, turns=1.5, rows=3, columns=4, grid=(3, 3, 3), **beam)),
    }


def local_voxel() -> dict[str, object]:
    """Return networks for a plane, and for a volume seen from a cone."""
    n = torch.arange(5, dtype=torch.float64)
    plane = (1 + torch.sin(n) * torch.cos(n[:, None]))[None]
    flat = XRay(geometry=parallel(6, columns=9, grid=(5, 5)))
    around = cone(3, source_distance=9.0, detector_distance=4.0, rows=6, columns=6, pitch=1.2, grid=(4, 4, 4))
    volume = (plane[:, :4, :4, None] + 0.3 * n[:4]).contiguous()
    return {
        "plane": ModelExample(_seeded(6, window=3, hidden=(16,), spatial_dims=2), Physics(flat), plane),
        "volume": ModelExample(_seeded(3, window=3, hidden=(12,)), Physics(XRay(geometry=around)), volume),
    }


def _seeded(views: int, **options: Any) -> LocalVoxel:
    """A network whose weights do not depend on the global random state."""
    model, g = LocalVoxel(views=views, **options), torch.Generator().manual_seed(0)
    for p in model.parameters():
        p.data = torch.randn(p.shape, generator=g) / p.shape[-1] ** 0.5 if p.ndim > 1 else p.data * 0
    return model
