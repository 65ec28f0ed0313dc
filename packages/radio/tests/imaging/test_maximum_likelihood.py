"""Imaging from closure quantities on simulated observations with known truth."""

import functools
import math

import pytest
import torch

from invcore import ParameterError, Physics
from invcore.noises import GaussianNoise
from invcore.operators import Matrix, Space
from invcore_radio import (
    CompactSource,
    RegularizedMaximumLikelihood,
    measure_ring,
    reduced_chi_square,
    simulate,
    vla,
    vlbi_acquisition,
)
from invcore_radio._imaging.maximum_likelihood import blurred, resolution

MICROARCSECOND = math.pi / 180 / 3600e6
FWHM = 2 * math.sqrt(2 * math.log(2))


@pytest.fixture(scope="module")
def imaged(observed):
    """Images of closure quantities only, on a coarse grid and with little patience, to be fast."""

    @functools.cache
    def of(kind):
        acquisition = vlbi_acquisition(
            observed(kind),
            amplitudes=False,
            flux=0.6,
            shape=(32, 32),
            pixel=4 * MICROARCSECOND,
            noise_scale=1.0,
        )
        solver = RegularizedMaximumLikelihood(inner_steps=100, max_steps=3)
        return acquisition, solver(acquisition.y, acquisition.physics)

    return of


def test_a_ring_comes_back_with_its_diameter_and_its_bright_side(imaged):
    acquisition, image = imaged("ring")
    ring = measure_ring(image, pixel=4.0)
    assert ring.diameter == pytest.approx(44, abs=3)
    assert abs(math.degrees(ring.orientation) - 180) < 20
    assert ring.floor < 0.2 and ring.gap > 0.15
    assert float(image.sum()) == pytest.approx(0.6, rel=0.1)
    assert all(value < 1.3 for value in reduced_chi_square(acquisition, image).values())


@pytest.mark.slow
def test_a_disk_gets_no_hole_and_two_spots_no_ring(imaged):
    assert measure_ring(imaged("disk")[1], pixel=4.0).floor > 0.5
    assert measure_ring(imaged("spots")[1], pixel=4.0).gap < 0.1


def test_without_regularization_it_is_least_squares_of_positive_images():
    matrix = torch.eye(6, dtype=torch.float64) + 0.1 * torch.rand(
        6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    physics = Physics(Matrix(matrix), GaussianNoise(sigma=0.5))
    truth = torch.linspace(0.5, 3, 6, dtype=torch.float64)
    solver = RegularizedMaximumLikelihood(prior=None, inner_rtol=1e-10, rtol=1e-10)
    assert torch.allclose(solver(matrix @ truth, physics), truth, rtol=1e-5)


def test_the_resolution_is_found_in_the_operator_and_is_needed_for_the_compact_prior(observed):
    vis = observed("ring")
    acquisition = vlbi_acquisition(vis, flux=0.6, noise_scale=1.0)
    assert resolution(acquisition.physics.operator) == pytest.approx(12, rel=1e-6)
    physics = Physics(Matrix(torch.eye(3)))
    with pytest.raises(ParameterError, match="CompactSource"):
        RegularizedMaximumLikelihood()(torch.ones(3), physics)
    with pytest.raises(ParameterError, match="compact"):
        RegularizedMaximumLikelihood(prior="tv")


def test_the_blur_widens_a_gaussian_and_keeps_its_flux(plane):
    _, _, r = plane(64, 1.0)
    image = torch.exp(-(r**2) / (2 * 3.0**2))[None]
    wide = blurred(image, FWHM * 4.0)
    assert float(wide.sum()) == pytest.approx(float(image.sum()), rel=1e-6)
    assert float((wide * r**2).sum() / wide.sum()) == pytest.approx(2 * 25.0, rel=1e-4)


def test_a_prior_of_ones_own_replaces_the_compact_one(observed, plane):
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


@pytest.mark.slow
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
