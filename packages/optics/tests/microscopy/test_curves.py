"""Blurred polylines against quadrature, and a curve that slides to its place."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import invcore
from invcore_optics import Curves


def test_a_segment_is_the_integral_of_the_psf():
    """Gauss-Legendre quadrature of 40 points on each of two segments."""
    x = torch.tensor([[[2.0, 1.0, 2.0], [6.0, 3.5, 2.0], [4.0, 7.0, 2.0]]], dtype=torch.float64)
    sigma = 1.3
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(40))
    rows, columns = torch.arange(9.0).double()[:, None], torch.arange(8.0).double()
    image = torch.zeros(9, 8, dtype=torch.float64)
    for p, q in zip(x[0, :-1, :2], x[0, 1:, :2]):
        for s, w in zip((nodes + 1) / 2, weights / 2):
            y0, x0 = p + s * (q - p)
            spot = torch.exp(-((rows - y0) ** 2 + (columns - x0) ** 2) / (2 * sigma**2))
            image += 2.0 * (q - p).norm() * w * spot / (2 * math.pi * sigma**2)
    A = Curves((9, 8), curves=1, vertices=3, sigma=sigma)
    assert torch.allclose(A(x)[0], image, atol=1e-12)
    assert float(A.length(x)) == pytest.approx(math.hypot(4, 2.5) + math.hypot(2, 3.5))


def test_all_light_of_a_curve_inside_the_image():
    A = Curves((40, 40), curves=1, vertices=2, sigma=1.5)
    x = torch.tensor([[[15.0, 15.0, 3.0], [25.0, 20.0, 3.0]]], dtype=torch.float64)
    assert float(A(x).sum()) == pytest.approx(3 * math.hypot(10, 5), rel=1e-6)


def test_a_curve_slides_to_an_arc():
    """From a straight guess some pixels off, by L-BFGS with a spring between the vertices."""
    n, count = 48, 12
    A = Curves((n, n), curves=1, vertices=count, sigma=2.0)
    fine = Curves((n, n), curves=1, vertices=200, sigma=2.0)

    def arc(turns):
        return torch.stack((24 - 15 * turns.sin(), 24 - 15 * turns.cos(), torch.ones_like(turns)), -1)

    t = torch.linspace(0.4, 2.6, 200, dtype=torch.float64)
    y = fine(arc(t)[None])
    start = arc(torch.linspace(0.6, 2.4, count, dtype=torch.float64))
    start[:, 0] += 4.0

    def loss(flat):
        x = torch.from_numpy(flat).reshape(1, count, 3).requires_grad_()
        steps = x[0, :, :2].diff(dim=0).norm(dim=-1)
        value = 0.5 * (A(x) - y).square().sum() + 1e-4 * ((steps / steps.mean() - 1) ** 2).sum()
        value.backward()
        return float(value.detach()), x.grad.numpy().ravel()

    found = minimize(loss, start.numpy().ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    found = torch.from_numpy(found).reshape(1, count, 3)
    share = torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]
    dense = torch.cat([p + share * (q - p) for p, q in zip(found[0, :-1, :2], found[0, 1:, :2])])
    off = torch.cdist(dense, arc(t)[:, :2]).amin(1)
    assert float(off.mean()) < 0.2
    assert float(A.length(found)) == pytest.approx(15 * 2.2, rel=0.02)


def test_wrong_input_is_refused():
    with pytest.raises(invcore.ParameterError, match="vertices"):
        Curves((4, 4), curves=1, vertices=1, sigma=1.0)
    with pytest.raises(invcore.ParameterError, match="sigma"):
        Curves((4, 4), curves=1, vertices=2, sigma=0.0)
