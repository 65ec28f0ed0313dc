"""Classical denoisers against independent implementations."""

import math

import numpy as np
import pytest
import pywt
import torch
from scipy import fft, ndimage, stats

import invcore
from invcore.denoisers import (
    BM3D,
    Anscombe,
    Bilateral,
    Equivariant,
    Median,
    NonLocalMeans,
    Tiled,
    WaveletDenoiser,
    anscombe_transform,
    inverse_anscombe_transform,
)
from invcore_testsupport import DATA

IMAGES = DATA / "images"


def picture(n=32, channels=1):
    t = torch.linspace(-1, 1, n, dtype=torch.float64)
    planes = [
        0.5 + 0.25 * torch.sin((4 + c) * t) + 0.25 * (t[:, None] ** 2 + t**2 < 0.4 + 0.2 * c)
        for c in range(channels)
    ]
    return torch.stack(planes)


def noisy(x, sigma, seed=0):
    g = torch.Generator().manual_seed(seed)
    return x + sigma * torch.randn(x.shape, generator=g, dtype=x.dtype)


def rms(x):
    return float(x.square().mean().sqrt())


# --------------------------------------------------------------------------------------------------
# BM3D


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
def test_bm3d_equals_its_definition(shape):
    sigma, window = 0.1, 13
    y = noisy(picture()[0, : shape[0], : shape[1]], sigma)
    unit = 1 / 255**2
    basic = bm3d_by_loops(y.numpy(), None, sigma, group=16, window=window, match=2500 * unit, stride=3)
    final = bm3d_by_loops(y.numpy(), basic, sigma, group=32, window=window, match=400 * unit, stride=3)
    first = BM3D(window=window, wiener=False)(y[None], sigma)[0].numpy()
    both = BM3D(window=window)(y[None], sigma)[0].numpy()
    np.testing.assert_allclose(first, basic, atol=1e-10)
    np.testing.assert_allclose(both, final, atol=1e-10)


def test_bm3d_in_bands_equals_bm3d_at_once(monkeypatch):
    from invcore.denoisers import _block_matching

    y = noisy(picture(40), 0.1)
    D = BM3D(window=9)
    whole = D(y, 0.1)
    monkeypatch.setattr(_block_matching, "_DISTANCES", 2000)
    monkeypatch.setattr(_block_matching, "_CACHED", 1000)
    assert torch.allclose(D(y, 0.1), whole, atol=1e-12)


def test_bm3d_scales_with_the_peak():
    y = noisy(picture(), 0.1)
    expected = 255 * BM3D(window=9)(y, 0.1)
    assert torch.allclose(BM3D(window=9, peak=255.0)(255 * y, 25.5), expected, atol=1e-9)


def test_bm3d_color_uses_the_other_channels():
    tint = torch.tensor([1.0, 0.9, 0.7], dtype=torch.float64)[:, None, None]
    clean = picture(48) * tint
    y = noisy(clean, 0.1)
    together, alone = BM3D(window=15)(y, 0.1), BM3D(window=15, color="separate")(y, 0.1)
    for c in range(3):
        assert torch.allclose(alone[c : c + 1], BM3D(window=15)(y[c : c + 1], 0.1), atol=1e-12)
    assert rms(together - clean) < rms(alone - clean) < 0.5 * rms(y - clean)


def test_bm3d_strong_noise_small_images_and_reproducibility():
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


# --------------------------------------------------------------------------------------------------
# neighbors


def nlm_by_loops(y, sigma, patch, radius, strength):
    half = patch // 2
    near = np.pad(y, radius + half, mode="reflect")
    out = np.empty_like(y)
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            here = near[i + radius : i + radius + patch, j + radius : j + radius + patch]
            num = den = 0.0
            for k in range(2 * radius + 1):
                for m in range(2 * radius + 1):
                    there = near[i + k : i + k + patch, j + m : j + m + patch]
                    excess = max(np.mean((here - there) ** 2) - 2 * sigma**2, 0)
                    w = math.exp(-excess / (strength * sigma) ** 2)
                    num, den = num + w * there[half, half], den + w
            out[i, j] = num / den
    return out


def test_nlm_equals_its_definition():
    y = noisy(picture(16), 0.1)[:, :, :12]
    expected = nlm_by_loops(y[0].numpy(), 0.1, patch=3, radius=2, strength=0.8)
    result = NonLocalMeans(patch=3, radius=2, strength=0.8)(y, 0.1)
    np.testing.assert_allclose(result[0].numpy(), expected, atol=1e-12)


