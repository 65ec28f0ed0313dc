"""ADMM for intensities: its proximal operators on a grid, its fixed points, and objects that are known."""

import pytest
import torch

from invcore import LinearOperator, ParameterError, Physics, Space
from invcore.fidelities import L1, Amplitude, LeastSquares, PoissonKL
from invcore.noises import GaussianNoise, PoissonNoise
from invcore.operators import FourierTransform, Mask, Matrix, least_squares
from invcore.priors import TV
from invcore_optics import (
    AmplitudeFlow,
    FourierPtychography,
    PhaseADMM,
    PhaseRetrieval,
    aligned_phase,
)
from invcore_optics._examples.phase import scan, thin_object
from invcore_optics._phase.magnitudes import magnitude_curvature, magnitude_prox
from invcore_testsupport import error, normal, rng


class CodedDiffraction(LinearOperator):
    """Fourier transforms of an image behind several masks."""

    masks: torch.Tensor

    @property
    def domain(self):
        return Space((1, *self.masks.shape[-2:]), "complex")

    @property
    def range(self):
        return Space(tuple(self.masks.shape), "complex")

    def forward(self, x):
        return torch.fft.fft2(self.masks * x, norm="ortho")

    def adjoint(self, y):
        return (self.masks.conj() * torch.fft.ifft2(y, norm="ortho")).sum(-3, keepdim=True)


def coded(masks, n=16, seed=0):
    """Masks of four phases, and a complex object of random numbers."""
    g = rng(seed)
    turns = torch.randint(0, 4, (masks, n, n), generator=g) * torch.pi / 2
    A = PhaseRetrieval(CodedDiffraction(torch.polar(torch.ones(masks, n, n), turns).to(torch.complex128)))
    return A, torch.randn(1, n, n, generator=g, dtype=torch.complex128)


def misfit(f, r, y):
    if isinstance(f, Amplitude):
        return (r - y.sqrt()).square() / (2 * f.sigma**2)
    if isinstance(f, PoissonKL):
        return (r.square() - y * r.square().log()) / f.gain
    return (r.square() - y).square() / (2 * f.sigma**2)


@pytest.mark.parametrize("f", [Amplitude(sigma=0.7), PoissonKL(gain=0.4), LeastSquares(sigma=1.3)])
def test_the_prox_is_the_minimum_on_a_grid(f):
    a, y, t = (v.flatten() for v in torch.meshgrid(
        torch.tensor([0.0, 1e-3, 0.4, 1.0, 3.0, 20.0]).double(),
        torch.tensor([0.0, 0.01, 1.0, 2.5, 9.0, 100.0]).double(),
        torch.tensor([1e-3, 0.1, 1.0, 30.0]).double(),
        indexing="ij",
    ))  # fmt: skip
    r = torch.linspace(1e-9, 25, 20_001).double()[:, None]
    for lo in range(0, len(a), 36):
        some = slice(lo, lo + 36)
        found = magnitude_prox(f, a[some, None], y[some, None], t[some], Space((1,)))[:, 0]
        total = misfit(f, r, y[some]) + (r - a[some]).square() / (2 * t[some])
        best = misfit(f, found.clamp_min(1e-9), y[some]) + (found - a[some]).square() / (2 * t[some])
        assert bool((best <= total.amin(0) + 1e-9 * (1 + total.amin(0).abs())).all())


@pytest.mark.parametrize("f", [Amplitude(sigma=0.7), PoissonKL(gain=0.4), LeastSquares(sigma=1.3)])
def test_the_curvature_is_that_of_the_misfit(f):
    y = torch.full((3,), 2.5).double()
    r = y[0].sqrt().requires_grad_()
    (slope,) = torch.autograd.grad(misfit(f, r, y[0]), r, create_graph=True)
    (second,) = torch.autograd.grad(slope, r)
    assert torch.allclose(magnitude_curvature(f, y, Space((3,))), second)


def test_coded_diffraction_is_recovered_where_gradients_and_error_reduction_stop():
    """Three masks: the two others end in a local minimum."""
    A, x = coded(3, seed=1)
    y = A(x)
    found = PhaseADMM(max_steps=300, rtol=1e-9)(y, Physics(A))
    assert error(aligned_phase(found, x), x) < 1e-5
    flow = AmplitudeFlow(max_steps=200, rtol=0)(y, Physics(A))
    reduced = flow
    for _ in range(100):
        fields = A.field(reduced)
        reduced = A.field.H(y.sqrt() * torch.sgn(fields)) / 3
    assert min(error(aligned_phase(v, x), x) for v in (flow, reduced)) > 0.1


@pytest.mark.parametrize("fidelity", [Amplitude(), PoissonKL(), LeastSquares()])
def test_every_misfit_finds_the_object(fidelity):
    A, x = coded(6)
    found = PhaseADMM(fidelity=fidelity, max_steps=300, rtol=1e-9)(A(x), Physics(A))
    assert error(aligned_phase(found, x), x) < 1e-5


