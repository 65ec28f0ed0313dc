"""Trajectories and densities against published angles, areas and the transform of a Gaussian."""

import math

import pytest
import torch

from invcore import ParameterError
from invcore_mri import NUFFTSense, radial, radial_density, spiral


@pytest.mark.parametrize(
    ("options", "degrees"),
    [
        ({}, 180 / 5),
        ({"order": "golden"}, 111.246118),
        ({"order": "tiny"}, 23.628147),
        ({"order": "tiny", "tiny": 1}, 111.246118),
    ],
)
def test_spokes_are_at_the_published_angles(options, degrees):
    k = radial(5, 8, 16, **options)
    assert k.shape == (5, 8, 2)
    angles = torch.rad2deg(torch.atan2(k[:, -1, 1], k[:, -1, 0]))
    away = (angles - degrees * torch.arange(5) + 180) % 360 - 180
    torch.testing.assert_close(away, torch.zeros(5), atol=1e-3, rtol=0)
    torch.testing.assert_close(k.norm(dim=-1)[2], torch.tensor([8.0, 6, 4, 2, 0, 2, 4, 6]))


def test_turns_of_a_spiral_are_a_field_of_view_apart():
    k = spiral(4, 1601, 32).double()  # 4 turns each, 400 samples a turn
    radius = k.norm(dim=-1)
    torch.testing.assert_close(radius[0, ::400].diff(), torch.full((4,), 4.0).double())
    # where interleaf 0 crosses the first axis, a quarter of a turn of each other interleaf lies between
    crossings = torch.cat([radius[j, (400 - 100 * j) % 400 :: 400] for j in range(4)]).sort().values
    torch.testing.assert_close(crossings.diff()[3:], torch.ones(len(crossings) - 4).double())
    assert spiral(2, 100, 32, turns=3)[..., 0].abs().max() <= 16


@pytest.mark.parametrize("order", ["uniform", "golden", "tiny"])
def test_areas_of_samples_fill_the_disc(order):
    n, spokes = 64, 21
    area = radial_density(radial(spokes, n, n, order=order)).double()
    # -n/2 to n/2 - 1: rings of radius up to n/2 - 1 are met twice, that of n/2 once
    inside = math.pi * (n / 2 - 0.5) ** 2
    outermost = math.pi * n / 2
    assert float(area.sum()) == pytest.approx(inside + outermost, rel=2e-4)  # but for π/4 - π/6


@pytest.mark.parametrize("order", ["uniform", "golden"])
@pytest.mark.parametrize(("oversampled", "allowed"), [(2, 4e-3), (4, 2.5e-4)])  # fourth order in the step
def test_gridding_by_the_area_of_samples_inverts_the_transform(order, oversampled, allowed):
    n, width = 32, 3.0
    r = torch.arange(n, dtype=torch.float64) - n // 2
    x = torch.exp(-(r[:, None] ** 2 + r**2) / (2 * width**2)).to(torch.complex128)
    k = radial(89, oversampled * n, n, order=order).double()
    # the transform of the Gaussian, analytically: one pixel is 1 / n of the field of view
    y = 2 * math.pi * width**2 / n * torch.exp(-2 * (math.pi * width / n) ** 2 * k.square().sum(-1))
    w = radial_density(k).flatten()
    A = NUFFTSense(torch.ones(1, n, n, dtype=torch.complex128), k.flatten(0, 1), weights=w.sqrt())
    gridded = A.H(w.sqrt() * y.flatten().unsqueeze(0) + 0j)[0]
    assert float((gridded - x).norm() / x.norm()) < allowed


def test_lines_that_miss_the_center_and_wrong_counts_are_refused():
    with pytest.raises(ParameterError, match="straight lines through the center"):
        radial_density(radial(3, 8, 8) + 0.2)
    with pytest.raises(ParameterError, match="straight lines"):
        radial_density(spiral(3, 8, 8))
    with pytest.raises(ParameterError, match="'golden'"):
        radial(3, 8, 8, order="random")
    with pytest.raises(ParameterError, match="spokes must be a positive integer"):
        radial(0, 8, 8)
    with pytest.raises(ParameterError, match="turns must be positive"):
        spiral(1, 8, 8, turns=0)
