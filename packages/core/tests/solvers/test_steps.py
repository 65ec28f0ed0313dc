"""``solve(steps=n)`` takes exactly n steps."""

import pytest
import torch

from invcore import ParameterError, Physics
from invcore.operators import Identity, Matrix
from invcore.priors import L1
from invcore.solvers import ADMM, FISTA, ConjugateGradient, ProximalGradient


@pytest.mark.parametrize(
    "solver", [FISTA(prior=L1(), weight=2.0), ADMM(prior=L1(), weight=2.0)], ids=["fista", "admm"]
)
@pytest.mark.parametrize("batch", [(), (3,)])
def test_all_are_taken_where_nothing_moves(solver, batch):
    y = torch.ones(*batch, 4)  # the threshold exceeds the data: the solution is zero at once
    found = solver.solve(y, Physics(Identity((4,))), steps=30)
    assert (found.stats["steps"] == 30).all() and found.stats["change"].shape == (30, *batch)
    assert (solver.solve(y, Physics(Identity((4,)))).stats["steps"] < 30).all()


def test_gradient_steps_are_those_of_the_recursion():
    A = torch.tensor([[2.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    y = torch.tensor([1.0, 3.0], dtype=torch.float64)
    physics = Physics(Matrix(A))
    x, t = torch.zeros(2, dtype=torch.float64), 1 / physics.operator.norm() ** 2
    for _ in range(3):
        x = x - t * A.T @ (A @ x - y)
    found = ProximalGradient(max_steps=1).solve(y, physics, steps=3).value
    torch.testing.assert_close(found, x)
    assert torch.equal(
        ProximalGradient().solve(y, physics, steps=0).value, torch.zeros(2, dtype=torch.float64)
    )


def test_a_solver_that_is_exact_before_stays_finite():
    y = torch.tensor([1.0, 3.0], dtype=torch.float64)
    solution = ConjugateGradient(weight=1.0).solve(y, Physics(Identity((2,))), steps=6)
    torch.testing.assert_close(solution.value, y / 2)


@pytest.mark.parametrize("steps", [-1, 2.5])
def test_steps_that_are_no_number_of_steps_are_refused(steps):
    with pytest.raises(ParameterError, match="steps must be a whole number >= 0"):
        FISTA().solve(torch.ones(2), Physics(Identity((2,))), steps=steps)
