"""A function of one's own and bounds: against scipy's L-BFGS-B, which keeps bounds otherwise."""

import numpy as np
import pytest
import scipy.optimize
import torch

from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Matrix
from invcore.priors import Box, FunctionPrior, NonNegative, Prior
from invcore.solvers import FISTA, Status
from invcore_testsupport import error, normal

F64 = torch.float64


def smooth(x):
    """A rounded total variation, whose curvature is up to 1/0.05."""
    return torch.sqrt((x[1:] - x[:-1]) ** 2 + 0.05**2).sum()


class Rounded(Prior):
    """The same with a gradient and no proximal operator."""

    def _value(self, x, space):
        return torch.sqrt((x[..., 1:] - x[..., :-1]) ** 2 + 0.05**2).sum(-1)

    def _grad(self, x, space):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self._value(x, space).sum(), x)[0]


def bounded(function, x, low, high):
    """scipy's minimizer, to the last digits that it gives."""

    def both(z):
        z = torch.tensor(z, dtype=F64, requires_grad=True)
        value = function(z)
        (slope,) = torch.autograd.grad(value, z)
        return float(value.detach()), slope.numpy()

    options = {"ftol": 1e-16, "gtol": 1e-12, "maxiter": 20_000, "maxfun": 100_000}
    found = scipy.optimize.minimize(
        both,
        np.clip(x.numpy(), low, high),
        jac=True,
        method="L-BFGS-B",
        bounds=[(low, high)] * len(x),
        options=options,
    )
    return torch.as_tensor(found.x)


@pytest.mark.parametrize("g", [FunctionPrior(smooth, rtol=1e-9), Rounded()])
@pytest.mark.parametrize(
    ("bound", "low", "high"), [(NonNegative(), 0.0, None), (Box(lower=-0.5, upper=0.3), -0.5, 0.3)]
)
def test_the_joint_prox_is_that_of_scipy(g, bound, low, high):
    x, steps = 0.7 * normal(3, 12, seed=4), torch.tensor([0.05, 0.4, 3.0], dtype=F64)
    joint = g + bound if isinstance(g, FunctionPrior) else type(g + bound)((g, bound), rtol=1e-9)
    found = joint.prox(x, 2 * steps, Matrix(torch.eye(12)).domain)
    for row, point, t in zip(found, x, steps):
        high_ = np.inf if high is None else high
        expected = bounded(
            lambda z, p=point, t=t: 2 * t * smooth(z) + (z - p).square().sum() / 2, point, low, high_
        )
        assert error(row, expected) < 1e-6
        assert float(row.min()) >= low and float(row.max()) <= high_


def test_fista_solves_a_function_with_bounds():
    A, y = normal(10, 12, seed=1), normal(10, seed=2)
    physics = Physics(Matrix(A), GaussianNoise(sigma=0.5))
    g = FunctionPrior(smooth) + NonNegative()
    solution = FISTA(prior=g, weight=2.0, rtol=1e-6).solve(y, physics)

    def objective(z):
        return (A @ z - y).square().sum() / (2 * 0.5**2) + 2 * smooth(z)

    expected = bounded(objective, torch.ones(12, dtype=F64), 0.0, np.inf)
    assert solution.status is Status.CONVERGED and float(solution.value.min()) == 0.0
    assert error(solution.value, expected) < 1e-4
    assert FISTA(prior=g).supports(physics)
