"""Measurement Sets, written with casacore alone."""

import math
import shutil

import numpy as np
import pytest
import torch

import invcore
from invcore import DataError, ParameterError
from invcore_radio import direct_transform, read_measurement_set
from invcore_radio._examples.io import _sample, write_sample_set
from invcore_radio._io import casacore_tables

tables = pytest.importorskip("casacore.tables", reason="python-casacore is not installed")
C = 299792458.0


@pytest.fixture
def path(tmp_path):
    write_sample_set(tmp_path / "scan.ms", _sample(("XX", "XY", "YX", "YY"), (1.4e9, 1.41e9)))
    return tmp_path / "scan.ms"


def change(path, name, column, values):
    with tables.table(str(path / name) if name else str(path), readonly=False, ack=False) as table:
        table.putcol(column, values)


def test_all_columns(path):
    vis = read_measurement_set(path)
    with tables.table(str(path), ack=False) as table:
        np.testing.assert_array_equal(
            vis.data.numpy(), np.where(table.getcol("WEIGHT")[:, None] > 0, table.getcol("DATA"), 0)
        )
        np.testing.assert_array_equal(vis.uvw.numpy(), -table.getcol("UVW"))
        np.testing.assert_array_equal(vis.weight.numpy()[:, 1], table.getcol("WEIGHT"))
        np.testing.assert_array_equal(vis.flag.numpy(), table.getcol("FLAG"))
        np.testing.assert_array_equal(vis.time.numpy(), table.getcol("TIME"))
        np.testing.assert_array_equal(vis.antenna2.numpy(), table.getcol("ANTENNA2"))
    assert vis.polarizations == ("XX", "XY", "YX", "YY") and vis.source == "SAMPLE"
    assert vis.frequencies.tolist() == [1.4e9, 1.41e9] and vis.phase_center == (0.0, math.pi / 4)
    assert vis.antenna_positions is not None and len(vis.antenna_names) == 6


def test_sign(path):
    """A source north-east of the center: V = exp(+2πi ν/c (u l + v m + w (n - 1))), (u, v, w) as stored."""
    l, m = 3e-3, 2e-3
    with tables.table(str(path), readonly=False, ack=False) as table:
        u, v, w = table.getcol("UVW").T
        n = math.sqrt(1 - l * l - m * m) - 1
        phase = 2 * math.pi * np.array([1.4e9, 1.41e9]) / C * (u * l + v * m + w * n)[:, None]
        table.putcol("DATA", np.repeat(np.exp(1j * phase)[..., None], 4, -1).astype(np.complex64))
        table.putcol("FLAG", np.zeros((len(u), 2, 4), bool))
    vis = read_measurement_set(path).stokes("I")
    image = torch.zeros(1, 16, 16)
    image[0, 8 - 2, 8 - 3] = 1.0
    expected = direct_transform(image.double(), uvw=vis.uvw, frequencies=vis.frequencies, pixel=1e-3)
    assert float((vis.data[..., 0] - expected).abs().max()) < 1e-4


def test_columns_fields_and_windows_are_chosen(path):
    with pytest.raises(ParameterError, match="no column 'CORRECTED_DATA'"):
        read_measurement_set(path, column="CORRECTED_DATA")
    with pytest.raises(ParameterError, match=r"no field 'B'; it has 0 \(SAMPLE\)"):
        read_measurement_set(path, field="B")
    with pytest.raises(ParameterError, match="no spectral window 3"):
        read_measurement_set(path, spectral_window=3)
    rows = len(read_measurement_set(path))
    with tables.table(str(path / "FIELD"), readonly=False, ack=False) as table:
        table.addrows(1)
        table.putcell("NAME", 1, "OTHER")
        table.putcell("PHASE_DIR", 1, np.array([[1.0, 0.3]]))
    change(path, "", "FIELD_ID", np.r_[np.ones(10, np.int32), np.zeros(rows - 10, np.int32)])
    with pytest.raises(DataError, match=r"0 \(SAMPLE\), 1 \(OTHER\): choose one with field="):
        read_measurement_set(path)
    other = read_measurement_set(path, field="OTHER")
    assert len(other) == 10 and other.phase_center == (1.0, 0.3)
    assert len(read_measurement_set(path, field=0)) == rows - 10


