"""CXI files: what is read with which sign and size, and what is refused."""

import h5py
import numpy as np
import pytest
import torch

import invcore
from invcore import DataError, ParameterError
from invcore_optics import CXIReader, aligned_phase
from invcore_optics._examples.phase import scan, thin_object
from invcore_optics._examples.phase_io import cxi
from invcore_testsupport import error

DATA = "entry_1/instrument_1/detector_1/data"
PLACES = "entry_1/sample_1/geometry_1/translation"


def changed(tmp_path, which="probe", **arrays):
    """The sample with other arrays; a name with __ for each /, None to remove it."""
    path = cxi()[which](tmp_path)
    with h5py.File(path, "r+") as file:
        for name, values in arrays.items():
            name = f"entry_1/{name.replace('__', '/')}"
            if name in file:
                del file[name]
            if values is not None:
                file[name] = values
    return path


def held(path, name):
    with h5py.File(path) as file:
        return file[name][()]


def test_a_scan_is_read_as_it_was_measured(tmp_path):
    path = cxi()["probe"](tmp_path)
    acquisition, A = invcore.read(path), scan()
    B = acquisition.physics.operator
    assert torch.allclose(B.positions - B.positions[0], (A.positions - A.positions[0]).float(), atol=1e-4)
    assert error(aligned_phase(B.probe + 0j, A.probe, scale=True), A.probe) < 1e-5
    np.testing.assert_array_equal(acquisition.y, held(path, DATA))
    # 12.398 keV Å / 8 keV, 1 m, 8 pixels of 0.1 mm
    assert acquisition.metadata["wavelength"] == pytest.approx(1.54980e-10, rel=1e-5)
    assert acquisition.metadata["pixel"] == pytest.approx([1.54980e-10 / 8e-4] * 2, rel=1e-5)


def test_positions_explain_the_patterns(tmp_path):
    """A sample moved up and to the left by CXI's axes shows what lies further down and right of it."""
    acquisition = invcore.read(cxi()["probe"](tmp_path))
    B = acquisition.physics.operator
    found = invcore.solver("optics.pie", update=("object",), max_steps=100, rtol=0)(
        acquisition.y, acquisition.physics
    )
    assert error(B(found).sqrt(), acquisition.y.sqrt()) < 0.1
    A = scan()
    start = (B.positions[0] - A.positions[0].float()).round().long()
    window = found[:, start[0] : start[0] + 14, start[1] : start[1] + 14]
    seen = (A.field.illumination() > 0.3 * A.field.illumination().amax()).float()
    truth = thin_object(14, 14).to(torch.complex64)
    assert error(seen * aligned_phase(seen * window, truth, scale=True), seen * truth) < 0.15


def test_options_of_the_axes(tmp_path):
    path = cxi()["probe"](tmp_path)
    places = [invcore.read(path, **o).physics.operator.positions for o in ({}, {"flip": "x"}, {"swap": True})]
    plain, flipped, swapped = (p - p[0] for p in places)
    assert torch.allclose(flipped, plain * torch.tensor([1.0, -1.0]), atol=1e-4)
    assert torch.allclose(swapped, plain.flip(-1), atol=1e-4)
    with pytest.raises(ParameterError, match="flip= must be"):
        invcore.read(path, flip="z")


def test_masks_and_a_missing_probe_are_said(tmp_path):
    acquisition = invcore.read(cxi()["no probe"](tmp_path))
    assert "the file has no probe" in acquisition.metadata["notes"][0]
    mask = acquisition.physics.operator.mask
    assert mask.shape == (1, 8, 8) and mask[0, 2, 5] == 0 and mask.sum() == 63
    assert not acquisition.y[:, 2, 5].any()


def test_nan_is_masked_where_it_is(tmp_path):
    data = held(cxi()["no probe"](tmp_path), DATA)
    data[:, 1, 1] = np.nan
    same = invcore.read(changed(tmp_path, "no probe", instrument_1__detector_1__data=data))
    assert "9 NaN" in same.metadata["notes"][0]
    assert same.physics.operator.mask.shape == (1, 8, 8) and same.physics.operator.mask.sum() == 62
    data[3, 4, 4] = np.nan
    path = changed(tmp_path, "no probe", instrument_1__detector_1__data=data)
    some = invcore.read(path, every=3)
    mask = some.physics.operator.mask
    assert mask.shape == (3, 8, 8) and mask[1, 4, 4] == 0 and mask[0, 4, 4] == 1
    assert bool(some.y.isfinite().all())


def test_units_of_the_energy(tmp_path):
    volts = invcore.read(changed(tmp_path, instrument_1__source_1__energy=8000.0))
    assert volts.metadata["wavelength"] == pytest.approx(1.54980e-10, rel=1e-5)
    assert "electronvolts" in volts.metadata["notes"][0]
    path = changed(tmp_path, instrument_1__source_1__energy=None, instrument_1__source_1__wavelength=2e-10)
    assert invcore.read(path).metadata["wavelength"] == 2e-10


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"instrument_1__detector_1__distance": None}, "no distance"),
        ({"instrument_1__detector_1__distance": -1.0}, "distance must be one positive number"),
        ({"instrument_1__detector_1__x_pixel_size": None}, "no x_pixel_size"),
        ({"instrument_1__source_1__energy": None}, "neither energy .J. nor wavelength"),
        ({"sample_1__geometry_1__translation": np.zeros((4, 3))}, r"must be .9, 3. for 9 frames"),
        ({"sample_1__geometry_1__translation": np.zeros((9, 3))}, "within one pixel"),
        ({"sample_1__geometry_1__translation": np.full((9, 3), np.nan)}, "translations have 18 NaN"),
        ({"sample_1__geometry_1__translation": 1e3 * np.ones((9, 3)).cumsum(0)}, "the object"),
        ({"instrument_1__detector_1__data": np.zeros((8, 8))}, r"must be .frame, y, x."),
        ({"instrument_1__detector_1__data": np.full((9, 8, 8), np.nan)}, "all pixels"),
        ({"instrument_1__detector_1__mask": np.zeros((7, 8), int)}, "the patterns are"),
        ({"instrument_1__source_1__illumination": np.ones((6, 6), complex)}, "a probe of .6, 6."),
        ({"data_1__data": h5py.ExternalLink("private.h5", "/x")}, "not followed"),
        ({"data_1__translation": h5py.SoftLink("/entry_1/data_1/translation")}, "circle"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, arrays, match):
    path = changed(tmp_path, **arrays)
    with pytest.raises(DataError, match=match) as caught:
        CXIReader().read(path)
    assert path.name in str(caught.value)


def test_a_size_that_is_not_there(tmp_path):
    path = changed(tmp_path, instrument_1__detector_1__data=None)
    with h5py.File(path, "r+") as file:
        file.create_dataset(DATA, (10**6, 4096, 4096), "f4", chunks=(1, 512, 512))
    with pytest.raises(DataError, match="incomplete"):
        CXIReader().read(path)


def test_a_probe_that_does_not_fit_can_be_left(tmp_path):
    path = changed(tmp_path, instrument_1__source_1__illumination=np.ones((6, 6), complex))
    assert invcore.read(path, probe=False).physics.operator.probe.shape == (1, 8, 8)


def test_another_entry_is_named(tmp_path):
    with pytest.raises(DataError, match="no entry_2"):
        CXIReader().read(cxi()["probe"](tmp_path), entry=2)
