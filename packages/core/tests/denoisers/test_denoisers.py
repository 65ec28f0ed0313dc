"""Denoisers."""

import numpy as np
import pytest
import pywt
import torch

import invcore
from invcore.denoisers import Denoiser, WaveletDenoiser


def picture(dtype=torch.float64, n=64):
    t = torch.linspace(-1, 1, n, dtype=torch.float64)
    disc = (t[:, None] ** 2 + t**2 < 0.5).to(torch.float64) + 0.3 * torch.sin(6 * t)
    return disc[None].to(dtype)


def noise(x, sigma, seed=0):
    g = torch.Generator().manual_seed(seed)
    draw = lambda: torch.randn(x.shape, generator=g, dtype=torch.float64)
    return sigma * (torch.complex(draw(), draw()) if x.is_complex() else draw()).to(x.dtype)


def test_fixed_threshold_equals_pywavelets():
    x = picture() + noise(picture(), 0.2)
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
    clean = picture(dtype) * (1 + (0.5j if dtype.is_complex else 0))
    for scale in (1e-6, 1.0, 1e6):
        x = scale * (clean + noise(clean, 0.3))
        before = torch.linalg.vector_norm(x - scale * clean)
        after = torch.linalg.vector_norm(denoiser(x, 0.3 * scale) - scale * clean)
        assert after < 0.6 * before


def test_averaging_over_shifts_helps():
    clean = picture()
    x = clean + noise(clean, 0.3)
    errors = [float((WaveletDenoiser(wavelet="haar", spins=s)(x, 0.3) - clean).norm()) for s in (1, 2, 4)]
    assert errors[0] > errors[1] > errors[2]


def test_noise_level_per_sample_is_independent_of_batch_mates():
    x = torch.stack([picture() + noise(picture(), s, seed=i) for i, s in enumerate((0.1, 0.5, 0.0))])
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


def test_derivative():
    x = (picture(n=8) + noise(picture(n=8), 0.1)).requires_grad_()
    for D in (WaveletDenoiser(wavelet="db2"), WaveletDenoiser(wavelet="db2", threshold=1.0)):
        assert torch.autograd.gradcheck(lambda v, D=D: D(v, 0.1), (x,))


def test_contract():
    D = invcore.denoiser("wavelet", wavelet="haar")
    assert isinstance(D, Denoiser)
    assert D.channels is None and D.value_range is None and D.sigma_range[0] == 0
    x = torch.ones(2, 1, 8, 8)
    with pytest.raises(invcore.ShapeError, match=r"batch shape \(2,\)"):
        D(x, torch.ones(3))
    with pytest.raises(invcore.ShapeError, match="2 spatial dimensions"):
        D(x[0, 0], 0.1)
    with pytest.raises(invcore.ParameterError, match="sigma must lie"):
        D(x, -0.1)
    with pytest.raises(invcore.DataError, match="NaN"):
        D(x, float("nan"))
    with pytest.raises(invcore.DtypeError, match="floating-point"):
        D(x.int(), 0.1)
    with pytest.raises(invcore.ParameterError, match="threshold"):
        WaveletDenoiser(threshold="hard")
    with pytest.raises(invcore.ParameterError, match="spins"):
        WaveletDenoiser(spins=0)


def test_channels_are_checked():
    class Gray(Denoiser):
        channels, value_range, sigma_range, spatial_dims = 1, (0.0, 1.0), (0.01, 1.0), 2

        def denoise(self, x, sigma):
            return x

    with pytest.raises(invcore.ShapeError, match="expected 1 channels, got 3"):
        Gray()(torch.ones(3, 8, 8), 0.1)
    with pytest.raises(invcore.ParameterError, match=r"\[0.01, 1\]"):
        Gray()(torch.ones(1, 8, 8), 2.0)
