"""Image scanning microscopy: its kernels in closed form, registration, and what deconvolution gains."""

import math

import pytest
import torch

import invcore
from invcore import Physics, stack
from invcore.noises import PoissonNoise, Thinning
from invcore.operators import Convolution
from invcore.solvers import RichardsonLucy
from invcore_optics import (
    ImageScanning,
    IndependentRichardsonLucy,
    PixelReassignment,
    detector_grid,
    detector_psfs,
)

SIZE = 64


def gaussian(sigma, size=SIZE):
    r = torch.arange(size, dtype=torch.float64) - size // 2
    h = torch.exp(-(r[:, None] ** 2 + r**2) / (2 * sigma**2))
    return h / h.sum()


def grid(pitch=2.0, side=5):
    return detector_grid(side, pitch, dtype=torch.float64)


def specimen(size=SIZE):
    """Lines 5 pixels apart."""
    x = torch.zeros(1, size, size, dtype=torch.float64)
    x[:, size // 4 : 3 * size // 4, 12:-12:5] = 1.0
    return x


def counted(mean, seed=0):
    """Photons; the mean may be negative by rounding."""
    return torch.poisson(mean.clamp(min=0), generator=torch.Generator().manual_seed(seed))


def nrmse(found, truth):
    return float((found - truth).norm() / truth.norm())


def test_kernels_are_gaussians_about_the_shifted_place():
    """A product of Gaussians: peak at μ d with μ = σe²/(σe² + σd²), variance σe²σd²/(σe² + σd²)."""
    se, sd = 2.3, 2.9
    d = grid(3.1, side=3)
    psfs = detector_psfs(gaussian(se), gaussian(sd), d)[:, 0]
    mu, variance = se**2 / (se**2 + sd**2), se**2 * sd**2 / (se**2 + sd**2)
    r = torch.arange(SIZE, dtype=torch.float64) - SIZE // 2
    ry, rx = r[:, None], r[None, :]
    light = torch.exp(-(d**2).sum(-1) / (2 * (se**2 + sd**2)))
    exact = torch.stack(
        [
            weight * torch.exp(-((ry - mu * dy) ** 2 + (rx - mu * dx) ** 2) / (2 * variance))
            for weight, (dy, dx) in zip(light, d)
        ]
    )
    assert torch.allclose(psfs, exact / exact.sum(), atol=1e-12)


def test_orientation_and_rotation_turn_the_array():
    h, d = gaussian(2.5), grid(2.0, side=3)
    half_turn = detector_psfs(h, h, d, orientation=-1)
    assert torch.allclose(half_turn, detector_psfs(h, h, d, rotation=math.pi), atol=1e-12)
    assert torch.allclose(half_turn, detector_psfs(h, h, d).flip(0), atol=1e-12)


def test_equals_a_convolution_for_each_element_and_plane():
    g = torch.Generator().manual_seed(0)
    psfs = torch.rand(3, 2, 5, 4, generator=g, dtype=torch.float64)
    x = torch.rand(2, 6, 9, generator=g, dtype=torch.float64)
    y = ImageScanning(psfs, shape=(6, 9))(x)
    for d in range(3):
        assert torch.allclose(y[d], Convolution(psfs[d], x.shape)(x).sum(0), atol=1e-12)


@pytest.mark.parametrize("positions", [None, grid()])
def test_shifts_of_noisy_images(positions):
    """A few thousand photons in each image: shifts are within a tenth of a pixel."""
    se, sd = 2.5, 2.5
    A = ImageScanning(detector_psfs(gaussian(se), gaussian(sd), grid()), shape=(SIZE, SIZE))
    x = torch.zeros(1, SIZE, SIZE, dtype=torch.float64)
    rows, columns = torch.randint(12, SIZE - 12, (2, 30), generator=torch.Generator().manual_seed(3))
    x[0, rows, columns] = 1
    y = A(x)
    y = counted(y * (25 * 6000 / y.sum()))
    found = PixelReassignment(positions=positions).shifts(y)
    assert float((found - 0.5 * grid()).square().mean().sqrt()) < (0.1 if positions is None else 0.05)


def test_a_mirrored_array_is_found():
    d = grid(2.0, side=3)
    A = ImageScanning(
        detector_psfs(gaussian(2.5), gaussian(2.5), d * torch.tensor([1.0, -1.0])), shape=(SIZE, SIZE)
    )
    found = PixelReassignment(positions=d).shifts(A(specimen()))
    assert torch.allclose(found, 0.5 * d * torch.tensor([1.0, -1.0], dtype=torch.float64), atol=0.02)


def test_reassignment_sharpens_and_keeps_the_light():
    """Of a point: variances of the sum of registered images and of the sum as they are."""
    se = sd = 2.5
    x = torch.zeros(1, SIZE, SIZE, dtype=torch.float64)
    x[0, SIZE // 2, SIZE // 2] = 1
    A = ImageScanning(detector_psfs(gaussian(se), gaussian(sd), grid(2.5)), shape=(SIZE, SIZE))
    y = A(x)
    registered, plain = PixelReassignment(band=0.2)(y)[0], y.sum(-3)
    r = torch.arange(SIZE, dtype=torch.float64) - SIZE // 2
    widths = [float((image.sum(1) * r**2).sum() / image.sum()) for image in (registered, plain)]
    assert float(registered.sum()) == pytest.approx(1.0, abs=1e-9)
    assert widths[0] == pytest.approx(se**2 * sd**2 / (se**2 + sd**2), rel=0.02)
    assert widths[1] > 1.3 * widths[0]


def scanned(photons, seed=0):
    A = ImageScanning(detector_psfs(gaussian(2.5), gaussian(2.5), grid()), shape=(SIZE, SIZE))
    x = specimen() * (photons / float(specimen().sum()))
    y = counted(A(x), seed)
    return A, x, y


def test_many_images_restore_more_than_their_sum():
    A, x, y = scanned(94_000)
    whole = ImageScanning(A.psfs.sum(0, keepdim=True), A.shape)
    solver = RichardsonLucy(max_steps=100, rtol=0.0)
    many = nrmse(solver.solve(y, Physics(A, PoissonNoise())).value, x)
    one = nrmse(solver.solve(y.sum(-3, keepdim=True), Physics(whole, PoissonNoise())).value, x)
    assert many < 0.65
    assert many < 0.8 * one


def test_a_step_keeps_the_photons_and_gains_likelihood():
    A, _, y = scanned(20_000)
    physics = Physics(A, PoissonNoise())
    fits = [A(RichardsonLucy(max_steps=n, rtol=0.0).solve(y, physics).value) for n in (1, 2, 5, 10)]
    assert all(float(fit.sum()) == pytest.approx(float(y.sum()), rel=1e-12) for fit in fits)
    values = [float((fit - torch.xlogy(y, fit.clamp(min=1e-30))).sum()) for fit in fits]
    assert values == sorted(values, reverse=True)


@pytest.mark.slow
def test_agreement_of_independent_halves_stops_the_noise():
    """Plain iterations fit noise after some hundreds of steps; halves that must agree do not."""
    A, x, y = scanned(21_000)
    halves = Thinning()(y, generator=torch.Generator().manual_seed(1), space=A.range)
    both = Physics(stack([0.5 * A, 0.5 * A]), PoissonNoise())

    def plain(steps):
        solver = RichardsonLucy(max_steps=steps, rtol=0.0)
        return nrmse(solver.solve(y, Physics(A, PoissonNoise())).value, x)

    def agreeing(steps, weight=2e-2):
        solver = IndependentRichardsonLucy(weight=weight, max_steps=steps, rtol=0.0)
        return nrmse(solver.solve(halves, both).value, x)

    early, late = agreeing(300), agreeing(1000)
    assert plain(1000) > 1.1 * plain(300)
    assert late < early
    assert late < 0.9 * plain(1000)


@pytest.mark.slow
def test_a_second_plane_takes_the_background():
    focus, blurred = (detector_psfs(gaussian(s), gaussian(s), grid())[:, 0] for s in (2.5, 7.0))
    A = ImageScanning(torch.stack((focus, blurred), 1), shape=(SIZE, SIZE))
    x = 20 * torch.cat((specimen(), torch.full((1, SIZE, SIZE), 0.5, dtype=torch.float64)))
    y = counted(A(x))
    solver = RichardsonLucy(max_steps=200, rtol=0.0)
    two = solver.solve(y, Physics(A, PoissonNoise())).value[:1]
    one = solver.solve(y, Physics(ImageScanning(focus[:, None], A.shape), PoissonNoise())).value
    assert nrmse(two, x[:1]) < nrmse(one, x[:1])
    flux = [float(image.sum() / x[:1].sum()) for image in (two, one)]
    assert abs(flux[0] - 1) < abs(flux[1] - 1)


def test_wrong_input_is_refused():
    with pytest.raises(invcore.ShapeError, match="without planes"):
        ImageScanning(torch.ones(3, 4, 4), shape=(4, 4))
    with pytest.raises(invcore.ShapeError, match="positions"):
        detector_psfs(torch.ones(3, 3), torch.ones(3, 3), torch.ones(4))
    with pytest.raises(invcore.ParameterError, match="orientation"):
        detector_psfs(torch.ones(3, 3), torch.ones(3, 3), torch.ones(4, 2), orientation=2)
    with pytest.raises(invcore.ShapeError, match="positions for"):
        PixelReassignment(positions=grid()).shifts(torch.ones(9, 8, 8))
    with pytest.raises(invcore.ShapeError, match="no element"):
        PixelReassignment(center=9).shifts(torch.ones(9, 8, 8))
