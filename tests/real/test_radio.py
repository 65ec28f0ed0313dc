"""Measured visibilities: the shadow of the black hole in M87, from closure quantities alone and with
amplitudes."""

import functools
import math

import pytest
import torch

import invcore

radio = pytest.importorskip("invcore_radio")

FILES = ("eht_m87_2017_101_lo.uvfits", "eht_m87_2017_096_hi.uvfits")
MICROARCSECOND = math.pi / 180 / 3600e6


@functools.cache
def imaged(measured, name, amplitudes):
    """The acquisition and the image, both as the reader and the solver choose by themselves."""
    acquisition = invcore.read(measured(f"radio/{name}"), amplitudes=amplitudes)
    options = dict(acquisition.solver)
    solver = invcore.create("solver", options.pop("name"), **options)
    return acquisition, solver(acquisition.y, acquisition.physics)


@pytest.mark.slow
@pytest.mark.parametrize("amplitudes", [False, True], ids=["closure", "amplitudes"])
@pytest.mark.parametrize("name", FILES)
def test_the_ring_of_m87_has_the_published_diameter_and_is_brighter_in_the_south(measured, name, amplitudes):
    """EHT Collaboration, ApJL 875 (2019) L1: 42 ± 3 µas; with one recipe for both days and both kinds of
    data."""
    acquisition, image = imaged(measured, name, amplitudes)
    ring = radio.measure_ring(image, pixel=acquisition.metadata["pixel_rad"] / MICROARCSECOND)
    assert 39 <= ring.diameter <= 45
    assert ring.spread < 6
    assert math.cos(ring.orientation) < -0.5  # within 60 degrees of the south
    assert ring.floor < 0.25  # dark in the middle
    assert ring.gap > 0.15  # closed


@pytest.mark.parametrize("amplitudes", [False, True], ids=["closure", "amplitudes"])
@pytest.mark.parametrize("name", FILES)
def test_the_image_fits_all_closure_quantities(measured, name, amplitudes):
    _, image = imaged(measured, name, amplitudes)
    closures, _ = imaged(measured, name, False)
    fit = radio.reduced_chi_square(closures, image)
    assert 0.8 <= fit["closure_phases"] <= 1.3
    assert 0.8 <= fit["log_closure_amplitudes"] <= 1.3


def test_no_source_without_a_hole_fits_as_well(measured):
    """The best Gaussian, of any width, misses the closure phases by far."""
    acquisition, image = imaged(measured, FILES[0], False)
    ny, nx = image.shape[-2:]
    y, x = torch.arange(ny) - ny // 2, torch.arange(nx) - nx // 2
    best = math.inf
    for width in (4.0, 6.0, 8.0, 12.0, 16.0):
        blob = torch.exp(-(y[:, None] ** 2 + x**2) / (2 * width**2)).double()[None]
        best = min(best, radio.reduced_chi_square(acquisition, 0.6 * blob / blob.sum())["closure_phases"])
    assert best > 20


def test_the_noise_is_smaller_than_the_weights_say(measured):
    """Both hands of Stokes I are the same numbers in these files, and the scatter on weak baselines is 0.85
    to 0.95 of σ."""
    for name in FILES:
        vis = radio.read_uvfits(measured(f"radio/{name}")).stokes("I")
        assert 0.85 < radio.scatter_scale(vis) < 0.95
