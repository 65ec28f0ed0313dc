"""Anderson acceleration: the same solution in fewer applications, with safeguards."""

import numpy as np
import pytest
import torch

from invcore import ParameterError, Physics
from invcore.operators import Matrix
from invcore.priors import L1
from invcore.solvers import FISTA, Anderson, ConjugateGradient, ProximalGradient, Status

F64 = torch.float64


def problem(cond, seed=0, scale=1.0):
    g = np.random.default_rng(seed)
    u, v = (np.linalg.qr(g.standard_normal((n, 25)))[0] for n in (40, 25))
    a = torch.from_numpy(scale * u * np.geomspace(1, 1 / cond, 25) @ v.T)
    return a, torch.from_numpy(scale * g.standard_normal((2, 40)))


def test_on_a_linear_map_it_is_gmres():
    """With all history kept, k steps minimize the residual over the Krylov space (Walker and Ni, 2.2)."""
    a, y = problem(5.0)
    y = y[0]
    physics = Physics(Matrix(a))
    solver = Anderson(solver=FISTA(weight=0.0), memory=20, rtol=0.0)
    step = float(1 / physics.operator.norm() ** 2)
    linear, first = step * a.T @ a, step * a.T @ y  # x - T(x) = linear x - first
    points = []
    solver.solve(y, physics, callback=lambda k, p, s: (points.append(s.x.clone()), k == 7)[1])
    space = torch.stack([torch.linalg.matrix_power(linear, i) @ first for i in range(7)], -1)
    weights = torch.linalg.lstsq(linear @ space, first.unsqueeze(-1)).solution
    best = (space @ weights).squeeze(-1)
    expected = best - (linear @ best - first)  # T(x of gmres)
    torch.testing.assert_close(points[7], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("seed, scale", enumerate([1e-4, 1.0, 1e4]))
def test_an_ill_conditioned_sparse_problem_needs_far_fewer_steps(seed, scale):
    a, y = problem(30.0, seed, scale)
    physics = Physics(Matrix(a))
    weight = 0.02 * scale**2
    inner = ProximalGradient(prior=L1(), weight=weight, rtol=1e-10, max_steps=100_000)
    plain = inner.solve(y, physics)
    fast = Anderson(solver=FISTA(prior=L1(), weight=weight), rtol=1e-10, max_steps=5000).solve(y, physics)
    assert plain.status is Status.CONVERGED and fast.status is Status.CONVERGED
    assert int(fast.stats["steps"].max()) < 0.3 * int(plain.stats["steps"].max())
    x = fast.value  # the conditions of a minimum: the gradient is -λ sign(x), or at most λ where x is 0
    gradient = (x @ a.T - y) @ a / weight
    at = x.abs() > 1e-8
    assert float((gradient + x.sign())[at].abs().max()) < 1e-5 and float(gradient.abs().max()) < 1 + 1e-5


def test_the_residual_of_the_points_it_keeps_never_rises():
    a, y = problem(100.0)
    solver = Anderson(solver=FISTA(prior=L1(), weight=0.05), memory=10, rtol=1e-12, max_steps=300)
    sizes = []
    solver.solve(y, Physics(Matrix(a)), callback=lambda k, p, s: sizes.append(s.size))
    sizes = torch.stack(sizes)
    assert bool((sizes[1:] <= sizes[:-1]).all())


def test_a_solver_without_a_fixed_point_is_refused():
    with pytest.raises(ParameterError, match="ConjugateGradient has none"):
        Anderson(solver=ConjugateGradient())
    with pytest.raises(ParameterError, match="memory"):
        Anderson(memory=0)
