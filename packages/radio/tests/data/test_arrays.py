"""Arrays of antennas and the rotation of the Earth, against astropy."""

import math

import pytest
import torch

from invcore import DtypeError, ParameterError
from invcore_radio import (
    AntennaArray,
    eht,
    simulate,
    vla,
)


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


@pytest.mark.parametrize(
    "changed",
    [
        {"frequencies": []},
        {"frequencies": [-1e9]},
        {"polarizations": ()},
        {"sigma": 0.0},
        {"bandwidth": 0.0},
    ],
)
def test_observations(changed):
    with pytest.raises(ParameterError, match="observe: .*" + next(iter(changed))):
        vla("D", antennas=3).observe(**changed)


def test_images_are_real(vis):
    with pytest.raises(DtypeError, match="real"):
        simulate(vis, torch.zeros(1, 8, 8) + 0j, pixel=1e-4)
