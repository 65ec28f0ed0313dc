"""Sketches against their own error bound and the cross-correlation."""

import pytest
import torch

from invcore_lidar import ImpulseResponse, matched_filter, sketch

H = ImpulseResponse.gaussian(fwhm=300e-12)


def test_sketches_add_up_and_reach_their_own_error(wall):
    tags = wall(60.0, 2.0)
    first = tags.keep(torch.arange(len(tags.tags)) % 2 == 0)
    second = tags.keep(torch.arange(len(tags.tags)) % 2 == 1)
    whole, parts = sketch(tags, order=30), sketch(first, order=30) + sketch(second, order=30)
    torch.testing.assert_close(whole.sums, parts.sums)
    estimate = whole.estimate(H)
    error = estimate.depth - 2.0
    assert float(error.std()) == pytest.approx(float(estimate.std.median()), rel=0.1)
    assert float(error.mean().abs()) < 4 * float(error.std()) / 40
    assert float(estimate.reflectivity.mean()) == pytest.approx(60, rel=0.02)
    assert float(estimate.background.mean()) == pytest.approx(
        30 / (tags.stop - tags.start), rel=0.05
    )  # a tick


def test_sketch_of_all_harmonics_is_the_cross_correlation(scan):
    _, tags = scan(40.0, 5.0, size=16)
    data = tags.histogram(100)
    depth = sketch(data, order=190).estimate(H).depth
    expected = matched_filter(data, H, kind="correlation").depth
    assert float((depth - expected).abs().nanmedian()) < 2e-4
