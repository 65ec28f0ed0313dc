"""Matched filters against bounds, the truth of simulated scenes and other forms of the same data."""

import pytest
import torch

from invcore_lidar import Histogram, ImpulseResponse, TimeTags, matched_filter

H = ImpulseResponse.gaussian(fwhm=300e-12)


@pytest.mark.parametrize("width", [1, 40, 100])
def test_matched_filter_reaches_the_bound_on_tags_and_histograms(width, wall):
    tags = wall(50.0, 20.0)
    data = tags if width == 1 else tags.histogram(width)
    estimate = matched_filter(data, H)
    error = estimate.depth - 2.0
    assert float(error.mean().abs()) < 3 * float(estimate.std.mean()) / 40
    assert float(error.std()) == pytest.approx(float(estimate.std.mean()), rel=0.08)
    assert float(estimate.reflectivity.mean()) == pytest.approx(50, rel=0.01)
    per_bin = 2.5 / (40e-9 / (tags.tick * width))
    assert float(estimate.background.mean()) == pytest.approx(per_bin, rel=0.15)


def test_matched_filter_with_a_skewed_response_has_no_bias(wall):
    skewed = ImpulseResponse.exponential_gaussian(sigma=60e-12, decay=300e-12)
    estimate = matched_filter(wall(50.0, 20.0, impulse=skewed).histogram(50), skewed)
    assert float((estimate.depth - 2.0).mean().abs()) < 4 * float(estimate.std.mean()) / 40
    assert float((estimate.depth - 2.0).std()) < 1.3 * float(estimate.std.mean())


def test_log_matched_filter_beats_cross_correlation(scan):
    scene, tags = scan(20.0, 1.0)
    log = (matched_filter(tags, H).depth - scene.depth).abs().nanmedian()
    correlation = (matched_filter(tags, H, kind="correlation").depth - scene.depth).abs().nanmedian()
    assert float(log) < 0.95 * float(correlation)


def test_a_pixel_without_photons_is_not_guessed():
    tags = TimeTags.from_cells([[[10000], []]], tick=1e-12, start=0, stop=30000)
    estimate = matched_filter(tags, H, background=1e-6)
    assert estimate.depth.isnan().tolist() == [[[False, True]]]
    assert estimate.std[0, 0, 1] == torch.inf
    assert bool(torch.isfinite(estimate.image()).all())
    assert len(estimate.point_cloud(pitch=1e-3)) == 1


@pytest.mark.parametrize("bins", [1, 33, 50, 59, 61, 100, 139])
def test_background_is_measured_for_any_number_of_bins(bins):
    g = torch.Generator().manual_seed(0)
    counts = torch.poisson(torch.full((bins, 32, 32), 0.05), generator=g)
    found = matched_filter(Histogram(counts=counts, bin_width=1e-10), H).background
    assert float(found.mean()) == pytest.approx(float(counts.mean()), rel=0.03)
