"""Metrics of structure against scikit-image and formulas written out in numpy."""

import statistics

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d
from skimage import metrics as reference

import invcore
from invcore.metrics import GMSD, MSSSIM, SSIM, HaarPSI


def pair(*shape, dtype=torch.float64, noise=0.1, seed=0):
    g = torch.Generator().manual_seed(seed)
    ramps = torch.meshgrid(*(torch.linspace(0, 1, n, dtype=torch.float64) for n in shape[-2:]), indexing="ij")
    x = 0.5 + 0.4 * torch.sin(7 * ramps[0] + 3 * ramps[1]).expand(shape).clone()
    x = x + 0.1 * torch.rand(shape, generator=g, dtype=torch.float64)
    return (x + noise * torch.randn(shape, generator=g, dtype=torch.float64)).to(dtype), x.to(dtype)


def close(value, expected, rel=1e-9):
    assert value.flatten().tolist() == pytest.approx(np.ravel(expected).tolist(), rel=rel, abs=1e-12)


SMALL_SCALES = (0.4, 0.6)


@pytest.mark.parametrize("window", ["gaussian", "uniform"])
@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize(
    "shape, d", [((1, 40, 33), 2), ((3, 24, 30), 2), ((1, 16, 20, 18), 3), ((2, 14, 13, 15), 3)]
)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_ssim_equals_scikit_image(window, unbiased, shape, d, dtype, tolerance):
    x_hat, x = pair(*shape, dtype=dtype)
    options = {"gaussian_weights": True, "sigma": 1.5} if window == "gaussian" else {"win_size": 7}
    expected = reference.structural_similarity(
        x_hat.double().numpy(),
        x.double().numpy(),
        data_range=1.3,
        channel_axis=0,
        use_sample_covariance=unbiased,
        **options,
    )
    metric = SSIM(data_range=1.3, window=window, unbiased=unbiased, spatial_dims=d)
    assert abs(float(metric(x_hat, x)) - expected) < tolerance


def test_ssim_of_images_with_a_large_mean_in_single_precision():
    x_hat, x = pair(1, 40, 40)
    expected = reference.structural_similarity(
        (x_hat + 500).numpy()[0],
        (x + 500).numpy()[0],
        data_range=1.0,
        gaussian_weights=True,
        use_sample_covariance=False,
    )
    value = SSIM(data_range=1.0)((x_hat + 500).float(), (x + 500).float())
    assert abs(float(value) - expected) < 1e-3


def test_ms_ssim_by_its_formula(smooth_pair):
    x_hat, x = (v[:1, :1, :176, :181] for v in smooth_pair)

    def moments(u):
        return gaussian_filter(u, 1.5, truncate=3.5)[5:-5, 5:-5]

    a, b = x_hat[0, 0].numpy(), x[0, 0].numpy()
    expected, weights = 1.0, (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    for scale, weight in enumerate(weights):
        ma, mb = moments(a), moments(b)
        variances = moments(a * a) - ma**2 + moments(b * b) - mb**2
        term = (2 * (moments(a * b) - ma * mb) + 0.03**2) / (variances + 0.03**2)
        if scale == 4:
            term = term * (2 * ma * mb + 0.01**2) / (ma**2 + mb**2 + 0.01**2)
        expected *= term.mean() ** weight
        rows, columns = a.shape[0] // 2, a.shape[1] // 2
        a, b = (u[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean((1, 3)) for u in (a, b))
    close(MSSSIM(data_range=1.0)(x_hat, x), expected)


def test_ms_ssim_of_one_scale_is_ssim(smooth_pair):
    x_hat, x = (v[..., :20, :21] for v in smooth_pair)
    close(MSSSIM(data_range="max", weights=(1.0,))(x_hat, x), SSIM(data_range="max")(x_hat, x))
    x_hat, x = (v.reshape(2, 1, 12, 32, 288) for v in smooth_pair)
    close(
        MSSSIM(data_range=2.0, weights=(1.0,), spatial_dims=3)(x_hat, x),
        SSIM(data_range=2.0, spatial_dims=3)(x_hat, x),
    )


def test_ms_ssim_of_anticorrelated_images_is_zero(smooth_pair):
    x = smooth_pair[1][..., :32, :32]
    assert MSSSIM(data_range=1.0, weights=SMALL_SCALES)(1 - x, x).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("shape", [(40, 34), (41, 37)])
def test_gmsd_by_its_formula(shape, smooth_pair):
    x_hat, x = (v[:, :2, : shape[0], : shape[1]] for v in smooth_pair)

    def magnitude(u):
        u = np.pad(u, ((0, 1), (0, 1)))
        u = (u[:-1, :-1] + u[1:, :-1] + u[:-1, 1:] + u[1:, 1:])[::2, ::2] / 4
        h = np.array([[1, 0, -1]] * 3) / 3
        return np.hypot(convolve2d(u, h, mode="same"), convolve2d(u, h.T, mode="same"))

    expected = []
    for a, b in zip(x_hat.numpy(), x.numpy()):
        deviations = []
        for channel in range(2):
            m, n = magnitude(255 * a[channel]), magnitude(255 * b[channel])
            deviations.append(statistics.stdev(((2 * m * n + 170) / (m**2 + n**2 + 170)).ravel()))
        expected.append(np.mean(deviations))
    close(GMSD(data_range=1.0)(x_hat, x), expected, rel=1e-6)


def test_haarpsi_by_its_formula(smooth_pair):
    x_hat, x = (v[:, :1, :41, :38] for v in smooth_pair)

    def coefficients(u):
        u = np.pad(u, ((0, u.shape[0] % 2), (0, u.shape[1] % 2)))
        u = u.reshape(u.shape[0] // 2, 2, -1, 2).mean((1, 3))
        found = []
        for k in (1, 2, 3):
            h = np.full((2**k, 2**k), 2.0**-k)
            h[: 2 ** (k - 1)] *= -1
            crop = tuple(slice(2 ** (k - 1), 2 ** (k - 1) + n) for n in u.shape)
            found.append([np.abs(convolve2d(u, f, mode="full")[crop]) for f in (h, h.T)])
        return found

    expected = []
    for a, b in zip(255 * x_hat[:, 0].numpy(), 255 * x[:, 0].numpy()):
        p, q = coefficients(a), coefficients(b)
        top = bottom = 0.0
        for o in (0, 1):
            s = sum((2 * p[j][o] * q[j][o] + 30) / (p[j][o] ** 2 + q[j][o] ** 2 + 30) for j in (0, 1))
            w = np.maximum(p[2][o], q[2][o])
            top, bottom = top + (w / (1 + np.exp(-4.2 * s / 2))).sum(), bottom + w.sum()
        v = top / bottom
        expected.append((np.log(v / (1 - v)) / 4.2) ** 2)
    close(HaarPSI(data_range=1.0)(x_hat, x), expected)


def test_haarpsi_of_images_without_structure():
    flat = torch.zeros(1, 16, 16)
    assert float(HaarPSI(data_range=1.0)(flat, flat)) == 1.0


@pytest.mark.parametrize(
    "metric, shape, message",
    [
        (MSSSIM(data_range=1.0), (1, 175, 200), "176"),
        (GMSD(data_range=1.0), (1, 3, 9), "4 x 4"),
        (HaarPSI(data_range=1.0), (1, 15, 40), "16 x 16"),
    ],
)
def test_images_that_are_too_small(metric, shape, message):
    with pytest.raises(invcore.ShapeError, match=message):
        metric(torch.rand(shape), torch.rand(shape))
