"""Sums and multiples of priors: against formulas, searches by scipy, and solvers that share no step."""

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear

from invcore import ParameterError, Physics
from invcore.noises import GaussianNoise
from invcore.operators import Identity, Space
from invcore.priors import L1, TV, Box, Lp, NonNegative, SumPrior, Tikhonov
from invcore.solvers import ADMM, FISTA, ChambollePock, CondatVu
from invcore_testsupport import error, normal

F64 = torch.float64
PAIR = {"rtol": 1e-11, "max_steps": 20_000}


def line(**options):
    return TV(spatial_dims=1, rtol=1e-11, max_steps=20_000, **options)


def fused(v, tv, l1, lower, ridge=0.0):
    """argmin over x ≥ lower of ½‖x - v‖² + tv Σ|x_{i+1} - x_i| + l1 Σ|x_i| + ridge ½‖x‖².

    x is the residual of a least-squares problem with bounds, the dual one, which scipy solves by active sets.
    """
    n, v = len(v), v / (1 + ridge)
    A = np.hstack([np.diff(np.eye(n), axis=0).T, np.eye(n), -np.eye(n)])
    high = np.concatenate([np.full(n - 1, tv), np.full(n, l1)]) / (1 + ridge) + 1e-12
    low = np.concatenate([-high, np.zeros(n)])
    high = np.concatenate([high, np.full(n, np.inf if lower == 0 else 1e-12)])
    found = lsq_linear(A, v, bounds=(low, high), method="bvls", tol=1e-14)
    return torch.as_tensor(v - A @ found.x)


@pytest.mark.parametrize("lower", [-np.inf, 0.0])
@pytest.mark.parametrize(("l1", "ridge"), [(0.0, 0.0), (0.2, 0.5)])
def test_prox_is_the_minimizer_that_active_sets_find(lower, l1, ridge):
    v = normal(8, seed=3)
    terms = [(0.4, line()), (l1, L1()), (ridge, Tikhonov())]
    if lower == 0:
        terms.append((1.0, NonNegative()))
    g = SumPrior(tuple(p for _, p in terms), tuple(w for w, _ in terms), **PAIR)
    assert error(g.prox(v[None], 1.0)[0], fused(v.numpy(), 0.4, l1, lower, ridge)) < 1e-5


def test_operators_make_sums_and_multiples():
    x = normal(1, 9)
    g = 0.5 * (L1() + 2.0 * line()) + Tikhonov()
    assert [type(p) for p in g.priors] == [L1, TV, Tikhonov] and g.weights == (0.5, 1.0, 1.0)
    expected = 0.5 * x.abs().sum() + x.diff().abs().sum() + x.square().sum() / 2
    assert error(g.value(x), expected) < 1e-14


def test_weights_may_differ_by_sample():
    x, w = normal(3, 1, 5), torch.tensor([0.1, 1.0, 3.0], dtype=F64)
    g, space = w * L1() + NonNegative(), Space((1, 5))
    for i in range(3):
        assert torch.equal(g.prox(x, 0.5, space)[i], (x[i] - 0.5 * w[i]).clamp_min(0))


def test_gradient_is_the_sum_of_the_gradients():
    x = normal(1, 9).requires_grad_()
    g = 0.3 * line(smoothing=0.2) + 2.0 * Tikhonov()
    (expected,) = torch.autograd.grad(g.value(x), x)
    assert error(g.grad(x.detach()), expected) < 1e-13
    with pytest.raises(ParameterError, match="NonNegative has no gradient"):
        (g + NonNegative()).grad(x)


@pytest.mark.parametrize("solver", [ChambollePock, CondatVu, ADMM, FISTA])
def test_solvers_keep_bounds_exactly_and_agree_with_active_sets(solver):
    v = normal(8, seed=3)
    g = SumPrior((line(), L1(), NonNegative()), (0.4, 0.2, 1.0), **PAIR)
    x = solver(prior=g, weight=1.0, rtol=1e-9)(v[None], Physics(Identity((1, 8))))[0]
    assert bool((x >= 0).all()) and bool((x == 0).any())
    assert error(x, fused(v.numpy(), 0.4, 0.2, 0.0)) < 1e-5


def test_a_sum_is_equivariant_to_the_unit_of_the_data():
    """Data beyond 1e6 are solved in another unit: terms of degree 1 and 2 change by other factors there."""
    y, big = normal(1, 12, seed=4), 2.0**40
    small = ChambollePock(prior=0.3 * line() + 0.7 * Tikhonov() + NonNegative(), weight=1.0, rtol=1e-9)
    large = ChambollePock(prior=0.3 * big * line() + 0.7 * Tikhonov() + NonNegative(), weight=1.0, rtol=1e-9)
    physics = Physics(Identity(domain=Space((1, 12))))
    assert error(large(big * y, physics) / big, small(y, physics)) < 1e-8


def test_automatic_weight_sees_past_bounds_and_multiples():
    physics = Physics(Identity(domain=Space((1, 64))), GaussianNoise(sigma=0.1))
    y = normal(1, 64).cumsum(-1) / 4
    alone = line().suggested_weight(y, physics).value
    assert error((2.0 * line() + NonNegative()).suggested_weight(y, physics).value, alone / 2) < 1e-12
    assert (
        NonNegative().suggested_weight(y, physics).value
        == (NonNegative() + Box()).suggested_weight(y, physics).value
    )
    both = (line() + line()).suggested_weight(y, physics).value
    assert error(both, line().suggested_weight(y, physics).value / 2) < 1e-12
    with pytest.raises(ParameterError, match="weight=<number>"):
        (line() + Tikhonov()).suggested_weight(y, physics)


def test_where_no_prox_is_known_the_error_names_the_solvers_that_can():
    x = normal(1, 8, 8)
    g = TV() + Lp(p=1.5) + NonNegative()
    with pytest.raises(ParameterError, match="'chambolle_pock', 'condat_vu' or 'admm'"):
        g.prox(x, 1.0)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_multiple_must_be_finite_and_not_negative(weight):
    with pytest.raises(ParameterError, match="finite number >= 0"):
        weight * L1()
