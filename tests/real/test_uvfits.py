"""Files of the Event Horizon Telescope: what they say about themselves, and what they mean."""

import math

import numpy as np
import pytest
import torch

from invcore_radio import read_uvfits, write_uvfits

FILES = {
    "eht_m87_2017_096_hi.uvfits": (9081, 229.070703125e9, 57849),
    "eht_m87_2017_101_lo.uvfits": (7447, 227.070703125e9, 57854),
}
C = 299792458.0


@pytest.mark.parametrize("name", FILES)
def test_what_the_file_says(measured, name):
    rows, frequency, day = FILES[name]
    vis = read_uvfits(measured(f"radio/{name}"))
    assert len(vis) == rows and vis.frequencies.tolist() == [frequency]
    assert vis.antenna_names == ("AA", "AP", "AZ", "JC", "LM", "PV", "SM", "SR")
    assert vis.polarizations == ("RR", "LL", "RL", "LR") and vis.source == "M87"
    assert vis.phase_center == pytest.approx(
        (math.radians(187.7059307575226), math.radians(12.39112323919932))
    )
    assert day < float(vis.time.min()) / 86400 < float(vis.time.max()) / 86400 < day + 1
    assert bool(vis.mask[..., :2].all()) and not bool(
        vis.mask[..., 2:].any()
    )  # cross hands have weight infinity or 0
    assert vis.resolution() / math.radians(1 / 3.6e9) == pytest.approx(24.9, abs=0.2)  # µas


@pytest.mark.parametrize("name", FILES)
def test_baselines_are_those_of_the_antennas(measured, name):
    """Turned by hand with the hour angle of each time: to 1e-3, as the directions of a date differ from those
    of J2000."""
    from astropy.time import Time

    vis = read_uvfits(measured(f"radio/{name}"))
    ra, dec = vis.phase_center
    time = Time(vis.time.numpy() / 86400, format="mjd", scale="ut1")
    hour = time.sidereal_time("mean", "greenwich").rad - ra
    x, y, z = (vis.antenna_positions[vis.antenna2] - vis.antenna_positions[vis.antenna1]).numpy().T
    u = np.sin(hour) * x + np.cos(hour) * y
    v = -math.sin(dec) * (np.cos(hour) * x - np.sin(hour) * y) + math.cos(dec) * z
    length = np.sqrt(x**2 + y**2 + z**2).max()
    assert np.abs(np.stack([u, v], 1) - vis.uvw[:, :2].numpy()).max() < 1e-3 * length
    # the other sign would be twice the length away
    assert np.abs(np.stack([u, v], 1) + vis.uvw[:, :2].numpy()).max() > length


@pytest.mark.parametrize("name", FILES)
def test_weights_are_inverse_variances_of_each_part(measured, name):
    """Differences of subsequent data on weak baselines: the noise of Stokes I is at most what is stated, and
    near it."""
    vis = read_uvfits(measured(f"radio/{name}")).stokes("I")
    ratios = []
    for a in range(8):
        for b in range(a + 1, 8):
            one = vis.rows((vis.antenna1 == a) & (vis.antenna2 == b))
            data, weight = one.data[:, 0, 0], one.weight[:, 0, 0]
            near = one.time.diff() < 15
            if int(near.sum()) < 20 or float((data.abs() * weight.sqrt()).median()) > 3:
                continue
            variance = 1 / weight[1:] + 1 / weight[:-1]
            ratios.append(((data[1:] - data[:-1]).abs() ** 2 / variance / 2)[near])
    assert len(ratios) > 5
    found = math.sqrt(float(torch.cat(ratios).median()) / math.log(2))
    assert 0.8 < found < 1.05


@pytest.mark.parametrize("name", FILES)
def test_written_again(measured, tmp_path, name):
    vis = read_uvfits(measured(f"radio/{name}"))
    write_uvfits(tmp_path / "again.uvfits", vis)
    found = read_uvfits(tmp_path / "again.uvfits")
    for field in ("data", "weight", "flag", "time", "interval", "antenna1", "antenna2", "antenna_positions"):
        assert torch.equal(getattr(found, field), getattr(vis, field)), field
    assert float((found.uvw - vis.uvw).abs().max() / vis.uvw.abs().max()) < 1e-7


def test_average_over_scans(measured):
    vis = read_uvfits(measured("radio/eht_m87_2017_096_hi.uvfits")).stokes("I")
    assert len(list(vis.scans())) == 25
    mean = vis.average(time="scan")
    assert len(mean) == 284
    good = vis.mask
    assert float(mean.weight.sum()) == pytest.approx(float(vis.weight[good].sum()), rel=1e-5)
