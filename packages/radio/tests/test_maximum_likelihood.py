"""Imaging from closure quantities on simulated observations with known truth, and the measurement of rings."""

import functools
import math

import pytest
import torch

from invcore import DataError, ParameterError, Physics, ShapeError
from invcore.noises import GaussianNoise
from invcore.operators import Matrix, Space
from invcore_radio import (
    CompactSource,
    LogAmplitudes,
    RegularizedMaximumLikelihood,
    eht,
    log_closure_amplitudes,
    measure_ring,
    reduced_chi_square,
    scatter_scale,
    simulate,
    vla,
    vlbi_acquisition,
)
from invcore_radio._imaging.maximum_likelihood import blurred, resolution

MICROARCSECOND = math.pi / 180 / 3600e6
FWHM = 2 * math.sqrt(2 * math.log(2))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def plane(n, pixel):
    """North and east of the phase center, and the distance from it."""
    offset = (n // 2 - torch.arange(n, dtype=torch.float64)) * pixel
    north, east = torch.meshgrid(offset, offset, indexing="ij")
    return north, east, (north**2 + east**2).sqrt()


def source(kind, n=96, pixel=1.5):
    north, east, r = plane(n, pixel)
    if kind == "ring":
        image = torch.exp(-4 * math.log(2) * (r - 22) ** 2 / 12**2) * (1 - 0.5 * north / r.clamp_min(1))
    elif kind == "disk":
        image = torch.sigmoid((30 - r) / 2)
    else:
        image = torch.exp(-((east - 18) ** 2 + (north - 12) ** 2) / 92)
        image += 0.6 * torch.exp(-((east + 18) ** 2 + (north + 12) ** 2) / 92)
    return 0.6 * (image / image.sum())[None], pixel * MICROARCSECOND


@functools.cache
def observed(kind, seed=0):
    """An observation of M87's place by an EHT, with noise and with gains of 10 % and any phase."""
    generator = torch.Generator().manual_seed(seed)
    vis = eht().observe(
        phase_center=(math.radians(187.7), math.radians(12.39)),
        hour_angles=(-6.0, 6.0),
        interval=300.0,
        every=6,
        frequencies=(229e9,),
        bandwidth=1.9e9,
        dtype=torch.float64,
    )
    image, pixel = source(kind)
    times = torch.unique(vis.time, return_inverse=True)[1]
    shape = (int(times.max()) + 1, len(vis.antenna_names))
    size = (0.1 * torch.randn(shape, generator=generator, dtype=torch.float64)).exp()
    phase = 2 * math.pi * torch.rand(shape, generator=generator, dtype=torch.float64)
    gains = torch.polar(size, phase)[times]
    return simulate(vis, image, pixel=pixel, generator=generator, gains=gains, w_term=False, accuracy=1e-9)


@functools.cache
def imaged(kind):
    """Closure quantities only, on a coarse grid and with little patience, to be fast."""
    acquisition = vlbi_acquisition(
        observed(kind), amplitudes=False, flux=0.6, shape=(32, 32), pixel=4 * MICROARCSECOND, noise_scale=1.0
    )
    solver = RegularizedMaximumLikelihood(inner_steps=100, max_steps=3)
    return acquisition, solver(acquisition.y, acquisition.physics)


def test_a_ring_comes_back_with_its_diameter_and_its_bright_side():
    acquisition, image = imaged("ring")
    ring = measure_ring(image, pixel=4.0)
    assert ring.diameter == pytest.approx(44, abs=3)
    assert abs(math.degrees(ring.orientation) - 180) < 20
    assert ring.floor < 0.2 and ring.gap > 0.15
    assert float(image.sum()) == pytest.approx(0.6, rel=0.1)
    assert all(value < 1.3 for value in reduced_chi_square(acquisition, image).values())


def test_a_disk_gets_no_hole_and_two_spots_no_ring():
    assert measure_ring(imaged("disk")[1], pixel=4.0).floor > 0.5
    assert measure_ring(imaged("spots")[1], pixel=4.0).gap < 0.1


def test_gains_change_nothing_of_the_closures_and_amplitudes_know_of_them():
    one, two = (
        vlbi_acquisition(observed("ring", seed=s), amplitudes=False, flux=0.6, noise_scale=1.0)
        for s in (0, 1)
    )
    away = (one.y[0] - two.y[0]).remainder(2 * math.pi)
    assert (
        float(torch.minimum(away, 2 * math.pi - away).median()) < 0.2
    )  # other gains and noise, the same phases
    acquisition = vlbi_acquisition(
        observed("ring"), flux=0.6, noise_scale=1.0, shape=(96, 96), pixel=1.5 * MICROARCSECOND
    )
    fit = reduced_chi_square(acquisition, source("ring")[0])
    assert 0.6 < fit["log_amplitudes"] < 1.4 and 0.6 < fit["closure_phases"] < 1.4
    strict = vlbi_acquisition(
        observed("ring"),
        flux=0.6,
        noise_scale=1.0,
        gain_error=0.0,
        shape=(96, 96),
        pixel=1.5 * MICROARCSECOND,
    )
    assert reduced_chi_square(strict, source("ring")[0])["log_amplitudes"] > 10


def test_marginalized_amplitudes_become_log_closure_amplitudes_where_gains_are_unknown():
    """A large gain error gives the same likelihood differences as a complete set of closure amplitudes with its covariance."""
    vis = observed("ring")
    first = vis.rows(vis.time == vis.time[len(vis) // 2])
    ratios = log_closure_amplitudes(first)
    y, sigma = first.values(), first.sigma[..., 0]
    A = LogAmplitudes(index=torch.arange(len(first)), shape=(len(first), 1))
    covariance = A.covariance(
        y,
        sigma,
        antenna1=first.antenna1,
        antenna2=first.antenna2,
        group=torch.zeros(len(first), dtype=torch.int64),
        gain_error=torch.full((len(first.antenna_names),), 1e3, dtype=torch.float64),
    )
    likelihood = ratios.noise(y, sigma, correlated=True).likelihood()
    for seed in (1, 2):
        noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        model = y * (1 + 0.2 * noise)
        r = A(model) - A(y)
        chi = float(r @ covariance.solve(r))
        assert chi == pytest.approx(2 * float(likelihood.value(ratios(model), ratios(y))), rel=1e-4)


def test_without_regularization_it_is_least_squares_of_positive_images():
    matrix = torch.eye(6, dtype=torch.float64) + 0.1 * torch.rand(
        6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    physics = Physics(operator=Matrix(matrix=matrix), noise=GaussianNoise(sigma=0.5))
    truth = torch.linspace(0.5, 3, 6, dtype=torch.float64)
    solver = RegularizedMaximumLikelihood(prior=None, inner_rtol=1e-10, rtol=1e-10)
    assert torch.allclose(solver(matrix @ truth, physics), truth, rtol=1e-5)


def test_the_resolution_is_found_in_the_operator_and_is_needed_for_the_compact_prior():
    vis = observed("ring")
    acquisition = vlbi_acquisition(vis, flux=0.6, noise_scale=1.0)
    assert resolution(acquisition.physics.operator) == pytest.approx(12, rel=1e-6)
    physics = Physics(operator=Matrix(matrix=torch.eye(3)))
    with pytest.raises(ParameterError, match="CompactSource"):
        RegularizedMaximumLikelihood()(torch.ones(3), physics)
    with pytest.raises(ParameterError, match="compact"):
        RegularizedMaximumLikelihood(prior="tv")


def test_the_blur_widens_a_gaussian_and_keeps_its_flux():
    _, _, r = plane(64, 1.0)
    image = torch.exp(-(r**2) / (2 * 3.0**2))[None]
    wide = blurred(image, FWHM * 4.0)
    assert float(wide.sum()) == pytest.approx(float(image.sum()), rel=1e-6)
    assert float((wide * r**2).sum() / wide.sum()) == pytest.approx(2 * 25.0, rel=1e-4)


@pytest.mark.parametrize("diameter", [30.0, 42.0, 54.0])
def test_a_blurred_ring_is_measured_and_its_sharp_diameter_found(diameter):
    """A thin circle convolved with a Gaussian: the ridge moves inward, as the formula says."""
    n, pixel, fwhm, center = 128, 1.0, 12.0, (5.0, -7.0)
    north, east, _ = plane(n, pixel)
    r = ((north - center[1]) ** 2 + (east - center[0]) ** 2).sqrt()
    s, d = fwhm / FWHM, torch.tensor(diameter / 2, dtype=torch.float64)
    image = torch.exp(-((r - d) ** 2) / (2 * s**2)) * torch.special.i0e(r * d / s**2)
    ring = measure_ring(image, pixel=pixel)
    assert ring.diameter < diameter
    assert ring.sharp_diameter == pytest.approx(diameter, abs=0.6)
    assert ring.center == pytest.approx(center, abs=0.3)
    assert ring.spread < 0.6 and ring.gap > 0.95 and ring.asymmetry < 0.02


@pytest.mark.parametrize("angle", [40.0, 200.0])
def test_the_bright_side_is_counted_from_north_to_east(angle):
    north, east, r = plane(64, 1.0)
    a = math.radians(angle)
    side = (north * math.cos(a) + east * math.sin(a)) / r.clamp_min(1)
    ring = measure_ring((torch.exp(-((r - 15) ** 2) / 20) * (1 + 0.4 * side))[None])
    assert math.degrees(ring.orientation) == pytest.approx(angle, abs=2)
    assert ring.asymmetry == pytest.approx(0.2, abs=0.02)  # half the modulation


def test_disks_have_a_floor_and_bad_images_raise():
    _, _, r = plane(64, 1.0)
    assert measure_ring(torch.sigmoid((18 - r) / 2)).floor > 0.8
    with pytest.raises(DataError, match="positive"):
        measure_ring(torch.zeros(8, 8))
    with pytest.raises(ShapeError, match="one image"):
        measure_ring(torch.ones(2, 8, 8))


def test_the_scatter_tells_the_noise():
    """Weights that state a σ 1.5 times too large are found out; without enough data nothing is claimed."""
    generator = torch.Generator().manual_seed(3)
    vis = eht().observe(
        phase_center=(math.radians(187.7), math.radians(12.39)),
        interval=10.0,
        hour_angles=(0.0, 1.0),
        frequencies=(229e9,),
        sigma=0.1,
        dtype=torch.float64,
    )
    faint = simulate(
        vis, 0.01 * source("disk")[0], pixel=source("disk")[1], generator=generator, w_term=False
    )
    assert scatter_scale(faint) == pytest.approx(1.0, abs=0.03)
    assert scatter_scale(faint.replace(weight=faint.weight / 1.5**2)) == pytest.approx(1 / 1.5, abs=0.02)
    assert scatter_scale(faint.rows(slice(0, 20))) == 1.0


def test_unknown_antennas_in_the_gain_errors_raise():
    with pytest.raises(ParameterError, match="XX"):
        vlbi_acquisition(observed("ring"), flux=0.6, gain_error={"XX": 0.1})


def test_a_prior_of_ones_own_replaces_the_compact_one():
    acquisition = vlbi_acquisition(
        observed("disk"),
        amplitudes=False,
        flux=0.6,
        shape=(32, 32),
        pixel=4 * MICROARCSECOND,
        noise_scale=1.0,
    )
    solver = RegularizedMaximumLikelihood(
        prior=CompactSource(resolution=6.0, variation=0.0, squared_variation=0.0),
        inner_steps=30,
        max_steps=1,
        weight=1e5,
    )
    image = solver(acquisition.y, acquisition.physics)
    assert image.shape == Space((1, 32, 32)).shape
    q = torch.exp(-(plane(32, 1.0)[2] ** 2) / (2 * (1.6 * 6 / FWHM) ** 2))  # the reference wins
    assert float(((image[0] / image.sum()) - q / q.sum()).abs().sum()) < 0.2


def test_sources_away_from_the_phase_center_are_found_in_visibilities():
    """The Gaussian of the prior does not touch them: the search must not start there."""
    empty = vla("D", antennas=9).observe(
        hour_angles=(-1.0, 1.0), interval=600.0, sigma=0.01, dtype=torch.float64
    )
    image = torch.zeros(1, 32, 32, dtype=torch.float64)
    image[0, 10, 20], image[0, 20, 9] = 1.0, 0.4
    vis = simulate(empty, image, pixel=1e-4, generator=torch.Generator().manual_seed(0))
    physics = vis.physics(shape=(32, 32), pixel=1e-4)
    y = torch.stack([vis.values(), 0.1 * vis.values(), 0 * vis.values()])
    found = RegularizedMaximumLikelihood(max_steps=3, inner_steps=100)(y, physics)
    assert float((found[0] - image).abs().max()) < 0.05
    chi2 = 2 * float(physics.likelihood().value(physics.operator(found[0]), y[0], physics.range))
    assert chi2 / (2 * y[0].numel()) < 1.3
    assert float(found[1, 0, 10, 20]) == pytest.approx(0.1, rel=0.2)
    assert float(found[2].sum()) < 0.02
