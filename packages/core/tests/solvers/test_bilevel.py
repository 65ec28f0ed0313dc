"""Hypergradients of ridge and lasso in closed form, unrolled and one-step ones, and a single loop (SOBA)."""

import pytest
import scipy.optimize
import torch

from invcore.priors import L1, Tikhonov
from invcore.solvers import FISTA, ConjugateGradient, ProximalGradient
from invcore_testsupport import normal, physics_of

F64 = torch.float64
A, TARGET = normal(20, 8, seed=1), normal(8, seed=3)
Y = A @ TARGET + 4 * normal(20, seed=2)


def ridge(theta):
    """The loss ‖x̂ - x‖²/2 at weight e^θ, and its derivative in θ."""
    H = A.T @ A + theta.exp() * torch.eye(8, dtype=F64)
    x = torch.linalg.solve(H, A.T @ Y)
    return (x - TARGET).square().sum() / 2, -theta.exp() * (x - TARGET) @ torch.linalg.solve(H, x)


def hypergradient(solver, mode, theta=0.5):
    theta = torch.tensor(theta, dtype=F64, requires_grad=True)
    x = solver(theta.exp()).solve(Y, physics_of(A), differentiate=mode).value
    return float(torch.autograd.grad((x - TARGET).square().sum() / 2, theta)[0])


def descent(steps):
    return lambda weight: ProximalGradient(prior=Tikhonov(), weight=weight, max_steps=steps, rtol=0.0)


def test_the_implicit_one_is_exact():
    exact = float(ridge(torch.tensor(0.5, dtype=F64))[1])
    for solver in (
        lambda w: ConjugateGradient(weight=w, rtol=1e-13),
        lambda w: FISTA(prior=Tikhonov(), weight=w, rtol=1e-14),
    ):
        assert abs(hypergradient(solver, "implicit") - exact) < 1e-9 * abs(exact)


def test_the_unrolled_one_converges_like_k_rho_to_the_k():
    """Its error over K ρ^K is bounded, with ρ the contraction of a proximal step: (1 - μ/L)/(1 + λ/L)."""
    exact = float(ridge(torch.tensor(0.5, dtype=F64))[1])
    values = torch.linalg.eigvalsh(A.T @ A)
    L = float(physics_of(A).operator.norm()) ** 2
    weight = float(torch.tensor(0.5, dtype=F64).exp())
    rho = (1 - float(values[0]) / L) / (1 + weight / L)
    errors = {k: abs(hypergradient(descent(k), "unroll") - exact) for k in (20, 40, 80)}
    assert errors[20] > errors[40] > errors[80]
    constants = [error / (k * rho**k) for k, error in errors.items()]
    assert max(constants) < 2 * min(constants)


def test_the_one_step_one_keeps_a_bias():
    """w = v in place of (I - J)⁻¹v: what one proximal step depends on θ, times the slope of the loss."""
    theta = torch.tensor(0.5, dtype=F64)
    H = A.T @ A + theta.exp() * torch.eye(8, dtype=F64)
    x = torch.linalg.solve(H, A.T @ Y)
    t = 1 / float(physics_of(A).operator.norm()) ** 2
    expected = float(-theta.exp() * t / (1 + theta.exp() * t) * (x - TARGET) @ x)
    solver = lambda w: FISTA(prior=Tikhonov(), weight=w, rtol=1e-14)
    found = hypergradient(solver, "jacobian_free")
    assert abs(found - expected) < 1e-9 and abs(found - float(ridge(theta)[1])) > 0.1 * abs(found)


@pytest.mark.parametrize("mode", ["implicit", "unroll"])
def test_that_of_the_lasso_lives_on_its_support(mode):
    """dx̂/dλ = -(AᵀA)_S⁻¹ sign on the support S, and zero elsewhere."""
    weight = 8.0
    solver = lambda w: FISTA(prior=L1(), weight=w, rtol=1e-14, max_steps=3000)
    x = solver(weight)(Y, physics_of(A))
    on = x != 0
    assert 1 < int(on.sum()) < 8
    slope = torch.zeros_like(x)
    slope[on] = -torch.linalg.solve(A[:, on].T @ A[:, on], x[on].sign())
    exact = float(weight * (x - TARGET) @ slope)
    assert abs(hypergradient(solver, mode, float(torch.tensor(weight, dtype=F64).log())) - exact) < 1e-8


def test_a_single_loop_ends_where_a_search_does():
    """SOBA: z, v and θ move together; the limit is the best weight of a search in one dimension."""
    gram, b = A.T @ A, A.T @ Y
    step = 1 / (float(torch.linalg.matrix_norm(A, 2)) ** 2 + 30)
    z, v, theta = torch.zeros(8, dtype=F64), torch.zeros(8, dtype=F64), torch.tensor(0.0, dtype=F64)
    for _ in range(4000):
        H = gram + theta.exp() * torch.eye(8, dtype=F64)
        z, v = z - step * (H @ z - b), v - step * (H @ v + z - TARGET)
        theta = theta - 0.02 * theta.exp() * (z @ v)
    best = scipy.optimize.minimize_scalar(
        lambda t: float(ridge(torch.tensor(t, dtype=F64))[0]),
        bounds=(-5, 8),
        method="bounded",
        options={"xatol": 1e-8},
    )
    assert abs(float(ridge(theta)[0]) - best.fun) < 1e-8 and abs(float(theta) - best.x) < 1e-4
