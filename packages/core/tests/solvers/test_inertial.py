"""Inertial methods against powers of a matrix, finite stopping, and saddles they avoid."""

import itertools
import math

import pytest
import torch

from invcore import LinearOperator, Operator, ParameterError, Physics
from invcore.operators import Mask, Matrix, Space
from invcore.solvers import Inertial, ProximalGradient, Status
from invcore_testsupport import error, normal

F64 = torch.float64


@pytest.mark.parametrize("form", ["explicit", "implicit"])
def test_on_a_parabola_the_iterates_are_powers_of_a_matrix(form):
    """½ξx² with L = ξ: x_{k+1} = (1 + α - b - s)x_k - (α - b)x_{k-1}, lengths in units of 1/ξ."""
    gamma, beta, h, xi = 0.3, 0.5, 0.5, 7.0
    alpha = 1 / (1 + gamma * h)
    s = h**2 * alpha
    b = beta * h * alpha if form == "explicit" else s * beta / h
    companion = torch.tensor([[1 + alpha - b - s, b - alpha], [1, 0]], dtype=F64)
    expected = torch.linalg.matrix_power(companion, 30) @ torch.ones(2, dtype=F64)
    physics = Physics(Matrix(torch.tensor([[xi**0.5]], dtype=F64)))
    start = torch.ones(1, dtype=F64)
    solution = Inertial(form=form, rtol=0.0, max_steps=30).solve(torch.zeros(1, dtype=F64), physics, x0=start)
    assert abs(float(solution.value) - float(expected[0])) < 1e-14


class Valley(Operator):
    """(x₁² - 1, √2 x₂): ½|A(x)|² has minima at (±1, 0) and a saddle between them."""

    domain = Space((2,))
    range = Space((2,))

    def forward(self, x):
        return torch.stack([x[..., 0] ** 2 - 1, 2**0.5 * x[..., 1]], -1)


@pytest.mark.parametrize("form", ["explicit", "implicit", "dry"])
def test_no_start_ends_at_the_saddle(form):
    x0 = 0.5 * normal(50, 2)
    x0[:5, 0] = 1e-3
    solution = Inertial(form=form, rtol=1e-6).solve(torch.zeros(50, 2, dtype=F64), Physics(Valley()), x0=x0)
    assert solution.status is Status.CONVERGED
    assert float((solution.value[:, 0].abs() - 1).abs().max()) < 1e-4


def test_dry_friction_loses_energy_and_stops_for_good():
    """F + ‖v‖²/2 falls in each step; the particle rests exactly, where ‖∇F‖ ≤ r."""
    rtol, energies = 1e-3, []
    x0 = torch.tensor([0.3, 0.8], dtype=F64)
    solver = Inertial(form="dry", rtol=rtol)

    def watch(k, problem, state):
        speed = state.moved / (0.5 / state.L.sqrt())
        energies.append(float(problem.objective(state.x) + speed.square().sum() / 2))

    solution = solver.solve(torch.zeros(2, dtype=F64), Physics(Valley()), x0=x0, callback=watch)
    assert solution.status is Status.CONVERGED
    assert all(b <= a for a, b in itertools.pairwise(energies))
    problem, state = solution.problem, solution.state
    for _ in range(300):
        state = solver.step(problem, state)
    assert not state.moved.any() and float(state.g.norm()) <= rtol * float(state.size)


def test_friction_tuned_to_the_least_curvature_preconditions():
    """Steps to 1e-6 grow with √(L/μ): slope in log-log of 0.5, with hardly any Hessian damping."""
    steps = []
    for kappa in (1e-1, 1e-3):
        d = torch.logspace(math.log10(kappa), 0, 40, dtype=F64).sqrt()
        solver = Inertial(friction=2 * kappa**0.5, hessian=0.05, rtol=1e-6)
        solution = solver.solve(d * normal(40, seed=2), Physics(Mask(d, domain=(40,))))
        assert solution.status is Status.CONVERGED
        steps.append(int(solution.stats["steps"]))
    assert 0.35 < math.log10(steps[1] / steps[0]) / 2 < 0.6


def test_a_network_of_one_trained_layer_ends_at_the_nearest_solution():
    """x = Wφ, W trained on one measurement: x_0 + A⁺(y - Ax_0), at the rate 1 - s|φ|²σ_min(A)² a step."""
    A, phi, first = normal(4, 9, seed=1), normal(5, seed=2), normal(9, 5, seed=3)
    y = normal(4, seed=4)
    physics = Physics(Matrix(A) @ LinearOperator.from_function(lambda W: W @ phi.to(W), (9, 5)))
    misfits = []
    solver = ProximalGradient(rtol=0.0, max_steps=1000)
    solution = solver.solve(
        y, physics, x0=first, callback=lambda k, p, s: misfits.append(float((A @ (s.x @ phi) - y).norm()))
    )
    x0 = first @ phi
    assert error(solution.value @ phi, x0 + torch.linalg.pinv(A) @ (y - A @ x0)) < 1e-10
    step = 1 / float(physics.operator.norm()) ** 2
    rate = 1 - step * float(phi @ phi) * float(torch.linalg.svdvals(A)[-1]) ** 2
    start = next(k for k, m in enumerate(misfits) if m < 1e-4)
    assert abs((misfits[start + 20] / misfits[start]) ** (1 / 20) - rate) < 1e-4


def test_damping_by_the_hessian_calms_oscillations():
    matrix = torch.linalg.qr(normal(20, 10)).Q * torch.linspace(0.1, 1, 10, dtype=F64)
    y = matrix @ normal(10, seed=1)
    steps = [
        int(Inertial(hessian=b, rtol=1e-6).solve(y, Physics(Matrix(matrix))).stats["steps"])
        for b in (0.0, 0.5)
    ]
    assert steps[1] < steps[0]
    assert error(Inertial(rtol=1e-8)(y, Physics(Matrix(matrix))), normal(10, seed=1)) < 1e-6
    with pytest.raises(ParameterError, match="not stable"):
        Inertial(hessian=8.0)
