"""Ptychography against sums written out in numpy, and its engine on scans whose object is known."""

import numpy as np
import pytest
import torch

from invcore import DtypeError, ParameterError, Physics, ShapeError
from invcore.noises import PoissonNoise
from invcore_optics import PIE, DiffractionFields, Ptychography, aligned_ramp, far_field_pixel
from invcore_optics._examples.phase import scan
from invcore_testsupport import error, normal, rng


def complex_normal(*shape, seed=0):
    return torch.complex(normal(*shape, seed=seed), normal(*shape, seed=seed + 1))


@pytest.mark.parametrize("n", [(4, 5), (5, 6)])
def test_frames_are_the_fourier_transforms_of_windows(n):
    probe, x = complex_normal(2, *n), complex_normal(1, 9, 10, seed=2)
    positions = torch.tensor([[0.0, 0.0], [3.0, 2.0], [4.0, 4.0]], dtype=torch.float64)
    y = Ptychography(probe=probe, positions=positions, shape=(9, 10))(x)
    for j, (a, b) in enumerate([(0, 0), (3, 2), (4, 4)]):
        window = x[0, a : a + n[0], b : b + n[1]].numpy()
        fields = np.fft.fftshift(np.fft.fft2(probe.numpy() * window, norm="ortho"), axes=(-2, -1))
        np.testing.assert_allclose(y[j], (np.abs(fields) ** 2).sum(0), rtol=1e-10)


def test_a_fraction_of_a_pixel_moves_the_probe():
    """A Gaussian probe moved by the operator is the Gaussian with another center."""
    r = torch.arange(32, dtype=torch.float64) - 15.5

    def gaussian(dy, dx):
        return torch.exp(-((r[:, None] - dy) ** 2 + (r - dx) ** 2) / 18)[None] + 0j

    x = complex_normal(1, 40, 40)
    whole, moved = torch.tensor([[3.0, 4.0]]).double(), torch.tensor([[3.3, 3.6]]).double()
    y = Ptychography(probe=gaussian(0.3, -0.4), positions=whole, shape=(40, 40))(x)
    assert error(Ptychography(probe=gaussian(0, 0), positions=moved, shape=(40, 40))(x), y) < 1e-5


def test_photons_are_conserved():
    A = scan()
    x = torch.polar(torch.ones(1, 14, 14).double(), normal(1, 14, 14))
    total = A(x).sum((-2, -1))
    assert torch.allclose(total, A.probe.abs().square().sum().expand(9), rtol=1e-12)


def test_the_norm_is_that_of_the_matrix():
    B = scan().field
    assert abs(float(B.norm()) / float(torch.linalg.matrix_norm(B.dense(), 2)) - 1) < 1e-6


def test_the_pixel_of_the_object():
    """128 pixels of 75 µm at 2 m and 8.8 keV: λz/(np) = 0.1409 nm · 2 m / 9.6 mm."""
    y, x = far_field_pixel(wavelength=0.1409e-9, distance=2.0, pixels=(128, 256), pitch=75e-6)
    assert y == pytest.approx(29.354e-9, rel=1e-4) and x == pytest.approx(y / 2)
    with pytest.raises(ParameterError, match="distance must be a positive length"):
        far_field_pixel(wavelength=1e-10, distance=0.0, pixels=128, pitch=75e-6)


def dense_scan(modes=1):
    """A probe with structure on a fine scan, which determines everything but the known ambiguities."""
    g = rng(3)
    n = 16
    r = torch.linspace(-1, 1, n, dtype=torch.float64)
    r2 = r[:, None] ** 2 + r**2
    soft = torch.sigmoid((0.7 - r2.sqrt()) * 20)
    probe = torch.polar(100 * soft, 4 * r2 + r)[None]
    if modes > 1:
        probe = torch.cat([probe, 0.7 * probe * r])
    steps = torch.arange(8, dtype=torch.float64)
    positions = 1 + 2.3 * torch.cartesian_prod(steps, steps) + torch.rand(64, 2, generator=g).double()
    A = Ptychography(probe=probe, positions=positions, shape=(36, 36))
    f = torch.fft.fftfreq(36, dtype=torch.float64)
    low = torch.exp(-(f[:, None] ** 2 + f**2) / (2 * 0.12**2))
    noise = torch.fft.ifft2(
        low * torch.fft.fft2(torch.randn(2, 36, 36, generator=g, dtype=torch.float64))
    ).real
    phase, loss = noise / noise.std((1, 2), keepdim=True)
    return A, torch.polar(1 - 0.2 * torch.sigmoid(loss), 0.6 * phase)[None]


