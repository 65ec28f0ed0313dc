"""Scattering: the exact cylinder, the laws that every field obeys, Born, linear sampling."""

import cmath
import math

import numpy as np
import pytest
import torch
from scipy.special import hankel1, jv

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise
from invcore_optics import (
    Born,
    LinearSampling,
    Scattering,
    cylinder_far_field,
    cylinder_field,
    line_sources,
    plane_waves,
)
from invcore_optics._scattering.linear_sampling import morozov
from invcore_testsupport import error, normal, rng

K = 2 * math.pi  # a wavelength of one
ANGLES = 2 * math.pi * torch.arange(64, dtype=torch.float64) / 64


def disk(n, radius, width, index):
    """Contrast of a disk on n x n pixels of a square, averaged over each pixel."""
    fine = 16
    t = width * ((torch.arange(n * fine, dtype=torch.float64) + 0.5) / (n * fine) - 0.5)
    inside = (t[:, None] ** 2 + t**2 < radius**2).double()
    return (index**2 - 1) * inside.reshape(n, fine, n, fine).mean((1, 3))[None]


@pytest.mark.parametrize("cells, bound", [(10, 0.07), (20, 0.02), (40, 0.005)])
def test_a_cylinder_scatters_as_the_series_says(cells, bound):
    """Half a wavelength of index 1.5, seen at three wavelengths: the error is second order in the spacing."""
    around = 3 * torch.stack([ANGLES.sin(), ANGLES.cos()], -1)
    n, width = round(1.2 * cells), 1.2
    A = Scattering(
        incident=plane_waves(torch.tensor([0.3]), (n, n), spacing=width / n, wavelength=1.0),
        greens=Scattering.of_positions(around[:1], around, (n, n), spacing=width / n, wavelength=1.0).greens,
        spacing=width / n,
        wavelength=1.0,
    )
    exact = cylinder_field(around, radius=0.5, wavelength=1.0, index=1.5, angle=0.3)
    assert error(A(disk(n, 0.5, width, 1.5))[0], exact) < bound


@pytest.mark.parametrize("index", [None, 2.0])
def test_the_far_field_of_a_cylinder_is_reciprocal_and_keeps_energy(index):
    F = cylinder_far_field(ANGLES, ANGLES, radius=1.0, wavelength=1.0, index=index)
    turned = torch.roll(F, (32, 32), (0, 1))
    assert error(F, turned.mT) < 1e-13
    h = 2 * math.pi / 64
    S = (
        torch.eye(64, dtype=torch.float64)
        + math.sqrt(K / (2 * math.pi)) * cmath.exp(0.25j * math.pi) * h * F.mT
    )
    assert error(S.mH @ S, torch.eye(64, dtype=S.dtype)) < 1e-13
    total = h * F[0].abs().square().sum()
    forward = -math.sqrt(8 * math.pi / K) * (cmath.exp(0.25j * math.pi) * F[0, 0]).real
    assert abs(total / forward - 1) < 1e-12


def test_any_real_contrast_scatters_energy_by_the_optical_theorem_and_is_reciprocal():
    x = 0.8 * torch.rand(1, 24, 20, generator=rng(0), dtype=torch.float64)
    A = Scattering.of_angles(ANGLES, ANGLES, (24, 20), spacing=0.04, wavelength=1.0)
    F = A(x)
    assert error(F, torch.roll(F, (32, 32), (0, 1)).mT) < 1e-5
    total = 2 * math.pi / 64 * F.abs().square().sum(-1)
    forward = -math.sqrt(8 * math.pi / K) * (cmath.exp(0.25j * math.pi) * F.diagonal()).real
    assert error(total, forward) < 0.02  # pixels are disks: energy is kept to the order of the method


def test_the_total_field_solves_the_dense_equation():
    A = Scattering.of_angles(ANGLES[:3], ANGLES[:2], (4, 5), spacing=0.1, wavelength=1.0)
    x = 1.5 * torch.rand(1, 4, 5, generator=rng(1), dtype=torch.float64)
    y, x0 = (0.1 * (torch.arange(n) - (n - 1) / 2).double() for n in (4, 5))
    centers = torch.cartesian_prod(y, x0)
    r = torch.cdist(centers, centers)
    a = 0.1 / math.sqrt(math.pi)
    j1 = torch.special.bessel_j1(torch.tensor(K * a, dtype=torch.float64))
    z = K * (r + torch.eye(20))
    G = 0.5j * math.pi * K * a * j1 * torch.complex(torch.special.bessel_j0(z), torch.special.bessel_y0(z))
    h1 = torch.complex(j1, torch.special.bessel_y1(torch.tensor(K * a, dtype=torch.float64)))
    G.fill_diagonal_(complex(0.5j * math.pi * K * a * h1 - 1))
    dense = torch.eye(20) - G * x.flatten()
    u = torch.linalg.solve(dense, A.incident.flatten(1).mT).mT
    assert error(A.total_field(x).flatten(1), u) < 1e-5
    assert error(A(x), (x.flatten() * u) @ A.greens.flatten(1).mT) < 1e-5


