"""BM3D against its definition, block by block, and published figures."""

import math

import numpy as np
import pytest
import pywt
import torch
from scipy import fft

import invcore
from invcore.denoisers import BM3D
from invcore_testsupport import DATA

IMAGES = DATA / "images"


def rms(x):
    return float(x.square().mean().sqrt())


def bm3d_by_loops(y, basic, sigma, *, group, window, match, stride, threshold=2.7):
    """The definition, block by block, with transforms of scipy and PyWavelets."""
    n, reach = 8, window // 2
    guide = y if basic is None else basic
    last = [length - n for length in y.shape]
    corners = [sorted({*range(0, end + 1, stride), end}) for end in last]

    lines, low = [], np.eye(n)
    while len(low) > 1:
        low, high = pywt.dwt(low, "bior1.5", "periodization", axis=0)
        lines.insert(0, high)
    B = np.concatenate([low, *lines])
    B /= np.linalg.norm(B, axis=1, keepdims=True)

    def forward(stack):
        if basic is None:
            stack = B @ stack @ B.T
        else:
            stack = fft.dctn(stack, axes=(1, 2), norm="ortho")
        coefficients = pywt.wavedec(stack, "haar", "periodization", axis=0)
        return coefficients

    def backward(coefficients):
        stack = pywt.waverec(coefficients, "haar", "periodization", axis=0)
        if basic is None:
            inverse = np.linalg.inv(B)
            return inverse @ stack @ inverse.T
        return fft.idctn(stack, axes=(1, 2), norm="ortho")

    taper = np.outer(np.kaiser(n, 2.0), np.kaiser(n, 2.0))
    num, den = np.zeros_like(y), np.zeros_like(y)
    for r in corners[0]:
        for c in corners[1]:
            found = []
            for i in range(max(0, r - reach), min(last[0], r + reach) + 1):
                for j in range(max(0, c - reach), min(last[1], c + reach) + 1):
                    d = np.mean((guide[i : i + n, j : j + n] - guide[r : r + n, c : c + n]) ** 2)
                    if d <= match:
                        found.append((d, i, j))
            found = sorted(found)[:group]
            found = found[: 2 ** int(math.log2(len(found)))]
            stack = forward(np.stack([y[i : i + n, j : j + n] for _, i, j in found]))
            if basic is None:
                kept = [np.abs(v) > threshold * sigma for v in stack]
                filtered = [v * k for v, k in zip(stack, kept)]
                weight = 1 / max(1, sum(k.sum() for k in kept))
            else:
                guess = forward(np.stack([basic[i : i + n, j : j + n] for _, i, j in found]))
                gains = [v**2 / (v**2 + sigma**2) for v in guess]
                filtered = [v * g for v, g in zip(stack, gains)]
                weight = 1 / sum((g**2).sum() for g in gains)
            for block, (_, i, j) in zip(backward(filtered), found):
                num[i : i + n, j : j + n] += weight * taper * block
                den[i : i + n, j : j + n] += weight * taper
    return num / den


@pytest.mark.parametrize("shape", [(24, 24), (20, 27)])
def test_bm3d_equals_its_definition(shape, picture, noisy):
    sigma, window = 0.1, 13
    y = noisy(picture()[0, : shape[0], : shape[1]], sigma)
    unit = 1 / 255**2
    basic = bm3d_by_loops(y.numpy(), None, sigma, group=16, window=window, match=2500 * unit, stride=3)
    final = bm3d_by_loops(y.numpy(), basic, sigma, group=32, window=window, match=400 * unit, stride=3)
    first = BM3D(window=window, wiener=False)(y[None], sigma)[0].numpy()
    both = BM3D(window=window)(y[None], sigma)[0].numpy()
    np.testing.assert_allclose(first, basic, atol=1e-10)
    np.testing.assert_allclose(both, final, atol=1e-10)


def test_bm3d_in_bands_equals_bm3d_at_once(monkeypatch, picture, noisy):
    from invcore.denoisers import _block_matching

    y = noisy(picture(40), 0.1)
    D = BM3D(window=9)
    whole = D(y, 0.1)
    monkeypatch.setattr(_block_matching, "_DISTANCES", 2000)
    monkeypatch.setattr(_block_matching, "_CACHED", 1000)
    assert torch.allclose(D(y, 0.1), whole, atol=1e-12)


def test_bm3d_scales_with_the_peak(picture, noisy):
    y = noisy(picture(), 0.1)
    expected = 255 * BM3D(window=9)(y, 0.1)
    assert torch.allclose(BM3D(window=9, peak=255.0)(255 * y, 25.5), expected, atol=1e-9)


def test_bm3d_color_uses_the_other_channels(picture, noisy):
    tint = torch.tensor([1.0, 0.9, 0.7], dtype=torch.float64)[:, None, None]
    clean = picture(48) * tint
    y = noisy(clean, 0.1)
    together, alone = BM3D(window=15)(y, 0.1), BM3D(window=15, color="separate")(y, 0.1)
    for c in range(3):
        assert torch.allclose(alone[c : c + 1], BM3D(window=15)(y[c : c + 1], 0.1), atol=1e-12)
    assert rms(together - clean) < rms(alone - clean) < 0.5 * rms(y - clean)


def test_bm3d_strong_noise_small_images_and_reproducibility(picture, noisy):
    clean = picture(40)
    y = noisy(clean, 0.25)
    D = BM3D(window=21)
    assert rms(D(y, 0.25) - clean) < 0.35 * rms(y - clean)
    assert torch.equal(D(y, 0.25), D(y, 0.25))
    assert D(y[..., :5, :9], 0.1).shape == (1, 5, 9)
    assert torch.equal(D(y, 0.0), y)
    with pytest.raises(invcore.DtypeError, match="real image"):
        D(y + 0j, 0.1)
    with pytest.raises(invcore.ParameterError, match="window"):
        BM3D(window=8)


@pytest.mark.slow
def test_bm3d_on_set12(noisy):
    """29.97 dB in K. Zhang et al., IEEE Trans. Image Process. 26 (2017), for another draw of the noise."""
    files = sorted((IMAGES / "set12").glob("*.png"))
    if len(files) != 12:
        pytest.skip(f"no Set12: {IMAGES / 'set12'} lacks the 12 images; set INVCORE_DATA to the data folder")
    from matplotlib import image

    psnr, level, values = invcore.metrics.PSNR(data_range=1.0), 25 / 255, []
    for i, file in enumerate(files):
        x = torch.from_numpy(np.round(255 * image.imread(file)) / 255)[None].float()
        values.append(float(psnr(BM3D()(noisy(x, level, seed=i), level), x)))
    assert np.mean(values) >= 29.9
