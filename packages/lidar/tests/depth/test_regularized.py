"""Regularized depth against the truth of simulated scenes and pixelwise estimates."""

import pytest

from invcore.denoisers import Median
from invcore.priors import PnP
from invcore_lidar import TCSPC, ImpulseResponse, RegularizedDepth, matched_filter, unmixed

H = ImpulseResponse.gaussian(fwhm=300e-12)


@pytest.mark.parametrize("ratio", [0.1, 1.0])
def test_regularized_is_three_times_better_than_matched_filter_at_one_photon(ratio, scan, rmse):
    scene, tags = scan(1.0, ratio, size=96)
    data = tags.histogram(100)
    alone = rmse(matched_filter(data, H), scene.depth)
    assert rmse(RegularizedDepth().estimate(data, H), scene.depth) < alone / 6
    assert rmse(unmixed(data, H), scene.depth) < alone / 3


@pytest.mark.parametrize(("photons", "ratio"), [(1.0, 0.1), (5.0, 0.1), (20.0, 1.0)])
def test_regularized_settles(photons, ratio, scan):
    _, tags = scan(photons, ratio)
    data = tags.histogram(100)
    solution = RegularizedDepth().solve(data.counts, TCSPC.of(data, impulse=H).physics())
    assert solution.status.name == "CONVERGED"


def test_regularized_takes_tags_as_they_are(scan):
    scene, tags = scan(5.0, 1.0)
    fine = RegularizedDepth(max_steps=8).estimate(tags, H)
    coarse = RegularizedDepth(max_steps=8).estimate(tags.histogram(50), H)
    close = (fine.depth - coarse.depth).abs() < 0.01
    assert float(close.double().mean()) > 0.95
    assert float((fine.depth - scene.depth).abs().median()) < 0.008


def test_regularized_deviation_says_how_wrong_it_is(wall):
    tags = wall(3.0, 1.0)
    estimate = RegularizedDepth().estimate(tags.histogram(50), H)
    error = (estimate.depth - 2.0).abs().median() / 0.6745  # of a few pixels the peak is wrong
    assert 0.3 < float(error / estimate.std.median()) < 1.5
    assert float(estimate.std.mean()) < 0.9 * float(matched_filter(tags, H).std.nanmedian())


def test_regularized_reflectivity(scan):
    scene, tags = scan(5.0, 1.0)
    light = RegularizedDepth(max_steps=15).estimate(tags.histogram(100), H).reflectivity
    truth = scene.reflectivity * 5.0 / scene.reflectivity.mean()
    alone = matched_filter(tags.histogram(100), H).reflectivity
    assert float((light - truth).norm() / truth.norm()) < 0.25
    assert float((light - truth).norm()) < 0.7 * float((alone - truth).norm())


def test_regularized_with_a_denoiser(scan, rmse):
    scene, tags = scan(5.0, 1.0)
    solver = RegularizedDepth(prior=PnP(Median(size=3)), max_steps=10)
    assert rmse(solver.estimate(tags.histogram(100), H), scene.depth) < 0.35 * rmse(
        matched_filter(tags.histogram(100), H), scene.depth
    )
