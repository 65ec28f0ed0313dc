"""Measured photons: a building at a distance of 21 km by night, and a mannequin behind a scattering layer."""

import functools

import numpy as np
import pytest
import torch
from scipy.ndimage import median_filter

import invcore
from invcore_lidar import (
    ImpulseResponse,
    RegularizedDepth,
    count_surfaces,
    find_surfaces,
    matched_filter,
    read_mat,
    read_ply,
    unmixed,
    write_ply,
)


@functools.cache
def building(measured):
    """Histogram in bins of 500 ps, and the response: timing jitter of about 1 ns."""
    tags = read_mat(measured("lidar/21km_K11_night.mat"))
    return tags.histogram(500), ImpulseResponse.gaussian(fwhm=1e-9)


@functools.cache
def facade(measured):
    return RegularizedDepth(max_steps=8).estimate(*building(measured))


@functools.cache
def layers(measured):
    acquisition = invcore.read(measured("lidar/two_layer.mat"))
    return acquisition, RegularizedDepth(max_steps=10)(acquisition.y, acquisition.physics)


def in_place(depth, seen):
    """Share of the seen pixels within half a meter of the median of their neighborhood, 5 x 5 pixels."""
    depth = torch.nan_to_num(depth, nan=0.0).double().numpy()
    near = np.abs(depth - median_filter(depth, 5)) < 0.5
    return float(near[seen].mean())


def bright(measured):
    """Where the building certainly is, by the photons of 5 x 5 pixels in their fullest window."""
    return unmixed(*building(measured)).reflectivity[0].numpy() > 1.5


@pytest.mark.slow
def test_building_is_legible_beside_the_pixelwise_estimate(measured):
    seen = bright(measured)
    assert 0.15 < seen.mean() < 0.5
    alone, together = matched_filter(*building(measured)), facade(measured)
    assert in_place(alone.depth[0], seen) < 0.9
    assert in_place(together.depth[0], seen) > 0.97
    # windows, dark between bright pillars: reflectivity tells them apart
    light = together.reflectivity[0].numpy()
    dark = ~seen & (median_filter(seen.astype(np.uint8), 9) == 0)
    assert np.median(light[seen]) > 6 * np.median(light[dark])


def test_building_is_where_it_was_gated_and_has_its_shape(measured):
    depth, light = facade(measured).depth[0], facade(measured).reflectivity[0]
    seen = torch.from_numpy(bright(measured))
    assert float(depth[seen].min()) > 664 and float(depth[seen].max()) < 694.1
    top, hall = seen[70:120].clone(), seen[200:250].clone()
    tower, entrance = depth[70:120][top].median(), depth[200:250][hall].median()
    assert 5 < float(tower - entrance) < 15  # the front of the lower floors stands before the towers
    assert float(light[seen].mean()) == pytest.approx(2.7, abs=0.8)


def test_photons_of_the_building_are_divided_as_published(measured):
    # the file states 1.24 signal photons a pixel, at a ratio of 0.146 to the background
    data, _ = building(measured)
    estimate = facade(measured)
    background = float(estimate.background.sum(0).mean()) * data.bins
    assert background == pytest.approx(1.2424 / 0.1455, rel=0.05)
    assert float(estimate.reflectivity.mean()) == pytest.approx(1.2424, rel=0.3)


def test_two_layers_are_counted_and_found(measured):
    acquisition, x = layers(measured)
    assert acquisition.metadata["surfaces"] == 2
    assert x.shape[0] == 5
    front, back = x[0], x[1]
    assert float(front.median()) == pytest.approx(5.18, abs=0.05)
    wall = back[5:30, 70:95].median()
    head = back[15:35, 40:50]
    assert float(wall) == pytest.approx(7.61, abs=0.05)
    assert 0.25 < float(wall - head.median()) < 0.6  # the mannequin stands before the wall
    assert float((head - head.median()).abs().quantile(0.95)) < 0.15
    assert float(((front - 5.18).abs() < 0.1)[:60].double().mean()) > 0.95


def test_two_layers_pixel_by_pixel(measured):
    tags = read_mat(measured("lidar/two_layer.mat"))
    data, h = tags.histogram(8), ImpulseResponse.gaussian(fwhm=660e-12)
    assert count_surfaces(data, h) == 2
    estimate = find_surfaces(data, h)
    assert float(torch.isfinite(estimate.depth).double().mean()) > 0.9
    assert float(estimate.depth[0].nanmedian()) == pytest.approx(5.18, abs=0.05)
    assert float(estimate.depth[1, 15:35, 40:50].nanmedian()) == pytest.approx(7.2, abs=0.15)


def test_point_cloud_of_two_layers(measured, tmp_path):
    acquisition, x = layers(measured)
    files = acquisition.output.write(tmp_path, x, {})
    cloud = read_ply(files["points"])
    assert len(cloud) > 15_000
    assert set(cloud.surface.int().tolist()) == {0, 1}
    far = cloud.points[cloud.surface.int() == 1, 2]
    assert float(far.median()) == pytest.approx(7.5, abs=0.2)
    again = read_ply(write_ply(tmp_path / "again.ply", cloud))
    torch.testing.assert_close(again.points, cloud.points)
