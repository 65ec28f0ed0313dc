"""Kaczmarz, BSREM and ASD-POCS against dense solutions, a theorem and other solvers."""

import math

import pytest
import torch

from invcore import ParameterError, Physics
from invcore.fidelities import L2Ball, PoissonKL
from invcore.noises import GaussianNoise
from invcore.operators import LinearOperator, Matrix, Space, stack
from invcore.priors import TV, Tikhonov
from invcore.solvers import ASDPOCS, BSREM, LBFGS, OSEM, ChambollePock, Kaczmarz, Status
from invcore_testsupport import error, normal, rng

F64, C128 = torch.float64, torch.complex128


def stacked(matrix, y, rows):
    return stack([Matrix(a) for a in matrix.split(rows, dim=-2)]), tuple(y.split(rows, dim=-1))


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("order", ["cyclic", "random"])
def test_consistent_data_give_the_solution_of_least_norm(order, dtype):
    matrix = normal(5, 8, dtype=dtype)
    y = matrix @ normal(8, dtype=dtype, seed=1)
    solver = Kaczmarz(order=order, rtol=1e-12)
    expected = torch.linalg.pinv(matrix) @ y
    assert error(solver(y, Physics(Matrix(matrix))), expected) < 1e-8
    A, parts = stacked(matrix, y, 1)
    assert error(solver(parts, Physics(A)), expected) < 1e-8


def test_a_pass_is_a_projection_on_one_equation_after_the_other():
    matrix, y = normal(4, 6), normal(4, seed=1)
    x = torch.zeros(6, dtype=F64)
    for a, b in zip(matrix, y):
        x = x + 0.7 * a * (b - a @ x) / (a @ a)
    one = Kaczmarz(relaxation=0.7, max_steps=1, rtol=0.0)
    assert error(one(y, Physics(Matrix(matrix))), x) < 1e-12
    A, parts = stacked(matrix, y, 1)
    assert error(one(parts, Physics(A)), x) < 1e-6  # norms of blocks are certified bounds


def test_rate_of_strohmer_and_vershynin():
    """E‖x_k - x*‖² ≤ (1 - σ_min²/‖A‖_F²)^k ‖x_0 - x*‖²: with equality where all singular values are equal."""
    left = torch.linalg.qr(normal(12, 6)).Q
    for spread in (1.0, 3.0):
        matrix = left * torch.linspace(1, spread, 6, dtype=F64)
        x = normal(6, seed=1)
        rate = 1 - 1 / float((matrix**2).sum())
        found = []
        for seed in range(60):
            solver = Kaczmarz(order="random", seed=seed, max_steps=3, rtol=0.0)
            found.append(float((solver(matrix @ x, Physics(Matrix(matrix))) - x).square().sum()))
        mean, bound = sum(found) / len(found), rate**36 * float(x.square().sum())
        deviation = math.sqrt(sum((f - mean) ** 2 for f in found)) / len(found)
        assert mean < bound + 3 * deviation
        if spread == 1.0:
            assert abs(mean - bound) < 3 * deviation


def test_kaczmarz_refuses_what_it_cannot_do():
    with pytest.raises(ParameterError, match="relaxation must be"):
        Kaczmarz(relaxation=2.0)
    matrix = normal(2, 3, 4)
    with pytest.raises(ParameterError, match="differs from sample to sample"):
        Kaczmarz(order="random")(normal(2, 3), Physics(Matrix(matrix)))


# -- BSREM -----------------------------------------------------------------------------------------


def counts():
    A = torch.rand(24, 6, generator=rng(1), dtype=F64)
    y = torch.poisson(A @ (20 + 30 * torch.rand(6, generator=rng(2), dtype=F64)), generator=rng(3))
    return A, y


def test_bsrem_is_the_posterior_maximum_and_ordered_subsets_are_not():
    A, y = counts()
    given = {"prior": Tikhonov(), "weight": 1e-3, "fidelity": PoissonKL(background=2.0)}
    whole = Physics(Matrix(A))
    expected = LBFGS(**given, rtol=1e-10).solve(y, whole, x0=torch.full((6,), 30.0, dtype=F64)).value
    operator, parts = stacked(A, y, 6)
    x = BSREM(**given, rtol=1e-4)(parts, Physics(operator))
    assert error(x, expected) < 6e-3
    best = LBFGS(fidelity=PoissonKL(), rtol=1e-10).solve(y, whole, x0=torch.full((6,), 30.0, dtype=F64)).value
    cycle = OSEM(rtol=1e-6, max_steps=100)(parts, Physics(operator))
    relaxed = BSREM(rtol=1e-4)(parts, Physics(operator))
    assert error(relaxed, best) < 6e-3 < 8 * error(relaxed, best) < error(cycle, best)


def test_the_first_step_of_bsrem_is_one_of_mlem():
    A, y = counts()
    x = BSREM(max_steps=1, rtol=0.0)(y, Physics(Matrix(A)))
    flat = torch.full((6,), float((A.sum(1) @ y) / (A.sum(1) @ A.sum(1))), dtype=F64)
    assert error(x, flat / A.sum(0) * (A.T @ (y / (A @ flat)))) < 1e-12


# -- ASD-POCS --------------------------------------------------------------------------------------


class OnImages(LinearOperator):
    matrix: torch.Tensor
    domain: Space
    range: Space

    def forward(self, x):
        return x.flatten(-3) @ self.matrix.T

    def adjoint(self, y):
        return (y @ self.matrix).unflatten(-1, self.domain.shape)


def test_asd_pocs_is_the_constrained_minimum_of_total_variation():
    """A third as many data as pixels: against Chambolle–Pock on TV subject to ‖Ax - y‖ ≤ ε."""
    image = torch.zeros(1, 8, 8, dtype=F64)
    image[:, 2:6, 3:7] = 1.0
    sigma, m = 0.01, 24
    matrix = normal(m, 64, seed=5) / 8
    domain = Space((1, 8, 8))
    y = matrix @ image.flatten() + sigma * normal(m, seed=6)
    physics = Physics(OnImages(matrix=matrix, domain=domain, range=Space((m,))), GaussianNoise(sigma=sigma))
    ball = L2Ball(radius=sigma * m**0.5)
    exact = ChambollePock(prior=TV(), weight=1.0, fidelity=ball, rtol=1e-4)(y, physics)
    solution = ASDPOCS().solve(y, physics)
    assert solution.status is Status.CONVERGED
    misfit = float((matrix @ solution.value.flatten() - y).norm())
    least, found = (float(TV().value(x, domain)) for x in (exact, solution.value))
    assert misfit < 1.01 * ball.radius and found < 1.015 * least
    assert error(solution.value, exact) < 0.1
