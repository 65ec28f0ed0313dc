"""Propagators against closed forms: Gaussian beams, Talbot's distance, the Rayleigh-Sommerfeld sum."""

import math

import pytest
import torch

from invcore import ParameterError, ShapeError, Space
from invcore_optics import AngularSpectrum, SingleTransform
from invcore_testsupport import error, normal

WAVE = 500e-9


def plane(n):
    return Space((1, n, n), "complex")


def gaussian_beam(n, pixel, waist, z):
    """The paraxial beam of a waist at z = 0, in e^{-iωt}, without e^{ikz}."""
    r = (torch.arange(n, dtype=torch.float64) - n // 2) * pixel
    r2 = r[:, None] ** 2 + r**2
    q = 1 + 1j * WAVE * z / (math.pi * waist**2)
    return (torch.exp(-r2 / waist**2 / q) / q)[None]


@pytest.mark.parametrize("kernel", ["exact", "fresnel"])
def test_a_gaussian_beam_spreads(kernel):
    n, pixel, waist, z = 96, 4e-6, 40e-6, torch.tensor(8e-3, dtype=torch.float64)
    u = AngularSpectrum(z, plane(n), wavelength=WAVE, pixel=pixel, kernel=kernel)(
        gaussian_beam(n, pixel, waist, 0)
    )
    turn = torch.exp(-2j * math.pi * z / WAVE)
    assert error(turn * u, gaussian_beam(n, pixel, waist, float(z))) < 1e-3


def test_a_gaussian_beam_on_growing_pixels():
    n, pixel, waist, z = 96, 4e-6, 40e-6, torch.tensor(20e-3, dtype=torch.float64)
    A = SingleTransform(z, plane(n), wavelength=WAVE, pixel=pixel)
    after = A.pixel_after()[0]
    u = A(gaussian_beam(n, pixel, waist, 0)) * (pixel / after)  # power per pixel to power per area
    assert error(u, gaussian_beam(n, after, waist, float(z))) < 1e-6


def test_a_grating_repeats_at_the_distance_of_talbot():
    n, pixel, period = 32, 2e-6, 16e-6
    x = torch.arange(n, dtype=torch.float64) * pixel
    u = (1 + 0.5 * torch.cos(2 * math.pi * x / period)).expand(1, n, n) + 0j
    z = torch.tensor(2 * period**2 / WAVE, dtype=torch.float64)
    options = {"wavelength": WAVE, "pixel": pixel, "kernel": "fresnel"}
    options |= {"padding": False, "band_limit": False}
    full, half = (AngularSpectrum(s * z, plane(n), **options)(u).abs() for s in (1, 0.5))
    assert error(full, u.abs()) < 1e-9
    assert error(half, u.roll(4, -1).abs()) < 1e-9


def test_plane_waves_add_up_to_the_integral_of_rayleigh_and_sommerfeld():
    n, pixel, z = 48, 1e-6, 60e-6
    r = (torch.arange(n, dtype=torch.float64) - n // 2) * pixel
    u = torch.exp(-(r[:, None] ** 2 + r**2) / (5e-6) ** 2)[None] + 0j
    found = AngularSpectrum(torch.tensor(z, dtype=torch.float64), plane(n), wavelength=WAVE, pixel=pixel)(u)
    k = 2 * math.pi / WAVE
    for i, j in ((24, 24), (20, 29), (10, 24)):
        rho = torch.sqrt((r[i] - r[:, None]) ** 2 + (r[j] - r) ** 2 + z**2)
        kernel = torch.exp(1j * k * rho) / (2 * math.pi * rho) * (1 / rho - 1j * k) * z / rho
        expected = (kernel * u[0]).sum() * pixel**2
        assert abs(complex(found[0, i, j] - expected)) < 2e-3 * abs(complex(found[0, 24, 24]))


def test_a_lens_focuses_to_its_airy_spot():
    """In the focal plane the light of a square lens of width D has its first zero at λf/D."""
    n, pixel, f = 64, 10e-6, 64 * (10e-6) ** 2 / WAVE * 4
    r = (torch.arange(n, dtype=torch.float64) - n // 2) * pixel
    lens = torch.exp(-1j * math.pi * (r[:, None] ** 2 + r**2) / (WAVE * f))[None]
    aperture = torch.zeros(1, n, n, dtype=torch.float64)
    aperture[:, 16:48, 16:48] = 1  # D = 32 pixels
    u = SingleTransform(torch.tensor(f).double(), plane(n), wavelength=WAVE, pixel=pixel)(lens * aperture)
    light = u.abs().square()[0, n // 2]
    assert int(light.argmax()) == n // 2
    zero = round(WAVE * f / (32 * pixel) / (WAVE * f / (n * pixel)))
    assert zero == 2 and float(light[n // 2 + zero]) < 1e-12 * float(light.max())


def test_there_and_back():
    A = AngularSpectrum(torch.tensor(1e-3).double(), plane(16), wavelength=WAVE, pixel=3e-6, padding=False)
    x = torch.complex(normal(1, 16, 16), normal(1, 16, 16, seed=1))
    low = A.bind(distance=-A.distance)(A(x))
    assert error(A.H(A(x)), low) < 1e-10


def test_distances_too_short_are_said():
    with pytest.warns(UserWarning, match="undersampled"):
        SingleTransform(torch.tensor(1e-4), plane(32), wavelength=WAVE, pixel=4e-6)
    with pytest.raises(ParameterError, match="distance must be positive"):
        SingleTransform(torch.tensor(-1.0), plane(32), wavelength=WAVE, pixel=4e-6)
    with pytest.raises(ShapeError, match="complex"):
        AngularSpectrum(torch.tensor(1.0), Space((1, 4, 4)), wavelength=WAVE, pixel=4e-6)
