"""Measuring rings in images."""

import math

import pytest
import torch

from invcore import DataError, ShapeError
from invcore_radio import (
    measure_ring,
)

FWHM = 2 * math.sqrt(2 * math.log(2))


@pytest.mark.parametrize("diameter", [30.0, 42.0, 54.0])
def test_a_blurred_ring_is_measured_and_its_sharp_diameter_found(plane, diameter):
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
def test_the_bright_side_is_counted_from_north_to_east(plane, angle):
    north, east, r = plane(64, 1.0)
    a = math.radians(angle)
    side = (north * math.cos(a) + east * math.sin(a)) / r.clamp_min(1)
    ring = measure_ring((torch.exp(-((r - 15) ** 2) / 20) * (1 + 0.4 * side))[None])
    assert math.degrees(ring.orientation) == pytest.approx(angle, abs=2)
    assert ring.asymmetry == pytest.approx(0.2, abs=0.02)  # half the modulation


def test_disks_have_a_floor_and_bad_images_raise(plane):
    _, _, r = plane(64, 1.0)
    assert measure_ring(torch.sigmoid((18 - r) / 2)).floor > 0.8
    with pytest.raises(DataError, match="positive"):
        measure_ring(torch.zeros(8, 8))
    with pytest.raises(ShapeError, match="one image"):
        measure_ring(torch.ones(2, 8, 8))
