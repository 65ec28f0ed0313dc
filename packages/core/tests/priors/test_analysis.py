"""A prior behind any operator: against total variation, and active sets of the dual problem."""

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear

from invcore import ParameterError, Physics, ShapeError
from invcore.operators import Differences, Identity, Matrix, Space
from invcore.priors import L1, TV, Analysis, Box, GroupL12, NonNegative
from invcore.solvers import ADMM, ChambollePock, CondatVu
from invcore_testsupport import error, normal, physics_of

ACCURATE = {"rtol": 1e-10, "max_steps": 50_000}


def active_sets(v, K, t):
    """argmin of ½‖x - v‖² + t‖Kx‖₁: v - Kᵀp with |p| ≤ t, by scipy."""
    p = lsq_linear(K.numpy().T, v.numpy(), bounds=(-t, t), method="bvls", tol=1e-14).x
    return v - K.T @ torch.as_tensor(p)


def test_prox_is_the_residual_of_the_dual_problem():
    K, v = normal(6, 9, seed=1), normal(9, seed=2)
    assert error(Analysis(L1(), Matrix(K), **ACCURATE).prox(v, 0.3), active_sets(v, K, 0.3)) < 1e-8


@pytest.mark.parametrize("solver", [ChambollePock, CondatVu, ADMM])
def test_solvers_that_split_find_the_same(solver):
    K, v = normal(6, 9, seed=1), normal(9, seed=2)
    prior = Analysis(L1(), Matrix(K))
    assert error(solver(prior=prior, weight=0.3, rtol=1e-10)(v, physics_of(torch.eye(9, dtype=K.dtype))),
                 active_sets(v, K, 0.3)) < 1e-8  # fmt: skip


def test_total_variation_is_one_of_them():
    x, D = normal(1, 6, 7), Differences((1, 6, 7))
    g = Analysis(GroupL12(dims=(-4, -3)), D, **ACCURATE)
    tv = TV(rtol=1e-11, max_steps=20_000)
    assert error(g.value(x), tv.value(x)) < 1e-14
    assert error(g.prox(x, 0.4), tv.prox(x, 0.4)) < 1e-7


def test_operators_behind_each_other_are_composed():
    K = Matrix(normal(12, 12, seed=1))
    inner = Analysis(L1(), Matrix(normal(5, 12, seed=2)))
    joint, h = Analysis(inner, K).split(K.domain)
    assert error(joint.dense(), inner.K.dense() @ K.dense()) < 1e-14 and isinstance(h, L1)
    assert Analysis(L1(), K).parts(K.domain)[0].operator is K


def test_a_step_from_where_the_last_one_ended_is_the_same_step():
    K, v = normal(6, 9, seed=1), normal(9, seed=2)
    g, space = Analysis(L1(), Matrix(K), **ACCURATE) + NonNegative(), Space((9,))
    with torch.no_grad():
        first, memory = g.warm_prox(v, 0.3, space, g.memory(v, space))
        again, _ = g.warm_prox(v, 0.3, space, memory)
    assert error(again, first) < 1e-4 and error(again, g.prox(v, 0.3)) < 1e-4


def test_an_indicator_behind_an_operator_has_no_gap_and_says_who_can():
    K, v = normal(6, 9, seed=1), 3 * normal(9, seed=2)
    g = Analysis(Box(lower=-0.5, upper=0.5), Matrix(K))
    with pytest.raises(ParameterError, match="'chambolle_pock', 'condat_vu' or 'admm'"):
        g.prox(v, 1.0)
    x = ChambollePock(prior=g, weight=1.0, rtol=1e-10)(v, physics_of(torch.eye(9, dtype=K.dtype)))
    # the projection onto -½ ≤ Kx ≤ ½ is v - Kᵀp; p has the sign of the side that Kx lies at, or is zero
    p = np.linalg.lstsq(K.T.numpy(), (v - x).numpy(), rcond=None)[0]
    Kx = (K @ x).numpy()
    assert np.abs(Kx).max() < 0.5 + 1e-7 and np.abs(K.T.numpy() @ p - (v - x).numpy()).max() < 1e-7
    assert (np.abs(p * (np.abs(Kx) - 0.5)) < 1e-6).all() and (p * Kx > -1e-7).all()


def test_images_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match="expected shape"):
        ChambollePock(prior=Analysis(L1(), Identity((3,))))(torch.ones(4), Physics(Identity((4,))))
