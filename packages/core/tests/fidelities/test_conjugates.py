"""Conjugates without a closed form against ones that have it, and against numerical suprema."""

import math

import pytest
import torch
from scipy import optimize

from invcore import ParameterError
from invcore.fidelities import (
    L1,
    Composed,
    Fidelity,
    FunctionFidelity,
    Huber,
    LeastSquares,
    PoissonKL,
    StudentT,
)
from invcore.operators import Matrix, Space
from invcore.priors import L1 as L1Prior
from invcore.priors import TV, Lp, NonNegative, RelativeDifference, Tikhonov
from invcore_testsupport import normal

S = Space((4,))


@pytest.mark.parametrize(
    "f",
    [
        LeastSquares(sigma=0.3),
        LeastSquares(sigma=50.0),
        L1(scale=2.0),
        Huber(delta=0.2, sigma=0.7),
        PoissonKL(gain=0.2),
    ],
)
def test_of_fidelities_with_a_closed_form(f):
    y = normal(3, 4).abs() + 0.1
    p = 0.4 * normal(3, 4, seed=1).clamp(-1, 1) / torch.tensor([[1.0], [3.0], [1.0]])
    closed, numeric = f.conjugate(p, y, S), Fidelity.conjugate(f, p, y, S)
    assert torch.allclose(closed, numeric, rtol=1e-8, atol=1e-10)


def test_infinite_outside_the_domain():
    y, p = torch.zeros(2, 4, dtype=torch.float64), torch.full((2, 4), 0.9, dtype=torch.float64)
    p[1, 0] = 1.1
    assert Fidelity.conjugate(L1(), p, y, S).tolist() == [0.0, math.inf]
    assert L1Prior().conjugate(p, S, weight=1.0).tolist() == [0.0, math.inf]


@pytest.mark.parametrize("p", [1.2, 1.5, 2.0])
def test_of_a_power(p):
    """(w|x|ᵖ)*(u) = (w p)^(1 - q) |u|^q / q with 1/p + 1/q = 1."""
    u, w, q = normal(3, 4), 0.7, p / (p - 1)
    expected = ((w * p) ** (1 - q) * u.abs() ** q / q).sum(-1)
    assert torch.allclose(Lp(p=p).conjugate(u, S, weight=w), expected, rtol=1e-8)


def test_of_a_sum_by_scipy():
    prior = 0.5 * Tikhonov() + 0.3 * L1Prior() + NonNegative()
    u = normal(4)
    negative = lambda x: -(x @ u.numpy()) + 0.25 * (x @ x) + 0.3 * x.sum()
    best = -optimize.minimize(negative, [1.0] * 4, bounds=[(0, None)] * 4, options={"ftol": 1e-15}).fun
    assert float(prior.conjugate(u)) == pytest.approx(best, rel=1e-6)


def test_of_functions_and_behind_an_operator():
    f = FunctionFidelity(lambda u, y: (u - y).square().sum() ** 0.75, rtol=1e-10, max_steps=2000)
    u, p = normal(4), normal(4, seed=2)
    r = float(p.norm())  # sup_s r s - s^1.5
    s = (r / 1.5) ** 2
    assert float(f.conjugate(p, u)) == pytest.approx(float(p @ u) + r * s - s**1.5, rel=1e-6)
    A = Matrix(normal(6, 4))
    g, y = Composed(LeastSquares(sigma=0.5), A), normal(6, seed=3)
    M = A.matrix.double()
    x = torch.linalg.solve(M.T @ M / 0.25, p + M.T @ y / 0.25)
    assert float(g.conjugate(p, y)) == pytest.approx(
        float(p @ x - (M @ x - y).square().sum() / 0.5), rel=1e-7
    )


def test_total_variation_is_that_of_its_dual_ball():
    """g* is 0 for u = div q with |q| <= 1 and infinite where u has a mean."""
    g, q = TV(spatial_dims=1, rtol=1e-10, max_steps=20_000), 0.9 * torch.tensor([0.0, 1.0, -0.5, 0.3, 0.0])
    u = q.double().diff()[None]
    assert float(g.conjugate(u)) == pytest.approx(0.0, abs=1e-6)
    assert float(g.conjugate(u + 0.1)) == math.inf


def test_the_derivative_is_the_maximizer():
    prior, u = RelativeDifference(spatial_dims=1), normal(1, 4).requires_grad_()
    prior = Tikhonov() + 0.5 * Lp(p=1.5)
    assert torch.autograd.gradcheck(lambda u: prior.conjugate(u), (u,), atol=1e-6)


def test_what_is_not_convex_says_so():
    with pytest.raises(ParameterError, match="not convex"):
        StudentT().conjugate(torch.ones(1), torch.ones(1))
