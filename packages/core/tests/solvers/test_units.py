"""Solves in any unit: data, noise, operator; what is not finite; what does not scale."""

import math

import pytest
import torch

import invcore
from invcore import DataError, Physics, SolverError, Space
from invcore.noises import GaussianNoise, NoNoise
from invcore.operators import LinearOperator, Matrix
from invcore.priors import L1, TV, Box, NonNegative, PnP, Tikhonov
from invcore.solvers import CGLS, FISTA, LBFGS, ConjugateGradient, HalfQuadraticSplitting, Status


def problem(sigma=0.1):
    g = torch.Generator().manual_seed(0)
    matrix = torch.randn(20, 12, generator=g)
    y = matrix @ torch.randn(12, generator=g) + sigma * torch.randn(20, generator=g)
    return matrix, y


EXPONENTS = (-99, -66, -40, -17, 17, 40, 66, 99)


@pytest.mark.parametrize("k", EXPONENTS)
def test_image_scales_with_the_data_to_the_bit(k):
    matrix, y = problem()
    s = 2.0**k
    for solver in (CGLS(), ConjugateGradient(), FISTA(prior=L1(), max_steps=50), LBFGS(prior=Tikhonov())):
        one = solver.solve(y, Physics(Matrix(matrix), GaussianNoise(sigma=0.1)))
        other = solver.solve(s * y, Physics(Matrix(matrix), GaussianNoise(sigma=0.1 * s)))
        assert torch.equal(other.value, s * one.value)
        assert other.status == one.status
        assert int(other.stats["steps"]) == int(one.stats["steps"])


@pytest.mark.parametrize("k", EXPONENTS)
def test_operator_in_any_unit_gives_the_same_image(k):
    matrix, y = problem()
    s = 2.0**k
    for solver in (CGLS(), ConjugateGradient(), FISTA(prior=L1(), weight=2.0, max_steps=50)):
        one = solver(y, Physics(Matrix(matrix), GaussianNoise(sigma=0.1)))
        weight = {} if getattr(solver, "weight", "auto") == "auto" else {"weight": 2.0 * s}
        there = invcore.solver("fista", prior=L1(), max_steps=50, **weight) if weight else solver
        other = there(y, Physics(Matrix(s * matrix), GaussianNoise(sigma=0.1))) * s
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


def test_ridge_without_a_noise_level_in_small_units_is_the_dense_solution():
    matrix, y = problem()
    expected = torch.linalg.solve(matrix.T @ matrix + 3.0 * torch.eye(12), matrix.T @ y)
    for s in (1e-25, 1e25):
        x = ConjugateGradient(weight=3.0)(s * y, Physics(Matrix(matrix)))  # ‖Ax - y‖²/2 + 3 ‖x‖²/2
        torch.testing.assert_close(x / s, expected, rtol=1e-4, atol=1e-5)


def test_weight_bounds_and_levels_are_in_units_of_the_user():
    matrix, y = problem()
    s = 2.0**70
    physics = [Physics(Matrix(matrix), GaussianNoise(sigma=0.1 * u)) for u in (1.0, s)]
    for make in (
        lambda u: FISTA(prior=Box(lower=-0.2 * u, upper=0.3 * u), max_steps=50),
        lambda u: FISTA(prior=NonNegative(), max_steps=50),
        lambda u: FISTA(prior=L1(), weight=torch.tensor(2.0) / u, max_steps=50),
        lambda u: FISTA(fidelity=invcore.fidelity("huber", delta=0.3 * u, sigma=0.1 * u), max_steps=50),
    ):
        one, other = (make(u).solve(y * u, p) for u, p in zip((1.0, s), physics))
        assert torch.equal(other.value, s * one.value)
    images = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(1))
    A = invcore.operator("identity", domain=(1, 8, 8))
    for make in (
        lambda u: FISTA(prior=TV(smoothing=0.1 * u), weight=2.0 / u, max_steps=20),
        lambda u: HalfQuadraticSplitting(prior=TV(), weight=2.0 / u, schedule="dpir", sigma_start=0.2 * u),
        lambda u: HalfQuadraticSplitting(
            prior=TV(), weight=2.0 / u, schedule="dpir", sigma_start=0.2 * u, sigma_end=0.05 * u
        ),
    ):
        one, other = (make(u)(images * u, Physics(A, GaussianNoise(sigma=0.1 * u))) for u in (1.0, s))
        assert torch.equal(other, s * one)


def test_solution_tells_problem_and_objective_in_units_of_the_user():
    matrix, y = problem()
    s = 2.0**-80
    seen = []
    found = FISTA(prior=L1(), weight=5.0 / s, max_steps=5, rtol=0.0).solve(
        s * y,
        Physics(Matrix(matrix), GaussianNoise(sigma=0.1 * s)),
        x0=torch.zeros(12),
        record_objective=True,
        callback=lambda k, p, state: seen.append(p.unit * state.x),
    )
    x = found.value.double() / s
    misfit = ((matrix.double() @ x - y.double()) ** 2).sum() / (2 * 0.1**2)
    objective = float(misfit + 5.0 * x.abs().sum())
    assert abs(float(found.stats["objective"][-1]) / objective - 1) < 1e-5
    assert float(found.problem.weight) == 5.0 / s
    assert found.problem.fidelity.sigma == 0.1 * s
    assert torch.equal(found.problem.y, s * y)
    assert torch.equal(seen[-1], found.value)


