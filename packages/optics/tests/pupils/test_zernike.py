"""Zernike polynomials against the published lists, orthonormality and closed forms."""

import math

import pytest
import torch

from invcore import ParameterError
from invcore_optics import zernike, zernike_index, zernike_indices, zernike_name

NOLL = [(0, 0), (1, 1), (1, -1), (2, 0), (2, -2), (2, 2), (3, -1), (3, 1), (3, -3), (3, 3), (4, 0)]
NOLL += [(4, 2), (4, -2), (4, 4), (4, -4), (5, 1), (5, -1), (5, 3), (5, -3), (5, 5), (5, -5), (6, 0)]
ANSI = [(0, 0), (1, -1), (1, 1), (2, -2), (2, 0), (2, 2), (3, -3), (3, -1), (3, 1), (3, 3), (4, -4)]


def test_orders_are_the_published_ones():
    assert [zernike_indices(j + 1) for j in range(22)] == NOLL
    assert [zernike_indices(j, order="ansi") for j in range(11)] == ANSI
    for order in ("noll", "ansi"):
        assert all(zernike_index(*zernike_indices(j, order=order), order=order) == j for j in range(1, 60))


def disk(radial=40, angular=64):
    """Gauss-Legendre nodes in r², equidistant ones in the angle: exact for polynomials of degree 63."""
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(radial)
    r = torch.from_numpy(np.sqrt((nodes + 1) / 2))
    t = torch.arange(angular, dtype=torch.float64) * (2 * math.pi / angular)
    area = torch.from_numpy(weights)[:, None] / 2 / angular
    return r[:, None] * t.sin(), r[:, None] * t.cos(), area


def test_orthonormal_over_the_disk():
    y, x, area = disk()
    Z = zernike(tuple(range(1, 67)), y, x)  # up to degree 10
    gram = torch.einsum("ars,brs,rs->ab", Z, Z, area.expand_as(y))
    torch.testing.assert_close(gram, torch.eye(66, dtype=torch.float64), rtol=0, atol=1e-12)


def test_closed_forms():
    y, x, _ = disk(5, 7)
    r, t = torch.hypot(y, x), torch.atan2(y, x)
    expected = {
        4: 3**0.5 * (2 * r**2 - 1),
        5: 6**0.5 * r**2 * torch.sin(2 * t),
        7: 8**0.5 * (3 * r**3 - 2 * r) * torch.sin(t),
        11: 5**0.5 * (6 * r**4 - 6 * r**2 + 1),
    }
    for j, z in expected.items():
        torch.testing.assert_close(zernike(j, y, x), z, rtol=1e-12, atol=1e-13)


def test_a_high_degree_stays_bounded():
    r = torch.linspace(0, 1, 200, dtype=torch.float64)
    Z = zernike(zernike_index(60, 0), torch.zeros_like(r), r)
    legendre = torch.special.legendre_polynomial_p(2 * r**2 - 1, 30)
    torch.testing.assert_close(Z, 61**0.5 * legendre, rtol=0, atol=1e-10)


def test_names():
    assert zernike_name(0, order="ansi") == "piston"
    assert zernike_name(2) == "horizontal tilt"
    assert zernike_name(6) == "vertical astigmatism"
    assert zernike_name(9) == "vertical trefoil"
    assert zernike_name(12) == "secondary vertical astigmatism"
    assert zernike_name(zernike_index(9, 9)) == "Zernike n=9, m=9"


@pytest.mark.parametrize("bad", [0, -1, 1.5, True])
def test_impossible_index(bad):
    with pytest.raises(ParameterError, match="whole number >= 1"):
        zernike_indices(bad)


def test_impossible_degree():
    with pytest.raises(ParameterError, match="parity"):
        zernike_index(3, 2)
    with pytest.raises(ParameterError, match="'noll' or 'ansi'"):
        zernike_indices(3, order="fringe")