def test_spectral_windows_are_joined(path):
    """A second window at 1.6 GHz beside the first, of the same times and baselines."""
    one = read_measurement_set(path)
    with tables.table(str(path / "SPECTRAL_WINDOW"), readonly=False, ack=False) as table:
        table.copyrows(table)
        table.putcell("CHAN_FREQ", 1, np.array([1.6e9, 1.61e9]))
    with tables.table(str(path / "DATA_DESCRIPTION"), readonly=False, ack=False) as table:
        table.copyrows(table)
        table.putcell("SPECTRAL_WINDOW_ID", 1, 1)
    with tables.table(str(path), readonly=False, ack=False) as table:
        table.copyrows(table)
        rows = table.nrows() // 2
        table.putcol("DATA_DESC_ID", np.repeat([0, 1], rows).astype(np.int32))
        table.putcol("DATA", 2 * table.getcol("DATA", rows), rows)
    both = read_measurement_set(path)
    assert both.frequencies.tolist() == [1.4e9, 1.41e9, 1.6e9, 1.61e9] and len(both) == len(one)
    assert torch.equal(both.data[:, 2:], 2 * both.data[:, :2]) and torch.equal(
        both.flag[:, 2:], both.flag[:, :2]
    )
    assert torch.equal(both.time, one.time.sort().values)
    assert read_measurement_set(path, spectral_window=0).data.equal(one.data)
    notes = invcore.read(path).metadata["notes"]
    assert "the spectral windows 0, 1 are joined; spectral_window= chooses one" in notes
    with tables.table(str(path / "SPECTRAL_WINDOW"), readonly=False, ack=False) as table:
        table.putcell("CHAN_FREQ", 1, np.array([1.4e9, 1.41e9]))
    with pytest.raises(DataError, match="the same frequencies at the same times: choose one with spectral_w"):
        read_measurement_set(path)


def test_spectrum_of_weights_and_flagged_rows(path):
    rows = len(read_measurement_set(path))
    with tables.table(str(path), readonly=False, ack=False) as table:
        table.addcols(
            tables.makecoldesc(
                "WEIGHT_SPECTRUM",
                tables.makearrcoldesc("WEIGHT_SPECTRUM", 0.0, valuetype="float", ndim=2)["desc"],
            )
        )
        spectrum = np.random.default_rng(0).random((rows, 2, 4)).astype(np.float32) + 0.1
        table.putcol("WEIGHT_SPECTRUM", spectrum)
        table.putcol("FLAG_ROW", np.arange(rows) == 7)
    vis = read_measurement_set(path)
    np.testing.assert_array_equal(vis.weight.numpy(), spectrum)
    assert bool(vis.flag[7].all())


def test_autocorrelations_are_left_out_and_bad_values_flagged(path):
    rows = len(read_measurement_set(path))
    with tables.table(str(path), readonly=False, ack=False) as table:
        table.putcell("ANTENNA2", 0, int(table.getcell("ANTENNA1", 0)))
        data = table.getcol("DATA")
        data[5, 0, 0] = np.nan
        table.putcol("DATA", data)
    vis = read_measurement_set(path)
    assert len(vis) == rows - 1 and bool(vis.flag[4, 0, 0]) and vis.data[4, 0, 0] == 0


@pytest.mark.parametrize("name", ["ANTENNA", "FIELD", "SPECTRAL_WINDOW", "POLARIZATION", "DATA_DESCRIPTION"])
def test_missing_tables(path, name):
    shutil.rmtree(path / name)
    with pytest.raises(DataError, match=name):
        read_measurement_set(path)


def test_other_frames_and_unknown_correlations(path):
    change(path, "POLARIZATION", "CORR_TYPE", np.array([[40, 41, 42, 43]], np.int32))
    with pytest.raises(DataError, match="correlations have the codes"):
        read_measurement_set(path)
    change(path, "POLARIZATION", "CORR_TYPE", np.array([[9, 10, 11, 12]], np.int32))
    with tables.table(str(path / "FIELD"), readonly=False, ack=False) as table:
        table.putcolkeyword("PHASE_DIR", "MEASINFO", {"type": "direction", "Ref": "B1950"})
    with pytest.raises(DataError, match="B1950"):
        read_measurement_set(path)


def test_read_as_measurements(path):
    found = invcore.read(path, size=32)
    assert found.metadata["format"] == "radio.ms" and found.y.shape == (89, 2)  # one row is flagged
    assert found.physics.domain.shape == (1, 32, 32)


def test_a_process_that_casacore_ends_is_an_error(path, monkeypatch):
    monkeypatch.setattr(casacore_tables, "_START", "import os; os.abort()")
    with pytest.raises(DataError, match=r"scan\.ms is damaged: casacore ended the process"):
        read_measurement_set(path)


def test_casacore_has_a_limit_of_time(path, monkeypatch):
    monkeypatch.setattr(casacore_tables, "_SPEED", float("inf"))
    monkeypatch.setattr(casacore_tables, "_START", "import time; time.sleep(60)")
    with pytest.raises(DataError, match=r"scan\.ms is damaged: casacore did not end within"):
        casacore_tables.read_tables(path, "DATA", None, None, seconds=0.0)


def test_a_table_whose_header_is_damaged(path):
    for file in sorted(path.glob("table.*")):
        content = file.read_bytes()
        file.write_bytes(content[:40] + b"\xff" * 60 + content[100:])
    with pytest.raises(DataError, match=r"scan\.ms"):
        read_measurement_set(path)
