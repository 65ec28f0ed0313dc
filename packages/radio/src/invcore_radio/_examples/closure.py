"""Examples of closure quantities, their noises and likelihoods, for the conformance kit."""

from __future__ import annotations

import torch

from .._data.closure_sets import ClosureSet, closure_quadrangles, closure_triangles
from .._noise.angles import CorrelatedPhaseLikelihood, CorrelatedPhaseNoise, PhaseLikelihood, PhaseNoise
from .._noise.correlated import CorrelatedLeastSquares, CorrelatedNoise
from .._noise.covariance import BlockCovariance
from .._operators.closure import ClosurePhases, LogClosureAmplitudes


def closure_phases() -> dict[str, object]:
    """Four antennas, and two times and frequencies of which some are missing."""
    return {name: ClosurePhases(closures=_sets(4)[name][0]) for name in ("tiny", "incomplete")}


def log_closure_amplitudes() -> dict[str, object]:
    """Four antennas, and five of which a baseline is missing."""
    a, b = torch.triu_indices(5, 5, 1)
    good = torch.ones(10, 1, dtype=torch.bool)
    good[4] = False
    missing = closure_quadrangles(a, b, torch.zeros(10), good=good)
    return {
        "tiny": LogClosureAmplitudes(closures=_sets(4)["tiny"][1]),
        "incomplete": LogClosureAmplitudes(closures=missing),
    }


def angles() -> dict[str, object]:
    """One error for each of six angles."""
    return {"tiny": PhaseLikelihood(sigma=_SIGMA), "large errors": PhaseLikelihood(sigma=8 * _SIGMA)}


def phase() -> dict[str, object]:
    """One error for each of six angles."""
    return {"tiny": PhaseNoise(sigma=_SIGMA)}


def correlated_angles() -> dict[str, object]:
    """Six angles in blocks of different sizes."""
    return {"tiny": CorrelatedPhaseLikelihood(covariance=_covariance(0.02))}


def correlated_phase() -> dict[str, object]:
    """Six angles in blocks of different sizes."""
    return {"tiny": CorrelatedPhaseNoise(covariance=_covariance(0.005))}


def correlated_least_squares() -> dict[str, object]:
    """Six data in blocks of different sizes."""
    return {"tiny": CorrelatedLeastSquares(covariance=_covariance(0.5))}


def correlated() -> dict[str, object]:
    """Six data in blocks of different sizes."""
    return {"tiny": CorrelatedNoise(covariance=_covariance(0.5))}


_SIGMA = torch.tensor([[0.05, 0.1, 0.08], [0.04, 0.12, 0.1]])


def _covariance(scale: float) -> BlockCovariance:
    index = torch.tensor([[0, 3, 5], [1, 4, -1], [2, -1, -1]])
    matrix = scale * torch.tensor([[2.0, 0.5, -0.4], [0.5, 1.0, 0.2], [-0.4, 0.2, 1.5]])
    return BlockCovariance(index=index, matrix=matrix.expand(3, 3, 3).clone())


def _sets(antennas: int) -> dict[str, tuple[ClosureSet, ClosureSet]]:
    a, b = torch.triu_indices(antennas, antennas, 1)
    n = len(a)
    good = torch.ones(2 * n, 2, dtype=torch.bool)
    good[1, 0] = good[n + 3, 1] = False
    twice, time = (a.repeat(2), b.repeat(2)), torch.arange(2.0).repeat_interleave(n) * 60
    return {
        "tiny": (closure_triangles(a, b, torch.zeros(n)), closure_quadrangles(a, b, torch.zeros(n))),
        "incomplete": (
            closure_triangles(*twice, time, good=good),
            closure_quadrangles(*twice, time, good=good),
        ),
    }
