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


def test_hyperbolic_is_consistent():
    potential, x, z = Hyperbolic(0.3), normal(50).requires_grad_(), normal(50, seed=1)
    (slope,) = torch.autograd.grad(potential.value(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), x)
    x, slope = x.detach(), slope.detach()
    assert torch.allclose(potential.grad(x), slope)
    assert torch.allclose(potential.grad_conjugate(slope), x)
    assert torch.allclose(potential.inverse_hessian(x) * second, torch.ones_like(x))
    move = 0.3 * normal(50, seed=2)
    assert torch.allclose(potential.step(x, move), potential.grad_conjugate(slope - move))
    assert torch.allclose(potential.slope_change(x, z), (slope - potential.grad(z)) * (x - z))
    with pytest.raises(ParameterError, match="delta must be positive"):
        Hyperbolic(0.0)


def test_the_limit_is_that_of_gradient_descent_on_two_factors():
    """u = α√2, v = 0, short steps: x = u ⊙ v ends where mirror descent does; ∇φ of it is in range(Aᵀ)."""
    A, y = underdetermined()
    alpha = 0.3
    u = torch.full((12,), alpha * 2**0.5, dtype=F64)
    v = torch.zeros(12, dtype=F64)
    for _ in range(10_000):
        g = A.T @ (A @ (u * v) - y)
        u, v = u - 4e-3 * v * g, v - 4e-3 * u * g
    potential = Hyperbolic(2 * alpha**2)
    x = MirrorDescent(potential=potential, rtol=1e-11)(y, Physics(Matrix(A)))
    assert float((A @ x - y).norm()) < 1e-7
    slope = potential.grad(x)
    assert float((slope - A.T @ torch.linalg.lstsq(A.T, slope).solution).norm() / slope.norm()) < 1e-7
    assert error(u * v, x) < 3e-3  # the drift of u² - v² in steps of this length


def test_small_factors_find_the_sparse_solution():
    """‖x‖₁ falls with δ to the value of the linear program."""
    A, y = underdetermined()
    both = torch.cat([A, -A], 1).numpy()
    least = scipy.optimize.linprog(torch.ones(24).numpy(), A_eq=both, b_eq=y.numpy()).fun
    sizes = [
        float(MirrorDescent(potential=Hyperbolic(d), rtol=1e-6)(y, Physics(Matrix(A))).abs().sum())
        for d in (1.0, 1e-2, 1e-4)
    ]
    assert sizes[0] > sizes[1] > sizes[2] > least * (1 - 1e-6) and sizes[2] < 1.03 * least < 0.95 * sizes[0]
