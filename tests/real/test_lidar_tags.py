"""Measured time tags: what the files say about themselves, and what the photons say about the instrument."""

import numpy as np
import pytest
import scipy.io
import torch

from invcore_lidar import (
    ImpulseResponse,
    estimate_impulse,
    estimate_width,
    find_gate,
    fit_impulse,
    read_mat,
)

FAR, LAYERS = "lidar/21km_K11_night.mat", "lidar/two_layer.mat"


def test_photons_agree_with_what_the_file_says(measured):
    held = scipy.io.loadmat(measured(FAR))
    tags = read_mat(measured(FAR))
    assert tags.tick == 1e-12
    assert (tags.start, tags.stop) == (4_430_000, 4_630_000)
    assert len(tags.tags) == 640_952
    signal, ratio = held["meanSigDetect"].item(), held["SBR"].item()
    assert tags.counts().double().mean().item() == pytest.approx(signal * (1 + 1 / ratio), rel=1e-3)


@pytest.mark.parametrize("name, variable", [(FAR, "Ts_gated"), (LAYERS, "photon_times")])
def test_every_cell_is_where_it_was(measured, name, variable):
    cells = scipy.io.loadmat(measured(name))[variable]
    tags = read_mat(measured(name))
    assert tags.shape == cells.shape
    for row, column in [(0, 0), (17, 80), (-1, -1), (50, 3)]:
        part = tags.select(*(slice(i % n, i % n + 1) for i, n in zip((row, column), tags.shape)))
        assert np.array_equal(part.tags.numpy(), cells[row, column].reshape(-1))
    joined = np.concatenate([c.reshape(-1).astype(np.int64) for c in cells.reshape(-1)])
    assert np.array_equal(tags.tags.numpy(), joined)


def test_width_of_the_response_from_the_photons(measured):
    """Published: jitter of the whole system about 1 ns at 21 km; a pulse of 35 ticks standard deviation in
    the other file."""
    assert estimate_width(read_mat(measured(FAR))) == pytest.approx(1e-9, rel=0.2)
    assert estimate_width(read_mat(measured(LAYERS))) == pytest.approx(2.355 * 35 * 8e-12, rel=0.35)


def test_response_of_the_first_layer_has_a_tail(measured):
    tags = read_mat(measured(LAYERS)).gate(4000, 5200)
    found = estimate_impulse(tags)
    assert found.fwhm == pytest.approx(2.355 * 35 * 8e-12, rel=0.35)
    fitted = fit_impulse(found)
    assert fitted.decay > 2 * fitted.sigma
    t = found.origin + found.spacing * torch.arange(len(found.samples))
    assert (found.samples * t).sum() > 0  # more after the mode than before


def test_gate_around_the_building(measured):
    tags = read_mat(measured(FAR))
    gated = find_gate(tags, impulse=ImpulseResponse.gaussian(fwhm=1e-9))
    assert 0.5 * tags.duration < gated.duration < 0.95 * tags.duration
    outside = len(tags.tags) - len(gated.tags)
    rate = outside / (tags.duration - gated.duration)
    assert rate * tags.duration == pytest.approx(
        640_952 / (1 + 0.1455), rel=0.03
    )  # the background that the file states
