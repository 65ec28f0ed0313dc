"""Metrics without a reference against scikit-image, numpy and random phases."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import uniform_filter
from skimage.measure import blur_effect

import invcore
from invcore.metrics import QNR, BlurStrength, NoReferenceMetric, SharpnessIndex

JUDGMENTS = {
    "sharpness": SharpnessIndex(),
    "sharpness, raw": SharpnessIndex(periodic=False),
    "sharpness, dequantized": SharpnessIndex(dequantize=True),
    "blur_strength": BlurStrength(size=5),
}


def close(value, expected, rel=1e-9):
    assert value.flatten().tolist() == pytest.approx(np.ravel(expected).tolist(), rel=rel, abs=1e-12)


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
def test_blur_strength_equals_scikit_image(size, smooth_pair):
    x = smooth_pair[0][:, :1, :60, :71]
    expected = [blur_effect(v[0].numpy(), h_size=size) for v in x]
    close(BlurStrength(size=size)(x), expected)
    volume = smooth_pair[0][:1, :, :24].reshape(1, 8, 12, 144)
    close(BlurStrength(size=size, spatial_dims=3)(volume), blur_effect(volume[0].numpy(), h_size=size))


def test_blur_strength_of_what_does_not_vary():
    flat = torch.full((2, 1, 9, 9), 0.3)
    assert BlurStrength()(flat).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("periodic", [True, False])
def test_sharpness_index_is_the_probability_of_random_phases(periodic, smooth_pair):
    """Moments of the total variation are those of 4000 random fields with the spectrum of the image."""
    x = smooth_pair[1][0, 0, :24, :20].numpy().copy()
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


def test_sharpness_index_invariances(smooth_pair):
    x = smooth_pair[0][:, :1, :33, :40]
    value = SharpnessIndex()(x)
    close(SharpnessIndex()(-5 * x + 3), value, rel=1e-6)
    close(SharpnessIndex()(x.transpose(-1, -2)), value, rel=1e-6)
    close(SharpnessIndex(periodic=False)(x.roll((3, 8), (-2, -1))), SharpnessIndex(periodic=False)(x))
    assert SharpnessIndex()(torch.full((2, 1, 8, 8), 0.25)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("metric", JUDGMENTS.values(), ids=JUDGMENTS)
class TestEveryJudgment:
    def test_one_score_for_each_image_and_no_reference(self, metric, smooth_pair):
        assert metric.no_reference is True
        assert isinstance(metric, NoReferenceMetric)
        x = smooth_pair[0][:, :, :20, :22]
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

    def test_derivative_is_that_of_finite_differences(self, metric, smooth_pair):
        x = smooth_pair[0][:, :1, :14, :13].clone().requires_grad_()
        assert torch.autograd.gradcheck(metric, (x,), fast_mode=True, atol=1e-4)
