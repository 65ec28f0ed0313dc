"""Mirror descent: its fixed point and derivatives, and the geometry of two factors."""

import pytest
import scipy.optimize
import torch

from invcore import ParameterError, Physics
from invcore.fidelities import PoissonKL
from invcore.operators import Matrix
from invcore.priors import Tikhonov
from invcore.solvers import BoltzmannShannon, BurgEntropy, Energy, Hyperbolic, MirrorDescent
from invcore_testsupport import error, normal, rng

F64 = torch.float64


def counts():
    """A positive matrix, counts and a weight, of which the minimizer is inside x > 0."""
    A = 0.2 + torch.rand(6, 3, generator=rng(1), dtype=F64)
    weight = torch.tensor(0.3, dtype=F64, requires_grad=True)
    return A, A @ torch.tensor([3.0, 5.0, 4.0], dtype=F64) + 0.5, weight


@pytest.mark.parametrize("potential", [BurgEntropy(), BoltzmannShannon()])
def test_derivatives_of_the_fixed_point(potential):
    """KL(y, Ax) + w‖x‖²/2: dx/dw = -(AᵀDiag(y/(Ax)²)A + w)⁻¹x; Jacobian-free, the same sign."""
    A, y, weight = counts()
    solver = MirrorDescent(
        potential=potential, fidelity=PoissonKL(), prior=Tikhonov(), weight=weight, rtol=1e-12
    )
    found = {}
    for mode in ("implicit", "jacobian_free"):
        x = solver.solve(y, Physics(Matrix(A)), differentiate=mode).value
        (found[mode],) = torch.autograd.grad(x.sum(), weight)
    x = x.detach()
    bend = A.T @ torch.diag(y / (A @ x) ** 2) @ A + weight.detach() * torch.eye(3, dtype=F64)
    assert error(found["implicit"], -torch.linalg.solve(bend, x).sum()) < 1e-7
    assert 0.05 < float(found["jacobian_free"] / found["implicit"]) < 1


@pytest.mark.parametrize("potential", [Energy(), BurgEntropy(), BoltzmannShannon()])
def test_the_fixed_point_map_contracts_to_the_solution(potential):
    A, y, weight = counts()
    solver = MirrorDescent(
        potential=potential, fidelity=PoissonKL(), prior=Tikhonov(), weight=weight.detach(), rtol=1e-12
    )
    if isinstance(potential, Energy):
        solver = MirrorDescent(prior=Tikhonov(), weight=0.3, rtol=1e-12)
    problem = solver.problem(y, Physics(Matrix(A)))
    x = solver(y, Physics(Matrix(A)))
    moved = x * torch.tensor([1.01, 0.99, 1.02], dtype=F64)
    far = error(moved, x)
    for _ in range(50):
        moved = solver.fixed_point(problem, moved)
    assert error(moved, x) < 0.1 * far and error(solver.fixed_point(problem, x), x) < 1e-10


# -- two factors -----------------------------------------------------------------------------------


def underdetermined():
    A = normal(6, 12, seed=3)
    x = torch.zeros(12, dtype=F64)
    x[[2, 7]] = torch.tensor([1.5, -0.8], dtype=F64)
    return A, A @ x


