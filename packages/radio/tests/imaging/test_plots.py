"""Plots of visibilities."""

import math

import pytest

from invcore_radio import (
    plot_amplitude,
    plot_coverage,
    plot_dirty_beam,
    radio_galaxy,
    simulate,
    vla,
)


def test_pictures():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    vis = vla("D", antennas=6).observe(hour_angles=(-1.0, 1.0), interval=600.0)
    vis = simulate(vis, radio_galaxy(32), pixel=1e-4)
    axes = plot_coverage(vis)
    left, right = axes.get_xlim()
    assert left > right  # u to the left, as east is
    points = axes.collections[0].get_offsets()
    assert len(points) == 2 * len(vis) and math.isclose(float(points.sum()), 0, abs_tol=1e-6)
    assert "Jy" in plot_amplitude(vis, model=vis).get_ylabel()
    beam = plot_dirty_beam(vis, shape=(32, 32)).images[0]
    assert beam.get_array().argmax() == 16 * 32 + 16
    left, right, bottom, top = beam.get_extent()
    assert left > 0 > right and top > 0 > bottom
