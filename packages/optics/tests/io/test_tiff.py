"""TIFF stacks: axes, voxel sizes and where they come from, damage, and the problems they pose."""

import numpy as np
import pytest
import torch

import invcore
from invcore import DataError, ParameterError
from invcore_optics import BeadStack, MicroscopeReader, Objective, PupilPSF
from invcore_optics._io.tiff_stack import read_stack

tifffile = pytest.importorskip("tifffile")


def write(path, array, **options):
    tifffile.imwrite(path, array, photometric="minisblack", **options)


def volume(*shape, seed=0):
    return np.random.default_rng(seed).integers(10, 400, shape).astype("uint16")


OME = {"PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 110.0, "PhysicalSizeYUnit": "nm"}
OME |= {"PhysicalSizeZ": 3e-4, "PhysicalSizeZUnit": "mm"}


def test_ome_sizes_in_their_units(tmp_path):
    y = volume(4, 6, 5)
    write(tmp_path / "a.ome.tif", y, ome=True, metadata={"axes": "ZYX", **OME})
    found = read_stack(tmp_path / "a.ome.tif")
    assert found.voxel == pytest.approx((300e-9, 110e-9, 100e-9))
    assert np.array_equal(found.values, y)
    assert any("OME metadata" in note for note in found.notes)


def test_channels_and_times(tmp_path):
    y = volume(2, 3, 4, 6, 5)
    write(tmp_path / "a.ome.tif", y, ome=True, metadata={"axes": "TCZYX", **OME})
    found = read_stack(tmp_path / "a.ome.tif", channel=2, frame=1)
    assert np.array_equal(found.values, y[1, 2])
    assert not found.left_out
    first = read_stack(tmp_path / "a.ome.tif")
    assert np.array_equal(first.values, y[0, 0])
    assert [item.split(";")[0] for item in first.left_out] == [
        "one of 3 channels used",
        "one of 2 frames used",
    ]
    with pytest.raises(ParameterError, match="channel=3"):
        read_stack(tmp_path / "a.ome.tif", channel=3)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_imagej_sizes_and_byte_order(tmp_path, order, kind):
    y = volume(4, 6, 5).clip(0, 255).astype(kind)
    options = {"resolution": (1 / 0.13, 1 / 0.12), "metadata": {"axes": "ZYX", "spacing": 0.3, "unit": "um"}}
    write(tmp_path / "a.tif", y, imagej=True, byteorder=order, **options)
    found = read_stack(tmp_path / "a.tif")
    assert found.voxel == pytest.approx((300e-9, 120e-9, 130e-9), rel=1e-5)
    assert found.values.dtype == np.float32
    assert np.array_equal(found.values, y)
    assert any("ImageJ metadata" in note for note in found.notes)


def test_resolution_of_a_printer_is_not_believed(tmp_path):
    write(tmp_path / "a.tif", volume(4, 6, 5), resolution=(72, 72), resolutionunit="INCH")
    found = read_stack(tmp_path / "a.tif")
    assert found.voxel == (None, None, None)
    assert sum("impossible" in note for note in found.notes) == 2
    write(tmp_path / "b.tif", volume(4, 6, 5), resolution=(1e5, 1e5), resolutionunit="CENTIMETER")
    assert read_stack(tmp_path / "b.tif").voxel == (None, pytest.approx(1e-7), pytest.approx(1e-7))


def test_metadata_that_declare_more_than_there_is(tmp_path):
    path = tmp_path / "a.ome.tif"
    write(path, volume(4, 6, 5), ome=True, metadata={"axes": "ZYX"})
    raw = path.read_bytes()
    assert raw.count(b'SizeZ="4"') == 1
    path.write_bytes(raw.replace(b'SizeZ="4"', b'SizeZ="9"'))
    with pytest.raises(DataError, match=r"a\.ome"):
        read_stack(path)
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError, match=r"a\.ome"):
        read_stack(path)


def test_numbers_that_are_no_light(tmp_path):
    y = volume(4, 6, 5).astype("float32")
    y[1, 2, 3] = np.nan
    write(tmp_path / "a.tif", y)
    with pytest.raises(DataError, match="1 values that are NaN"):
        read_stack(tmp_path / "a.tif")
    write(tmp_path / "b.tif", -volume(4, 6, 5).astype("float32"))
    write(tmp_path / "b.psf.tif", volume(5, 3, 3))
    with pytest.raises(DataError, match="negative"):
        invcore.read(tmp_path / "b.tif")


