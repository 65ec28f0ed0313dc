"""Arrays, the rotation of the Earth, imaging weights: against astropy and written-out sums."""

import math

import pytest
import torch

from invcore import ParameterError
from invcore_radio import AntennaArray, dirty_beam, dirty_image, eht, imaging_weights, simulate, vla

C = 299792458.0


def test_baselines_against_astropy():
    """u, v, w of two antennas from astropy's transformation of the source to the Earth's frame."""
    from astropy import units
    from astropy.coordinates import ITRS, SkyCoord
    from astropy.time import Time
    from astropy.utils import iers

    ra, dec = math.radians(187.706), math.radians(12.391)
    vis = eht().observe(phase_center=(ra, dec), hour_angles=(0.0, 2.0), interval=1800.0, day=57849.0)
    with iers.conf.set_temp("auto_download", False):
        for row in (0, len(vis) - 1):
            time = Time(float(vis.time[row]) / 86400, format="mjd", scale="utc")

            def toward(a, d, time=time):
                place = SkyCoord(a * units.rad, d * units.rad, frame="icrs").transform_to(ITRS(obstime=time))
                return torch.tensor(place.cartesian.xyz.value, dtype=torch.float64)

            w = toward(ra, dec)
            step = 1e-5
            east = (toward(ra + step, dec) - toward(ra - step, dec)) / (2 * step * math.cos(dec))
            north = (toward(ra, dec + step) - toward(ra, dec - step)) / (2 * step)
            a, b = int(vis.antenna1[row]), int(vis.antenna2[row])
            baseline = vis.antenna_positions[b] - vis.antenna_positions[a]
            expected = torch.stack([east @ baseline, north @ baseline, w @ baseline])
            # precession, nutation and aberration since J2000 turn the true frame by less than 0.005 rad
            assert float((vis.uvw[row] - expected).norm() / baseline.norm()) < 5e-3


def test_antennas_below_the_horizon_see_nothing():
    vis = eht().observe(phase_center=(0.0, 0.2), hour_angles=(-12.0, 12.0), interval=1200.0)
    counts = torch.bincount(torch.cat([vis.antenna1, vis.antenna2]), minlength=8)
    assert int(counts[7]) == 0  # the South Pole never sees the northern sky
    with pytest.raises(ParameterError, match="no two antennas"):
        vla().observe(phase_center=(0.0, -1.4))


def test_noise_from_flux_densities():
    array = AntennaArray(
        names=("A", "B"),
        positions=eht().positions[:2],
        sefd=torch.tensor([100.0, 400.0], dtype=torch.float64),
    )
    look = {"phase_center": (0.0, -0.4), "hour_angles": (-0.5, 0.5), "interval": 60.0, "bandwidth": 1e6}
    expected = math.sqrt(100 * 400 / (2 * 1e6 * 60))
    assert float(array.observe(**look, polarizations=("RR",)).sigma[0, 0, 0]) == pytest.approx(expected)
    assert float(array.observe(**look).sigma[0, 0, 0]) == pytest.approx(expected / math.sqrt(2))


def test_gains_multiply(generator):
    vis = vla("D", antennas=6).observe(hour_angles=(-0.5, 0.5), interval=600.0)
    image = torch.rand(1, 16, 16, generator=generator)
    gains = torch.randn(6, generator=generator, dtype=torch.complex64)
    clean, spoiled = (simulate(vis, image, pixel=1e-4, gains=g) for g in (None, gains))
    for row in (0, 7, len(vis) - 1):
        factor = gains[vis.antenna1[row]] * gains[vis.antenna2[row]].conj()
        torch.testing.assert_close(spoiled.data[row], clean.data[row] * factor)


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