def test_derivatives_are_those_in_the_unit_of_the_user():
    matrix, y = problem()
    s = 2.0**70
    for mode in ("unroll", "implicit"):
        grads = []
        for u in (1.0, s):
            leaf = (u * y).requires_grad_()
            solver = LBFGS(prior=Tikhonov(), weight=3.0 / u**2)
            if mode == "unroll":
                solver = FISTA(prior=L1(), weight=2.0 / u, max_steps=20, rtol=0.0)
            physics = Physics(Matrix(matrix), GaussianNoise(sigma=0.1 * u))
            x = solver.solve(leaf, physics, differentiate=mode).value
            grads.append(torch.autograd.grad(x.sum(), leaf)[0])
        torch.testing.assert_close(grads[1], grads[0], rtol=1e-4, atol=1e-5)


def test_a_batch_of_samples_too_far_apart_is_refused():
    matrix, y = problem()
    with pytest.raises(DataError, match="differ in size"):
        CGLS()(torch.stack([y, 1e35 * y]), Physics(Matrix(matrix)))


def test_a_prior_that_does_not_scale_is_named_where_squares_overflow():
    A = invcore.operator("identity", domain=(1, 8, 8))
    prior = PnP(denoiser=invcore.denoiser("median"))
    physics = Physics(A, GaussianNoise(sigma=1e19))
    with pytest.raises(DataError, match="PnP does not say how it scales.*unit near"):
        FISTA(prior=prior, weight=1.0)(torch.full((1, 8, 8), 1e20), physics)


def test_zero_data_and_no_data_are_solved():
    matrix, _ = problem()
    assert torch.equal(CGLS()(torch.zeros(20), Physics(Matrix(matrix))), torch.zeros(12))
    assert FISTA(prior=L1(), weight=1.0)(torch.zeros(0, 20), Physics(Matrix(matrix))).shape == (0, 12)


# -- what is not finite -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_fields_that_are_not_finite_are_named(bad):
    matrix, y = problem()
    broken = matrix.clone()
    broken[3, 4] = bad
    with pytest.raises(DataError, match=r"physics\.operator\.matrix has 1 value .*\(3, 4\)"):
        CGLS()(y, Physics(Matrix(broken)))
    with pytest.raises(DataError, match=r"physics\.operator\.operators\[0\]\.matrix"):
        CGLS()(y, Physics(Matrix(torch.full((20, 20), bad)) @ Matrix(matrix)))
    with pytest.raises(DataError, match="starting point x0"):
        CGLS().solve(y, Physics(Matrix(matrix)), x0=torch.full((12,), bad))


def test_nan_in_a_prior_is_named_and_an_infinite_bound_is_not():
    matrix, y = problem()
    upper = torch.full((12,), math.inf)
    FISTA(prior=Box(lower=0.0, upper=upper), max_steps=3)(y, Physics(Matrix(matrix)))
    prior = invcore.prior("quadratic", operator=Matrix(torch.eye(12)), center=torch.full((12,), math.nan))
    with pytest.raises(DataError, match=r"solver\.prior\.center has 12 values that are NaN"):
        FISTA(prior=prior, weight=1.0)(y, Physics(Matrix(matrix)))


class Overflowing(LinearOperator):
    """Adds up beyond float32: finite parameters, infinite images."""

    domain: Space = Space((4,))
    range: Space = Space((4,))

    def forward(self, x):
        return 3e38 * x.sum(-1, keepdim=True).expand(x.shape) * 100

    def adjoint(self, y):
        return 3e38 * y.sum(-1, keepdim=True).expand(y.shape) * 100

    def norm_bound(self):
        return torch.ones(())


@pytest.mark.parametrize("name", ["cg", "cgls", "fista", "hqs", "douglas_rachford"])
def test_an_operator_that_overflows_is_blamed_and_not_the_step(name):
    options = {} if name in ("cg", "cgls") else {"prior": L1(), "weight": 1.0}
    with pytest.raises(SolverError, match="Overflowing gives NaN or infinity"):
        invcore.solver(name, max_steps=30, **options)(torch.ones(4), Physics(Overflowing(), NoNoise()))


class Curved(LinearOperator):
    """Finite at first, NaN for the direction that conjugate gradient takes second."""

    domain: Space = Space((4,))
    range: Space = Space((4,))

    def forward(self, x):
        return torch.where(x.abs().amax(-1, keepdim=True) < 0.5, torch.nan, x * torch.arange(1.0, 5.0))

    def adjoint(self, y):
        return y * torch.arange(1.0, 5.0)


@pytest.mark.parametrize("name", ["cg", "cgls"])
def test_an_inner_product_that_is_nan_ends_as_nonfinite(name):
    options = {"weight": 0.0} if name == "cg" else {"discrepancy": None}
    solver = invcore.solver(name, max_steps=40, rtol=0.0, **options)
    found = solver.solve(torch.ones(4), Physics(Curved()), throw=False)
    assert found.status is Status.NONFINITE
