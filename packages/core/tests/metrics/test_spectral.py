"""Metrics of spectra against formulas written out in numpy."""

import math

import numpy as np
import pytest
import torch

import invcore
from invcore.metrics import ERGAS, SpectralAngle


def close(value, expected, rel=1e-9):
    assert value.flatten().tolist() == pytest.approx(np.ravel(expected).tolist(), rel=rel, abs=1e-12)


def test_spectral_angle_by_its_formula(smooth_pair):
    x_hat, x = smooth_pair
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


def test_ergas_by_its_formula(smooth_pair):
    x_hat, x = smooth_pair
    a, b = x_hat.numpy(), x.numpy()
    relative = ((a - b) ** 2).mean((2, 3)) / b.mean((2, 3)) ** 2
    close(ERGAS(factor=3)(x_hat, x), 100 / 3 * np.sqrt(relative.mean(1)))
    with pytest.raises(invcore.DataError, match="mean zero"):
        ERGAS(factor=2)(x, 0 * x)
