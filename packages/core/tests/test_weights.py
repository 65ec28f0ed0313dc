"""The regularization weight chosen from the noise level, against dense evaluation."""

import pytest
import torch

from invcore import (
    ParameterError,
    Physics,
)
from invcore.fidelities import LeastSquares, WeightedLeastSquares
from invcore.noises import GaussianMapNoise, GaussianNoise
from invcore.operators import Matrix
from invcore.priors import L1, ridge_solution, ridge_weight
from invcore.solvers import ADMM, FISTA, ConjugateGradient
from invcore_testsupport import error, normal, physics_of, rng

F64, C128 = torch.float64, torch.complex128


def per_matrix(matrices, y, shift):
    """Dense Tikhonov solutions, one per item."""
    n = matrices.shape[-1]
    gram = matrices.mH @ matrices + torch.as_tensor(shift, dtype=F64).reshape(-1, 1, 1) * torch.eye(
        n, dtype=matrices.dtype
    )
    return torch.linalg.solve(gram, (matrices.mH @ y.unsqueeze(-1)))[..., 0]


def ill_posed(dtype=F64, sigma=0.05, seed=0):
    n = 40
    u, v = (torch.linalg.qr(normal(n, n, dtype=dtype, seed=seed + s)).Q for s in (1, 2))
    A = u @ torch.diag(torch.logspace(0, -3, n, dtype=F64).to(dtype)) @ v.mH
    clean = A @ (v @ (torch.linspace(2, 0.1, n, dtype=F64) * normal(n, dtype=dtype, seed=seed + 3)))
    noise = GaussianNoise(sigma=sigma)
    return A, noise(clean, generator=rng(seed + 4))


def scores(A, y, shifts, sigma=None, probe=None):
    """SURE, or GCV without a noise level, and GCV's variance, by the singular value decomposition.

    All in real degrees of freedom. With ``probe`` the trace is that of the quadratic form at the probe.
    """
    u, s, v = torch.linalg.svd(A, full_matrices=False)
    inside = u.mH @ y
    outside = (y.abs() ** 2).sum() - (inside.abs() ** 2).sum()
    per_entry = 2 if A.is_complex() else 1
    weight = torch.ones_like(s) if probe is None else (v @ probe).abs() ** 2 / probe.abs().square().mean()
    out, variance = [], []
    for shift in shifts:
        residual = ((shift / (s**2 + shift)) ** 2 * inside.abs() ** 2).sum() + outside
        freedom = per_entry * (weight * s**2 / (s**2 + shift)).sum()
        variance.append(residual / (per_entry * len(y) - freedom))
        out.append(
            residual + 2 * sigma**2 * freedom if sigma else residual / (per_entry * len(y) - freedom) ** 2
        )
    return torch.stack(out), torch.stack(variance)


@pytest.mark.parametrize("dtype", [F64, C128, torch.float32, torch.complex64])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("seed", [0, 10, 20])
def test_automatic_weight_minimizes_the_risk_estimate(dtype, known, seed):
    A, y = ill_posed(C128 if dtype.is_complex else F64, seed=seed)
    sigma = 0.05 if known else None
    found = ridge_weight(y.to(dtype), physics_of(A.to(dtype), sigma))
    grid = torch.logspace(-7, 0.5, 76, dtype=F64) * float(torch.linalg.matrix_norm(A, 2)) ** 2
    n = A.shape[1]
    draw = torch.randn(2 * n if dtype.is_complex else n, generator=rng()).double()
    probe = torch.view_as_complex(draw.reshape(n, 2)) if dtype.is_complex else draw
    brute, _ = scores(A, y, grid, sigma, probe)
    here, spread = scores(A, y, found.shift.double().reshape(1), sigma, probe)
    single = dtype in (torch.float32, torch.complex64)
    # forty Lanczos steps do not resolve the smallest singular values, on which the cross-validation leans
    assert float(here[0] / brute.min()) < ((1.05 if single else 1.001) if known else 1.25)
    if known and not single:
        assert float(found.shift) == pytest.approx(
            float(grid[brute.argmin()]), rel=0.6
        )  # 2 cells of the grid
    assert float(found.weight) == pytest.approx(float(found.shift) * (400 if known else 1), rel=1e-5)
    assert float(found.variance) == pytest.approx(
        0.0025 if known else float(spread[0]), rel=1e-6 if known else 0.15
    )
    # one probe stands for the trace: little is lost
    exact = scores(A, y, found.shift.double().reshape(1), sigma)[0] / scores(A, y, grid, sigma)[0].min()
    assert float(exact[0]) < (1.15 if known else 1.3)


def test_automatic_weight_is_close_to_the_best_there_is():
    A, y = ill_posed()
    truth = torch.linalg.solve(A, ill_posed(sigma=0.0)[1])
    auto = error(A @ ConjugateGradient(rtol=1e-10, max_steps=1000)(y, physics_of(A, 0.05)), A @ truth)
    best = min(error(A @ per_matrix(A, y, s)[0], A @ truth) for s in torch.logspace(-7, 1, 60, dtype=F64))
    assert auto < 1.25 * best


def test_automatic_weight_belongs_to_the_noise_of_the_physics():
    """A fidelity of another scale changes the weight by that scale, and so not the solution."""
    A, y = normal(20, 10), normal(20, seed=1)
    own = FISTA(prior=L1(), rtol=1e-10, max_steps=5000)(y, physics_of(A, 0.2))
    scaled = FISTA(prior=L1(), fidelity=LeastSquares(sigma=3.0), rtol=1e-10, max_steps=5000)(
        y, physics_of(A, 0.2)
    )
    assert error(scaled, own) < 1e-6


