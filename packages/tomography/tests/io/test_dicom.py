"""DICOM slices: padding, tilted gantries, several frames, gray scales."""

import numpy as np
import pytest

import invcore
from invcore import DataError
from invcore_tomography import read_dicom
from invcore_tomography._examples.io import dicom_slice

pydicom = pytest.importorskip("pydicom")


def edited(path, **changes):
    data = pydicom.dcmread(path)
    for name, value in changes.items():
        setattr(data, name, value)
    data.save_as(path)
    return path


def test_padding_is_air_and_no_noise(tmp_path):
    """Outside of the circle -2000 is stored: -3024 HU, if it were a value."""
    data = pydicom.dcmread(dicom_slice(tmp_path / "a.dcm", 0))
    y, x = np.mgrid[:128, :128] - 63.5
    noise = np.random.default_rng(0).normal(1024, 10, (128, 128))
    stored = np.round(noise - 1000 * (np.hypot(y, x) > 50)).astype(np.int16)
    outside = np.hypot(y, x) > 63
    stored[outside] = -2000
    data.Rows = data.Columns = 128
    for k, declared in enumerate(({"PixelPaddingValue": -2000}, {})):
        path = tmp_path / f"{k}.dcm"
        data.PixelRepresentation, data.PixelData = 1, stored.astype("<i2").tobytes()
        data.save_as(path)
        if declared:
            other = pydicom.dcmread(path)
            other.add_new(0x00280120, "SS", -2000)
            other.save_as(path)
        volume = read_dicom(path).volume[0].numpy()
        assert (volume[outside] == -1000).all()
        np.testing.assert_array_equal(volume[~outside], (stored - 1024.0)[~outside])
        acquisition = invcore.read(path)
        assert "padding" in acquisition.metadata["notes"][0]
        assert acquisition.metadata["sigma"] == pytest.approx(10, rel=0.1)  # the noise that was added


def test_a_tilted_gantry_is_sheared_back(tmp_path):
    """The same column of water in slices whose table moved along z: in its place in each upright slice."""
    (tmp_path / "s").mkdir()
    tilt = np.deg2rad(20)
    for k in range(5):
        path = dicom_slice(tmp_path / "s" / f"{k}.dcm", k)
        data = pydicom.dcmread(path)
        # planes tilted about x; the table moves along z, so that slices are displaced along their rows
        turned = [1, 0, 0, 0, np.cos(tilt), np.sin(tilt)]
        down = k * 4.0 * np.sin(tilt)  # mm along the rows of the slice
        y, x = np.mgrid[:40, :36]
        at = 20 - down / 0.5  # the column's row index in slice k
        image = np.exp(-((y - at) ** 2 + (x - 18) ** 2) / 18) * 1000
        data.ImageOrientationPatient = [round(float(v), 6) for v in turned]
        data.ImagePositionPatient = [0, 0, 4.0 * k]
        data.PixelData = image.astype("<u2").tobytes()
        data.save_as(path)
    series = read_dicom(tmp_path / "s")
    rows = [(v * np.arange(40)[:, None]).sum() / v.sum() for v in (series.volume.numpy() + 1024)]
    assert rows == pytest.approx([20] * 5, abs=0.15)
    assert series.spacing[0] == pytest.approx(4e-3 * np.cos(tilt), rel=1e-4)
    assert "tilted gantry" in series.facts["notes"][-1]


def test_several_frames(tmp_path):
    """Enhanced CT keeps places and scales in sequences; older objects only a distance."""
    path = dicom_slice(tmp_path / "a.dcm", 0)
    data = pydicom.dcmread(path)
    frames = np.stack([data.pixel_array + 10 * k for k in range(3)]).astype("<u2")
    data.NumberOfFrames, data.PixelData = 3, frames.tobytes()
    data.SpacingBetweenSlices = 1.5
    data.save_as(tmp_path / "old.dcm")
    series = read_dicom(tmp_path / "old.dcm")
    assert series.spacing == pytest.approx((1.5e-3, 0.5e-3, 0.7e-3))
    np.testing.assert_array_equal(series.volume, frames - 1024.0)

    def holding(name, **values):
        group, item = pydicom.Dataset(), pydicom.Dataset()
        for key, value in values.items():
            setattr(item, key, value)
        setattr(group, name, pydicom.Sequence([item]))
        return group

    moved = ("PixelSpacing", "ImagePositionPatient", "RescaleSlope", "RescaleIntercept")
    for name in (*moved, "SpacingBetweenSlices"):
        delattr(data, name)
    shared = holding("PixelMeasuresSequence", PixelSpacing=[0.4, 0.4], SliceThickness=3.0)
    shared.PixelValueTransformationSequence = holding(
        "PixelValueTransformationSequence", RescaleSlope=2.0, RescaleIntercept=-500.0
    ).PixelValueTransformationSequence
    data.SharedFunctionalGroupsSequence = pydicom.Sequence([shared])
    data.PerFrameFunctionalGroupsSequence = pydicom.Sequence(
        [holding("PlanePositionSequence", ImagePositionPatient=[0, 0, -2.0 * k]) for k in range(3)]
    )
    data.save_as(tmp_path / "new.dcm")
    series = read_dicom(tmp_path / "new.dcm")
    assert series.spacing == pytest.approx((2e-3, 0.4e-3, 0.4e-3))
    np.testing.assert_array_equal(series.volume, 2.0 * frames[::-1] - 500)  # from the lowest place on
    acquisition = invcore.read(tmp_path / "new.dcm")
    assert acquisition.left_out == ("1 of 3 slices used; slice= chooses, slice='all' takes all",)


def test_slices_of_another_direction_are_refused(tmp_path):
    (tmp_path / "s").mkdir()
    for k in range(3):
        dicom_slice(tmp_path / "s" / f"{k}.dcm", k)
    edited(tmp_path / "s" / "2.dcm", ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    with pytest.raises(DataError, match="several directions"):
        read_dicom(tmp_path / "s")


def test_gray_scales(tmp_path):
    """MONOCHROME1 is a way to show values that have a unit, and turns around those that have none."""
    path = dicom_slice(tmp_path / "a.dcm", 0)
    plain = read_dicom(path).volume
    assert (read_dicom(edited(path, PhotometricInterpretation="MONOCHROME1")).volume == plain).all()
    data = pydicom.dcmread(path)
    del data.RescaleSlope, data.RescaleIntercept
    data.save_as(path)
    assert (read_dicom(path).volume == 65535 - (plain + 1024)).all()
