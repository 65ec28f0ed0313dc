"""OIFITS: read back as written, damaged, incomplete."""

import math

import numpy as np
import pytest
import torch
from astropy.io import fits

import invcore
from invcore import DataError, ParameterError
from invcore_radio import (
    MAS,
    fit_source,
    read_oifits,
)


def test_reads_what_was_written(sample):
    data = read_oifits(sample)
    assert (data.target, data.instrument) == ("STAR", "SPECTRO")
    assert data.stations[0] == ("A", "B") and data.triangle_stations[-1] == ("B", "C", "D")
    assert data.direction == pytest.approx((math.radians(80), math.radians(10)))
    assert data.time[0] == 58000.25 * 86400
    assert float(data.phase_sigma[0, 0]) == pytest.approx(math.radians(0.5))
    x = torch.tensor([2.0, 0.1, 3.0, -4.0], dtype=torch.float64)
    A = data.quantities() @ data.model(("disk", "point"), ("0.diameter", "1.flux", "1.east", "1.north"))
    for got, expected in zip(A(x), data.y):
        assert (got - expected).abs().max() < 1e-12
    narrow = data.select(wavelengths=(2.05e-6, 2.35e-6))
    assert narrow.vis2.shape == (6, 3) and narrow.phase.shape == (4, 3)


def test_flags_and_bad_errors_leave_data_out(sample):
    path = sample
    with fits.open(path, mode="update") as file:
        file["OI_VIS2"].data["FLAG"][1, 2] = True
        file["OI_VIS2"].data["VIS2ERR"][0, 0] = -1.0
        file["OI_T3"].data["T3PHI"][3, 4] = np.nan
    data = read_oifits(path)
    assert [len(part) for part in data.y] == [28, 19]
    assert [s.shape for s in data.quantities().range] == [(28,), (19,)]


