"""Files of ptychographic scans: what is read, what is refused, and the measured Siemens star."""

import bz2
import io

import h5py
import numpy as np
import pytest
import torch

import invcore
from invcore import DataError
from invcore_optics import NpzScanReader, aligned_phase
from invcore_optics._examples.phase import scan, thin_object
from invcore_optics._examples.phase_io import ptychography_npz
from invcore_testsupport import error, measured


def write(path, **arrays):
    out = io.BytesIO()
    np.savez(out, **arrays)
    path.write_bytes(bz2.compress(out.getvalue()) if path.suffix == ".bz2" else out.getvalue())
    return path


def held(tmp_path):
    with np.load(ptychography_npz()["probe"](tmp_path)) as found:
        return dict(found)


def test_a_scan_is_read_as_it_was_measured(tmp_path):
    acquisition = invcore.read(ptychography_npz()["probe"](tmp_path))
    A, truth = scan(), thin_object(14, 14)
    B = acquisition.physics.operator
    assert torch.allclose(B.positions - B.positions[0], (A.positions - A.positions[0]).float(), atol=1e-4)
    assert error(aligned_phase(B.probe + 0j, A.probe, scale=True), A.probe) < 1e-5
    y = A(truth)
    assert abs(float(acquisition.y.sum()) / float(y.sum()) - 1) < 0.01
    assert error(acquisition.y.double(), y) < 0.2


def test_a_missing_probe_is_estimated_and_said(tmp_path):
    acquisition = invcore.read(ptychography_npz()["no probe"](tmp_path))
    assert "the file has no probe" in acquisition.metadata["notes"][0]
    assert acquisition.physics.operator.probe.shape == (1, 8, 8)


def test_damage_is_said(tmp_path):
    arrays = held(tmp_path)
    whole = write(tmp_path / "a.npz.bz2", **arrays)
    cut = tmp_path / "cut.npz.bz2"
    cut.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(DataError, match="damaged or truncated"):
        NpzScanReader().read(cut)
    bad = arrays["data"].copy()
    bad[0, 0, 3, 3] = np.nan
    with pytest.raises(DataError, match="diffraction patterns have 1 NaN"):
        NpzScanReader().read(write(tmp_path / "nan.npz", **{**arrays, "data": bad}))
    with pytest.raises(DataError, match=r"diffraction patterns and .4, 2. positions"):
        NpzScanReader().read(write(tmp_path / "few.npz", **{**arrays, "scan": arrays["scan"][:, :4]}))
    with pytest.raises(DataError, match="no array scan"):
        NpzScanReader().read(write(tmp_path / "less.npz", data=arrays["data"]))
    pickled = np.array([{}], dtype=object)
    with pytest.raises(DataError, match="damaged or truncated"):
        NpzScanReader().read(write(tmp_path / "p.npz", data=arrays["data"], scan=pickled))


@pytest.mark.slow
def test_the_spokes_of_the_star_are_resolved_toward_its_center():
    """On circles about the center the phase has the 30 spokes of the star as its strongest period."""
    acquisition = invcore.read(measured("optics/ptycho_siemens_star.npz.bz2"))
    x = invcore.solver("optics.pie", max_steps=10, rtol=0)(acquisition.y, acquisition.physics)
    phase = acquisition.output.pictures(x)["Phase of the object"][0]
    turn = 2 * torch.pi * torch.arange(720) / 720
    for radius in (38, 45, 60, 90):
        row, column = 228 + radius * turn.sin(), 208 + radius * turn.cos()
        ring = phase[row.round().long(), column.round().long()]
        spectrum = torch.fft.rfft(ring - ring.mean()).abs()
        assert int(spectrum.argmax()) == 30
        assert float(spectrum[30]) > 20 * float(spectrum[4:].median())


def test_zero_frequency_is_found_in_the_corner_and_in_the_center(tmp_path):
    arrays = held(tmp_path)
    corner = NpzScanReader().read(write(tmp_path / "corner.npz", **arrays))
    moved = np.fft.fftshift(arrays["data"], (-2, -1))
    center = NpzScanReader().read(write(tmp_path / "center.npz", **{**arrays, "data": moved}))
    assert torch.equal(corner.y, center.y)
    assert (corner.metadata["zero_frequency"], center.metadata["zero_frequency"]) == ("corner", "center")


def test_positions_in_meters_are_refused_and_frames_far_apart_are_said(tmp_path):
    arrays = held(tmp_path)
    with pytest.raises(DataError, match="are they in meters"):
        NpzScanReader().read(write(tmp_path / "m.npz", **{**arrays, "scan": 1e-7 * arrays["scan"]}))
    apart = NpzScanReader().read(write(tmp_path / "far.npz", **{**arrays, "scan": 9 * arrays["scan"]}))
    assert any("hardly overlap" in note for note in apart.metadata["notes"])


def test_the_probe_that_was_found_is_saved(tmp_path):
    path = ptychography_npz()["no probe"](tmp_path)
    result = invcore.reconstruct(path, output=tmp_path / "out", max_steps=3)
    with h5py.File(result.files["image"]) as file:
        assert set(file["estimated"]) == {"probe"}
        probe = torch.from_numpy(file["estimated/probe"][()])
    assert torch.equal(probe, result.solution.physics.operator.probe)
    assert not torch.equal(probe, result.acquisition.physics.operator.probe)