def test_data_without_noise_are_treated_as_of_unknown_noise():
    A, y = ill_posed(sigma=0.0)
    small = 1e-3 * y
    zero = ridge_weight(small, physics_of(A, 0.0))
    none = ridge_weight(small, physics_of(A))
    assert torch.equal(zero.shift, none.shift)
    assert float(zero.variance) < 1e-6
    mixed = ridge_weight(torch.stack([small, small]), physics_of(A, torch.tensor([0.0, 0.1], dtype=F64)))
    assert torch.allclose(mixed.shift[0], zero.shift) and float(mixed.variance[1]) == pytest.approx(0.01)


def test_laplace_weight_is_the_noise_over_the_mean_magnitude():
    A, y = normal(20, 10), normal(20, seed=1)
    physics = physics_of(A, 0.2)
    problem = FISTA(prior=L1()).problem(y, physics)
    x, factor = ridge_solution(y, physics)
    assert float(factor) == pytest.approx(1)
    assert float(problem.weight) == pytest.approx(1 / float(x.abs().mean()))
    assert torch.equal(problem.x0, x)


def test_automatic_weight_where_there_is_no_rule():
    class Poissonlike(LeastSquares.__mro__[1]):
        def value(self, u, y, space=None):
            return u.sum()

        def grad(self, u, y, space=None):
            return u

        def prox(self, u, y, step, space=None):
            return u

    with pytest.raises(ParameterError, match="least squares, not Poissonlike: give weight=<number>"):
        ADMM(prior=L1(), fidelity=Poissonlike())(normal(8), physics_of(normal(8, 5)))
    with pytest.raises(ParameterError, match="no Lipschitz gradient"):
        FISTA(prior=L1(), fidelity=Poissonlike(), weight=1.0)


@pytest.mark.parametrize("dtype", [F64, C128])
def test_discrepancy_rule_leaves_the_residual_that_the_noise_has(dtype):
    A, y = ill_posed(dtype)
    sigma, m = 0.05, (80 if dtype.is_complex else 40)
    found = ridge_weight(y, physics_of(A, sigma), "discrepancy")
    misfit = torch.linalg.vector_norm(A @ per_matrix(A, y, found.shift)[0] - y)
    # the grid of shifts has ten to a decade
    assert float(misfit) == pytest.approx(sigma * m**0.5, rel=0.05)
    assert float(found.weight) == pytest.approx(float(found.shift) / sigma**2)


def test_lcurve_rule_finds_the_corner():
    A, y = ill_posed()
    shifts = torch.logspace(-7, 0.5, 751, dtype=F64) * float(torch.linalg.matrix_norm(A, 2)) ** 2
    x = torch.stack([per_matrix(A, y, s)[0] for s in shifts])
    log = torch.log(shifts)
    rho, eta = torch.linalg.vector_norm(x @ A.mT - y, dim=-1).log(), torch.linalg.vector_norm(x, dim=-1).log()
    (dr,), (de,) = torch.gradient(rho, spacing=(log,)), torch.gradient(eta, spacing=(log,))
    (ddr,), (dde,) = torch.gradient(dr, spacing=(log,)), torch.gradient(de, spacing=(log,))
    bend = (dr * dde - de * ddr) / (dr**2 + de**2) ** 1.5
    found = ridge_weight(y, physics_of(A), "lcurve")
    assert float(found.shift) == pytest.approx(float(shifts[5:-5][bend[5:-5].argmax()]), rel=0.6)


def test_rules_by_name():
    A, y = ill_posed()
    known, unknown = physics_of(A, 0.05), physics_of(A)
    assert torch.equal(ridge_weight(y, known).weight, ridge_weight(y, known, "sure").weight)
    assert torch.equal(ridge_weight(y, unknown).weight, ridge_weight(y, unknown, "gcv").weight)
    for rule in ("gcv", "lcurve"):
        shifts = [ridge_weight(y, p, rule).shift for p in (known, unknown)]
        assert torch.equal(*shifts)
    for rule in ("sure", "discrepancy"):
        with pytest.raises(ParameterError, match=f"'{rule}' needs the noise level"):
            ridge_weight(y, unknown, rule)
    with pytest.raises(ParameterError, match="rule must be one of auto, sure, gcv"):
        ridge_weight(y, known, "best")


def test_rules_for_each_sample():
    A, y = ill_posed()
    both, physics = torch.stack([y, 100 * y]), physics_of(A, torch.tensor([0.05, 5.0], dtype=F64))
    for rule in ("sure", "gcv", "discrepancy", "lcurve"):
        shift = ridge_weight(both, physics, rule).shift
        assert float(shift[0]) == pytest.approx(float(shift[1]))


def test_weighted_least_squares_is_whitened():
    """Noise that differs from entry to entry: the same as whitening by hand."""
    a, sigma = normal(40, 32), 0.05 + normal(40, seed=1).abs()
    x = torch.zeros(32, dtype=F64)
    x[10:14] = 2.0
    y = a @ x + sigma * normal(40, seed=2)
    weighted = y, Physics(Matrix(a), GaussianMapNoise(sigma=sigma))
    by_hand = y / sigma, physics_of(a / sigma[:, None], sigma=1.0)
    torch.testing.assert_close(ridge_weight(*weighted, "sure").weight, ridge_weight(*by_hand, "sure").weight)
    # that of an iteration, which stops early, and of a factorization
    found, expected = (L1().suggested_weight(*given).value for given in (weighted, by_hand))
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0)


def test_weights_that_are_not_those_of_the_noise_say_nothing_of_its_level():
    a = normal(40, 32)
    fidelity = WeightedLeastSquares(weight=torch.full((40,), 4.0, dtype=F64))
    with pytest.raises(ParameterError, match="noise level"):
        ridge_weight(a @ normal(32, seed=1), physics_of(a), "sure", fidelity=fidelity)
