"""Wavelet shrinkage against PyWavelets."""

import math

import numpy as np
import pytest
import pywt
import torch

import invcore
from invcore.denoisers import WaveletDenoiser


def shrunk_by_pywavelets(y, rule, levels=3):
    c = pywt.wavedecn(y, "db2", "periodization", levels)
    done = [c[0]] + [{k: rule(v) for k, v in level.items()} for level in c[1:]]
    return pywt.waverecn(done, "db2", "periodization")


def test_hard_thresholding_equals_pywavelets(picture, noisy):
    y = noisy(picture(), 0.1)
    expected = shrunk_by_pywavelets(y[0].numpy(), lambda v: pywt.threshold(v, 0.3, "hard"))
    D = WaveletDenoiser(shrinkage="hard", threshold=3.0, wavelet="db2", levels=3)
    np.testing.assert_allclose(D(y, 0.1)[0].numpy(), expected, atol=1e-12)


def test_universal_threshold(picture, noisy):
    y = noisy(picture(), 0.1)
    limit = 0.1 * math.sqrt(2 * math.log(32 * 32))
    expected = shrunk_by_pywavelets(y[0].numpy(), lambda v: pywt.threshold(v, limit, "soft"))
    result = WaveletDenoiser(threshold="universal", wavelet="db2", levels=3)(y, 0.1)
    np.testing.assert_allclose(result[0].numpy(), expected, atol=1e-12)


def test_block_shrinkage_equals_its_definition(picture, noisy):
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


def disc_and_wave(dtype=torch.float64, n=64):
    t = torch.linspace(-1, 1, n, dtype=torch.float64)
    disc = (t[:, None] ** 2 + t**2 < 0.5).to(torch.float64) + 0.3 * torch.sin(6 * t)
    return disc[None].to(dtype)


def noise(x, sigma, seed=0):
    g = torch.Generator().manual_seed(seed)
    draw = lambda: torch.randn(x.shape, generator=g, dtype=torch.float64)
    return sigma * (torch.complex(draw(), draw()) if x.is_complex() else draw()).to(x.dtype)


def test_fixed_threshold_equals_pywavelets():
    x = disc_and_wave() + noise(disc_and_wave(), 0.2)
    coefficients = pywt.wavedecn(x[0].numpy(), "db4", "periodization", 3)
    shrunk = [coefficients[0]] + [
        {k: pywt.threshold(v, 1.5 * 0.2, "soft") for k, v in level.items()} for level in coefficients[1:]
    ]
    expected = pywt.waverecn(shrunk, "db4", "periodization")
    result = WaveletDenoiser(threshold=1.5, levels=3)(x, 0.2)
    np.testing.assert_allclose(result[0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize(
    "denoiser", [WaveletDenoiser(), WaveletDenoiser(threshold=2.0), WaveletDenoiser(spins=2)]
)
def test_removes_noise_of_every_scale(dtype, denoiser):
    clean = disc_and_wave(dtype) * (1 + (0.5j if dtype.is_complex else 0))
    for scale in (1e-6, 1.0, 1e6):
        x = scale * (clean + noise(clean, 0.3))
        before = torch.linalg.vector_norm(x - scale * clean)
        after = torch.linalg.vector_norm(denoiser(x, 0.3 * scale) - scale * clean)
        assert after < 0.6 * before


def test_averaging_over_shifts_helps():
    clean = disc_and_wave()
    x = clean + noise(clean, 0.3)
    errors = [float((WaveletDenoiser(wavelet="haar", spins=s)(x, 0.3) - clean).norm()) for s in (1, 2, 4)]
    assert errors[0] > errors[1] > errors[2]


def test_noise_level_per_sample_is_independent_of_batch_mates():
    x = torch.stack(
        [disc_and_wave() + noise(disc_and_wave(), s, seed=i) for i, s in enumerate((0.1, 0.5, 0.0))]
    )
    sigma = torch.tensor([0.1, 0.5, 0.0])
    D = WaveletDenoiser()
    together = D(x, sigma)
    for i in range(3):
        assert torch.allclose(together[i], D(x[i], float(sigma[i])), atol=1e-7)
    assert torch.allclose(together[2], x[2], atol=1e-12)  # no noise, nothing removed


@pytest.mark.parametrize("shape, d", [((2, 1, 17), 1), ((1, 3, 15, 22), 2), ((1, 8, 9, 10), 3)])
def test_dimensions_and_odd_sizes(shape, d):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = WaveletDenoiser(spatial_dims=d, wavelet="db2")(x, 0.5)
    assert result.shape == x.shape and result.dtype == x.dtype
    assert result.norm() < x.norm()


def test_derivative_is_that_of_finite_differences():
    x = (disc_and_wave(n=8) + noise(disc_and_wave(n=8), 0.1)).requires_grad_()
    for D in (WaveletDenoiser(wavelet="db2"), WaveletDenoiser(wavelet="db2", threshold=1.0)):
        assert torch.autograd.gradcheck(lambda v, D=D: D(v, 0.1), (x,))
