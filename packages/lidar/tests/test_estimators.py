"""Estimates of depth and reflectivity against truth: bounds, analytic peaks, simulated scenes, other forms of the same data."""

import pytest
import torch

from invcore import DataError, ParameterError
from invcore.denoisers import Median
from invcore.priors import PnP
from invcore_lidar import (
    TCSPC,
    Histogram,
    ImpulseResponse,
    MatchedFilter,
    RegularizedDepth,
    Sketch,
    TimeTags,
    count_surfaces,
    depth_deviation,
    find_surfaces,
    matched_filter,
    posterior_deviation,
    simulate_tags,
    sketch,
    still_life,
    unmixed,
)

H = ImpulseResponse.gaussian(fwhm=300e-12)
GATE = (0.0, 40e-9)


def scan(photons, ratio, size=48, surfaces=1, seed=0):
    scene = still_life((size, size), surfaces=surfaces)
    tags = simulate_tags(
        scene.depth,
        scene.reflectivity,
        impulse=H,
        photons=photons,
        signal_to_background=ratio,
        generator=torch.Generator().manual_seed(seed),
        gate=GATE,
    )
    return scene, tags


def rmse(estimate, truth):
    return float((estimate.image()[: len(truth)] - truth).square().mean().sqrt())


def wall(photons, ratio, size=40, impulse=H):
    depth = torch.full((1, size, size), 2.0, dtype=torch.float64)
    g = torch.Generator().manual_seed(1)
    return simulate_tags(
        depth,
        torch.ones_like(depth),
        impulse=impulse,
        photons=photons,
        signal_to_background=ratio,
        generator=g,
        gate=GATE,
    )


@pytest.mark.parametrize("width", [1, 40, 100])
def test_matched_filter_reaches_the_bound_on_tags_and_histograms(width):
    tags = wall(50.0, 20.0)
    data = tags if width == 1 else tags.histogram(width)
    estimate = matched_filter(data, H)
    error = estimate.depth - 2.0
    assert float(error.mean().abs()) < 3 * float(estimate.std.mean()) / 40
    assert float(error.std()) == pytest.approx(float(estimate.std.mean()), rel=0.08)
    assert float(estimate.reflectivity.mean()) == pytest.approx(50, rel=0.01)
    per_bin = 2.5 / (40e-9 / (tags.tick * width))
    assert float(estimate.background.mean()) == pytest.approx(per_bin, rel=0.15)


def test_matched_filter_with_a_skewed_response_has_no_bias():
    skewed = ImpulseResponse.exponential_gaussian(sigma=60e-12, decay=300e-12)
    estimate = matched_filter(wall(50.0, 20.0, impulse=skewed).histogram(50), skewed)
    assert float((estimate.depth - 2.0).mean().abs()) < 4 * float(estimate.std.mean()) / 40
    assert float((estimate.depth - 2.0).std()) < 1.3 * float(estimate.std.mean())


def test_log_matched_filter_beats_cross_correlation():
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


@pytest.mark.parametrize("ratio", [0.1, 1.0])
def test_regularized_is_three_times_better_than_matched_filter_at_one_photon(ratio):
    scene, tags = scan(1.0, ratio, size=96)
    data = tags.histogram(100)
    alone = rmse(matched_filter(data, H), scene.depth)
    assert rmse(RegularizedDepth().estimate(data, H), scene.depth) < alone / 6
    assert rmse(unmixed(data, H), scene.depth) < alone / 3


@pytest.mark.parametrize(("photons", "ratio"), [(1.0, 0.1), (5.0, 0.1), (20.0, 1.0)])
def test_regularized_settles(photons, ratio):
    _, tags = scan(photons, ratio)
    data = tags.histogram(100)
    solution = RegularizedDepth().solve(data.counts, TCSPC.of(data, impulse=H).physics())
    assert solution.status.name == "CONVERGED"


