"""Small instances of phase retrieval, for the conformance kit. The first of each is tiny."""

from __future__ import annotations

import torch
from torch import Tensor

from invcore import Physics, Space
from invcore.noises import GaussianNoise, PoissonNoise
from invcore.operators import FourierTransform, Matrix
from invcore.priors import L1
from invcore.testing import SolverExample

from .._phase.admm import PhaseADMM
from .._phase.alternating_projections import AlternatingProjections
from .._phase.amplitude_flow import AmplitudeFlow
from .._phase.epry import EPRY
from .._phase.fourier_ptychography import FourierPtychography
from .._phase.intensity import PhaseRetrieval
from .._phase.pie import PIE
from .._phase.ptychography import Ptychography


def phase_retrieval() -> dict[str, object]:
    """Return intensities of a matrix and of a Fourier transform."""
    matrix = _complex(7, 4)
    return {
        "tiny": PhaseRetrieval(Matrix(matrix)),
        "Fourier": PhaseRetrieval(FourierTransform(Space((1, 5, 6), "complex"), centered=True)),
    }


def ptychography() -> dict[str, object]:
    """Return scans on whole pixels, with fractions and two modes, with a mask, with a probe per sample."""
    mask = torch.ones(1, 5, 4, dtype=torch.float64)
    mask[:, 2, 1] = 0
    return {
        "tiny": Ptychography(probe=_complex(1, 2, 3), positions=_raster(2, 2, 1.0), shape=(3, 4)),
        "two modes, fractions": Ptychography(
            probe=_complex(2, 4, 5), positions=_raster(2, 3, 1.3), shape=(7, 8)
        ),
        "mask": Ptychography(probe=_complex(1, 5, 4), positions=_raster(3, 2, 1.2), shape=(9, 8), mask=mask),
        "a probe for each sample": Ptychography(
            probe=_complex(2, 1, 4, 4), positions=_raster(2, 2, 1.4), shape=(7, 6)
        ),
        "large": Ptychography(probe=_curved(24)[None], positions=_raster(2, 2, 4.02), shape=(29, 30)),
    }


def fourier_ptychography() -> dict[str, object]:
    """Return microscopes: without aberrations, with some and lights between pixels, with a batch of them."""
    lights = torch.tensor([[0.0, 0.1], [1.2, -0.9], [-1.1, 0.3]], dtype=torch.float64)
    radius = torch.tensor(1.2, dtype=torch.float64)
    phase = torch.tensor([0.03, -0.02, 0.04], dtype=torch.float64)
    return {
        "tiny": FourierPtychography(positions=lights[:2], radius=radius, shape=(7, 8), detector=(5, 4 + 1)),
        "aberrations": FourierPtychography(
            positions=lights,
            radius=radius,
            shape=(10, 9),
            detector=(6, 6),
            aberrations=phase,
            indices=(4, 5, 8),
        ),
        "aberrations of each sample": FourierPtychography(
            positions=lights,
            radius=radius,
            shape=(9, 9),
            detector=(5, 6),
            aberrations=torch.stack([phase, -phase]),
            indices=(4, 5, 8),
        ),
        "pupil and brightness": FourierPtychography(
            positions=lights,
            radius=radius,
            shape=(8, 9),
            detector=(6, 5),
            pupil=_complex(6, 5),
            brightness=torch.tensor([1.0, 0.7, 1.6], dtype=torch.float64),
        ),
    }


def amplitude_flow() -> dict[str, object]:
    """Return flows from a spectral start, and reweighted from ones."""
    g = torch.Generator().manual_seed(7)
    A = PhaseRetrieval(Matrix(_complex(60, 4)))
    x = torch.randn(4, generator=g, dtype=torch.complex128)
    y = A(x)
    y = y + 1.5 * y.mean()
    return {
        "tiny": SolverExample(AmplitudeFlow(max_steps=20), Physics(A), y),
        "reweighted": SolverExample(
            AmplitudeFlow(start="ones", reweighted=True, max_steps=20), Physics(A), y
        ),
    }