def test_bilateral_equals_scikit_image():
    """Where it weighs by value alone; scikit-image looks the weights up in a table."""
    restoration = pytest.importorskip("skimage.restoration")
    y = noisy(picture(), 0.1).clamp(0, 1)
    expected = restoration.denoise_bilateral(
        y[0].numpy(), win_size=7, sigma_color=0.2, sigma_spatial=1e6, bins=100000, mode="symmetric"
    )
    result = Bilateral(spread=1e6, strength=2.0, radius=3)(y, 0.1)
    np.testing.assert_allclose(result[0].numpy(), expected, atol=1e-5)


def test_bilateral_and_nlm_are_linear_filters_for_very_strong_settings():
    y = noisy(picture(), 0.1)
    blurred = ndimage.gaussian_filter(y[0].numpy(), 1.5, mode="reflect", radius=5)
    result = Bilateral(spread=1.5, strength=1e6, radius=5)(y, 0.1)
    np.testing.assert_allclose(result[0].numpy(), blurred, atol=1e-9)
    averaged = ndimage.uniform_filter(y[0].numpy(), 13, mode="mirror")
    result = NonLocalMeans(patch=5, radius=6, strength=1e6)(y, 0.1)
    np.testing.assert_allclose(result[0].numpy(), averaged, atol=1e-9)


def test_neighbors_are_compared_in_all_channels():
    y = noisy(picture(12, channels=3), 0.1)
    near = np.pad(y.numpy(), ((0, 0), (2, 2), (2, 2)), mode="symmetric")
    expected = np.empty(y.shape)
    for i in range(12):
        for j in range(12):
            here = near[:, i : i + 5, j : j + 5]
            far = np.hypot(*np.mgrid[-2:3, -2:3]) ** 2 / (2 * 1.5**2)
            w = np.exp(-np.mean((here - here[:, 2:3, 2:3]) ** 2, 0) / (2 * 0.25**2) - far)
            expected[:, i, j] = (w * here).sum((1, 2)) / w.sum()
    np.testing.assert_allclose(Bilateral(radius=2)(y, 0.1).numpy(), expected, atol=1e-12)
    gray = torch.cat([y[:1]] * 3)
    for D in (Bilateral(), NonLocalMeans(radius=3)):
        assert torch.allclose(D(gray, 0.1)[:1], D(y[:1], 0.1), atol=1e-12)


@pytest.mark.parametrize(
    "boundary, mode",
    [("symmetric", "reflect"), ("reflect", "mirror"), ("replicate", "nearest"), ("circular", "wrap")],
)
@pytest.mark.parametrize("shape", [(9, 14), (2, 3), (5, 6, 7)])
def test_median_equals_scipy(shape, boundary, mode):
    y = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    D = Median(size=5, boundary=boundary, spatial_dims=len(shape))
    assert np.array_equal(D(y, 1.0)[0].numpy(), ndimage.median_filter(y[0].numpy(), 5, mode=mode))


def test_median_ignores_the_level_of_the_noise_but_not_its_absence():
    y = torch.stack([noisy(picture(), 0.1)] * 3)
    out = Median()(y, torch.tensor([0.1, 5.0, 0.0]))
    assert torch.equal(out[0], out[1])
    assert torch.equal(out[2], y[2])
    assert torch.equal(Median()(y[0] + 2j * y[0], 0.1), out[0] + 2j * out[0])


@pytest.mark.parametrize("D", [NonLocalMeans(patch=3, radius=2), Bilateral(radius=2), Median()])
def test_neighbors_outside_the_noise(D):
    """Complex images, gradients, images without noise and impossible options."""
    y = noisy(picture(8), 0.1)
    z = torch.complex(y, 2 * y)
    assert torch.allclose(D(1j * z, 0.1), 1j * D(z, 0.1)) or isinstance(D, Median)
    assert torch.autograd.gradcheck(lambda v: D(v, 0.1), (y.requires_grad_(),))
    (g,) = torch.autograd.grad(D(y, 0.0).sum(), y)
    assert torch.equal(g, torch.ones_like(g))
    with pytest.raises(invcore.ParameterError, match="boundary"):
        type(D)(boundary="zero")
    with pytest.raises(invcore.ParameterError, match="spatial_dims"):
        type(D)(spatial_dims=4)


# --------------------------------------------------------------------------------------------------
# wavelets


def shrunk_by_pywavelets(y, rule, levels=3):
    c = pywt.wavedecn(y, "db2", "periodization", levels)
    done = [c[0]] + [{k: rule(v) for k, v in level.items()} for level in c[1:]]
    return pywt.waverecn(done, "db2", "periodization")