def test_who_reads_a_tiff(tmp_path):
    """Pages make a stack of a microscope; a list of angles a tomogram; one image is nothing by itself."""
    reader = MicroscopeReader()
    write(tmp_path / "stack.tif", volume(4, 6, 5))
    assert reader.sniff(tmp_path / "stack.tif") is True
    (tmp_path / "stack.angles.txt").write_text("0\n1\n2\n3\n")
    assert reader.sniff(tmp_path / "stack.tif") is False
    write(tmp_path / "image.tif", volume(6, 5), metadata=None)
    assert "optics.tiff" in reader.sniff(tmp_path / "image.tif").reason
    write(tmp_path / "image.psf.tif", volume(3, 3), metadata=None)
    assert reader.sniff(tmp_path / "image.tif") is True


def test_what_is_missing_is_said(tmp_path):
    path = tmp_path / "stack.tif"
    write(path, volume(4, 6, 5))
    with pytest.raises(ParameterError, match="psf=FILE"):
        invcore.read(path)
    with pytest.raises(ParameterError, match="pixel, spacing"):
        invcore.read(path, wavelength=520e-9, na=0.5)
    with pytest.raises(ParameterError, match="nanometers"):
        invcore.read(path, wavelength=520.0, na=0.5)
    with pytest.raises(ParameterError, match="wavelength, na, pixel"):
        invcore.read(path, task="pupil", spacing=1e-7)


def test_deconvolution_finds_beads(tmp_path):
    """Two points beyond the resolution of the data, from a computed PSF and an unnormalized measured one."""
    objective = Objective(500e-9, 0.6)
    z = 500e-9 * (torch.arange(9) - 4)
    A = PupilPSF(objective=objective, pixel=150e-9, shape=(17, 17), depths=z)
    h = A(torch.zeros(8))
    x = torch.zeros(9, 40, 40)
    x[4, 18, 18], x[4, 18, 22] = 4000, 4000
    weights = h.flip(0, 1, 2)[None, None]
    blurred = torch.nn.functional.conv3d(x[None, None], weights, padding=(4, 8, 8))[0, 0]
    y = torch.poisson(blurred + 30, torch.Generator().manual_seed(0))
    write(tmp_path / "a.tif", y.numpy().astype("uint16"))
    write(tmp_path / "psf.tif", (1e6 * h).numpy())
    for options in (
        {"psf": tmp_path / "psf.tif"},
        {"wavelength": 500e-9, "na": 0.6, "pixel": 150e-9, "spacing": 500e-9},
    ):
        found = invcore.read(tmp_path / "a.tif", **options)
        assert found.metadata["background"] == pytest.approx(30, abs=10)
        solver = invcore.solver("richardson_lucy", max_steps=60)
        image = solver(found.y, found.physics)[(0, *found.output.window)]
        assert image.shape == (9, 40, 40)
        line = image[3:6, 17:20].sum((0, 1))
        assert line[18] > 3 * line[20]
        assert line[22] > 3 * line[20]
        assert float(image[3:6, 16:21, 15:26].sum()) == pytest.approx(8000 * float(h.sum()), rel=0.15)


def test_a_bead_gives_the_aberrations(tmp_path):
    objective, z = Objective(520e-9, 0.85), 400e-9 * (torch.arange(7) - 3)
    A = BeadStack(PupilPSF(objective=objective, pixel=130e-9, shape=(45, 45), modes=(2, 3, 8, 11), depths=z))
    mean = A(A.assemble(torch.tensor([0.0, 0, -3e-8, 4e-8]), width=0.5, photons=2e5, background=20.0))
    y = torch.poisson(mean, torch.Generator().manual_seed(0))
    write(tmp_path / "a.tif", y.numpy().astype("uint16"))
    options = {"task": "pupil", "wavelength": 520e-9, "na": 0.85, "pixel": 130e-9, "spacing": 400e-9}
    result = invcore.reconstruct(
        tmp_path / "a.tif", options={**options, "window": 31}, output=tmp_path / "out"
    )
    estimate = result.acquisition.output.estimate(result.x)
    found = dict(zip(estimate.modes, (1e9 * estimate.coefficients).tolist()))
    assert found[8] == pytest.approx(-30, abs=2)
    assert found[11] == pytest.approx(40, abs=2)
    assert "horizontal coma" in (tmp_path / "out" / "aberrations.txt").read_text()
    assert (tmp_path / "out" / "aberrations.png").stat().st_size > 10_000


def test_a_tomogram_is_told_where_it_belongs(tmp_path):
    """A pixel of 1 nm is no light microscope's."""
    path = tmp_path / "tilts.tif"
    tifffile.imwrite(
        path,
        np.ones((5, 8, 8), "uint16") * np.arange(1, 9, dtype="uint16"),
        imagej=True,
        resolution=(1 / 1.05, 1 / 1.05),
        metadata={"unit": "nm", "spacing": 1.05},
    )
    with pytest.raises(ParameterError, match=r"1.05 nm is one of electron.* --format tomography.tiff"):
        invcore.read(path)