def dose(A):
    light = A.field.illumination()
    return (light > 0.2 * light.amax()).double()


def seen(A, x):
    return dose(A) * x


def test_engine_finds_the_object_of_a_known_probe():
    A, truth = dense_scan()
    found = PIE(update=("object",), max_steps=100, rtol=0)(A(truth), Physics(A))
    assert error(seen(A, aligned_ramp(found, truth, dose(A))[0]), seen(A, truth)) < 1e-2


def test_engine_finds_object_and_probe():
    A, truth = dense_scan()
    r = torch.linspace(-1, 1, 16, dtype=torch.float64)
    r2 = r[:, None] ** 2 + r**2
    guess = torch.polar(80 * torch.exp(-r2 / 0.4), 3.5 * r2 + r)[None]
    assert error(guess, A.probe) > 0.4
    solution = PIE(max_steps=60, rtol=0).solve(A(truth), Physics(A.bind(probe=guess)))
    found, _ = aligned_ramp(solution.value, truth, dose(A))
    assert error(seen(A, found), seen(A, truth)) < 0.05
    y = solution.physics.operator(solution.value)
    assert error(y.sqrt(), A(truth).sqrt()) < 0.02


def test_engine_finds_two_modes():
    A, truth = dense_scan(modes=2)
    start = A.probe + 5 * complex_normal(2, 16, 16, seed=8)
    solution = PIE(max_steps=40, rtol=0).solve(A(truth), Physics(A.bind(probe=start)))
    one = PIE(max_steps=40, rtol=0).solve(A(truth), Physics(A.bind(probe=start[:1])))
    y = A(truth).sqrt()
    both = error(solution.physics.operator(solution.value).sqrt(), y)
    assert both < 0.01
    assert both < 0.6 * error(one.physics.operator(one.value).sqrt(), y)


def test_engine_finds_positions():
    A, truth = dense_scan()
    wrong = A.positions + 0.4 * normal(64, 2, seed=5).clamp(-2, 2)
    wrong = wrong - (wrong - A.positions).mean(0)
    start = PIE(update=("object", "positions"), positions_after=3, max_steps=60, rtol=0)
    solution = start.solve(A(truth), Physics(A.bind(positions=wrong)))
    found = solution.physics.operator.positions
    off = (found - found.mean(0) - A.positions + A.positions.mean(0)).norm(dim=-1)
    assert float(off.square().mean().sqrt()) < 0.05
    assert float((wrong - A.positions).norm(dim=-1).square().mean().sqrt()) > 0.4


def test_blind_pixels_change_nothing():
    A, truth = dense_scan()
    mask = torch.ones(1, 16, 16, dtype=torch.float64)
    mask[0, 5, 7] = mask[0, 12] = 0
    B = A.bind(mask=mask)
    found = PIE(update=("object",), max_steps=60, rtol=0)(B(truth), Physics(B))
    assert error(seen(A, aligned_ramp(found, truth, dose(A))[0]), seen(A, truth)) < 0.02


def test_engine_stands_photon_noise():
    A, truth = dense_scan()
    physics = Physics(A, PoissonNoise())
    found = PIE(update=("object",), max_steps=60)(physics(truth, generator=rng()), physics)
    assert error(seen(A, aligned_ramp(found, truth, dose(A))[0]), seen(A, truth)) < 0.05


def test_frames_must_lie_in_the_object():
    probe = complex_normal(1, 4, 4)
    with pytest.raises(ParameterError, match=r"positions must lie from 0 to \[4, 5\]"):
        Ptychography(probe=probe, positions=torch.tensor([[0.0, 6.0]]), shape=(8, 9))
    with pytest.raises(DtypeError, match="probe must be complex"):
        Ptychography(probe=probe.real, positions=torch.zeros(1, 2), shape=(8, 9))
    with pytest.raises(ShapeError, match="frame, 2"):
        DiffractionFields(probe=probe, positions=torch.zeros(2), shape=(8, 9))
    with pytest.raises(ParameterError, match="update must name some of"):
        PIE(update=("kernel",))