def test_where_it_stops_the_gradient_of_photons_vanishes():
    A, x = coded(6)
    physics = Physics(A, PoissonNoise())
    y = physics(4 * x, generator=rng())
    solution = PhaseADMM(fidelity=None, max_steps=500, rtol=1e-6).solve(y, physics)
    assert solution.status.name == "CONVERGED"
    x = solution.value
    u = A.field(x)
    gradient = A.field.H(u * (1 - y / u.abs().square()))
    assert float(gradient.norm()) < 1e-4 * float(A.field.H(u).norm())


def test_a_true_object_stays():
    A, x = coded(4)
    solution = PhaseADMM(rtol=1e-12, max_steps=3).solve(A(x), Physics(A), x0=x)
    assert error(solution.value, x) < 1e-12


def test_a_support_is_part_of_the_operator():
    n = 24
    rows = torch.arange(n)
    support = ((rows[:, None] >= 6) & (rows >= 7) & (rows[:, None] + rows < 24)).double()
    F = FourierTransform(Space((1, n, n), "complex"), centered=True)
    A = PhaseRetrieval(F @ Mask(mask=support[None], domain=F.domain))
    g = rng(1)
    turns = 2 * torch.rand(1, n, n, generator=g).double()
    x = support * torch.polar(torch.rand(1, n, n, generator=g).double(), turns)
    starts = [support * torch.complex(normal(1, n, n, seed=k), normal(1, n, n, seed=k + 9)) for k in range(3)]
    found = [PhaseADMM(max_steps=300, rtol=0).solve(A(x), Physics(A), x0=s).value for s in starts]
    best = min(found, key=lambda v: error(A(v).sqrt(), A(x).sqrt()))
    assert error(aligned_phase(best, x), x) < 1e-2


def test_scans_and_microscopes():
    B = scan()
    x = thin_object(*B.shape)
    found = PhaseADMM(start="ones", max_steps=100, rtol=0)(B(x), Physics(B))
    assert error(B(found).sqrt(), B(x).sqrt()) < 5e-3
    mask = torch.ones(1, 8, 8, dtype=torch.float64)
    mask[0, 3, 4] = 0
    blind = B.bind(mask=mask)
    found = PhaseADMM(start="ones", max_steps=100, rtol=0)(blind(x), Physics(blind))
    assert error(blind(found).sqrt(), blind(x).sqrt()) < 5e-3
    steps = torch.arange(-2, 3, dtype=torch.float64) * 4.3
    lights, radius = torch.cartesian_prod(steps, steps), torch.tensor(9.4, dtype=torch.float64)
    A = FourierPtychography(positions=lights, radius=radius, shape=(48, 48), detector=(28, 28))
    x = thin_object(48, 48)
    found = PhaseADMM(start="ones", max_steps=100, rtol=0)(A(x), Physics(A))
    assert error(A(found).sqrt(), A(x).sqrt()) < 5e-3


@pytest.mark.parametrize("B", [
    scan().field,
    FourierPtychography(positions=normal(4, 2), radius=torch.tensor(2.2, dtype=torch.float64),
                        shape=(12, 13), detector=(8, 7)).field,
], ids=lambda B: type(B).__name__)  # fmt: skip
def test_closed_forms_are_those_of_the_dense_matrix(B):
    M, shift = B.dense(), 0.3
    y, z = (torch.complex(normal(*s.shape), normal(*s.shape, seed=1)) for s in (B.range, B.domain))
    normal_matrix = M.mH @ M + shift * torch.eye(M.shape[1], dtype=torch.float64)
    expected = torch.linalg.solve(normal_matrix, M.mH @ y.flatten() + shift * z.flatten())
    found = B._ridge(y, z, torch.tensor(shift, dtype=torch.float64))
    assert error(found.flatten(), expected) < 1e-8
    assert error(least_squares(B, y, shift=shift, center=z).flatten(), expected) < 1e-6


def test_total_variation_helps_at_few_photons():
    """A flat object: the prior halves the error."""
    A, _ = coded(4)
    x = torch.ones(1, 16, 16, dtype=torch.complex128)
    x[:, 4:11, 5:12] = torch.polar(torch.tensor(1.0), torch.tensor(1.2)).to(x.dtype)
    physics = Physics(A, PoissonNoise())
    y = physics(x, generator=rng(2))
    plain, smooth = (
        aligned_phase(
            PhaseADMM(fidelity=None, prior=prior, weight=1.0, penalty=0.5, max_steps=40)(y, physics), x
        )
        for prior in (None, TV())
    )
    assert error(smooth, x) < 0.5 * error(plain, x)


def test_what_is_refused():
    A, x = coded(3)
    with pytest.raises(ParameterError, match="intensities of linear fields"):
        PhaseADMM()(torch.ones(3), Physics(Matrix(torch.eye(3)), GaussianNoise(sigma=1.0)))
    with pytest.raises(ParameterError, match="got L1"):
        PhaseADMM(fidelity=L1())(A(x), Physics(A))
    with pytest.raises(ParameterError, match="PoissonKL with a background"):
        PhaseADMM(fidelity=PoissonKL(background=1.0))(A(x), Physics(A))
    with pytest.raises(ParameterError, match="growth must be 1 or more"):
        PhaseADMM(growth=0.9)
