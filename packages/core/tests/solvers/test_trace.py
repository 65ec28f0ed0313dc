"""Metrics against a reference while a solver runs."""

import pytest
import torch

from invcore import ParameterError, Physics
from invcore.metrics import NMSE
from invcore.operators import Matrix
from invcore.priors import L1
from invcore.solvers import FISTA, Trace
from invcore_testsupport import normal


def test_what_is_recorded_are_the_metrics_of_the_iterates():
    A, x = Matrix(normal(8, 5)), normal(2, 5, seed=1)
    solver, seen = FISTA(prior=L1(), weight=0.1, max_steps=20, rtol=0.0), []
    trace = Trace(
        solver, {"nmse": NMSE(spatial_dims=1), "norm": lambda a, b: (a - b).norm(dim=-1)}, x, every=3
    )

    def both(k, problem, state):
        seen.append(solver.value(problem, state).clone())
        trace(k, problem, state)

    solver.solve(A(x), Physics(A), callback=both)
    expected = [(v - x).norm(dim=-1) for v in seen[::3]]
    assert torch.equal(torch.stack(trace.values["norm"]), torch.stack(expected)) and len(expected) == 7


def test_in_the_units_of_the_user():
    A, x = Matrix(1e-12 * normal(8, 5)), 1e9 * normal(5, seed=1)
    solver = FISTA(weight=0.0, max_steps=2000, rtol=1e-10)
    trace = Trace(solver, {"largest": lambda a, b: (a - b).abs().max() / b.abs().max()}, x)
    solver.solve(A(x), Physics(A), callback=trace)
    assert float(trace.values["largest"][-1]) < 1e-3


def test_wrong_use_is_refused():
    with pytest.raises(ParameterError, match="callables by name"):
        Trace(FISTA(), {"mae": 3}, torch.zeros(1))
