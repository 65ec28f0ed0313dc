"""Small instances of every registered component, for the conformance kit. The first of each is tiny."""

from __future__ import annotations

from typing import Any


def xray() -> dict[str, object]:
    """Return X-ray transforms: parallel, fan and curved fan beam, one view, cone beam, laminography."""
    import torch

    from .._geometry.scans import cone, fan, laminography, parallel
    from .._projection.xray import XRay

    # Derivatives by the geometry jump where a ray passes through the center of a pixel: these stay clear of it.
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


def fbp() -> dict[str, object]:
    """Return filtered backprojections: parallel, fan, short scan on a curved detector, cone beam, helix."""
    import torch

    from .._fbp.fbp import FBP
    from .._geometry.scans import cone, fan, helical, parallel

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


def weighted_xray() -> dict[str, object]:
    """Return a scan with a weight for each ray, and one with a weight for each view."""
    import torch

    from .._geometry.scans import fan, parallel
    from .._projection.weighted import WeightedXRay

    weights = torch.rand(1, 3, 5, generator=torch.Generator().manual_seed(0)) + 0.5
    beam: dict[str, Any] = {"source_distance": 6.0, "detector_distance": 4.0, "pitch": 1.3}
    return {
        "tiny": WeightedXRay(geometry=parallel([0.3, 1.4, 2.3], columns=5, grid=(4, 3)), weights=weights),
        "fan": WeightedXRay(geometry=fan(3, columns=5, grid=(3, 4), **beam), weights=weights[..., :1]),
    }


def astra() -> dict[str, object]:
    """Return ASTRA's projectors: parallel beam by all three, and a fan beam."""
    from .._geometry.grid import Grid
    from .._geometry.scans import fan, parallel
    from .._projection.astra import AstraXRay

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


def flat_field() -> dict[str, object]:
    """Return flat-field corrections: of one row of 24 pixels, with a dark field, of a frame."""
    import torch

    from .._correction.counts import FlatField

    row = 1 + torch.arange(24, dtype=torch.float64) / 24
    return {
        "tiny": FlatField(flat=row),
        "with a dark field": FlatField(flat=row + 1, dark=torch.ones(24, dtype=torch.float64)),
        "frame": FlatField(flat=row[:, None] + row, dark=0.5),
    }


def minus_log() -> dict[str, object]:
    """Return logarithms with two floors."""
    from .._correction.counts import MinusLog

    return {"tiny": MinusLog(floor=1e-3), "high floor": MinusLog(floor=0.5)}


def beam_hardening() -> dict[str, object]:
    """Return polynomials of degree 1 and 3."""
    from .._correction.counts import BeamHardening

    return {
        "tiny": BeamHardening(coefficients=(1.0,)),
        "cubic": BeamHardening(coefficients=(1.0, 0.1, 0.02)),
    }


def hounsfield() -> dict[str, object]:
    """Return scales for two energies."""
    from .._correction.counts import Hounsfield

    return {"tiny": Hounsfield(water=20.6), "with air": Hounsfield(water=19.3, air=0.02)}


def pad_truncated() -> dict[str, object]:
    """Return both ways to pad."""
    from .._correction.counts import PadTruncated

    return {"tiny": PadTruncated(width=3), "edge": PadTruncated(width=5, mode="edge")}


def remove_zingers() -> dict[str, object]:
    """Return outlier filters for bright, and for all outliers."""
    from .._correction.counts import RemoveZingers

    return {"tiny": RemoveZingers(), "both": RemoveZingers(threshold=3.0, size=3, both=True)}


def bounded_tv() -> dict[str, object]:
    """Return nonnegative images, and a map of upper bounds in a disk."""
    import torch

    from .._bounded_tv import BoundedTV

    at = torch.arange(8.0) - 3.5
    disk = (at.square()[:, None] + at.square() < 14).double()
    return {"nonnegative": BoundedTV(), "in a disk": BoundedTV(lower=0.0, upper=2 * disk)}


def remove_rings() -> dict[str, object]:
    """Return both methods."""
    from .._correction.rings import RemoveRings

    return {"tiny": RemoveRings(), "wavelet": RemoveRings(method="wavelet", wavelet="db2")}


def ellipses() -> dict[str, object]:
    """Return sets of images: small, and a volume."""
    from .._geometry.grid import Grid
    from .._phantoms.datasets import RandomEllipses

    return {
        "tiny": RandomEllipses(grid=Grid(shape=(16, 20), spacing=0.1), length=4, count=(1, 3)),
        "volume": RandomEllipses(grid=Grid(shape=(8, 10, 12), spacing=0.2), length=2, count=(2, 2)),
    }


def _tof() -> Any:
    from .._emission.scanner import TimeOfFlight

    return TimeOfFlight(bins=3, width=1e-9, resolution=6e-10)


def lines() -> dict[str, object]:
    """Return line integrals: in a plane, in space with time of flight, of one bin each."""
    import torch

    from .._emission.pet import LineIntegrals
    from .._emission.scanner import Scanner
    from .._geometry.grid import Grid

    generator = torch.Generator().manual_seed(0)
    first, last = Scanner(detectors=12, radius=0.4).lines()
    volume = Grid(shape=(3, 4, 5), spacing=(0.1, 0.12, 0.09), center=(0.0, 0.02, 0.0))
    ends = [torch.rand(2, 7, 3, generator=generator, dtype=torch.float64) - 0.5 for _ in range(2)]
    bins = torch.randint(3, (2, 7), generator=generator)
    return {
        "tiny": LineIntegrals(first=first, last=last, grid=Grid(shape=(4, 5), spacing=(0.1, 0.12))),
        "space": LineIntegrals(first=ends[0], last=ends[1], grid=volume),
        "time of flight": LineIntegrals(first=ends[0], last=ends[1], grid=volume, tof=_tof()),
        "one bin each": LineIntegrals(first=ends[0], last=ends[1], grid=volume, tof=_tof(), tof_bin=bins),
    }


def pet() -> dict[str, object]:
    """Return models of scanners: one ring with attenuation and resolution, two rings with time of flight, list mode."""
    import torch

    from .._emission.pet import PET
    from .._emission.scanner import Scanner
    from .._geometry.grid import Grid

    generator = torch.Generator().manual_seed(0)
    ring = Scanner(detectors=12, radius=0.4)
    grid = Grid(shape=(4, 5), spacing=(0.1, 0.12))
    rings = Scanner(detectors=8, radius=0.4, rings=2, ring_pitch=0.1, tof=_tof())
    volume = Grid(shape=(2, 3, 4), spacing=0.1)
    factors = torch.rand(rings.shape, generator=generator) + 0.5
    whole = PET(scanner=rings, grid=volume, factors=factors)
    events = torch.tensor([[0, 1, 2, 1], [2, 0, 0, 0], [1, 3, 3, 2]])
    return {
        "tiny": PET(
            scanner=ring, grid=grid, factors=torch.rand(ring.shape, generator=generator) + 0.5, resolution=0.1
        ),
        "no factors": PET(scanner=ring, grid=grid),
        "time of flight": whole,
        "list mode": whole.list_mode(events),
        "some views": PET(scanner=ring, grid=grid, views=(0, 3)),
    }


def shepp_logan() -> dict[str, object]:
    """Return a small simulated scan."""
    from .._demo import SheppLoganScan

    return {"tiny": SheppLoganScan(columns=48, views=20, full_views=60)}
