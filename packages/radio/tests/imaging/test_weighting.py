"""Imaging weights, dirty images and beams, against loops."""

import pytest
import torch

from invcore import ParameterError
from invcore_radio import dirty_beam, dirty_image, imaging_weights, simulate, vla

C = 299792458.0


def slow_weights(vis, shape, pixel, robust):
    """Briggs' weights by loops over cells."""
    ny, nx = shape
    natural = vis.weight[:, 0, 0].double()
    cell = {}
    places = []
    for row in range(len(vis)):
        u, v = (float(t) for t in vis.uvw[row, :2] * vis.frequencies[0] / C)
        at = (round(u * nx * pixel), round(v * ny * pixel))
        places.append(at)
        for sign in (1, -1):
            key = (sign * at[0], sign * at[1])
            cell[key] = cell.get(key, 0.0) + float(natural[row])
    own = torch.tensor([cell[at] for at in places], dtype=torch.float64)
    if robust is None:
        return natural / own
    f2 = (5 * 10**-robust) ** 2 / (sum(w * w for w in cell.values()) / (2 * float(natural.sum())))
    return natural / (1 + own * f2)


@pytest.mark.parametrize("robust", [None, -2.0, 0.5])
def test_weights_against_loops(robust, generator):
    vis = vla("D", antennas=9).observe(hour_angles=(-1.0, 1.0), interval=300.0)
    vis = vis.replace(weight=0.5 + torch.rand(vis.weight.shape, generator=generator))
    kind = {"weighting": "uniform"} if robust is None else {"weighting": "briggs", "robust": robust}
    found = imaging_weights(vis, shape=(40, 31), pixel=6e-5, **kind)
    torch.testing.assert_close(found[:, 0], slow_weights(vis, (40, 31), 6e-5, robust))


def test_briggs_goes_from_uniform_to_natural():
    vis = vla("D").observe(hour_angles=(-1.0, 1.0), interval=300.0)
    grid = {"shape": (64, 64), "pixel": 5e-5}

    def shape_of(**kind):
        w = imaging_weights(vis, **grid, **kind)
        return w / w.sum()

    ends = (({"weighting": "uniform"}, -7.0), ({"weighting": "natural"}, 7.0))
    for kind, robust in ends:
        torch.testing.assert_close(
            shape_of(**kind), shape_of(weighting="briggs", robust=robust), rtol=1e-5, atol=1e-10
        )

    def width(**kind):
        return int((dirty_beam(vis, shape=(256, 256), pixel=1.25e-5, **kind) > 0.5).sum())

    assert width(weighting="uniform") < width(weighting="briggs", robust=0.0) < width(weighting="natural")


def test_dirty_image_and_beam():
    """A point source in the middle makes the beam; one elsewhere the beam there."""
    vis = vla("D").observe(hour_angles=(-1.0, 1.0), interval=600.0)
    grid = {"shape": (48, 40), "pixel": 5e-5}
    beam = dirty_beam(vis, **grid)
    assert beam.shape == (1, 48, 40) and float(beam[0, 24, 20]) == pytest.approx(1, abs=1e-4)
    image = torch.zeros(1, 48, 40)
    image[0, 20, 25] = 2.0
    dirty = dirty_image(simulate(vis, image, pixel=5e-5), **grid)
    torch.testing.assert_close(dirty[0, :40, 5:], 2 * beam[0, 4:44, :35], atol=2e-3, rtol=0)


def test_what_weights_cannot_do():
    vis = vla("A").observe(hour_angles=(-0.1, 0.1), interval=600.0)
    with pytest.raises(ParameterError, match="too large for the longest baselines"):
        imaging_weights(vis, shape=(64, 64), pixel=1e-3, weighting="uniform")
    with pytest.raises(ParameterError, match="'briggs'"):
        imaging_weights(vis, shape=(64, 64), pixel=1e-6, weighting="robust")
    with pytest.raises(ParameterError, match="everything is flagged"):
        dirty_image(vis.replace(flag=torch.ones_like(vis.flag)), shape=(8, 8), pixel=1e-6)
