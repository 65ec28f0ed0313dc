"""Holograms against a Gaussian beam in closed form, fields from sidebands, objects without their twins."""

import math

import pytest
import torch

import invcore
from invcore import DataError, ParameterError, Physics, ShapeError, Space
from invcore_optics import Hologram, Sideband
from invcore_testsupport import error, rng

WAVES = {"wavelength": 5e-7, "pixel": 2e-6}


def grid(n):
    r = WAVES["pixel"] * (torch.arange(n, dtype=torch.float64) - n // 2)
    return r[:, None] ** 2 + r**2


def test_a_gaussian_absorber_in_closed_form():
    """x = -c exp(-r²/2w²) propagates to -c/q exp(-r²/2w²q), q = 1 + iλz/2πw² (paraxial)."""
    n, w, c, z = 128, 24e-6, 0.6, 4e-3
    x = (-c * torch.exp(-grid(n) / (2 * w**2)))[None] + 0j
    A = Hologram(torch.tensor([0.0, z], dtype=torch.float64), Space((1, n, n), "complex"), **WAVES)
    q = 1 + 1j * WAVES["wavelength"] * z / (2 * math.pi * w**2)
    y = (1 - c / q * torch.exp(-grid(n) / (2 * w**2 * q))).abs().square()
    found = A(x)
    assert error(found[1] - 1, y - 1) < 2e-3
    assert error(found[0], (1 + x[0]).abs().square()) < 1e-10


def smooth(n, width=10.0, seed=0):
    """A transparent object whose spectrum is a Gaussian, (1, n, n)."""
    f = torch.fft.fftfreq(n, dtype=torch.float64)
    low = torch.exp(-(f[:, None] ** 2 + f**2) * (math.pi * width) ** 2)
    noise = torch.randn(n, n, generator=rng(seed), dtype=torch.float64)
    phase = torch.fft.ifft2(low * torch.fft.fft2(noise)).real
    return torch.polar(torch.ones_like(phase), 0.7 * phase / phase.std())[None]


@pytest.mark.parametrize("n", [128, 127])
def test_the_sideband_holds_the_field_at_the_camera(n):
    f = torch.tensor([0.121, 0.317], dtype=torch.float64)
    space, z = Space((1, n, n), "complex"), torch.tensor([3e-3], dtype=torch.float64)
    A = Hologram(z, space, **WAVES, tilt=f, amplitude=torch.tensor(3.0).double(), padding=False)
    x = smooth(n)
    found = Sideband().found(A(x))
    assert float((found - f).abs().max()) < 0.02 / n
    u = Sideband(tilt=tuple(f.tolist()))(A(x))
    inner = (slice(None), slice(16, n - 16), slice(16, n - 16))  # the carrier is not periodic
    assert error(u[inner] / 3, A.field(x)[inner]) < 1e-2


def test_two_distances_leave_no_twin():
    """Intensities of one distance fit the twin as well; with a second one the object is found."""
    n = 48
    r2 = grid(n)
    x = (-0.5 * torch.exp(-r2 / (2 * (6e-6) ** 2)) * torch.exp(1j * r2 / (2 * (9e-6) ** 2)))[None]
    z = torch.tensor([4e-4, 9e-4], dtype=torch.float64)
    errors = []
    for planes in (z[:1], z):
        A = Hologram(planes, Space((1, n, n), "complex"), **WAVES)
        start = torch.zeros_like(x)
        found = invcore.solver("lbfgs", max_steps=300).solve(A(x), Physics(A), x0=start).value
        errors.append(error(found, x))
    assert errors[1] < 0.03
    assert errors[0] > 0.3


def test_what_is_refused():
    space = Space((1, 8, 8), "complex")
    with pytest.raises(ShapeError, match="distance must be"):
        Hologram(torch.tensor(1e-3), space, **WAVES)
    with pytest.raises(ShapeError, match="tilt must be"):
        Hologram(torch.tensor([1e-3]), space, **WAVES, tilt=torch.zeros(3))
    with pytest.raises(ParameterError, match="tilt must be two numbers"):
        Sideband(tilt=(0.7, 0.0))
    with pytest.raises(DataError, match="no peak away from zero"):
        Sideband()(1 + 0.01 * torch.rand(1, 64, 64, generator=rng(), dtype=torch.float64))
    with pytest.raises(ShapeError, match="takes real holograms"):
        Sideband()(torch.ones(8, 8) + 0j)
