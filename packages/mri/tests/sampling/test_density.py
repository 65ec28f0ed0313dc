"""Densities against areas, against each other, and against the transform of a Gaussian."""

import math

import pytest
import torch

from invcore import ParameterError, ShapeError
from invcore_mri import (
    NUFFTSense,
    kooshball,
    pipe_menon_density,
    radial,
    radial_density,
    spiral,
    voronoi_density,
)


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


def test_lines_that_miss_the_center_are_refused():
    with pytest.raises(ParameterError, match="straight lines through the center"):
        radial_density(radial(3, 8, 8) + 0.2)
    with pytest.raises(ParameterError, match="straight lines"):
        radial_density(spiral(3, 8, 8))


@pytest.mark.parametrize("density", [voronoi_density, lambda k: pipe_menon_density(k, (12, 10))])
def test_a_full_grid_has_the_density_one(density):
    k = torch.cartesian_prod(torch.arange(12.0) - 6, torch.arange(10.0) - 5)
    torch.testing.assert_close(density(k), torch.ones(120), atol=0.01, rtol=0)
    both = density(torch.cat([k, k[:7]]))  # samples that were taken twice share
    torch.testing.assert_close(both[:7] + both[120:], torch.ones(7), atol=0.02, rtol=0)


def test_voronoi_cells_of_spokes_are_trapezoids():
    spokes, n = 15, 16
    k = radial(spokes, n + 1, n + 1).double()  # symmetric: radii -8 to 8
    got = voronoi_density(k)
    r = k.norm(dim=-1)
    expected = 2 * r * math.tan(math.pi / spokes / 2)  # between bisectors, a step of 1 along the spoke
    inner = (r > 0.5) & (r < 7.5)
    # where spokes are closer than samples the cells of neighbors end at the bisectors all the same
    torch.testing.assert_close(got[inner], expected[inner], rtol=1e-5, atol=0)
    analytic = radial_density(k)
    torch.testing.assert_close(got[inner], analytic[inner], rtol=0.02, atol=0)


def test_areas_of_a_spiral_fill_the_disc():
    k = spiral(8, 500, 32, power=1.5)
    area = float(voronoi_density(k).double().sum())
    assert area == pytest.approx(math.pi * 16**2, rel=0.03)
    weights = pipe_menon_density(k, (32, 32))
    assert float(weights.double().sum()) == pytest.approx(math.pi * 16**2, rel=0.06)


@pytest.mark.parametrize("density", ["none", "pipe_menon", "voronoi"])
def test_with_density_compensation_the_point_spread_function_is_a_point(density):
    n = 32
    k = spiral(12, 600, n, power=1.5).double().flatten(0, 1)
    w = {
        "none": lambda: torch.ones(len(k)).double(),
        "pipe_menon": lambda: pipe_menon_density(k, (n, n)),
        "voronoi": lambda: voronoi_density(k),
    }[density]()
    A = NUFFTSense(torch.ones(1, n, n, dtype=torch.complex128), k)
    psf = A.H(w.unsqueeze(0) + 0j)[0].abs()
    psf = psf / psf[n // 2, n // 2]
    y, x = torch.meshgrid(*(torch.arange(n) - n // 2,) * 2, indexing="ij")
    beside = float(psf[(y**2 + x**2 > 9)].max())  # beyond the first rings of the disc's transform
    assert beside > 0.2 if density == "none" else beside < 0.05


def test_pipe_menon_in_three_dimensions_follows_the_square_of_the_radius():
    k = kooshball(600, 13, 13).double()
    w, r = pipe_menon_density(k, (13, 13, 13), steps=40), k.norm(dim=-1)
    shells = torch.stack([w[(r - q).abs() < 0.1].mean() for q in (2.0, 4.0, 5.0)])
    expected = 2 * math.pi * torch.tensor([4.0, 16.0, 25.0]).double() / 600
    torch.testing.assert_close(shells, expected, rtol=0.15, atol=0)


def test_what_has_no_density_is_refused():
    with pytest.raises(ShapeError, match="pipe_menon_density"):
        voronoi_density(kooshball(3, 4, 4))
    with pytest.raises(ParameterError, match="do not span a plane"):
        voronoi_density(radial(1, 8, 8))
    with pytest.raises(ParameterError, match="not finite"):
        voronoi_density(torch.full((4, 2), math.nan))
    with pytest.raises(ShapeError, match="for pixels"):
        pipe_menon_density(radial(3, 8, 8), (8, 8, 8))
