"""Smooth solvers resume from a checkpoint to the same bits, and warn of derivatives without convergence."""

import dataclasses

import pytest
import torch

from invcore import ConvergenceWarning, Physics
from invcore.noises import GaussianNoise
from invcore.operators import Matrix, stack
from invcore.priors import L1
from invcore.solvers import (
    CGLS,
    IRLS,
    LBFGS,
    OSEM,
    SAGA,
    SIRT,
    SVRG,
    BurgEntropy,
    GaussNewton,
    GradientDescent,
    LevenbergMarquardt,
    MirrorDescent,
    RichardsonLucy,
)

SOLVERS = [
    GradientDescent(),
    LBFGS(),
    CGLS(discrepancy=None),
    GaussNewton(inner_rtol=0.1),
    LevenbergMarquardt(inner_rtol=0.1),
    SIRT(),
    RichardsonLucy(),
    OSEM(),
    MirrorDescent(prior=L1(), weight=0.1),
    MirrorDescent(potential=BurgEntropy()),
    SAGA(),
    SVRG(prior=L1(), weight=0.1),
    IRLS(weight=0.1),
]


def stacked():
    g = torch.Generator().manual_seed(0)
    matrix = torch.rand(12, 5, dtype=torch.float64, generator=g) + torch.eye(12, 5, dtype=torch.float64)
    y = (1 + torch.rand(2, 5, dtype=torch.float64, generator=g)) @ matrix.T
    A = stack([Matrix(part) for part in matrix.split(6)])
    return tuple(y.split(6, dim=-1)), Physics(A, GaussianNoise(sigma=0.1))


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
def test_a_solve_that_was_killed_resumes_to_the_same_bits(solver, tmp_path):
    y, physics = stacked()
    solver = dataclasses.replace(solver, rtol=0.0, max_steps=10)
    expected = solver.solve(y, physics).value

    def kill(k, problem, state):
        if k == 3:
            raise KeyboardInterrupt

    options = {"checkpoint": tmp_path / "run.h5", "checkpoint_every": 0.0}
    with pytest.raises(KeyboardInterrupt):
        solver.solve(y, physics, callback=kill, **options)
    taken = []
    resumed = solver.solve(
        y, physics, callback=lambda k, problem, state: taken.append(k) and False, **options
    )
    assert taken[0] == 3 and torch.equal(resumed.value, expected)


@pytest.mark.parametrize(
    "solver",
    [GradientDescent(), LBFGS(), GaussNewton(inner_rtol=0.1), MirrorDescent()],
    ids=lambda s: type(s).__name__,
)
def test_implicit_derivatives_of_what_did_not_converge_warn(solver):
    y, physics = stacked()
    y = tuple(part.requires_grad_() for part in y)
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        dataclasses.replace(solver, rtol=1e-12, max_steps=2).solve(y, physics, differentiate="implicit")
