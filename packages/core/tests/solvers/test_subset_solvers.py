"""SAGA and SVRG over the blocks of stacked operators, against dense solutions and FISTA."""

import pytest
import torch

from invcore import ParameterError, Physics
from invcore.fidelities import PoissonKL
from invcore.noises import GaussianNoise
from invcore.operators import Matrix, stack
from invcore.priors import L1
from invcore.solvers import FISTA, SAGA, SVRG, Status
from invcore_testsupport import error, normal

F64, C128 = torch.float64, torch.complex128


def blocks_of(matrix, y, rows):
    """The problem cut into blocks of rows."""
    return stack([Matrix(a) for a in matrix.split(rows, dim=-2)]), tuple(y.split(rows, dim=-1))


SOLVERS = [SAGA, SVRG]


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("solver", SOLVERS)
def test_least_squares_over_blocks(solver, dtype):
    matrix, y = normal(40, 6, dtype=dtype), normal(3, 40, dtype=dtype, seed=1)
    A, parts = blocks_of(matrix, y, 8)
    physics = Physics(A, GaussianNoise(sigma=0.3))
    solution = solver(rtol=1e-12, max_steps=3000).solve(parts, physics)
    assert solution.status is Status.CONVERGED
    assert error(solution.value, torch.linalg.lstsq(matrix, y.mT).solution.mT) < 1e-8


@pytest.mark.parametrize("solver", SOLVERS)
def test_lasso_over_blocks_is_that_of_fista(solver):
    matrix, y = normal(30, 8), normal(30, seed=1)
    A, parts = blocks_of(matrix, y, 6)
    expected = FISTA(prior=L1(), weight=4.0, rtol=1e-12, max_steps=5000)(y, Physics(Matrix(matrix)))
    x = solver(prior=L1(), weight=4.0, rtol=1e-12, max_steps=3000)(parts, Physics(A))
    assert error(x, expected) < 1e-8 and bool((x == 0).any())


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("solver", SOLVERS)
def test_operators_of_any_norm(solver, seed):
    n = 8
    left, right = torch.linalg.qr(normal(24, n, seed=seed)).Q, torch.linalg.qr(normal(n, n, seed=seed + 30)).Q
    matrix = 10 ** (-4 + 8 * seed / 9) * (left * torch.logspace(0, -1, n, dtype=F64)) @ right.mH
    y = matrix @ normal(n, seed=50)
    A, parts = blocks_of(matrix, y, 6)
    solution = solver().solve(parts, Physics(A))
    assert solution.status is Status.CONVERGED and error(matrix @ solution.value, y) < 0.01


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_seed_decides_and_batches_do_not(solver):
    matrix, y = normal(20, 5), normal(3, 20, seed=1)
    A, parts = blocks_of(matrix, y, 4)
    physics = Physics(A)
    short = {"max_steps": 3, "rtol": 0.0}
    first = solver(**short)(parts, physics)
    assert torch.equal(first, solver(**short)(parts, physics))
    assert not torch.equal(first, solver(seed=1, **short)(parts, physics))
    alone = solver(**short)(tuple(p[1] for p in parts), physics)
    assert error(first[1], alone) < 1e-12


@pytest.mark.parametrize("solver", SOLVERS)
def test_implicit_derivatives_over_blocks(solver):
    matrix = normal(20, 5).requires_grad_()
    A, parts = blocks_of(matrix, normal(20, seed=1), 4)
    v = normal(5, seed=2)
    x = solver(rtol=1e-12).solve(parts, Physics(A), differentiate="implicit").value
    (got,) = torch.autograd.grad(x @ v, matrix)
    dense = torch.linalg.solve(matrix.T @ matrix, matrix.T @ torch.cat(parts))
    (expected,) = torch.autograd.grad(dense @ v, matrix)
    assert error(got, expected) < 1e-6


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_gradient_that_is_not_lipschitz_is_refused(solver):
    with pytest.raises(ParameterError, match="no Lipschitz gradient"):
        solver(fidelity=PoissonKL())(torch.ones(3), Physics(Matrix(torch.ones(3, 2))))


def test_saga_at_the_rate_of_its_theorem_and_svrg_at_that_of_its_step():
    """E‖x_k - x*‖² ≤ (1 - min(1/4n, μ/3L))^k [‖x_0 - x*‖² + 2n/(3L) (f(x_0) - f*)] with L = n max Lᵢ.

    At 1/(4L) the bounds on SVRG are void; what one update of mean -τ∇f leaves, 1 - μτ, holds up to a factor.
    """
    n, size = 5, 4
    left = torch.linalg.qr(normal(20, size)).Q
    matrix = left * torch.linspace(1, 2, size, dtype=F64)
    y = normal(20, seed=1)
    best = torch.linalg.lstsq(matrix, y.unsqueeze(-1)).solution[..., 0]
    A, parts = blocks_of(matrix, y, 4)
    L = n * max(float(torch.linalg.matrix_norm(a, 2)) ** 2 for a in matrix.split(4))
    gap = float(y.square().sum() - (matrix @ best - y).square().sum()) / 2
    start = float(best.square().sum())
    for solver, tau, updates, bound in (
        (SAGA, 1 / (3 * L), n, start + 2 * n / (3 * L) * gap),
        (SVRG, 1 / (4 * L), 2 * n, 2 * start),
    ):
        rate = 1 - min(1 / (4 * n), tau) if solver is SAGA else 1 - tau
        for passes in (4, 12):
            found = [
                float((solver(seed=s, max_steps=passes, rtol=0.0)(parts, Physics(A)) - best).square().sum())
                for s in range(10)
            ]
            assert sum(found) / len(found) < rate ** (updates * passes) * bound
