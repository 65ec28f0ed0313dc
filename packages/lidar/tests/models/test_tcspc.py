"""The photon counting model against sums written out, quadrature and scipy."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.ndimage
import torch
from scipy.special import ndtr

from invcore import ParameterError, Physics, ShapeError
from invcore.solvers import GaussNewton
from invcore_lidar import SPEED_OF_LIGHT, TCSPC, Histogram, ImpulseResponse

PULSE = ImpulseResponse.gaussian(fwhm=400e-12)
SIGMA = 400e-12 / math.sqrt(8 * math.log(2))


def model(**options):
    return TCSPC(**{"impulse": PULSE, "bins": 80, "bin_width": 100e-12, "shape": (3, 5), **options})


def scene(A, generator, *batch, low=0.2, high=1.1):
    def uniform(a, b, n):
        return a + (b - a) * torch.rand(*batch, n, *A.shape, generator=generator, dtype=torch.float64)

    n = A.surfaces
    return torch.cat([uniform(low, high, n), uniform(1.0, 30.0, n), uniform(0.01, 0.3, 1)], dim=-3)


def by_hand(A, x):
    """Every pixel, bin and surface separately, with scipy's normal distribution."""
    x = x.numpy()
    k, edges = A.surfaces, A.start + A.bin_width * np.arange(A.bins + 1)
    y = np.empty((A.bins, *A.shape))
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            y[:, i, j] = x[2 * k, i, j]
            for s in range(k):
                mass = np.diff(ndtr((edges - 2 * x[s, i, j] / SPEED_OF_LIGHT) / SIGMA))
                y[:, i, j] += x[k + s, i, j] * mass
    return torch.from_numpy(y)


@pytest.mark.parametrize("surfaces", [1, 3])
@pytest.mark.parametrize("start, bins", [(0.0, 80), (2.31e-9, 41), (-7e-9, 140), (1e-9, 9)])
def test_gaussian_pulse_is_the_sum_written_out(surfaces, start, bins, generator):
    A = model(surfaces=surfaces, start=start, bins=bins)
    x = scene(A, generator)
    torch.testing.assert_close(A(x), by_hand(A, x), rtol=1e-10, atol=1e-13)


def test_returns_across_the_edges_of_the_gate(generator):
    A = model(bins=50, start=3e-9)
    depth = torch.linspace(-1, 3, 15, dtype=torch.float64).reshape(1, 3, 5)
    x = A.image(depth=depth, reflectivity=torch.full_like(depth, 7.0), background=0.1)
    torch.testing.assert_close(A(x), by_hand(A, x), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    "impulse",
    [
        ImpulseResponse.exponential_gaussian(sigma=150e-12, decay=300e-12),
        ImpulseResponse.measured(
            samples=torch.tensor([1.0, 5.0, 3.0, 2.0, 1.0], dtype=torch.float64), spacing=90e-12
        ),
    ],
)
def test_other_pulses_are_quadratures_of_their_density(impulse):
    A = model(impulse=impulse, shape=(1, 1), bins=25)
    depth, r = 0.1234, 11.0
    x = torch.tensor([depth, r, 0.25], dtype=torch.float64).reshape(3, 1, 1)
    delay = 2 * depth / SPEED_OF_LIGHT
    knots = delay + 90e-12 * np.arange(-3, 8)

    def density(t):
        return impulse.density(torch.tensor(t - delay, dtype=torch.float64)).item()

    for b, got in enumerate(A(x).flatten().tolist()):
        low, high = b * A.bin_width, (b + 1) * A.bin_width
        inside = [k for k in knots if low < k < high]
        mass, _ = scipy.integrate.quad(
            density, low, high, points=inside, epsabs=1e-12, epsrel=1e-10, limit=200
        )
        assert got == pytest.approx(r * mass + 0.25, rel=1e-8)


def test_all_photons_are_counted_and_none_is_negative(generator):
    A = model()
    x = scene(A, generator).float()
    y = A(x)
    expected = A.scene(x).reflectivity[0] + A.bins * A.scene(x).background[0]
    torch.testing.assert_close(y.sum(0), expected, rtol=1e-5, atol=0)
    dark = A.image(depth=x[:1], reflectivity=x[1:2])
    assert A(dark).min() >= 0


def test_a_scene_at_21_km_keeps_its_millimeters():
    """Single precision resolves 140 µs to 15 ps only: the start of the gate is subtracted in double."""
    A = model(start=140e-6, bins=400, shape=(1, 1))
    depth = torch.tensor(0.5 * SPEED_OF_LIGHT * 140.0213e-6).float()
    x32 = torch.stack([depth, torch.tensor(50.0), torch.tensor(0.1)]).reshape(3, 1, 1)
    torch.testing.assert_close(A(x32).double(), A(x32.double()), rtol=1e-4, atol=1e-4)


def test_a_depth_that_is_no_number_shows(generator):
    A = model(bins=300)
    x = scene(A, generator)
    x[0, 1, 2] = torch.nan
    y = A(x)
    assert y[:, 1, 2].isnan().any()
    assert y.isnan().any(0).sum() == 1