def admm() -> dict[str, object]:
    """Return the misfit of amplitudes, of intensities, and that of photons with a prior."""
    g = torch.Generator().manual_seed(7)
    A = PhaseRetrieval(Matrix(_complex(60, 4)))
    y = A(torch.randn(4, generator=g, dtype=torch.complex128))
    y = y + 1.5 * y.mean()
    photons = PhaseADMM(fidelity=None, prior=L1(), weight=1.0, start="ones", penalty=1.0, max_steps=20)
    return {
        "tiny": SolverExample(PhaseADMM(max_steps=20), Physics(A), y),
        "intensities": SolverExample(
            PhaseADMM(fidelity=None, penalty=1.0, max_steps=20), Physics(A, GaussianNoise(sigma=0.1)), y
        ),
        "photons, prior": SolverExample(photons, Physics(A, PoissonNoise()), y),
    }


def alternating_projections() -> dict[str, object]:
    """Return error reduction of a complex object, and hybrid input-output of a nonnegative one."""
    A = PhaseRetrieval(FourierTransform(Space((1, 7, 8), "complex"), centered=True))
    x = torch.zeros(1, 7, 8, dtype=torch.complex128)
    x[0, 2:5, 2:5] = 3 + _complex(3, 3)
    x[0, 4, 4] = 0
    y = A(x)
    y = y + 1.5 * y.mean()
    support = (x[0] != 0).double()
    return {
        "tiny": SolverExample(
            AlternatingProjections(support=support, method="er", max_steps=20), Physics(A), y
        ),
        "nonnegative": SolverExample(
            AlternatingProjections(support=support, nonnegative=True, max_steps=20), Physics(A), y
        ),
    }


def pie() -> dict[str, object]:
    """Return engines with a known probe, with all unknown."""
    return {
        "tiny": _scanned(PIE(update=("object",), max_steps=20)),
        "all unknown": _scanned(
            PIE(update=("object", "probe", "positions"), probe_after=2, positions_after=4, max_steps=20)
        ),
    }


def epry() -> dict[str, object]:
    """Return the recovery of an object, and of all."""
    steps = torch.tensor([-1.6, 0.0, 1.6], dtype=torch.float64)
    lights = torch.cartesian_prod(steps, steps + 0.07)  # a symmetric maximum would be a kink
    A = FourierPtychography(
        positions=lights, radius=torch.tensor(2.6, dtype=torch.float64), shape=(12, 12), detector=(8, 8)
    )
    y = A(thin_object(12, 12))
    y = y + 0.1 * y.mean()
    return {
        "tiny": SolverExample(EPRY(update=("object",), max_steps=20), Physics(A), y),
        "all unknown": SolverExample(EPRY(pupil_after=1, group=3, max_steps=20), Physics(A), y),
    }


def scan(shape: tuple[int, int] = (14, 14)) -> Ptychography:
    """Return a well-posed scan: a smooth probe with a curved phase, on a grid with jitter."""
    g = torch.Generator().manual_seed(4)
    n = 8
    probe = _curved(n)[None]
    positions = _raster(3, 3, (shape[0] - n) / 2 - 0.3) + 0.3 * torch.rand(
        9, 2, generator=g, dtype=torch.float64
    )
    return Ptychography(probe=probe, positions=positions, shape=shape)


def thin_object(*shape: int) -> Tensor:
    """Return a smooth transparent object, (1, y, x)."""
    y, x = (torch.linspace(0, 6, n, dtype=torch.float64) for n in shape)
    phase = y.sin()[:, None] * x.cos()
    return torch.polar(1 - 0.2 * phase.square(), phase)[None]


def _scanned(solver: PIE) -> SolverExample:
    A = scan()
    y = A(thin_object(*A.shape))
    y = y + 1.5 * y.mean()  # roots of dark pixels have no derivatives
    return SolverExample(solver, Physics(A, PoissonNoise()), y)


def _curved(n: int) -> Tensor:
    """A Gaussian probe with the phase of a lens, (n, n)."""
    r = torch.linspace(-1, 1, n, dtype=torch.float64)
    r2 = r[:, None] ** 2 + r**2
    return torch.polar(40 * torch.exp(-2 * r2), 3 * r2)


def _raster(rows: int, columns: int, pitch: float) -> Tensor:
    y, x = (pitch * torch.arange(n, dtype=torch.float64) for n in (rows, columns))
    return torch.cartesian_prod(y, x)


def _complex(*shape: int) -> Tensor:
    g = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=g, dtype=torch.complex128)