def test_image_physics_is_that_of_the_model(sample):
    """A binary on pixels gives the data of the file."""
    data = read_oifits(sample)
    pixel, n = 0.25, 64
    physics = data.physics(shape=(n, n), pixel=pixel * MAS)
    image = torch.zeros(1, n, n, dtype=torch.float64)
    image[0, n // 2, n // 2] = 1 / 1.1
    image[0, n // 2 + 16, n // 2 - 12] = 0.1 / 1.1  # 4 mas south, 3 mas east
    vis2, phase = physics.operator(image)
    expected = data.quantities() @ data.model(("point", "point"), ("1.flux", "1.east", "1.north"))
    for got, wanted in zip((vis2, phase), expected(torch.tensor([0.1, 3.0, -4.0], dtype=torch.float64))):
        assert (got - wanted).abs().max() < 1e-5


def test_files_that_do_not_fit(sample, tmp_path):
    path = sample
    with pytest.raises(ParameterError, match="SPECTRO"):
        read_oifits(path, instrument="OTHER")
    with pytest.raises(ParameterError, match="STAR"):
        read_oifits(path, target="MOON")
    with fits.open(path) as file:
        for name in ("OI_WAVELENGTH", "OI_TARGET", "OI_VIS2"):
            kept = fits.HDUList([hdu for hdu in file if hdu.name != name])
            kept.writeto(tmp_path / "less.oifits", overwrite=True)
            with pytest.raises(DataError, match=name):
                read_oifits(tmp_path / "less.oifits")
        varying = fits.Column("VIS2DATA", "PD()", array=np.array([[1.0], [1.0, 2.0]], dtype=object))
        others = [hdu for hdu in file if hdu.name != "OI_VIS2"]
        bad = fits.BinTableHDU.from_columns([varying], name="OI_VIS2")
        fits.HDUList([*others, bad]).writeto(tmp_path / "varying.oifits")
        with pytest.raises(DataError, match="varying length in .'VIS2DATA'."):
            read_oifits(tmp_path / "varying.oifits")
        kept = fits.HDUList([hdu for hdu in file if hdu.name != "OI_T3"])
        kept.writeto(tmp_path / "less.oifits", overwrite=True)
    data = read_oifits(tmp_path / "less.oifits")
    assert data.phase.shape == (0, 5)
    assert fit_source(data, ["disk"], {"0.diameter": 2.0}).count == 30


def test_options_and_defaults_of_the_reader(sample):
    path = sample
    found = invcore.read(path, size=16, pixel=0.5, systematic=1.0)
    assert found.physics.domain.shape == (1, 16, 16)
    assert found.metadata["format"] == "radio.oifits" and found.metadata["file"] == path.name
    assert found.solver["name"] == "radio.rml" and found.solver["weight"] > 0
    for wrong in ({"size": 2}, {"pixel": 0.0}, {"systematic": -1.0}, {"target": "B"}):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            invcore.read(path, **wrong)


def _merged(path, change):
    """Change the tables of a file, given by name, and write it again."""
    with fits.open(path) as file:
        tables = {hdu.name: hdu.copy() for hdu in file[1:]}
        fits.HDUList([fits.PrimaryHDU(), *change(tables)]).writeto(path, overwrite=True)
    return path


def test_instruments_are_joined_each_at_its_own_wavelengths(sample):
    """A second instrument that sees the same star at half the wavelengths: the model fits both."""
    before = read_oifits(sample)

    def second(tables):
        extra = [tables[name].copy() for name in ("OI_WAVELENGTH", "OI_VIS2", "OI_T3")]
        for hdu in extra:
            hdu.header["INSNAME"] = "SECOND"
        extra[0].data["EFF_WAVE"] /= 2
        for name in ("UCOORD", "VCOORD"):
            extra[1].data[name] /= 2
        for name in ("U1COORD", "V1COORD", "U2COORD", "V2COORD"):
            extra[2].data[name] /= 2
        return [*tables.values(), *extra]

    data = read_oifits(_merged(sample, second))
    assert data.instrument == "SECOND, SPECTRO" and len(data.wavelengths) == 10
    assert [len(part) for part in data.y] == [60, 40]
    assert data.resolution == pytest.approx(before.resolution)
    x = torch.tensor([2.0, 0.1, 3.0, -4.0], dtype=torch.float64)
    A = data.quantities() @ data.model(("disk", "point"), ("0.diameter", "1.flux", "1.east", "1.north"))
    for got, expected in zip(A(x), data.y):  # V depends on u/λ only: half of both is the same
        assert (got - expected).abs().max() < 1e-6
    physics = data.physics(shape=(16, 16), pixel=0.5 * MAS)
    image = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    alone = read_oifits(sample, instrument="SPECTRO").physics(shape=(16, 16), pixel=0.5 * MAS)
    squared, each = physics.operator(image)[0], alone.operator(image)[0]
    assert (squared.sort().values - torch.cat([each, each]).sort().values).abs().max() < 1e-5
    acquisition = invcore.read(sample, instrument="SPECTRO")
    assert any("SECOND" in sentence for sentence in acquisition.left_out)


@pytest.mark.parametrize(
    ("days", "name", "read"),
    [
        (1e-5, "SPECTRO_FT", "SPECTRO_SC"),
        (0.5, "SPECTRO_FT", "SPECTRO_FT, SPECTRO_SC"),  # at another time it adds baselines
        (1e-5, "OTHER_FT", "OTHER_FT, SPECTRO_SC"),
    ],
)
def test_a_fringe_tracker_gives_way_to_the_science_combiner(sample, days, name, read):
    def tracked(tables):
        extra = [tables[name].copy() for name in ("OI_WAVELENGTH", "OI_VIS2", "OI_T3")]
        for hdu in tables.values():
            if "INSNAME" in hdu.header:
                hdu.header["INSNAME"] = "SPECTRO_SC"
        for hdu in extra:
            hdu.header["INSNAME"] = name
        for hdu in extra[1:]:
            hdu.data["MJD"] += days
        return [*tables.values(), *extra]

    path = _merged(sample, tracked)
    assert read_oifits(path).instrument == read
    said = [one for one in invcore.read(path).left_out if "fringe tracker" in one]
    assert bool(said) == (read == "SPECTRO_SC") == bool(said and "instrument='SPECTRO_FT' reads" in said[0])
    assert read_oifits(path, instrument=name).instrument == name
    assert len(read_oifits(path, instrument=f"{name}, SPECTRO_SC").y[0]) == 60


def test_targets_without_data_empty_tables_and_columns_of_one(sample):
    def change(tables):
        stars = fits.BinTableHDU.from_columns(tables["OI_TARGET"].columns, nrows=2, name="OI_TARGET")
        stars.data["TARGET"][1], stars.data["TARGET_ID"][1] = "OTHER", 7
        empty = fits.BinTableHDU(tables["OI_VIS2"].data[:0], tables["OI_VIS2"].header)
        phases, columns = tables["OI_T3"], []
        for column in phases.columns:
            if column.name == "TARGET_ID":
                column = fits.Column("TARGET_ID", "1I", dim="(1)", array=column.array[:, None])
            columns.append(column)
        made = fits.BinTableHDU.from_columns(columns, name="OI_T3")
        made.header["INSNAME"] = phases.header["INSNAME"]
        return [stars, tables["OI_WAVELENGTH"], tables["OI_VIS2"], empty, made]

    data = read_oifits(_merged(sample, change))
    assert data.target == "STAR" and [len(part) for part in data.y] == [30, 20]
    with pytest.raises(DataError, match=r"no data of target 'OTHER', only of \['STAR'\]"):
        read_oifits(sample, target="OTHER")
    with pytest.raises(ParameterError, match="no target 'THIRD'"):
        read_oifits(sample, target="THIRD")


def test_what_is_flagged_is_said(sample):
    with fits.open(sample, mode="update") as file:
        file["OI_VIS2"].data["FLAG"][1, 2] = True
    assert any("29 of 30 squared visibilities used" in one for one in invcore.read(sample).left_out)
