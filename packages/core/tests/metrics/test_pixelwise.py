"""Pixelwise metrics against scikit-image and numpy."""

import math

import numpy as np
import pytest
import torch
from skimage import metrics as reference

import invcore
from invcore.metrics import L1L2, MAE, MSE, NMSE, NRMSE, PSNR, SNR, CosineSimilarity, LpNorm


def pair(*shape, dtype=torch.float64, noise=0.1, seed=0):
    g = torch.Generator().manual_seed(seed)
    ramps = torch.meshgrid(*(torch.linspace(0, 1, n, dtype=torch.float64) for n in shape[-2:]), indexing="ij")
    x = 0.5 + 0.4 * torch.sin(7 * ramps[0] + 3 * ramps[1]).expand(shape).clone()
    x = x + 0.1 * torch.rand(shape, generator=g, dtype=torch.float64)
    return (x + noise * torch.randn(shape, generator=g, dtype=torch.float64)).to(dtype), x.to(dtype)


def centered_pair(*shape, seed=0):
    """Images with values of both signs."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=g, dtype=torch.float64)
    return x + 0.5 * torch.randn(shape, generator=g, dtype=torch.float64), x


def close(value, expected, rel=1e-9):
    assert value.flatten().tolist() == pytest.approx(np.ravel(expected).tolist(), rel=rel, abs=1e-12)


def test_psnr_and_nrmse_equal_scikit_image():
    x_hat, x = pair(1, 31, 44)
    a, b = x_hat.numpy()[0], x.numpy()[0]
    assert np.isclose(PSNR(data_range=2.0)(x_hat, x), reference.peak_signal_noise_ratio(b, a, data_range=2.0))
    assert np.isclose(
        PSNR(data_range="max")(x_hat, x), reference.peak_signal_noise_ratio(b, a, data_range=b.max())
    )
    assert np.isclose(NRMSE()(x_hat, x), reference.normalized_root_mse(b, a))
    assert np.isclose(NMSE()(x_hat, x), reference.normalized_root_mse(b, a) ** 2)
    assert np.isclose(MSE()(x_hat, x), reference.mean_squared_error(b, a))
    assert np.isclose(MAE()(x_hat, x), np.abs(a - b).mean())


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


def test_metrics_agree_with_each_other():
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


def test_decibels_as_a_loss_have_a_gradient_of_zero_at_the_reference_and_its_own_elsewhere():
    x = torch.rand(2, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    off = x + torch.tensor([0.0, 0.1], dtype=torch.float64).view(2, 1, 1, 1)
    for metric in (PSNR(data_range=1.0), SNR()):
        x_hat = off.clone().requires_grad_()
        value = metric(x_hat, x)
        assert value[0] == torch.inf
        (g,) = torch.autograd.grad(value.sum(), x_hat)
        assert not bool(g[0].any())
        expected = -20 / math.log(10) * (off - x)[1] / (off - x)[1].square().sum()
        torch.testing.assert_close(g[1], expected)