def test_regularized_takes_tags_as_they_are():
    scene, tags = scan(5.0, 1.0)
    fine = RegularizedDepth(max_steps=8).estimate(tags, H)
    coarse = RegularizedDepth(max_steps=8).estimate(tags.histogram(50), H)
    close = (fine.depth - coarse.depth).abs() < 0.01
    assert float(close.double().mean()) > 0.95
    assert float((fine.depth - scene.depth).abs().median()) < 0.008


def test_regularized_deviation_says_how_wrong_it_is():
    tags = wall(3.0, 1.0)
    estimate = RegularizedDepth().estimate(tags.histogram(50), H)
    error = (estimate.depth - 2.0).abs().median() / 0.6745  # of a few pixels the peak is wrong
    assert 0.3 < float(error / estimate.std.median()) < 1.5
    assert float(estimate.std.mean()) < 0.9 * float(matched_filter(tags, H).std.nanmedian())


def test_regularized_reflectivity():
    scene, tags = scan(5.0, 1.0)
    light = RegularizedDepth(max_steps=15).estimate(tags.histogram(100), H).reflectivity
    truth = scene.reflectivity * 5.0 / scene.reflectivity.mean()
    alone = matched_filter(tags.histogram(100), H).reflectivity
    assert float((light - truth).norm() / truth.norm()) < 0.25
    assert float((light - truth).norm()) < 0.7 * float((alone - truth).norm())


def test_regularized_with_a_denoiser():
    scene, tags = scan(5.0, 1.0)
    solver = RegularizedDepth(prior=PnP(denoiser=Median(size=3)), max_steps=10)
    assert rmse(solver.estimate(tags.histogram(100), H), scene.depth) < 0.35 * rmse(
        matched_filter(tags.histogram(100), H), scene.depth
    )


def test_two_surfaces_pixelwise_and_together():
    scene, tags = scan(30.0, 2.0, surfaces=2)
    data = tags.histogram(100)
    both = (scene.reflectivity > 0.02).all(0) & (scene.depth[1] - scene.depth[0] > 0.15)
    assert int(both.sum()) > 100
    assert count_surfaces(data, H, share=0.1) == 2
    for estimate in (find_surfaces(data, H), RegularizedDepth(max_steps=15).estimate(data, H, surfaces=2)):
        error = (estimate.depth - scene.depth)[:, both].abs()
        assert float(error.nanmedian()) < 0.01
        assert float((error < 0.05).double().mean()) > 0.75


def test_find_surfaces_finds_no_more_than_there_are():
    _, tags = scan(30.0, 2.0)
    estimate = find_surfaces(tags.histogram(100), H, significance=8.0)
    assert float(torch.isfinite(estimate.depth[1]).double().mean()) < 0.03
    assert count_surfaces(tags, H) == 1


@pytest.mark.parametrize("shift", [0.0, 2e-9])
@pytest.mark.parametrize("width", [1, 50])
def test_a_measured_response_does_as_well_as_the_formula(width, shift):
    t = torch.arange(-50, 51, dtype=torch.float64) * 10e-12
    measured = ImpulseResponse.measured(samples=H.density(t), spacing=10e-12, origin=shift - 500e-12)
    tags = wall(20.0, 2.0, size=24, impulse=measured)
    data = tags if width == 1 else tags.histogram(width)
    for make in (matched_filter, unmixed, RegularizedDepth(max_steps=8).estimate):
        estimate = make(data, measured)
        assert float((estimate.depth - 2.0).mean().abs()) < 0.002
        assert float(estimate.reflectivity.mean()) == pytest.approx(20.0, rel=0.05)
        assert 0.001 < float(estimate.std.mean()) < 0.01  # of one pixel: 19 mm / √20


def test_unmixed_reflectivity_of_a_skewed_response():
    skewed = ImpulseResponse.exponential_gaussian(sigma=60e-12, decay=300e-12)
    estimate = unmixed(wall(20.0, 2.0, size=24, impulse=skewed), skewed)
    assert float(estimate.reflectivity.mean()) == pytest.approx(20.0, rel=0.05)
    assert float((estimate.depth - 2.0).mean().abs()) < 0.002