@pytest.mark.parametrize("depth", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("delta", [0.3, 1e-3, 20.0])
def test_hyperbolic_is_consistent(depth, delta):
    potential, z = Hyperbolic(delta, depth=depth), normal(50, seed=1)
    x = normal(50).index_fill(0, torch.tensor([0]), 0.0).requires_grad_()
    (slope,) = torch.autograd.grad(potential.value(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), x)
    x, slope = x.detach(), slope.detach()
    assert torch.allclose(potential.grad(x), slope)
    assert torch.allclose(potential.grad_conjugate(slope), x)
    assert torch.allclose(potential.inverse_hessian(x) * second, torch.ones_like(x))
    move = 0.3 * slope.abs().amin() * normal(50, seed=2).clamp(-1, 1)
    assert torch.allclose(potential.step(x, move), potential.grad_conjugate(slope - move))
    assert torch.allclose(potential.slope_change(x, z), (slope - potential.grad(z)) * (x - z))
    near = x * (1 + 1e-9)  # one digit is left of a difference of slopes
    expected = (near - x) ** 2 / potential.inverse_hessian(x)
    assert torch.allclose(potential.slope_change(near, x), expected, rtol=1e-6, atol=0.0)


def test_wrong_factors_are_refused():
    with pytest.raises(ParameterError, match="delta must be positive"):
        Hyperbolic(0.0)
    with pytest.raises(ParameterError, match="depth must be"):
        Hyperbolic(1.0, depth=1)


def descended(A, y, alpha, depth, step, steps):
    """Gradient descent on the factors of x = u¹ ⊙ … ⊙ uᴸ, from uᴸ = 0 and the others α."""
    u = torch.full((depth, A.shape[1]), alpha, dtype=F64)
    u[-1] = 0.0
    for _ in range(steps):
        g = A.T @ (A @ u.prod(0) - y)
        others = torch.stack([torch.cat([u[:j], u[j + 1 :]]).prod(0) for j in range(depth)])
        u = u - step * others * g
    return u


@pytest.mark.parametrize(("depth", "alpha"), [(2, 0.42), (4, 0.7)])
def test_the_limit_is_that_of_gradient_descent_on_the_factors(depth, alpha):
    """Mirror descent ends where short steps do; φ' of it is in range(Aᵀ), and φ the least on Ax = y."""
    A, y = underdetermined()
    u = descended(A, y, alpha, depth, 4e-3, 6000)
    potential = Hyperbolic(alpha**depth, depth=depth)
    x = MirrorDescent(potential=potential, rtol=1e-8)(y, Physics(Matrix(A)))
    assert float((A @ x - y).norm()) < 1e-5
    slope = potential.grad(x)
    assert float((slope - A.T @ torch.linalg.lstsq(A.T, slope).solution).norm() / slope.norm()) < 1e-6
    assert error(u.prod(0), x) < 6e-3  # the drift of the invariants in steps of this length
    null = torch.linalg.svd(A).Vh[6:]
    other = x + 0.1 * normal(6, seed=4) @ null
    assert float(potential.value(other).sum()) > float(potential.value(x).sum())


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_invariants_drift_by_the_step_and_the_mirror_flow_keeps_them(depth):
    """(uⁱ)² - (uᴸ)² = δ^(2/L): descent leaves it in proportion to its step; the factors of x have it."""
    A, y = underdetermined()
    drift = []
    for step in (4e-4, 2e-4):
        u = descended(A, y, 0.5, depth, step, round(0.4 / step))
        drift.append(float((u[:-1] ** 2 - u[-1] ** 2 - 0.25).abs().max()))
        assert torch.allclose(u[0], u[-2])  # equal factors stay so
    assert 1.8 < drift[0] / drift[1] < 2.2
    potential = Hyperbolic(0.5**depth, depth=depth)
    x = u.prod(0)
    p = potential.factor(x)
    assert torch.allclose(0.5**depth * p * (1 + p**2) ** ((depth - 1) / 2), x, rtol=1e-12)
    assert error(0.5 * p, u[-1]) < 1e-2


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_flow_of_the_factors_is_the_mirror_flow(depth):
    """ẋ = -(Σ_j Π_{i≠j} (uⁱ)²) ∇F is -∇F/φ'': a short step of both."""
    A, y = underdetermined()
    u = descended(A, y, 0.5, depth, 1e-3, 200)
    x, g = u.prod(0), A.T @ (A @ u.prod(0) - y)
    speed = sum(torch.cat([u[:j], u[j + 1 :]]).prod(0) ** 2 for j in range(depth))
    assert error(speed, Hyperbolic(0.5**depth, depth=depth).inverse_hessian(x)) < 1e-2
    assert error(Hyperbolic(0.5**depth, depth=depth).step(x, 1e-6 * g) - x, -1e-6 * speed * g) < 1e-2


def test_deeper_factors_come_to_the_sparse_solution_sooner():
    """‖x‖₁ above that of the linear program, for the same δ."""
    A, y = underdetermined()
    both = torch.cat([A, -A], 1).numpy()
    least = scipy.optimize.linprog(torch.ones(24).numpy(), A_eq=both, b_eq=y.numpy()).fun
    above = []
    for depth in (2, 3):
        solver = MirrorDescent(potential=Hyperbolic(0.1, depth=depth), rtol=1e-6)
        above.append(float(solver(y, Physics(Matrix(A))).abs().sum()) / least - 1)
    assert 0.8 * above[0] > above[1] > -1e-6


def test_small_factors_find_the_sparse_solution():
    """‖x‖₁ falls with δ to the value of the linear program."""
    A, y = underdetermined()
    both = torch.cat([A, -A], 1).numpy()
    least = scipy.optimize.linprog(torch.ones(24).numpy(), A_eq=both, b_eq=y.numpy()).fun
    sizes = [
        float(MirrorDescent(potential=Hyperbolic(d), rtol=1e-6)(y, Physics(Matrix(A))).abs().sum())
        for d in (1.0, 1e-2, 1e-3)
    ]
    assert sizes[0] > sizes[1] > sizes[2] > least * (1 - 1e-6) and sizes[2] < 1.03 * least < 0.95 * sizes[0]
