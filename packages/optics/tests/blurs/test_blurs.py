"""Tiled and chromatic blurs, unknown boundaries, haze, and values known up to a period."""

import math

import pytest
import torch

import invcore
from invcore import ParameterError, Physics, ShapeError, Space
from invcore.noises import GaussianNoise
from invcore.operators import Convolution, Downsample, gaussian_kernel
from invcore.priors import TV
from invcore.solvers import FISTA
from invcore_optics import (
    Haze,
    Itoh,
    Modulo,
    SpaceVaryingBlur,
    TiledBlur,
    chromatic_kernels,
    surrounded,
    unknown_boundary,
    unwrap,
)
from invcore_optics._blurs.tiled import windows


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("blend", ["linear", "smooth"])
@pytest.mark.parametrize("boundary", ["valid", "zero"])
@pytest.mark.parametrize("order", ["product_convolution", "convolution_product"])
def test_tiles_are_a_product_convolution_with_windows(order, boundary, blend):
    kernels, x = random(3, 2, 3, 4), random(2, 13, 11, seed=1)
    A = TiledBlur(kernels, Space((2, 13, 11)), order=order, boundary=boundary, blend=blend)
    grid = (13, 11) if order == "product_convolution" or boundary == "zero" else (11, 8)
    lines = []
    for n, tiles in zip(grid, (3, 2), strict=True):
        starts, values = windows(n, tiles, blend)
        line = torch.zeros(tiles, n, dtype=torch.float64)
        for i, start in enumerate(starts):
            line[i, start : start + values.shape[1]] = values[i]
        torch.testing.assert_close(line.sum(0), torch.ones(n, dtype=torch.float64))
        lines.append(line)
    maps = torch.einsum("ay,bx->abyx", *lines).flatten(0, 1)
    B = SpaceVaryingBlur(
        kernels=kernels.flatten(0, 1), maps=maps, domain=(2, 13, 11), order=order, boundary=boundary
    )
    torch.testing.assert_close(A(x), B(x))
    torch.testing.assert_close(A.H(A(x)), B.H(B(x)))


def test_equal_tiles_are_a_convolution():
    kernel, x = random(3, 5), random(1, 40, 33, seed=1)
    A = TiledBlur(kernel.expand(4, 3, 3, 5), Space((1, 40, 33)))
    torch.testing.assert_close(A(x), Convolution(kernel[None], (1, 40, 33), boundary="valid")(x))


def test_more_tiles_than_pixels_are_refused():
    with pytest.raises(ShapeError, match="tiles are more than"):
        TiledBlur(random(9, 1, 2, 2), Space((1, 8, 8)))


def test_diffraction_patterns_grow_with_the_wavelength():
    green = gaussian_kernel(2.0, size=25).double()[0]
    colors = chromatic_kernels(green, torch.tensor([1.3, 1.0, 0.7]))
    torch.testing.assert_close(colors[1], green)
    for found, sigma in zip(colors, (2.6, 2.0, 1.4), strict=True):
        torch.testing.assert_close(found, gaussian_kernel(sigma, size=25).double()[0], atol=1e-5, rtol=0)
    with pytest.raises(ParameterError, match="positive"):
        chromatic_kernels(green, torch.tensor([0.0]))


def test_unknown_boundary_sees_what_a_crop_of_a_larger_image_shows():
    kernel, large = random(1, 5, 4), random(2, 30, 31, seed=1)
    whole = Convolution(kernel, (2, 30, 31), boundary="circular")(large)
    A = unknown_boundary(kernel, (2, 12, 14))
    top, left = 6, 7
    part = large[:, top - 2 : top + 14, left - 1 : left + 16]
    torch.testing.assert_close(A(part), whole[:, top : top + 12, left : left + 14])


def test_surrounded_data_are_continued_by_their_border():
    A = unknown_boundary(random(1, 5, 4), (2, 3, 3))
    y = random(4, 2, 3, 3)
    x = surrounded(y, A)
    assert x.shape == (4, *A.domain.shape)
    torch.testing.assert_close(x[..., 2:5, 1:4], y)
    torch.testing.assert_close(x[..., 0, 0], y[..., 0, 0])
    torch.testing.assert_close(x[..., -1, -1], y[..., -1, -1])