@pytest.mark.parametrize("bins", [1, 33, 50, 59, 61, 100, 139])
def test_background_is_measured_for_any_number_of_bins(bins):
    g = torch.Generator().manual_seed(0)
    counts = torch.poisson(torch.full((bins, 32, 32), 0.05), generator=g)
    found = matched_filter(Histogram(counts=counts, bin_width=1e-10), H).background
    assert float(found.mean()) == pytest.approx(float(counts.mean()), rel=0.03)


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
        gate=GATE,
    )
    estimate = unmixed(tags, H, radius=1)
    assert float(estimate.reflectivity[0, :, :10].mean()) < 0.2 * float(
        estimate.reflectivity[0, :, 14:].mean()
    )
    assert float((estimate.depth[0, :, 14:] - 2.0).abs().median()) < 0.01


def test_sketches_add_up_and_reach_their_own_error():
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


def test_sketch_of_all_harmonics_is_the_cross_correlation():
    _, tags = scan(40.0, 5.0, size=16)
    data = tags.histogram(100)
    depth = sketch(data, order=190).estimate(H).depth
    expected = matched_filter(data, H, kind="correlation").depth
    assert float((depth - expected).abs().nanmedian()) < 2e-4


def test_solvers_take_data_of_the_operator():
    _, tags = scan(10.0, 1.0, size=16)
    data = tags.histogram(100)
    operator = TCSPC(impulse=H, bins=data.bins, bin_width=data.bin_width, shape=data.shape, start=data.start)
    physics = operator.physics()
    x = MatchedFilter()(data.counts.double(), physics)
    torch.testing.assert_close(x, matched_filter(data, H).image())
    both = RegularizedDepth(max_steps=3)(torch.stack([data.counts, data.counts.flip(-1)]), physics)
    one = RegularizedDepth(max_steps=3)(data.counts, physics)
    torch.testing.assert_close(both[0], one)


def test_wrong_options_say_so():
    tags = wall(1.0, 1.0, size=4)
    with pytest.raises(ParameterError, match="kind"):
        matched_filter(tags, H, kind="sum")
    with pytest.raises(ParameterError, match="false_alarm"):
        unmixed(tags, H, false_alarm=2.0)
    with pytest.raises(ParameterError, match="surfaces"):
        find_surfaces(tags, H, surfaces=0)
    with pytest.raises(ParameterError, match="order"):
        sketch(tags, order=0)
    with pytest.raises(ParameterError, match="one surface"):
        physics = TCSPC(impulse=H, bins=20, bin_width=1e-10, shape=(2, 2), surfaces=2).physics()
        MatchedFilter()(torch.ones(20, 2, 2), physics)
    with pytest.raises(ParameterError, match="psf"):
        physics = TCSPC(impulse=H, bins=20, bin_width=1e-10, shape=(2, 2), psf=torch.ones(1, 1)).physics()
        RegularizedDepth()(torch.ones(20, 2, 2), physics)
    with pytest.raises(ParameterError, match="weight"):
        RegularizedDepth(weight=-1.0).estimate(tags, H)
    with pytest.raises(ParameterError, match="surfaces"):
        RegularizedDepth().estimate(tags, H, surfaces=0)
    with pytest.raises(ParameterError, match="ImpulseResponse.gaussian"):
        TCSPC(impulse=300e-12, bins=20, bin_width=1e-10, shape=(2, 2))
    with pytest.raises(ParameterError, match="ImpulseResponse.gaussian"):
        matched_filter(tags, 300e-12)
    with pytest.raises(DataError, match="1 counts that are NaN"):
        matched_filter(Histogram(counts=torch.full((1, 1, 1), torch.nan), bin_width=1e-10), H)
    assert isinstance(sketch(tags, order=2), Sketch)