def test_hard_thresholding_equals_pywavelets():
    y = noisy(picture(), 0.1)
    expected = shrunk_by_pywavelets(y[0].numpy(), lambda v: pywt.threshold(v, 0.3, "hard"))
    D = WaveletDenoiser(shrinkage="hard", threshold=3.0, wavelet="db2", levels=3)
    np.testing.assert_allclose(D(y, 0.1)[0].numpy(), expected, atol=1e-12)


def test_universal_threshold():
    y = noisy(picture(), 0.1)
    limit = 0.1 * math.sqrt(2 * math.log(32 * 32))
    expected = shrunk_by_pywavelets(y[0].numpy(), lambda v: pywt.threshold(v, limit, "soft"))
    result = WaveletDenoiser(threshold="universal", wavelet="db2", levels=3)(y, 0.1)
    np.testing.assert_allclose(result[0].numpy(), expected, atol=1e-12)


def test_block_shrinkage_equals_its_definition():
    y = noisy(picture(), 0.1)

    def rule(v):
        out, side = np.empty_like(v), 2  # floor(sqrt(log 1024))
        for i in range(0, v.shape[0], side):
            for j in range(0, v.shape[1], side):
                block = v[i : i + side, j : j + side]
                out[i : i + side, j : j + side] = block * max(0, 1 - 4.50524 * 0.01 / np.mean(block**2))
        return out

    D = WaveletDenoiser(shrinkage="block", threshold="stein", wavelet="db2", levels=3)
    expected = shrunk_by_pywavelets(y[0].numpy(), rule)
    np.testing.assert_allclose(D(y, 0.1)[0].numpy(), expected, atol=1e-12)
    assert torch.autograd.gradcheck(lambda v: D(v, 0.1), (y[:, :8, :6].requires_grad_(),))
    with pytest.raises(invcore.ParameterError, match="shrinkage"):
        WaveletDenoiser(shrinkage="firm")


# --------------------------------------------------------------------------------------------------
# Anscombe


def mean_transform(z, gain, sigma):
    """E of the transform of gain * Poisson(z / gain) + N(0, sigma²), by summation and quadrature."""
    counts = np.arange(0, 200)
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    x = gain * counts[:, None] + sigma * nodes
    t = anscombe_transform(torch.from_numpy(x), gain, sigma).numpy()
    return float(stats.poisson.pmf(counts, z / gain) @ (t @ (weights / weights.sum())))


@pytest.mark.parametrize("gain", [1.0, 0.02])
def test_inverse_anscombe_is_unbiased(gain):
    """Exact for Poisson noise to 0.05 counts, where the algebraic inverse is wrong by up to 0.25 counts or more."""
    for counts in (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 20.0, 60.0):
        t = torch.tensor(mean_transform(counts * gain, gain, 0.0), dtype=torch.float64)
        exact = float(inverse_anscombe_transform(t, gain)) / gain
        assert abs(exact - counts) < 0.05
        if counts >= 5:
            asymptotic = float(inverse_anscombe_transform(t, gain, inverse="asymptotic")) / gain
            assert abs(asymptotic - counts) < 0.05
            algebraic = float(inverse_anscombe_transform(t, gain, inverse="algebraic")) / gain
            assert abs(algebraic - counts) > 0.2


def test_inverse_anscombe_with_gaussian_noise():
    gain, sigma = 0.1, 0.2
    for counts in (5.0, 20.0, 60.0):
        t = torch.tensor(mean_transform(counts * gain, gain, sigma), dtype=torch.float64)
        assert float(inverse_anscombe_transform(t, gain, sigma)) / gain == pytest.approx(counts, abs=0.1)


def test_anscombe_transform_stabilizes():
    g = torch.Generator().manual_seed(0)
    for counts in (4.0, 20.0, 100.0):
        p = torch.poisson(torch.full((100_000,), counts, dtype=torch.float64), generator=g)
        x = 0.1 * p + 0.05 * torch.randn(p.shape, generator=g, dtype=torch.float64)
        assert anscombe_transform(x, 0.1, 0.05).std() == pytest.approx(1.0, abs=0.03)