def test_no_ringing_at_a_border_that_nobody_measured():
    """Errors of the outer 8 pixels are like the inner ones; a periodic model rings across the image."""
    g = torch.Generator().manual_seed(0)
    x = torch.nn.functional.interpolate(torch.rand(1, 1, 12, 12, generator=g), size=96, mode="nearest")[0]
    kernel = torch.zeros(1, 9, 9)
    kernel[0, 4] = 1 / 9
    camera = unknown_boundary(kernel, (1, 88, 88))
    physics = Physics(camera, GaussianNoise(sigma=0.01))
    y = physics(x, generator=g)
    solver = FISTA(prior=TV(), weight=15.0, max_steps=60)
    found = solver.solve(y, physics, x0=surrounded(y, camera)).value[..., 4:-4, 4:-4]
    periodic = Physics(Convolution(kernel, (1, 88, 88)), GaussianNoise(sigma=0.01))
    ringing = solver.solve(y, periodic, x0=y).value
    truth = x[..., 4:-4, 4:-4]
    inner = torch.zeros(88, 88, dtype=torch.bool)
    inner[8:-8, 8:-8] = True

    def ratio(x_hat):
        square = (x_hat - truth)[0].square()
        return float((square[~inner].mean() / square[inner].mean()).sqrt())

    assert ratio(found) < 1.5 < ratio(ringing)
    assert float((found - truth).norm()) < 0.5 * float((ringing - truth).norm())


def test_super_resolution_has_the_closed_form_of_zhao():
    """Core's `Downsample` is blur and decimation by any kernel; its ridge is the closed-form prox."""
    A = Downsample(Space((1, 12, 18)), factor=3, kernel=random(1, 5, 5))
    y, z = random(1, 4, 6, seed=1), random(1, 12, 18, seed=2)
    M = A.dense()
    truth = torch.linalg.solve(M.mT @ M + 0.3 * torch.eye(216), M.mT @ y.flatten() + 0.3 * z.flatten())
    torch.testing.assert_close(A.ridge(y, z, weight=0.3).flatten(), truth)


def test_haze_follows_koschmieder_and_is_cleared():
    x, thickness = random(3, 6, 5), random(1, 6, 5, seed=1)
    air = torch.tensor([0.9, 0.8, 0.7], dtype=torch.float64)
    A = Haze(thickness=thickness, airlight=air, domain=Space((3, 6, 5)))
    t = torch.exp(-thickness)
    y = A(x)
    torch.testing.assert_close(y, x * t + air[:, None, None] * (1 - t))
    torch.testing.assert_close(A.clear(y), x)


def bumps(n=64):
    """A smooth phase of several turns, with differences below π."""
    rows, columns = torch.meshgrid(*(torch.linspace(-3, 3, n, dtype=torch.float64),) * 2, indexing="ij")
    return 25 * torch.exp(-(rows**2 + columns**2) / 3) + 2 * rows


@pytest.mark.parametrize("period", [2 * math.pi, 4.0])
@pytest.mark.parametrize("interval", ["centered", "positive"])
def test_unwrapping_undoes_modulo_where_itoh_holds(period, interval):
    x = bumps() * period / (2 * math.pi)
    y = Modulo((64, 64), period=period, interval=interval)(x)
    assert float(y.max() - y.min()) <= period
    found = unwrap(y, period=period)
    offset = found - x
    torch.testing.assert_close(offset, offset.mean().expand_as(x))
    torch.testing.assert_close(float(offset.mean() / period), round(float(offset.mean() / period)) + 0.0)


def test_unwrapping_noisy_data_stays_congruent():
    x = bumps()
    noisy = x + 0.3 * torch.randn(64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.remainder(noisy, 2 * math.pi)
    found = unwrap(torch.stack((y, y)))[1]
    turns = (found - y) / (2 * math.pi)
    torch.testing.assert_close(turns, turns.round())
    wrong = (found - noisy - (found - noisy).median()).abs() > 0.1
    assert float(wrong.double().mean()) < 0.02


def test_prox_of_itoh_is_the_dense_solution():
    f, u, y = Itoh(period=1.0), random(1, 4, 5), random(1, 4, 5, seed=1)
    D = torch.autograd.functional.hessian(lambda v: f.value(v.view(1, 4, 5), y), u.flatten())
    slope = f.grad(torch.zeros(1, 4, 5, dtype=torch.float64), y).flatten()
    truth = torch.linalg.solve(torch.eye(20) + 0.7 * D, u.flatten() - 0.7 * slope)
    torch.testing.assert_close(f.prox(u, y, 0.7).flatten(), truth)


def test_periods_are_checked():
    for make in (lambda: Modulo((1, 2, 2), period=0.0), lambda: Itoh(period=-1.0)):
        with pytest.raises(ParameterError, match="period must be finite and positive"):
            make()
    with pytest.raises(ShapeError, match="real image"):
        unwrap(torch.zeros(3))
    assert isinstance(invcore.create("fidelity", "optics.itoh"), Itoh)
