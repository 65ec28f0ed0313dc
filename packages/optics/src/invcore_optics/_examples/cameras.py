"""Small instances of computational cameras, for the conformance kit. The first of each is tiny."""

from __future__ import annotations

import torch

from invcore.operators import Space

from .._cameras.cassi import CASSI
from .._cameras.lensless import Lensless
from .._cameras.single_pixel import SinglePixel, bernoulli_patterns


def single_pixel() -> dict[str, object]:
    """Return cameras with each basis and kind of detection, subsampled, and with dense patterns."""
    g = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (2, 6, 4, 3), generator=g) * 2 - 1
    shown = signs * (0.5 + torch.rand(2, 6, 4, 3, generator=g))
    shown[..., 0, 0] = 2.0  # the largest by far: its place does not change with small changes
    return {
        "tiny": SinglePixel("hadamard", Space((1, 2, 4)), order="sequency", measurements=5),
        "pairs": SinglePixel(
            "hadamard", Space((2, 8, 4)), order="cake_cutting", measurements=20, detection="pairs", dwell=0.3
        ),
        "haar": SinglePixel("haar", Space((1, 12, 8)), order="scale", measurements=50, detection="pairs"),
        "haar by number": SinglePixel("haar", Space((2, 7, 5)), order=torch.tensor([3, 0, 34, 11])),
        "bernoulli": SinglePixel(bernoulli_patterns(9, (5, 3), generator=g), Space((2, 5, 3))),
        "patterns shown once each": SinglePixel(shown, Space((1, 4, 3)), detection="single", measurements=4),
    }


def cassi() -> dict[str, object]:
    """Return both dispersers, along x and y, with light lost beside a detector, and in batches."""
    g = torch.Generator().manual_seed(0)

    def mask(*shape: int) -> torch.Tensor:
        return 0.2 + torch.rand(*shape, generator=g)

    return {
        "tiny": CASSI(mask=mask(1, 2, 3), dispersion=torch.tensor([0.3, 1.6]), domain=Space((2, 2, 3))),
        "even and odd sizes": CASSI(
            mask=mask(1, 8, 7), dispersion=1.7 * torch.arange(5) + 0.1, domain=Space((5, 8, 7))
        ),
        "even sizes along y": CASSI(
            mask=mask(4, 8, 6),
            dispersion=torch.tensor([-1.4, 0.1, 2.7, 3.5]),
            domain=Space((4, 8, 6)),
            axis=-2,
            detector=10,
        ),
        "dual disperser": CASSI(
            mask=mask(1, 5, 11),
            dispersion=torch.tensor([-0.7, 1.2, 2.4]),
            domain=Space((3, 5, 8)),
            disperser="dual",
        ),
        "a mask and a dispersion for each sample": CASSI(
            mask=mask(2, 3, 6, 4),
            dispersion=torch.tensor([[0.2, 1.3, 2.6], [0.4, 0.7, 0.9]]),
            domain=Space((3, 6, 4)),
        ),
        "dual, a mask for each sample and band": CASSI(
            mask=mask(2, 3, 7, 4),
            dispersion=torch.tensor([0.2, 1.3, 2.6]),
            domain=Space((3, 6, 4)),
            disperser="dual",
            axis=-2,
        ),
    }


def lensless() -> dict[str, object]:
    """Return scenes smaller than the sensor, of its size and the largest, with one pattern or one a color."""
    g = torch.Generator().manual_seed(0)
    return {
        "tiny": Lensless(psf=torch.rand(1, 2, 3, generator=g), domain=Space((1, 3, 4))),
        "all of the scene": Lensless(psf=torch.rand(1, 4, 5, generator=g), domain=Space((2, 7, 9))),
        "smaller than the sensor": Lensless(psf=torch.rand(3, 6, 9, generator=g), domain=Space((3, 5, 2))),
        "a pattern for each sample": Lensless(
            psf=torch.rand(2, 1, 4, 4, generator=g), domain=Space((2, 4, 4))
        ),
    }