def test_anscombe_uses_the_range_of_values_and_each_gain():
    clean = torch.stack([picture(24), picture(24)])
    gain = torch.tensor([0.01, 0.05], dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    scale = gain.reshape(2, 1, 1, 1)
    y = scale * torch.poisson(clean / scale, generator=g)
    for inner in (WaveletDenoiser(wavelet="haar"), BM3D(window=11)):
        D = Anscombe(inner, gain=gain)
        out = D(y, 0.0)
        for i in range(2):
            assert torch.allclose(out[i], D.bind(gain=float(gain[i]))(y[i], 0.0), atol=1e-9)
            assert rms(out[i] - clean[i]) < 0.7 * rms(y[i] - clean[i])
    stretched = Anscombe(BM3D(window=11, peak=255.0), gain=gain)
    assert torch.allclose(stretched(y, 0.0), out, atol=1e-6)
    with pytest.raises(invcore.ParameterError, match="gain"):
        Anscombe(inner, gain=0.0)


# --------------------------------------------------------------------------------------------------
# wrappers


def turned(x):
    yield from (torch.rot90(v, k, (-2, -1)) for v in (x, x.flip(-1)) for k in range(4))


def test_equivariant_mean():
    y = noisy(picture(16), 0.1)[..., :12]
    inner = WaveletDenoiser(wavelet="db2", levels=2)
    D = Equivariant(inner)
    for moved, expected in zip(turned(y), turned(D(y, 0.1))):
        assert torch.allclose(D(moved, 0.1), expected, atol=1e-12)
    assert not torch.allclose(inner(y.flip(-1), 0.1), inner(y, 0.1).flip(-1), atol=1e-3)
    elements = [Equivariant(inner, element=g)(y, 0.1) for g in range(8)]
    assert torch.allclose(torch.stack(elements).mean(0), D(y, 0.1), atol=1e-12)
    # a separable transform commutes with the transpose: four of the eight elements differ
    assert len({round(float(e.square().sum()), 9) for e in elements}) == 4


def test_equivariant_random_is_reproducible():
    D = Equivariant(WaveletDenoiser(wavelet="db2"), draw="random", seed=5)
    drawn = [D.at(k).element for k in range(400)]
    assert set(drawn) == set(range(8))
    assert drawn == [D.at(k).element for k in range(400)]
    assert drawn != [Equivariant(D.denoiser, draw="random", seed=6).at(k).element for k in range(400)]
    y = noisy(picture(16), 0.1)
    assert torch.equal(D(y, 0.1), D.at(0)(y, 0.1))
    assert D.stochastic and not D.at(0).stochastic and not D.denoiser.stochastic
    for wrapper in (Tiled(D), Anscombe(D)):
        assert wrapper.stochastic and wrapper.at(3).denoiser.element == D.at(3).element
    with pytest.raises(invcore.ParameterError, match="2 spatial dimensions"):
        Equivariant(Median(spatial_dims=3))


@pytest.mark.parametrize(
    "inner, margin, stride",
    [
        (Median(size=5), 2, 1),
        (Bilateral(radius=3), 3, 1),
        (NonLocalMeans(patch=5, radius=2), 4, 1),
        (BM3D(window=5), 22, 3),
        (WaveletDenoiser(threshold=2.0, wavelet="haar", levels=2), 0, 4),
    ],
)
def test_tiles_have_no_seams(inner, margin, stride):
    y = noisy(picture(88)[..., :71], 0.1)
    tiled = Tiled(inner, tile=24, margin=margin, stride=stride)
    assert torch.allclose(tiled(y, 0.1), inner(y, 0.1), atol=1e-12)
    if margin and stride == 1:
        less = Tiled(inner, tile=24, margin=margin - 1)
        assert not torch.allclose(less(y, 0.1), inner(y, 0.1), atol=1e-4)


def test_tiles_of_volumes_and_levels_per_sample():
    y = torch.randn(2, 1, 6, 7, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inner = Bilateral(radius=1, spatial_dims=3)
    sigma = torch.tensor([0.5, 1.0])
    assert torch.allclose(Tiled(inner, tile=4, margin=1)(y, sigma), inner(y, sigma), atol=1e-12)
    with pytest.raises(invcore.ParameterError, match="tile >= 1"):
        Tiled(inner, tile=0)


@pytest.mark.slow
def test_bm3d_on_set12():
    """Published: 29.97 dB (K. Zhang et al., IEEE Trans. Image Process. 26, 2017), for another draw of the noise."""
    files = sorted((IMAGES / "set12").glob("*.png"))
    if len(files) != 12:
        pytest.skip(f"no Set12: {IMAGES / 'set12'} lacks the 12 images; set INVCORE_DATA to the data folder")
    from matplotlib import image

    psnr, level, values = invcore.metrics.PSNR(data_range=1.0), 25 / 255, []
    for i, file in enumerate(files):
        x = torch.from_numpy(np.round(255 * image.imread(file)) / 255)[None].float()
        values.append(float(psnr(BM3D()(noisy(x, level, seed=i), level), x)))
    assert np.mean(values) >= 29.9
