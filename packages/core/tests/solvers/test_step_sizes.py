"""One step size for each iteration."""

import pytest
import torch

from invcore import ParameterError
from invcore.solvers import ProximalGradient
from invcore_testsupport import error, physics_of

F64 = torch.float64


def test_steps_of_proximal_gradient_may_be_listed():
    """Steps of 1/L and then 1/2L on a diagonal problem, by hand."""
    d, y = torch.tensor([2.0, 1.0], dtype=F64), torch.tensor([2.0, 3.0], dtype=F64)
    expected = torch.zeros(2, dtype=F64)
    for size in (1.0, 0.5, 0.5):
        expected = expected - size / 4 * d * (d * expected - y)
    solver = ProximalGradient(step_size=(1.0, 0.5), max_steps=3, rtol=0.0)
    assert error(solver(y, physics_of(torch.diag(d))), expected) < 1e-12


@pytest.mark.parametrize("steps", [(), (1.0, 2.5), (0.0,)])
def test_each_step_must_lie_in_its_range(steps):
    with pytest.raises(ParameterError, match="between 0 and 2"):
        ProximalGradient(step_size=steps)


def test_backtracking_takes_no_list():
    with pytest.raises(ParameterError, match="backtracking"):
        ProximalGradient(step_size=(1.0, 0.5), backtracking=True)
