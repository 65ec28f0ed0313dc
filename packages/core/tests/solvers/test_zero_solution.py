"""Where the solution is zero and the start is not, the stopping test has no image to be relative to."""

import pytest
import torch

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Matrix
from invcore.priors import Tikhonov
from invcore.solvers import MirrorDescent
from invcore_testsupport import normal

WITH_PRIOR = ["pgd", "fista", "pogm", "hqs", "cg", "auto", "admm", "chambolle_pock"]


def zero_data(dtype, batch=()):
    return Physics(Matrix(normal(20, 12, dtype=dtype)), GaussianNoise(sigma=0.1)), torch.zeros(
        *batch, 20, dtype=dtype
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", WITH_PRIOR)
def test_data_of_zero_are_solved_from_any_start(name, dtype):
    physics, y = zero_data(dtype)
    solution = invcore.solver(name, prior=Tikhonov(), weight=1.0).solve(
        y, physics, x0=normal(12, dtype=dtype)
    )
    assert solution.status.name == "CONVERGED" and int(solution.stats["steps"]) < 1500
    assert float(solution.value.norm()) < 1e-3


@pytest.mark.parametrize("solver", [invcore.solver("cgls"), invcore.solver("auto"), MirrorDescent()])
def test_without_a_prior(solver):
    physics, y = zero_data(torch.float64)
    solution = solver.solve(y, physics, x0=normal(12))
    assert solution.status.name == "CONVERGED" and float(solution.value.norm()) < 1e-10


@pytest.mark.parametrize("name", ["cg", "cgls", "pgd"])
def test_a_batch_with_one_sample_of_zero(name):
    physics, _ = zero_data(torch.float64)
    options = {"discrepancy": None} if name == "cgls" else {"weight": 0.0}
    A, solver = physics.operator, invcore.solver(name, rtol=1e-10, **options)
    x = normal(2, 12, seed=4) * torch.tensor([[1.0], [0.0]])
    found = solver.solve(A(x), physics, x0=normal(2, 12, seed=5)).value
    assert torch.allclose(found[0], x[0], atol=1e-6) and float(found[1].norm()) < 1e-6


def test_a_start_far_too_large_costs_no_accuracy():
    physics, _ = zero_data(torch.float64)
    x = normal(12, seed=4)
    found = invcore.solver("pgd", weight=0.0, rtol=1e-9).solve(
        physics.operator(x), physics, x0=1e6 * normal(12)
    )
    assert torch.allclose(found.value, x, rtol=1e-5, atol=1e-6)
