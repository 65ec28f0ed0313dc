"""Unmixed signal and background against the truth of simulated scenes."""

import pytest
import torch

from invcore_lidar import ImpulseResponse, simulate_tags, unmixed

H = ImpulseResponse.gaussian(fwhm=300e-12)


def test_unmixed_reflectivity_of_a_skewed_response(wall):
    skewed = ImpulseResponse.exponential_gaussian(sigma=60e-12, decay=300e-12)
    estimate = unmixed(wall(20.0, 2.0, size=24, impulse=skewed), skewed)
    assert float(estimate.reflectivity.mean()) == pytest.approx(20.0, rel=0.05)
    assert float((estimate.depth - 2.0).mean().abs()) < 0.002


def test_unmixed_says_where_there_is_nothing():
    depth = torch.full((1, 24, 24), 2.0)
    light = torch.ones(1, 24, 24)
    light[:, :, :12] = 0
    tags = simulate_tags(
        depth,
        light,
        impulse=H,
        photons=3.0,
        signal_to_background=0.3,
        generator=torch.Generator().manual_seed(2),
        gate=(0.0, 40e-9),
    )
    estimate = unmixed(tags, H, radius=1)
    assert float(estimate.reflectivity[0, :, :10].mean()) < 0.2 * float(
        estimate.reflectivity[0, :, 14:].mean()
    )
    assert float((estimate.depth[0, :, 14:] - 2.0).abs().median()) < 0.01