def test_blur_is_that_of_each_bin(generator):
    psf = torch.rand(3, 5, generator=generator, dtype=torch.float64)
    sharp, soft = model(shape=(6, 7)), model(shape=(6, 7), psf=psf)
    x = scene(sharp, generator)
    dark = torch.cat([x[:2], torch.zeros_like(x[2:])])
    expected = np.stack([scipy.ndimage.convolve(b, psf.numpy(), mode="nearest") for b in sharp(dark).numpy()])
    torch.testing.assert_close(soft(x), torch.from_numpy(expected) + x[2], rtol=1e-10, atol=1e-12)


def test_delays_move_the_returns_of_their_pixel(generator):
    delay = 300e-12 * torch.rand(3, 5, generator=generator, dtype=torch.float64)
    A, B = model(), model(delay=delay)
    x = scene(A, generator)
    moved = torch.cat([x[:1] + SPEED_OF_LIGHT / 2 * delay, x[1:]])
    torch.testing.assert_close(B(x), A(moved), rtol=1e-9, atol=1e-12)


def test_two_samples_are_two_batches_of_one_also_with_as_many_as_bins(generator):
    A = model(bins=12, shape=(3, 4), surfaces=2)
    for count in (2, 12):  # another library confuses the batch with the bins
        x = scene(A, generator, count)
        torch.testing.assert_close(A(x), torch.stack([A(one) for one in x]), rtol=0, atol=0)


def test_derivative_in_depth_is_that_of_the_density(generator):
    A = model(shape=(1, 1))
    depth, r = 0.6, 9.0
    x = torch.tensor([depth, r, 0.1], dtype=torch.float64).reshape(3, 1, 1)
    step = torch.zeros_like(x)
    step[0] = 1.0
    edges = A.bin_width * torch.arange(A.bins + 1, dtype=torch.float64)
    h = PULSE.density(edges - 2 * depth / SPEED_OF_LIGHT)
    expected = -2 / SPEED_OF_LIGHT * r * h.diff()
    torch.testing.assert_close(A.linearize(x)(step).flatten(), expected, rtol=1e-9, atol=1e-9)


def test_impulse_response_is_learned_from_counts(generator):
    """The width and the tail of the pulse, from the histogram of a target at a known place."""
    true = ImpulseResponse.exponential_gaussian(sigma=150e-12, decay=300e-12)
    A = model(impulse=true, shape=(1, 1))
    x = torch.tensor([0.5, 1e4, 1.0], dtype=torch.float64).reshape(3, 1, 1)
    y = A(x)
    scale = torch.tensor([220e-12, 200e-12], dtype=torch.float64)
    z = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([z], max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def loss():
        search.zero_grad()
        sigma, decay = scale * z.exp()
        u = A.bind(sigma=sigma, decay=decay)(x)
        value = (u - y * u.log()).sum()
        value.backward()
        return value

    search.step(loss)
    torch.testing.assert_close(
        scale * z.detach().exp(), torch.tensor([150e-12, 300e-12], dtype=torch.float64), rtol=1e-4, atol=0
    )


def test_counts_are_poisson(generator):
    A = model(shape=(30, 40))
    one = torch.tensor([0.6, 40.0, 0.5])
    x = one[:, None, None].expand(3, 30, 40)
    y = A.physics()(x, generator=generator)
    mean, rate = y.mean((1, 2)), A(x)[:, 0, 0]
    assert ((mean - rate).abs() < 5 * (rate / 1200).sqrt()).all()
    bright = rate > 2
    assert (y.var((1, 2)) / rate)[bright].sub(1).abs().max() < 0.25


def test_fitted_by_a_solver_of_core(generator):
    """Depth, reflectivity and background from rates."""
    A = model(shape=(2, 2))
    x = scene(A, generator)
    start = torch.cat([x[:1] + 0.01, 0.8 * x[1:2], 1.3 * x[2:]])
    found = GaussNewton(max_steps=200, rtol=1e-9).solve(A(x), Physics(A), x0=start)
    torch.testing.assert_close(found.value, x, rtol=1e-5, atol=1e-6)


def test_model_of_a_histogram():
    counts = Histogram(counts=torch.zeros(20, 3, 4), bin_width=1e-10, start=2e-9)
    A = TCSPC.of(counts, impulse=PULSE, surfaces=2)
    assert A.range.shape == (20, 3, 4)
    assert A.domain.shape == (5, 3, 4)
    assert A.gate == (2e-9, 1e-10, 20)


def test_errors_say_what_was_expected():
    with pytest.raises(ParameterError, match="bins must be a positive int"):
        model(bins=0)
    with pytest.raises(ParameterError, match="bin_width must be a positive time"):
        model(bin_width=0.0)
    with pytest.raises(ParameterError, match="surfaces"):
        model(surfaces=0)
    with pytest.raises(ShapeError, match=r"delay must be \(..., 3, 5\)"):
        model(delay=torch.zeros(5, 3))
    with pytest.raises(ShapeError, match=r"psf must be \(..., y, x\)"):
        model(psf=torch.zeros(5))
    with pytest.raises(ShapeError, match=r"reflectivity must be \(..., 1, 3, 5\)"):
        model().image(depth=torch.zeros(1, 3, 5), reflectivity=torch.zeros(3, 5))
    with pytest.raises(ShapeError, match=r"expected shape \(batch..., 3, 3, 5\)"):
        model()(torch.zeros(2, 3, 5))


def test_a_name_is_no_impulse_response():
    with pytest.raises(ParameterError, match=r"got 'gaussian'. ImpulseResponse.gaussian, .* make one"):
        TCSPC(impulse="gaussian", bins=20, bin_width=1e-10, shape=(2, 2))
