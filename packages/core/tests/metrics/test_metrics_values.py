"""Metrics beyond the pixelwise ones: against scikit-image, formulas written out in numpy, and figures of other programs.

The figures come from deepinv 0.5.0 and torchmetrics 1.9.0 (single precision) on the images of `smooth_pair`.
"""

import math
import statistics

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.signal import convolve2d
from skimage.measure import blur_effect

import invcore
from invcore.metrics import (
    ERGAS,
    GMSD,
    L1L2,
    MAE,
    MSE,
    MSSSIM,
    PSNR,
    QNR,
    SNR,
    SSIM,
    BlurStrength,
    CosineSimilarity,
    HaarPSI,
    LpNorm,
    Metric,
    NoReferenceMetric,
    SharpnessIndex,
    SpectralAngle,
)

SMALL_SCALES = (0.4, 0.6)
COMPARISONS = {
    "snr": SNR(),
    "cosine": CosineSimilarity(),
    "l1l2": L1L2(alpha=0.3),
    "lp": LpNorm(p=3.0),
    "lp below one": LpNorm(p=0.5),
    "largest": LpNorm(p=math.inf),
    "signs": LpNorm(p=2.0, onesided=True),
    "ms_ssim": MSSSIM(data_range=1.0, weights=SMALL_SCALES, sigma=0.8),
    "gmsd": GMSD(data_range=1.0),
    "haarpsi": HaarPSI(data_range=1.0),
    "sam": SpectralAngle(),
    "ergas": ERGAS(factor=4.0),
}
JUDGMENTS = {
    "sharpness": SharpnessIndex(),
    "sharpness, raw": SharpnessIndex(periodic=False),
    "sharpness, dequantized": SharpnessIndex(dequantize=True),
    "blur_strength": BlurStrength(size=5),
}


def smooth_pair(dtype=torch.float64):
    """Two color images of 192 x 192 pixels in [0, 1] and the same with noise."""
    g = torch.Generator().manual_seed(7)
    x = F.avg_pool2d(torch.rand(2, 3, 192, 192, generator=g), 9, 1, 4)
    x = (x - x.amin()) / (x.amax() - x.amin())
    x_hat = (x + 0.05 * torch.randn(x.shape, generator=g)).clamp(0, 1)
    return x_hat.to(dtype), x.to(dtype)


