"""Small operators and masks for the conformance kit; the first of each is tiny."""

from __future__ import annotations

import torch
from torch import Tensor

from .._phantom.scan import coil_array
from .._sampling.kt_masks import MaskKTPoisson, MaskShifted
from .._sampling.masks import MaskEquispaced, MaskGaussian, MaskPoisson, MaskRandom
from .._sampling.nonuniform import NUFFTSense
from .._sampling.operators import Fourier, Sense


def fourier() -> dict[str, object]:
    """Return sampled Fourier transforms: 2-D with a 2-D and a 1-D mask, odd sizes, channels, 3-D."""
    generator = torch.Generator().manual_seed(0)
    return {
        "tiny": Fourier(mask=_weights((4, 6), generator), shape=(4, 6)),
        "odd, lines": Fourier(mask=_weights((1, 9), generator), shape=(7, 9)),
        "two channels": Fourier(mask=_weights((8, 6), generator), shape=(8, 6), channels=2),
        "3-D": Fourier(mask=_weights((4, 1, 5), generator), shape=(4, 6, 5)),
    }


def sense() -> dict[str, object]:
    """Return SENSE operators: 2-D with a 2-D and a 1-D mask, several sets of maps, 3-D."""
    generator = torch.Generator().manual_seed(0)
    return {
        "tiny": Sense(maps=coil_array((4, 6), coils=3), mask=_weights((4, 6), generator)),
        "odd, lines": Sense(maps=coil_array((9, 7), coils=4), mask=_weights((1, 7), generator)),
        "two sets": Sense(
            maps=torch.stack([coil_array((6, 8), coils=3), coil_array((6, 8), coils=3).flip(-1) / 2]),
            mask=_weights((6, 8), generator),
            sets=2,
        ),
        "3-D": Sense(
            maps=coil_array((4, 6, 5), coils=3), mask=_weights((4, 6, 1), generator), spatial_dims=3
        ),
    }


def nufft_sense() -> dict[str, object]:
    """Return SENSE at random points of k-space: odd sizes with weights, two sets, 3-D."""
    generator = torch.Generator().manual_seed(0)
    return {
        "tiny": NUFFTSense(coil_array((4, 6), coils=3), _points((4, 6), 9, generator), eps=1e-13),
        "odd, weights": NUFFTSense(
            coil_array((5, 7), coils=2),
            _points((5, 7), 8, generator),
            weights=0.5 + torch.rand(8, generator=generator),
            eps=1e-13,
        ),
        "two sets": NUFFTSense(
            torch.stack([coil_array((6, 4), coils=3), coil_array((6, 4), coils=3).flip(-1) / 2]),
            _points((6, 4), 7, generator),
            sets=2,
            eps=1e-13,
        ),
        "3-D": NUFFTSense(
            coil_array((4, 3, 5), coils=2), _points((4, 3, 5), 10, generator), spatial_dims=3, eps=1e-13
        ),
        "off-resonance": NUFFTSense(
            coil_array((3, 2), coils=2),
            _points((3, 2), 5, generator),
            field=80 * torch.rand(3, 2, generator=generator) - 30,
            times=torch.linspace(0.001, 0.00101, 5),
            eps=1e-12,
            method="direct",
        ),
    }


def mask_random() -> dict[str, object]:
    """Return uniformly random masks: lines and points."""
    return {
        "tiny": MaskRandom(shape=(4, 16), acceleration=2.0, calib=4),
        "points": MaskRandom(shape=(48, 40), acceleration=5.0, calib=8, axes=(-2, -1)),
    }


def mask_gaussian() -> dict[str, object]:
    """Return Gaussian masks: lines and points."""
    return {
        "tiny": MaskGaussian(shape=(4, 16), acceleration=2.0, calib=4),
        "points": MaskGaussian(shape=(48, 40), acceleration=5.0, calib=8, axes=(-2, -1)),
    }


def mask_equispaced() -> dict[str, object]:
    """Return equispaced masks: lines, a strictly regular grid, and two axes of a volume."""
    return {
        "tiny": MaskEquispaced(shape=(4, 16), acceleration=2.0, calib=4),
        "regular": MaskEquispaced(shape=(16, 64), acceleration=4, calib=0, net=False),
        "volume": MaskEquispaced(shape=(24, 8, 30), acceleration=4.0, calib=6, axes=(-3, -1)),
    }


def mask_poisson() -> dict[str, object]:
    """Return Poisson-disc masks: a slice, and two axes of a volume."""
    return {
        "tiny": MaskPoisson(shape=(24, 24), acceleration=3.0, calib=6),
        "volume": MaskPoisson(shape=(32, 8, 40), acceleration=4.0, calib=8, axes=(-3, -1)),
    }


def mask_shifted() -> dict[str, object]:
    """Return shifted lines, with a center and without."""
    return {
        "tiny": MaskShifted(shape=(4, 16), frames=4, acceleration=4, calib=0),
        "center": MaskShifted(shape=(20, 6), frames=5, acceleration=5, calib=4, axis=-2),
    }


def mask_kt_poisson() -> dict[str, object]:
    """Return Poisson discs over lines and frames."""
    return {
        "tiny": MaskKTPoisson(shape=(4, 24), frames=4, acceleration=3.0, calib=4),
        "columns": MaskKTPoisson(shape=(32, 6), frames=6, acceleration=4.0, calib=2, axis=-2),
    }


def _points(shape: tuple[int, ...], samples: int, generator: torch.Generator) -> Tensor:
    """Points of k-space at random, (samples, d), in cycles per field of view."""
    return (torch.rand(samples, len(shape), generator=generator) - 0.5) * torch.tensor(shape)


def _weights(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Weights of k-space samples, some of them zero."""
    weights = torch.rand(shape, generator=generator)
    return torch.where(weights < 0.4, 0.0, weights)
