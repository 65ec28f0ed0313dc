"""Averaged sparsity: the frame against dense matrices, the prior against a generic solver."""

import math

import numpy as np
import pytest
import pywt
import torch
from scipy.optimize import minimize

from invcore import ShapeError
from invcore.operators import Space
from invcore_radio import Sara, SaraFrame
from invcore_radio._imaging.sara import DICTIONARY, Coefficients


def test_the_frame_is_parseval_entry_by_entry():
    frame = SaraFrame((1, 16, 16))
    dense = frame.dense(dtype=torch.float64)
    assert dense.shape == (9 * 256, 256)
    torch.testing.assert_close(dense.T @ dense, torch.eye(256, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(frame.H.dense(dtype=torch.float64), dense.T, atol=1e-12, rtol=0)


@pytest.mark.filterwarnings("ignore:Level value")
def test_the_bases_are_those_of_pywavelets():
    frame = SaraFrame((1, 32, 32), levels=2)
    x = torch.randn(1, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    coefficients = 3 * frame(x)
    torch.testing.assert_close(coefficients[0], x)
    for plane, name in zip(coefficients[1:], DICTIONARY[1:], strict=True):
        expected = pywt.wavedec2(x[0].numpy(), name, mode="periodization", level=2)
        values = np.sort(np.concatenate([expected[0].ravel(), *(b.ravel() for d in expected[1:] for b in d)]))
        np.testing.assert_allclose(np.sort(plane.numpy().ravel()), values, atol=1e-10)


def penalized_program(v, K, weights):
    """argmin over x >= 0 of Σ w|Kx| + ‖x - v‖²/2 by a generic solver, with a bound s for each |Kx|."""
    n, m = K.shape[1], K.shape[0]
    constraints = [
        {"type": "ineq", "fun": lambda z: z[n:] - K @ z[:n], "jac": lambda z: np.hstack([-K, np.eye(m)])},
        {"type": "ineq", "fun": lambda z: z[n:] + K @ z[:n], "jac": lambda z: np.hstack([K, np.eye(m)])},
    ]
    found = minimize(
        lambda z: weights @ z[n:] + ((z[:n] - v) ** 2).sum() / 2,
        np.concatenate([np.full(n, 0.5), np.full(m, 2.0)]),
        jac=lambda z: np.concatenate([z[:n] - v, weights]),
        bounds=[(0, None)] * n + [(None, None)] * m,
        constraints=constraints,
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    assert found.success, found.message
    return found.x[:n]


@pytest.mark.parametrize("weighted", [False, True])
def test_prox_is_that_of_a_generic_solver(weighted):
    generator = torch.Generator().manual_seed(3)
    v = torch.randn(1, 4, 4, generator=generator, dtype=torch.float64)
    bases = ("dirac", "db1", "db2")
    weights = torch.rand(3, 1, 4, 4, generator=generator, dtype=torch.float64) if weighted else None
    prior = Sara(bases=bases, weights=weights, rtol=1e-12, max_steps=5000)
    K = SaraFrame((1, 4, 4), bases=bases).dense(dtype=torch.float64).numpy()
    w = np.ones(48) if weights is None else weights.numpy().ravel()
    expected = penalized_program(v.numpy().ravel(), K, 0.2 * w)
    np.testing.assert_allclose(prior.prox(v, 0.2).numpy().ravel(), expected, atol=1e-5)


def test_the_conjugate_proximal_operator_obeys_moreau():
    generator = torch.Generator().manual_seed(0)
    c = torch.randn(2, 3, 1, 4, 5, generator=generator, dtype=torch.float64)
    space = Space((3, 1, 4, 5))
    weights = torch.rand(3, 1, 4, 5, generator=generator, dtype=torch.float64)
    for h in (Coefficients(), Coefficients(nonnegative=1), Coefficients(weights=weights, nonnegative=0)):
        step = torch.tensor([0.3, 2.0], dtype=torch.float64)
        s = step.reshape(2, 1, 1, 1, 1)
        expected = c - s * h.prox(c / s, 0.7 / step, space)
        projected = h.prox_conjugate(c, step, space, weight=0.7)
        torch.testing.assert_close(projected, expected)
        assert h.conjugate(projected, space, weight=0.7).tolist() == [0, 0]
        assert h.conjugate(projected + 1, space, weight=0.7).tolist() == [math.inf, math.inf]


def test_weights_of_another_shape_are_named():
    g = Sara(bases=("dirac", "db1"), weights=torch.ones(3, 1, 8, 8))
    with pytest.raises(ShapeError, match=r"Sara: weights .*; expected \(batch\.\.\., 2, 1, 8"):
        g.prox(torch.ones(1, 8, 8), 1.0)
