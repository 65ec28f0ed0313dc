"""Examples of emission tomography, for the conformance kit. The first of each is tiny."""

from __future__ import annotations

from typing import Any

import torch

from .._emission.line_integrals import LineIntegrals
from .._emission.pet import PET
from .._emission.scanner import Scanner, TimeOfFlight
from .._geometry.grid import Grid


def _tof() -> Any:
    return TimeOfFlight(bins=3, width=1e-9, resolution=6e-10)


def lines() -> dict[str, object]:
    """Return line integrals: in a plane, in space with time of flight, of one bin each."""
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
    """Return models of scanners: one ring with resolution, two rings with time of flight, list mode."""
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