def test_born_is_the_derivative_at_zero():
    A = Scattering.of_positions(
        torch.tensor([[2.0, 0.1], [0.0, 2.0]]), 2 * normal(5, 2).sign(), (6, 5), spacing=0.1, wavelength=1.0
    )
    x = normal(1, 6, 5)
    assert error(A.linearize(torch.zeros_like(x))(x), A.born(x)) < 1e-5
    assert error(A(1e-4 * x), A.born(1e-4 * x)) < 1e-3
    assert isinstance(A.born, Born)


def test_linear_sampling_of_a_disk_is_the_closed_form():
    h, alpha = 2 * math.pi / 64, 1e-3
    F = h * cylinder_far_field(ANGLES, ANGLES, radius=1.0, wavelength=1.0, index=None)
    A = Scattering.of_angles(ANGLES, ANGLES, (8, 8), spacing=0.4, wavelength=1.0)
    weight = A.greens.abs().amax() * math.sqrt(8 * math.pi * K)
    A = A.bind(greens=A.greens / weight)
    s = torch.linalg.svdvals(F)
    found = LinearSampling(alpha=float(alpha / s[0] ** 2))(F, Physics(A))[0]

    n = np.arange(-40, 41)
    c = -jv(n, K) / hankel1(n, K)
    lam = 2 * math.pi * math.sqrt(2 / (math.pi * K)) * abs(c)
    t = 0.4 * (torch.arange(8, dtype=torch.float64) - 3.5)
    radius = torch.hypot(t[:, None], t).numpy()
    terms = (lam / (lam**2 + alpha)) ** 2 * jv(n, K * radius[..., None]) ** 2
    norm = torch.from_numpy((terms * 2 * math.pi / (8 * math.pi * K)).sum(-1) / h).sqrt()
    assert error(1 / found, norm) < 1e-10


def test_morozov_balances_the_residual_and_the_noise():
    s, b = torch.logspace(0, -6, 12, dtype=torch.float64), normal(12, 5).square()
    delta = torch.tensor(0.02, dtype=torch.float64)
    alpha = morozov(s, b, delta)
    g = (s[:, None] ** 2 * b / (s[:, None] ** 2 + alpha) ** 2).sum(0).sqrt()
    residual = (alpha**2 * b / (s[:, None] ** 2 + alpha) ** 2).sum(0).sqrt()
    assert error(residual, delta * g) < 1e-9


def test_linear_sampling_finds_a_disk_in_noise():
    n, spacing = 40, 0.1
    A = Scattering.of_angles(ANGLES, ANGLES, (n, n), spacing=spacing, wavelength=1.0)
    F = cylinder_far_field(ANGLES, ANGLES, radius=1.0, wavelength=1.0, index=2.0)
    noise = torch.randn(64, 64, 2, generator=rng(3), dtype=torch.float64)
    sigma = float(0.05 * F.norm() / 64)
    y = F + sigma / math.sqrt(2) * torch.view_as_complex(noise)
    image = LinearSampling()(y, Physics(A, GaussianNoise(sigma=sigma)))[0]
    t = spacing * (torch.arange(n) - (n - 1) / 2)
    truth = torch.hypot(t[:, None], t) < 1
    dice = max(
        float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))
        for mask in (image > level * image.max() for level in torch.linspace(0.05, 0.9, 35))
    )
    assert dice > 0.7


def test_what_makes_no_sense_is_refused():
    with pytest.raises(invcore.ParameterError, match="do not sample"):
        Scattering.of_angles(ANGLES, ANGLES, (4, 4), spacing=0.6, wavelength=1.0)
    with pytest.raises(invcore.ParameterError, match="center of a pixel"):
        line_sources(torch.zeros(1, 2), (3, 3), spacing=0.1, wavelength=1.0)
    with pytest.raises(invcore.ShapeError, match="see"):
        Born(incident=torch.ones(1, 2, 2) + 0j, greens=torch.ones(1, 3, 2) + 0j)
    with pytest.raises(invcore.ParameterError, match="noise level"):
        A = Scattering.of_angles(ANGLES[:4], ANGLES[:4], (4, 4), spacing=0.1, wavelength=1.0)
        LinearSampling()(torch.ones(4, 4) + 0j, Physics(A))
