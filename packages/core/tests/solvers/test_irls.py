"""Iteratively reweighted least squares and the ℓp prior: brute force, FISTA, sparse recovery."""

import pytest
import scipy.optimize
import torch

from invcore import ParameterError, Physics
from invcore.fidelities import PoissonKL
from invcore.noises import GaussianNoise
from invcore.operators import Matrix
from invcore.priors import L1, Lp, Tikhonov
from invcore.solvers import FISTA, IRLS, Status
from invcore_testsupport import error, normal

F64, C128 = torch.float64, torch.complex128


@pytest.mark.parametrize("p", [0.3, 0.5, 0.9, 1.0, 1.2, 1.5, 2.0])
@pytest.mark.parametrize("t", [0.05, 0.7, 5.0])
def test_lp_prox_by_brute_force(p, t):
    v = 2 * normal(12)
    found = Lp(p=p).prox(v, t)
    for entry, got in zip(v.tolist(), found.tolist(), strict=True):

        def objective(r, entry=entry):
            return t * abs(r) ** p + (r - entry) ** 2 / 2

        ends = sorted((0.0, entry))
        grid = torch.linspace(*ends, 401).tolist()
        coarse = min(grid, key=objective)
        width = (ends[1] - ends[0]) / 400
        fine = scipy.optimize.minimize_scalar(
            objective, bounds=(coarse - width, coarse + width), method="bounded", options={"xatol": 1e-12}
        )
        assert objective(got) <= min(fine.fun, objective(0.0)) + 1e-10


def test_lp_prox_is_differentiable_and_keeps_the_phase():
    v = normal(10).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: Lp(p=1.5).prox(v, 0.7), v)
    assert torch.autograd.gradcheck(
        lambda t: Lp(p=1.5).prox(v.detach(), t), torch.tensor(0.7, dtype=F64, requires_grad=True)
    )
    z = normal(10, dtype=C128)
    assert torch.allclose(Lp(p=1.3).prox(z, 0.4), z / z.abs() * Lp(p=1.3).prox(z.abs(), 0.4))
    with pytest.raises(ParameterError, match=r"p must be in \[0, 2\]"):
        Lp(p=3.0)


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("p", [1.0, 1.5])
def test_irls_is_the_minimum_that_fista_finds(p, dtype):
    matrix, y = normal(12, 20, dtype=dtype), normal(2, 12, dtype=dtype, seed=1)
    physics = Physics(Matrix(matrix), GaussianNoise(sigma=0.5))
    weight = torch.tensor([3.0, 20.0], dtype=F64)
    expected = FISTA(prior=Lp(p=p), weight=weight, rtol=1e-13, max_steps=20000)(y, physics)
    assert error(IRLS(prior=Lp(p=p), weight=weight, rtol=1e-10, max_steps=3000)(y, physics), expected) < 1e-6


@pytest.mark.parametrize("seed", range(10))
def test_operators_of_any_norm(seed):
    n = 10
    left, right = (torch.linalg.qr(normal(n, n, seed=seed + s)).Q for s in (0, 30))
    norm = 10 ** (-4 + 8 * seed / 9)
    matrix = norm * (left * torch.logspace(0, -2, n, dtype=F64)) @ right.mH
    x = torch.zeros(n, dtype=F64)
    x[:3] = torch.tensor([3.0, -2.0, 1.0])
    y = matrix @ x
    weight = 1e-3 * float((matrix.T @ y).abs().max())
    physics = Physics(Matrix(matrix))
    solution = IRLS(weight=weight).solve(y, physics)
    best = FISTA(prior=L1(), weight=weight, rtol=1e-10, max_steps=50000).solve(y, physics)
    assert solution.status is Status.CONVERGED
    value, least = (float(s.problem.objective(s.value)) for s in (solution, best))
    assert value < least * 1.001


def test_powers_below_one_recover_what_l1_does_not():
    """Eight entries of forty, from twenty or twenty-two measurements."""
    for m, seed in ((20, 5), (22, 4), (22, 5)):
        A, x = normal(m, 40, seed=seed) / m**0.5, torch.zeros(40, dtype=F64)
        x[::5] = normal(8, seed=seed + 10)
        physics = Physics(Matrix(A))
        half = IRLS(prior=Lp(p=0.5), weight=1e-5, rtol=1e-6)(A @ x, physics)
        assert error(half, x) < 1e-3 < 0.2 < error(IRLS(weight=1e-5, rtol=1e-6)(A @ x, physics), x)


def test_irls_says_what_it_needs():
    physics = Physics(Matrix(normal(5, 3)))
    with pytest.raises(ParameterError, match=r"the prior is L1\(\) or Lp"):
        IRLS(prior=Tikhonov())

    class Counting(type(physics.noise).__mro__[1]):
        def sample(self, y, space, generator):
            return y

        def likelihood(self):
            return PoissonKL()

    with pytest.raises(ParameterError, match="least squares with a prior, not PoissonKL"):
        IRLS(weight=1.0)(normal(5).abs(), Physics(physics.operator, Counting()))
