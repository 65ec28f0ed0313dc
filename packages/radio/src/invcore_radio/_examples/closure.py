"""Examples of closure quantities and log amplitudes, with their noises, for the conformance kit."""

from __future__ import annotations

import torch

from .._data.closure_sets import ClosureSet, closure_quadrangles, closure_triangles
from .._noise.angles import CorrelatedPhaseLikelihood, CorrelatedPhaseNoise, PhaseLikelihood, PhaseNoise
from .._noise.correlated import CorrelatedLeastSquares, CorrelatedNoise
from .._noise.covariance import BlockCovariance
from .._operators.closure import ClosurePhases, LogClosureAmplitudes
from .._operators.log_amplitudes import LogAmplitudes


def closure_phases() -> dict[str, object]:
    """Return closures of four antennas, and of two times and frequencies with gaps."""
    return {name: ClosurePhases(closures=_sets(4)[name][0]) for name in ("tiny", "incomplete")}


def log_closure_amplitudes() -> dict[str, object]:
    """Return closures of four antennas, and of five with a missing baseline."""
    a, b = torch.triu_indices(5, 5, 1)
    good = torch.ones(10, 1, dtype=torch.bool)
    good[4] = False
    missing = closure_quadrangles(a, b, torch.zeros(10), good=good)
    return {
        "tiny": LogClosureAmplitudes(closures=_sets(4)["tiny"][1]),
        "incomplete": LogClosureAmplitudes(closures=missing),
    }


def log_amplitudes() -> dict[str, object]:
    """Return the log amplitudes of some visibilities."""
    return {
        "tiny": LogAmplitudes(index=torch.tensor([0, 2, 3]), shape=(2, 2)),
        "array": LogAmplitudes(index=torch.tensor([5, 1, 2]), shape=(3, 2)),
    }


def angles() -> dict[str, object]:
    """Return errors of six angles."""
    return {"tiny": PhaseLikelihood(sigma=_SIGMA), "large errors": PhaseLikelihood(sigma=8 * _SIGMA)}


def phase() -> dict[str, object]:
    """Return errors of six angles."""
    return {"tiny": PhaseNoise(sigma=_SIGMA)}


def correlated_angles() -> dict[str, object]:
    """Return correlated errors of six angles in blocks of different sizes."""
    return {"tiny": CorrelatedPhaseLikelihood(covariance=_covariance(0.02))}


def correlated_phase() -> dict[str, object]:
    """Return correlated errors of six angles in blocks of different sizes."""
    return {"tiny": CorrelatedPhaseNoise(covariance=_covariance(0.005))}


def correlated_least_squares() -> dict[str, object]:
    """Return correlated errors of six data in blocks of different sizes."""
    return {"tiny": CorrelatedLeastSquares(covariance=_covariance(0.5))}


def correlated() -> dict[str, object]:
    """Return correlated errors of six data in blocks of different sizes."""
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
