"""Small operators and priors of series for the conformance kit; the first of each is tiny."""

from __future__ import annotations

import torch

from invcore import Space

from .._dynamic.frames import Frames
from .._dynamic.priors import LowRankSparse, TemporalSpectrum, TemporalTV
from .._dynamic.temporal import TemporalDifferences, TemporalFourier, TemporalSubspace
from .._phantom.scan import coil_array
from .._sampling.nonuniform import NUFFTSense
from .._sampling.operators import Sense


def frames() -> dict[str, object]:
    """Return SENSE with a mask for each frame, and along trajectories."""
    generator = torch.Generator().manual_seed(0)
    masks = (torch.rand(3, 1, 4, generator=generator) > 0.4).float()
    points = (torch.rand(2, 7, 2, generator=generator) - 0.5) * 4
    maps = coil_array((4, 4), coils=2).unsqueeze(0)  # the same for all frames
    return {
        "tiny": Frames(Sense(maps, masks), 3),
        "trajectories": Frames(NUFFTSense(maps, points, eps=1e-13), 2),
    }


def temporal_differences() -> dict[str, object]:
    """Return differences with either end, real and complex."""
    return {
        "tiny": TemporalDifferences(Space((1, 4, 3))),
        "periodic": TemporalDifferences(Space((2, 5, 2, 3), "complex"), boundary="periodic"),
        "even cycle": TemporalDifferences(Space((1, 6, 2)), boundary="periodic"),
    }


def temporal_fourier() -> dict[str, object]:
    """Return transforms of complex and of real series."""
    return {
        "tiny": TemporalFourier(Space((1, 4, 3), "complex")),
        "real": TemporalFourier(Space((2, 5, 2, 2))),
    }


def temporal_subspace() -> dict[str, object]:
    """Return subspaces of real and of complex courses."""
    generator = torch.Generator().manual_seed(0)
    return {
        "tiny": TemporalSubspace(torch.randn(5, 2, generator=generator), (3,)),
        "complex": TemporalSubspace(
            torch.randn(4, 3, dtype=torch.complex64, generator=generator), (2, 3), channels=2
        ),
    }


def temporal_tv() -> dict[str, object]:
    """Return total variations with either end."""
    return {"tiny": TemporalTV(rtol=1e-8, max_steps=10_000), "periodic": TemporalTV(boundary="periodic")}


def temporal_spectrum() -> dict[str, object]:
    """Return the sparsity of spectra in time."""
    return {"tiny": TemporalSpectrum()}


def low_rank_sparse() -> dict[str, object]:
    """Return low rank plus sparse: in time, and as it is."""
    return {"tiny": LowRankSparse(sparse_weight=0.5), "as it is": LowRankSparse(transform="none")}