def centered_pair(*shape, seed=0):
    """Images with values of both signs."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=g, dtype=torch.float64)
    return x + 0.5 * torch.randn(shape, generator=g, dtype=torch.float64), x


def close(value, expected, rel=1e-9):
    assert value.flatten().tolist() == pytest.approx(np.ravel(expected).tolist(), rel=rel, abs=1e-12)


# figures of other programs


@pytest.mark.parametrize(
    "metric, gray, figures, rel",
    [
        (HaarPSI(data_range=1.0), True, (0.8039742, 0.8064622), 1e-5),
        (HaarPSI(data_range=1.0, c=5.0, alpha=4.9), True, (0.6950210, 0.6987719), 1e-5),
        (SpectralAngle(), False, (0.0548552, 0.0551210), 1e-5),
        (ERGAS(factor=4.0), False, (1.8428799, 1.8377655), 1e-5),
        (SNR(), False, (22.7458858, 22.7688198), 1e-5),
        (CosineSimilarity(), False, (0.9973551, 0.9973660), 1e-5),
        (L1L2(alpha=0.3), False, (0.0137364, 0.0137524), 1e-5),
        (LpNorm(p=3.0), False, (2.8048778, 2.8079274), 1e-4),
        # reflected borders at every scale, where ours leaves the windows that cross a border out
        (MSSSIM(data_range=1.0), True, (0.9286296, 0.9273637), 1e-3),
        # without the subsampling of the paper, and another border
        (GMSD(data_range=1.0, subsample=False), True, (0.1365965, 0.1383818), 1e-2),
        # the simplified variance of Leclaire and Moisan, where ours is the exact one
        (SharpnessIndex(dequantize=True), True, (0.4024330, 0.5853070), 1e-2),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, Metric) else "",
)
def test_figures_of_other_programs(metric, gray, figures, rel):
    x_hat, x = (v[:, :1] if gray else v for v in smooth_pair())
    value = metric(x_hat) if isinstance(metric, SharpnessIndex) else metric(x_hat, x)
    close(value, figures, rel)


# formulas written out in numpy


def test_ms_ssim_by_its_formula():
    x_hat, x = (v[:1, :1, :176, :181] for v in smooth_pair())

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


def test_ms_ssim_of_one_scale_is_ssim():
    x_hat, x = (v[..., :20, :21] for v in smooth_pair())
    close(MSSSIM(data_range="max", weights=(1.0,))(x_hat, x), SSIM(data_range="max")(x_hat, x))
    x_hat, x = (v.reshape(2, 1, 12, 32, 288) for v in smooth_pair())
    close(
        MSSSIM(data_range=2.0, weights=(1.0,), spatial_dims=3)(x_hat, x),
        SSIM(data_range=2.0, spatial_dims=3)(x_hat, x),
    )


def test_ms_ssim_of_anticorrelated_images_is_zero():
    x = smooth_pair()[1][..., :32, :32]
    assert MSSSIM(data_range=1.0, weights=SMALL_SCALES)(1 - x, x).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("shape", [(40, 34), (41, 37)])
def test_gmsd_by_its_formula(shape):
    x_hat, x = (v[:, :2, : shape[0], : shape[1]] for v in smooth_pair())

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


def test_haarpsi_by_its_formula():
    x_hat, x = (v[:, :1, :41, :38] for v in smooth_pair())

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


def test_spectral_angle_by_its_formula():
    x_hat, x = smooth_pair()
    a, b = x_hat.numpy(), x.numpy()
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    close(SpectralAngle()(x_hat, x), np.arccos(cosine).mean((1, 2)), rel=1e-7)


def test_spectral_angle_of_nearly_parallel_spectra():
    x = torch.tensor([1.0, 2.0, 2.0]).reshape(3, 1, 1)
    turned = x + 1e-4 * torch.tensor([0.0, 1.0, -1.0]).reshape(3, 1, 1)
    expected = math.sqrt(2) * 1e-4 / 3
    assert float(SpectralAngle()(turned, x)) == pytest.approx(expected, rel=1e-3)  # arccos gives 0 or 3e-4


def test_spectral_angle_where_a_spectrum_is_zero():
    x = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]).reshape(2, 1, 3)
    x_hat = torch.tensor([[0.0, 5.0, 2.0], [0.0, 5.0, 2.0]]).reshape(2, 1, 3)
    assert float(SpectralAngle()(x_hat, x)) == pytest.approx(math.pi / 4)  # mean of π/2 and 0
    with pytest.raises(invcore.DataError, match="zero everywhere"):
        SpectralAngle()(x_hat, 0 * x)
    with pytest.raises(invcore.ShapeError, match="one channel"):
        SpectralAngle()(x_hat[:1], x[:1])


def test_ergas_by_its_formula():
    x_hat, x = smooth_pair()
    a, b = x_hat.numpy(), x.numpy()
    relative = ((a - b) ** 2).mean((2, 3)) / b.mean((2, 3)) ** 2
    close(ERGAS(factor=3)(x_hat, x), 100 / 3 * np.sqrt(relative.mean(1)))
    with pytest.raises(invcore.DataError, match="mean zero"):
        ERGAS(factor=2)(x, 0 * x)


def test_norms_by_numpy():
    x_hat, x = centered_pair(2, 1, 9, 8)
    a, b = x_hat.reshape(2, -1).numpy(), x.reshape(2, -1).numpy()
    for p in (1, 2, 3.5, np.inf):
        close(LpNorm(p=float(p))(x_hat, x), np.linalg.norm(a - b, p, axis=1))
    close(LpNorm(p=0.5)(x_hat, x), (np.abs(a - b) ** 0.5).sum(1) ** 2)
    wrong = np.where(np.sign(a) == np.sign(b), 0, np.abs(a * b))
    close(LpNorm(p=1.0, onesided=True)(x_hat, x), wrong.sum(1))
    close(LpNorm(p=2.0, onesided=True)(3 * x_hat.abs() * x.sign(), x), [0, 0])
    large = LpNorm(p=8.0)(1e20 * x_hat.float(), 1e20 * x.float())
    close(large, 1e20 * np.linalg.norm(a - b, 8, axis=1), rel=1e-5)
    with pytest.raises(invcore.ParameterError, match="no sign"):
        LpNorm(onesided=True, complex="complex")(x_hat + 0j, x + 0j)


def test_relations():
    x_hat, x = centered_pair(2, 3, 9, 8)
    close(L1L2(alpha=1.0)(x_hat, x), MAE()(x_hat, x))
    close(L1L2(alpha=0.0)(x_hat, x), MSE()(x_hat, x))
    shift = 10 * torch.log10(x.square().mean((1, 2, 3)) / 1.7**2)
    close(SNR()(x_hat, x), PSNR(data_range=1.7)(x_hat, x) + shift)
    a, b = x_hat.reshape(2, -1).numpy(), x.reshape(2, -1).numpy()
    cosine = [u @ v / np.linalg.norm(u) / np.linalg.norm(v) for u, v in zip(a, b)]
    close(CosineSimilarity()(x_hat, x), cosine)
    close(CosineSimilarity()(-4 * x_hat, x), -np.array(cosine))
    close(CosineSimilarity(complex="complex")(x * (1 + 1j), x + 0j), [math.sqrt(0.5)] * 2)
    assert CosineSimilarity()(0 * x, x).tolist() == [0.0, 0.0]


# without a reference


def fields(*shape, seed=0):
    """Fused, multispectral and panchromatic image."""
    g = torch.Generator().manual_seed(seed)
    x = F.avg_pool2d(torch.rand(*shape, generator=g, dtype=torch.float64), 5, 1, 2)
    x = x + x.mean(-3, keepdim=True)
    return x, F.avg_pool2d(x, 2), x.mean(-3, keepdim=True)


def test_qnr_by_its_formula():
    x, m, pan = fields(4, 24, 20)
    image = x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype)

    def index(a, b):
        inside = (slice(3, -3),) * 2
        ma, mb, aa, bb, ab = (uniform_filter(u, 7)[inside] for u in (a, b, a * a, b * b, a * b))
        return (4 * (ab - ma * mb) * ma * mb / ((aa - ma**2 + bb - mb**2) * (ma**2 + mb**2))).mean()

    f, c, p = image.numpy(), m.numpy(), pan[0].numpy()
    coarse = p.reshape(12, 2, 10, 2).mean((1, 3))
    pairs = [(k, l) for k in range(4) for l in range(4) if k != l]
    spectral = np.mean([abs(index(f[k], f[l]) - index(c[k], c[l])) ** 2 for k, l in pairs]) ** 0.5
    spatial = np.mean([abs(index(f[k], p) - index(c[k], coarse)) for k in range(4)])
    metric = QNR(multispectral=m, panchromatic=pan, alpha=1.5, beta=0.5, p=2.0)
    close(metric(image), (1 - spectral) ** 1.5 * (1 - spatial) ** 0.5, rel=1e-6)
    assert metric(image.expand(2, 3, -1, -1, -1)).shape == (2, 3)


def test_qnr_takes_measurements_of_each_sample_and_refuses_others():
    x, m, pan = fields(2, 3, 24, 20)
    both = QNR(multispectral=m, panchromatic=pan)(x)
    for i in range(2):
        close(QNR(multispectral=m[i], panchromatic=pan[i])(x[i]), both[i])
    with pytest.raises(invcore.ShapeError, match=r"\(\.\.\., 3, 24, 20\)"):
        QNR(multispectral=m, panchromatic=pan)(x[..., :-1])
    with pytest.raises(invcore.ShapeError, match="whole multiple"):
        QNR(multispectral=m, panchromatic=pan[..., :-1])
    with pytest.raises(invcore.ShapeError, match="window"):
        QNR(multispectral=m, panchromatic=pan, size=11)
    with pytest.raises(invcore.ParameterError, match="crop"):
        QNR(multispectral=m, panchromatic=pan, crop=2)


@pytest.mark.parametrize("size", [3, 11, 21])
def test_blur_strength_equals_scikit_image(size):
    x = smooth_pair()[0][:, :1, :60, :71]
    expected = [blur_effect(v[0].numpy(), h_size=size) for v in x]
    close(BlurStrength(size=size)(x), expected)
    volume = smooth_pair()[0][:1, :, :24].reshape(1, 8, 12, 144)
    close(BlurStrength(size=size, spatial_dims=3)(volume), blur_effect(volume[0].numpy(), h_size=size))


def test_blur_strength_of_what_does_not_vary():
    flat = torch.full((2, 1, 9, 9), 0.3)
    assert BlurStrength()(flat).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("periodic", [True, False])
def test_sharpness_index_is_the_probability_of_random_phases(periodic):
    """Mean and standard deviation of the total variation, from 4000 random fields with the spectrum of the image."""
    x = smooth_pair()[1][0, 0, :24, :20].numpy().copy()
    x[6:15, 5:12] += 0.7
    if periodic:
        rows, columns = x.shape
        jumps = np.zeros_like(x)
        jumps[0] += x[-1] - x[0]
        jumps[-1] -= x[-1] - x[0]
        jumps[:, 0] += x[:, -1] - x[:, 0]
        jumps[:, -1] -= x[:, -1] - x[:, 0]
        k, l = np.meshgrid(np.fft.fftfreq(rows), np.fft.fftfreq(columns), indexing="ij")
        symbol = 2 * np.cos(2 * np.pi * k) + 2 * np.cos(2 * np.pi * l) - 4
        smooth = np.fft.fft2(jumps) / np.where(symbol == 0, 1, symbol)
        smooth[0, 0] = 0
        x_used = x - np.fft.ifft2(smooth).real
    else:
        x_used = x

    def tv(u):
        return sum(np.abs(np.roll(u, -1, axis) - u).sum((-2, -1)) for axis in (-2, -1))

    noise = np.random.default_rng(0).standard_normal((4000, *x.shape)) / np.sqrt(x.size)
    samples = tv(np.fft.ifft2(np.fft.fft2(noise) * np.fft.fft2(x_used)).real)
    t = (samples.mean() - tv(x_used)) / samples.std()
    expected = -math.log10(0.5 * math.erfc(t / math.sqrt(2)))
    value = float(SharpnessIndex(periodic=periodic)(torch.tensor(x)[None]))
    assert expected > 2
    assert value == pytest.approx(expected, rel=0.08)  # 1.1 % of the deviation, squared and grown in the tail


def test_sharpness_index_invariances():
    x = smooth_pair()[0][:, :1, :33, :40]
    value = SharpnessIndex()(x)
    close(SharpnessIndex()(-5 * x + 3), value, rel=1e-6)
    close(SharpnessIndex()(x.transpose(-1, -2)), value, rel=1e-6)
    close(SharpnessIndex(periodic=False)(x.roll((3, 8), (-2, -1))), SharpnessIndex(periodic=False)(x))
    assert SharpnessIndex()(torch.full((2, 1, 8, 8), 0.25)).tolist() == [0.0, 0.0]


# what all of them share


@pytest.mark.parametrize("metric", COMPARISONS.values(), ids=COMPARISONS)
class TestEveryComparison:
    def pair(self, metric, *batch):
        if isinstance(metric, LpNorm | SNR):
            return centered_pair(*batch, 3, 20, 18)
        x_hat, x = smooth_pair()
        x_hat, x = (v[0, :, :60, :54].reshape(3, 3, 20, 3, 18)[:, :, :, 0] for v in (x_hat, x))
        x_hat, x = (v.expand(*batch, 3, 3, 20, 18)[..., 0, :, :, :] for v in (x_hat, x))
        return x_hat.clone(), x.clone()

    def test_derivative(self, metric):
        x_hat, x = self.pair(metric, 2)
        assert torch.autograd.gradcheck(lambda v: metric(v, x), (x_hat.requires_grad_(),), fast_mode=True)

    def test_finite_derivative_at_the_reference(self, metric):
        if isinstance(metric, SNR):
            return  # infinite there
        _, x = self.pair(metric, 2)
        x_hat = x.clone().requires_grad_()
        metric(x_hat, x).sum().backward()
        assert bool(torch.isfinite(x_hat.grad).all())

    def test_crop_is_cropping_first(self, metric):
        x_hat, x = self.pair(metric, 2)
        inner = (..., slice(1, -1), slice(1, -1))
        cropped = type(metric)(**{**vars(metric), "crop": 1})
        close(cropped(x_hat, x), metric(x_hat[inner], x[inner]))
        with pytest.raises(invcore.ShapeError, match="leaves nothing"):
            type(metric)(**{**vars(metric), "crop": 9})(x_hat, x)

    def test_complex_needs_a_policy(self, metric):
        x_hat, x = self.pair(metric)
        with pytest.raises(invcore.ParameterError, match="complex='magnitude'"):
            metric(x_hat + 0j, x + 0j)
        magnitude = type(metric)(**{**vars(metric), "complex": "magnitude"})
        close(magnitude(x_hat * 1j, -x + 0j), metric(x_hat.abs(), x.abs()))


@pytest.mark.parametrize("metric", JUDGMENTS.values(), ids=JUDGMENTS)
class TestEveryJudgment:
    def test_contract(self, metric):
        assert metric.no_reference is True
        assert isinstance(metric, NoReferenceMetric)
        x = smooth_pair()[0][:, :, :20, :22]
        assert metric(x).shape == (2,)
        with pytest.raises(invcore.ParameterError, match="no reference"):
            metric(x, x)
        with pytest.raises(invcore.ShapeError, match=r"x\[None\]"):
            metric(x[0, 0])
        with pytest.raises(invcore.ParameterError, match="complex='magnitude'"):
            metric(x + 0j)
        broken = x.clone()
        broken[0, 0, 3, 3] = float("inf")
        assert torch.isnan(metric(broken)).tolist() == [True, False]

    def test_derivative(self, metric):
        x = smooth_pair()[0][:, :1, :14, :13].clone().requires_grad_()
        assert torch.autograd.gradcheck(metric, (x,), fast_mode=True, atol=1e-4)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: L1L2(alpha=1.5), "alpha"),
        (lambda: LpNorm(p=0.0), "p must be positive"),
        (lambda: MSSSIM(data_range=1.0, weights=()), "weights"),
        (lambda: GMSD(data_range=1.0, c=0.0), "c must be positive"),
        (lambda: GMSD(data_range=1.0, spatial_dims=3), "spatial_dims must be 2"),
        (lambda: HaarPSI(data_range=1.0, alpha=-1.0), "positive"),
        (lambda: HaarPSI(data_range=1.0, complex="complex"), "magnitudes"),
        (lambda: ERGAS(factor=0.0), "factor"),
        (lambda: BlurStrength(size=4), "odd"),
        (lambda: SNR(crop=-1), "crop"),
        (lambda: SNR(crop=1.5), "crop"),
        (lambda: SNR(spatial_dims=True), "spatial_dims"),
    ],
)
def test_wrong_options(make, message):
    with pytest.raises(invcore.ParameterError, match=message):
        make()


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
