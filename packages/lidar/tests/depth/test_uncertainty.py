"""Depth deviations against a closed form and a dense inverse."""

import pytest
import torch

from invcore_lidar import ImpulseResponse, depth_deviation, posterior_deviation

H = ImpulseResponse.gaussian(fwhm=300e-12)


def test_bound_of_a_gaussian_without_background():
    sigma = 300e-12 / 2.3548200450309493
    bound = depth_deviation(torch.tensor(9.0, dtype=torch.float64), 0.0, impulse=H, bin_width=5e-12)
    assert float(bound) == pytest.approx(299792458 / 2 * sigma / 3, rel=1e-3)


def test_posterior_deviation_is_that_of_the_dense_inverse():
    g = torch.Generator().manual_seed(0)
    depth = torch.randn(5, 6, generator=g, dtype=torch.float64)
    alone = 0.5 + torch.rand(5, 6, generator=g, dtype=torch.float64)
    eye = torch.eye(30, dtype=torch.float64).reshape(30, 5, 6)
    precision = torch.diag(alone.reshape(-1) ** -2)
    for axis in (-1, -2):
        d = eye.diff(dim=axis).reshape(30, -1).T
        w = 0.7 / depth.diff(dim=axis).abs().clamp_min(1).reshape(-1)
        precision = precision + d.T @ (w[:, None] * d)
    expected = torch.linalg.inv(precision).diagonal().sqrt().reshape(5, 6)
    got = posterior_deviation(depth, alone, weight=0.7, unit=1.0, samples=4000, generator=g)
    torch.testing.assert_close(got, expected, rtol=0.05, atol=0.0)
