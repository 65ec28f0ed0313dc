"""Restoring beams."""

import math

import pytest
import torch

from invcore import DataError
from invcore_radio import (
    RestoringBeam,
    constrained,
    fit_beam,
    hogbom,
)

PIXEL = 1e-4
NAN = float("nan")


def test_a_beam_is_fitted_at_any_angle():
    for angle in (-1.2, 0.0, 0.7):
        beam = RestoringBeam(major=7e-5, minor=4e-5, angle=angle)
        found = fit_beam(beam.kernel(1e-5), pixel=1e-5)
        assert (found.major, found.minor, found.angle) == pytest.approx(
            (7e-5, 4e-5, angle), rel=1e-3, abs=1e-9
        )
    kernel = RestoringBeam(major=8.0, minor=2.0, angle=math.pi / 4).kernel(
        1.0
    )  # north-east: row -3, column -3
    h = kernel.shape[0] // 2
    assert kernel[h - 3, h - 3] > 100 * kernel[h - 3, h + 3]
    assert float(kernel.sum()) == pytest.approx(RestoringBeam(major=8.0, minor=2.0).pixels(1.0), rel=1e-3)


def test_images_that_are_not_finite(vis):
    bad = torch.full((1, 9, 9), NAN)
    with pytest.raises(DataError, match="finite"):
        fit_beam(bad, pixel=PIXEL)
    with pytest.raises(DataError, match="fills"):
        fit_beam(torch.ones(1, 9, 9), pixel=PIXEL)
    with pytest.raises(DataError, match="finite"):
        hogbom(bad[0], torch.ones(3, 3))
    with pytest.raises(DataError, match="NaN"):
        constrained(vis.values() * NAN, vis.physics(shape=(8, 8), pixel=PIXEL))
