"""Examples of interferometers and single dishes for the conformance kit: the first of each is tiny."""

from __future__ import annotations

import torch

from .._operators.beam import SingleDish
from .._operators.interferometer import Interferometer


def interferometer() -> dict[str, object]:
    """Return arrays with and without w-term, beams, masks, several frequencies and channels, odd sizes."""
    g = torch.Generator().manual_seed(0)

    def uvw(rows: int) -> torch.Tensor:
        return torch.randn(rows, 3, generator=g, dtype=torch.float64)

    def beam(planes: int, ny: int, nx: int) -> torch.Tensor:
        return 0.5 + 0.5 * torch.rand(planes, ny, nx, generator=g, dtype=torch.float64)

    one = torch.tensor([299792458.0], dtype=torch.float64)
    three = one * torch.tensor([1.0, 1.2, 1.3], dtype=torch.float64)
    mask = torch.tensor([[1.0, 1.0, 0.5], [1.0, 0.7, 1.0], [0.8, 1.0, 1.0], [1.0, 1.0, 0.4]]).double()
    return {
        "tiny": Interferometer(
            uvw=uvw(5), frequencies=one, shape=(4, 4), pixel=0.1, w_term=False, accuracy=1e-12
        ),
        "w-term, beam": Interferometer(
            uvw=uvw(6), frequencies=one, shape=(3, 5), pixel=(0.1, 0.12), beam=beam(1, 3, 5), accuracy=1e-12
        ),
        "frequencies, mask": Interferometer(
            uvw=uvw(4), frequencies=three, shape=(4, 3), pixel=0.1, mask=mask, accuracy=1e-12
        ),
        "channels, planar": Interferometer(
            uvw=uvw(4),
            frequencies=three,
            shape=(3, 2),
            pixel=0.1,
            channels=3,
            w_term=False,
            mask=mask > 0.6,
            accuracy=1e-12,
        ),
        "a beam for each frequency": Interferometer(
            uvw=uvw(4),
            frequencies=three,
            shape=(2, 3),
            pixel=0.1,
            w_term=False,
            beam=beam(3, 2, 3),
            mask=mask,
            accuracy=1e-12,
        ),
        "wide field": Interferometer(
            uvw=3 * uvw(5), frequencies=one, shape=(34, 35), pixel=0.01, accuracy=1e-12
        ),
    }


def single_dish() -> dict[str, object]:
    """Return scans at one and two frequencies, with one and two channels."""
    g = torch.Generator().manual_seed(1)
    pointings = 0.1 * torch.randn(5, 2, generator=g, dtype=torch.float64)
    fwhm = torch.tensor([0.3, 0.25], dtype=torch.float64)
    return {
        "tiny": SingleDish(pointings=pointings, fwhm=fwhm[:1], shape=(3, 4), pixel=0.1),
        "two frequencies": SingleDish(pointings=pointings, fwhm=fwhm, shape=(3, 2), pixel=(0.1, 0.15)),
        "two channels": SingleDish(pointings=pointings, fwhm=fwhm, shape=(3, 3), pixel=0.1, channels=2),
    }
