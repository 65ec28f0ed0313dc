"""Tables of angles: the unit of each, and which are refused."""

import math

import h5py
import numpy as np
import pytest
import torch

import invcore
from invcore import DataError, ParameterError
from invcore_tomography import cone, fan, helical, parallel, read_angles
from invcore_tomography._examples import io as samples
from invcore_tomography._geometry.units import looks_like_degrees, other_unit

BEAM = {"source_distance": 200.0, "detector_distance": 100.0, "columns": 16}
COUNTS = (12, 37, 100, 180, 181, 360, 361, 720, 1500)


def scans(*turns):
    """Equally spaced values over some turns, with and without the last view."""
    return [np.linspace(0, t, n, endpoint=e) for t in turns for n in COUNTS for e in (False, True)]


def test_degrees_are_told_from_radians():
    degrees = scans(180, 360, 200, 120, 720)
    noise = np.random.default_rng(0)
    assert all(map(looks_like_degrees, degrees))
    assert all(looks_like_degrees(d - 60 + noise.normal(0, 0.01, d.size)) for d in degrees)
    assert not any(other_unit(d) for d in degrees + scans(10, 20, 24, 60, 140, 3600))
    radians = [r for r in scans(*(2 * math.pi * np.array([0.33, 0.5, 1, 2, 3, 7, 20]))) if np.ptp(r) < r.size]
    radians += [np.arange(n) * g for n in COUNTS for g in (1.9416, 2.39996, 0.41239)]  # golden angles
    assert not any(map(looks_like_degrees, radians))
    turns = [0.33, 0.5, 1, 2, 3]
    assert {other_unit(2 * math.pi * t) for t in scans(*turns)} == {"radians"}
    assert {other_unit(2000 * math.pi * t) for t in scans(*turns[1:])} == {"milliradians"}
    assert {other_unit(t) for t in scans(0.5, 1.0) if t.size > 20} == {"turns"}


@pytest.mark.parametrize(
    "make",
    [
        lambda a: parallel(a, columns=16),
        lambda a: fan(a, **BEAM),
        lambda a: cone(a, rows=4, **BEAM),
        lambda a: helical(a, advance=1.0, rows=4, **BEAM),
    ],
)
def test_constructors_refuse_degrees(make):
    for degrees in (torch.arange(180), np.linspace(0, 360, 100), list(range(-60, 61, 3))):
        with pytest.raises(ParameterError, match="look like degrees"):
            make(degrees)
    make(torch.arange(1000) * 6 * math.pi / 1000)


def test_many_turns_of_a_helix_with_jitter():
    turns = torch.linspace(0, 40 * math.pi, 600) + 0.01 * torch.rand(600)
    assert helical(turns, advance=1.0, rows=4, **BEAM).views == 600


def table(folder, text, units=None):
    (folder / "angles.txt").write_text(text)
    return torch.rad2deg(read_angles(folder / "angles.txt", units))


def test_text_in_any_unit(tmp_path):
    degrees = np.linspace(0, 180, 60, endpoint=False)
    listed = lambda values: "\n".join(f"{v:.7f}" for v in values)
    for text, units in (
        (listed(degrees), None),
        (listed(np.deg2rad(degrees)), "radians"),
        (listed(np.deg2rad(degrees)), "rad"),
        ("# angles in rad\n" + listed(np.deg2rad(degrees)), None),
        (
            "k,angle [mrad]\n" + "\n".join(f"{k},{v}" for k, v in enumerate(np.deg2rad(degrees) * 1e3)),
            None,
        ),
        ("\ufeff" + listed(degrees), None),
        (", ".join(f"{v:.7f}" for v in degrees), None),  # all on one line, as in mantidimaging#2753
        (listed(degrees).replace(".", ","), None),
        (listed(degrees / 360), "turns"),
        (listed(degrees / 0.9), "gon"),
    ):
        assert table(tmp_path, text, units).numpy() == pytest.approx(degrees, abs=1e-4)
    with pytest.raises(DataError, match="units='radians'"):
        table(tmp_path, listed(np.deg2rad(degrees)))
    with pytest.raises(DataError, match="units='turns'"):
        table(tmp_path, listed(degrees / 360))
    with pytest.raises(DataError, match="all 60 angles are 5"):
        table(tmp_path, "5\n" * 60)
    with pytest.raises(DataError, match="as degrees, 98 turns"):
        table(tmp_path, listed(200 * degrees))
    with pytest.raises(DataError, match="units='degrees'"):
        table(tmp_path, "# radians\n" + listed(degrees))


def test_units_of_theta(tmp_path):
    path = samples.dxchange()["DXchange"](tmp_path)
    _, radians = samples.line_integrals()

    def read(values, stated=None, **options):
        with h5py.File(path, "r+") as file:
            del file["exchange/theta"]
            file["exchange/theta"] = values
            file["exchange/theta"].attrs.update({"units": stated} if stated else {})
        u = invcore.read(path, center=23.5, **options).physics.operator.geometry.u
        return torch.atan2(u[:, 1], u[:, 0])

    for values, units, options in (
        (radians, "rad", {}),
        (radians * 1e3, "mrad", {}),
        (radians, b"Radians", {}),
        (radians / (2 * math.pi), "revolutions", {}),
        (radians, "furlongs", {"units": "radians"}),
        (radians, None, {"units": "radians"}),
    ):
        torch.testing.assert_close(read(values, units, **options), radians)
    for values, units, message in (
        (radians, None, "look like radians"),
        (radians * 1e3, None, "look like milliradians"),
        (radians, "degrees", "the file says"),
        (torch.rad2deg(radians), "rad", "look like degrees"),
        (radians, "furlongs", "'furlongs'. Say units="),
        (radians * 0, None, "all 40 angles are 0"),
        (radians * math.nan, "deg", "40 of 40 angles are NaN"),
    ):
        with pytest.raises(DataError, match=message):
            read(values, units)
    with h5py.File(path, "r+") as file:
        del file["exchange/theta"]
    with pytest.raises(DataError, match="look like radians"):
        invcore.read(path, span=math.pi)
    assert invcore.read(path, span=math.pi, units="radians", center=23.5).y.shape == (1, 40, 48)
    with pytest.raises(ParameterError, match="units= is one of"):
        invcore.read(path, units="furlongs")
