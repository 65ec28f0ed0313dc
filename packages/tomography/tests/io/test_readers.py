"""Readers: what they give of files whose contents are known, and what they make of bad ones."""

import sys

import h5py
import numpy as np
import pytest
import torch

import invcore
from invcore import DataError, MissingDependencyError, ParameterError
from invcore.noises import LogPoissonNoise
from invcore.priors import TV
from invcore.solvers import FISTA
from invcore_tomography import RemoveRings, laminography, parallel, read_dicom, shepp_logan
from invcore_tomography._examples import io as samples
from invcore_tomography._io.acquire import acquire

NEEDS = {"tiff": "tifffile", "mrc": "mrcfile", "txrm": "olefile", "dicom": "pydicom"}
SAMPLES = [
    pytest.param(name, label, id=f"{name}: {label}")
    for name in ("dxchange", "tiff", "mrc", "htc", "mat", "txrm", "dicom")
    for label in getattr(samples, name)()
]


def written(name, label, folder):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    return getattr(samples, name)()[label](folder)


@pytest.mark.parametrize("name, label", SAMPLES)
def test_exactly_one_reader_takes_each_file(name, label, tmp_path):
    acquisition = invcore.read(written(name, label, tmp_path))
    assert acquisition.metadata["format"] == f"tomography.{name}"
    assert "not to be read" not in str(acquisition.metadata)


@pytest.mark.parametrize(
    "name, label",
    [
        ("dxchange", "DXchange"),
        ("dxchange", "NXtomo"),
        ("tiff", "stack"),
        ("tiff", "folder"),
        ("txrm", "parallel"),
    ],
)
def test_counts_become_the_line_integrals(name, label, tmp_path):
    exact, angles = samples.line_integrals()
    acquisition = invcore.read(written(name, label, tmp_path), center="middle")
    assert acquisition.y.shape == (1, 40, 48)
    error = (acquisition.y[0] - exact).norm() / exact.norm()
    assert error < 0.03  # photon noise
    geometry = acquisition.physics.operator.geometry
    theta = torch.atan2(geometry.u[:, 1], geometry.u[:, 0])
    assert torch.allclose(theta, angles.double(), atol=1e-6)
    assert acquisition.metadata["sigma"] == pytest.approx(float((acquisition.y[0] - exact).std()), rel=0.3)


def test_units_of_the_pixel(tmp_path):
    acquisition = invcore.read(written("dxchange", "NXtomo", tmp_path))
    assert acquisition.physics.operator.geometry.u.norm(dim=-1) == pytest.approx(3.25e-6)
    assert acquisition.metadata["units"]["x"] == "1/m"
    again = invcore.read(tmp_path / "scan.nxs", pixel_size=1e-3)
    assert again.physics.operator.geometry.grid.spacing == pytest.approx((1e-3, 1e-3))


def test_options_of_a_parallel_scan(tmp_path):
    path = written("dxchange", "DXchange", tmp_path)
    every = invcore.read(path, every=4, size=32, center=20.25)
    assert every.y.shape == (1, 10, 48) and every.physics.domain.shape == (1, 32, 32)
    geometry = every.physics.operator.geometry
    assert torch.allclose(geometry.detector[0].norm(), torch.tensor(23.5 - 20.25, dtype=torch.float64))
    whole = invcore.read(path, slice="all")
    assert whole.y.shape == (3, 1, 40, 48)
    assert torch.equal(whole.y[2], invcore.read(path, slice=2).y)
    assert invcore.read(path).metadata["center_of_rotation_column"] == pytest.approx(23.5, abs=0.1)
    for wrong in (
        {"slice": 7},
        {"every": 0},
        {"center": "left"},
        {"sigma": 1.0, "photons": 2.0},
        {"rings": 4},
        {"rings": 1},
    ):
        with pytest.raises(ParameterError):
            invcore.read(path, **wrong)


def test_stripes_of_a_chosen_width_go(tmp_path):
    path = written("dxchange", "DXchange", tmp_path)
    plain, wide = invcore.read(path, center=20.0).y, invcore.read(path, center=20.0, rings=5)
    assert torch.equal(wide.y, RemoveRings(size=5)(plain)) and wide.metadata["rings_removed"] == 5
    assert torch.equal(invcore.read(path, center=20.0, rings=True).y, RemoveRings()(plain))


def test_photons_weight_the_rays(tmp_path):
    """Every ray in units of its noise; solvers find their weight; a constant weight changes only units."""
    path = written("dxchange", "DXchange", tmp_path)
    plain, counted = invcore.read(path, center=23.5), invcore.read(path, center=23.5, photons=2e4)
    deviation = (plain.y.clamp_min(0).exp() / 2e4).sqrt()
    assert torch.allclose(counted.y, plain.y / deviation, rtol=1e-5)
    assert counted.physics.noise.sigma == 1.0
    assert torch.allclose(
        counted.physics.operator.fbp(counted.y), plain.physics.operator.fbp(plain.y), atol=1e-2
    )
    solver = FISTA(prior=TV(spatial_dims=2), rtol=1e-3, max_steps=60)
    image = solver(counted.y, counted.physics)
    direct = solver(plain.y, plain.physics)
    assert (image - direct).norm() < 0.3 * direct.norm()
    rows = invcore.read(path, center=23.5, photons=2e4, slice="all")
    assert torch.allclose(
        rows.physics.operator.H(rows.y)[1], counted.physics.operator.H(counted.y), rtol=1e-4
    )


def test_the_noise_of_counted_photons_is_one(generator):
    geometry = parallel(30, columns=40, pitch=1 / 20)
    lines = shepp_logan().project(geometry).float()
    noisy = LogPoissonNoise(photons=500.0)(lines, generator=generator)
    acquisition = acquire(noisy, geometry, photons=500.0)
    weights = acquisition.physics.operator.weights
    assert float((acquisition.y - weights * lines).std()) == pytest.approx(1.0, abs=0.1)


def test_recorded_displacements_move_the_detector(tmp_path):
    path = written("txrm", "parallel", tmp_path)
    with_shifts = invcore.read(path).physics.operator.geometry
    without = invcore.read(path, shifts=False).physics.operator.geometry
    _, angles = samples.line_integrals()
    moved = ((with_shifts.detector - without.detector) * without.u).sum(-1) / without.u.square().sum(-1)
    # view k belongs at column k + shift: the axis falls on an earlier column, the detector lies further on
    assert torch.allclose(moved, 0.2 * angles.cos().double(), atol=1e-6)


def test_a_cone_beam_is_a_fan_in_one_row_and_a_volume_in_all(tmp_path):
    path = written("txrm", "cone", tmp_path)
    one, all_ = invcore.read(path), invcore.read(path, slice="all")
    assert one.y.shape == (1, 40, 48) and one.physics.domain.shape == (1, 48, 48)
    assert all_.y.shape == (1, 40, 3, 48) and all_.physics.domain.shape == (1, 3, 48, 48)
    geometry = one.physics.operator.geometry
    assert geometry.source.norm(dim=-1) == pytest.approx(0.02)
    assert geometry.u.norm(dim=-1) == pytest.approx(2.5e-6 * 50 / 20)  # the pixel at the object, magnified


def test_the_challenge_has_its_geometry(tmp_path):
    acquisition = invcore.read(written("htc", "limited", tmp_path))
    geometry = acquisition.physics.operator.geometry
    exact = shepp_logan(radius=0.03, scale=30.0, dtype=torch.float64).project(geometry)
    assert (acquisition.y - exact).std() == pytest.approx(0.01, rel=0.1)
    assert geometry.source.norm(dim=-1) == pytest.approx(0.41066)
    assert (geometry.detector - geometry.source).norm(dim=-1) == pytest.approx(0.55374)


@pytest.mark.parametrize("label", ["columns first", "views first"])
def test_matlab_sinograms_in_both_orders(label, tmp_path):
    exact, _ = samples.line_integrals()
    y = invcore.read(written("mat", label, tmp_path), background=0.0).y[0]
    assert (y - exact).std() == pytest.approx(0.01, rel=0.1)


def test_slices_have_their_order_and_units(tmp_path):
    series = read_dicom(written("dicom", "series", tmp_path))
    assert series.volume.shape == (3, 40, 36) and series.spacing == pytest.approx((2e-3, 0.5e-3, 0.7e-3))
    assert series.volume[0, 0, 0] == pytest.approx(-1000, abs=50)
    single = read_dicom(written("dicom", "slice", tmp_path)).volume[0]
    assert torch.equal(series.volume[0], single)  # by position: the file names run backwards
    acquisition = invcore.read(tmp_path / "series", slice="all")
    assert acquisition.y.shape == (1, 3, 40, 36)


def test_missing_packages_are_named(tmp_path, monkeypatch):
    path = written("mrc", "tilt series", tmp_path)
    monkeypatch.setitem(sys.modules, "mrcfile", None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        invcore.read(path)


def hdf5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[f"exchange/{name}"] = value
    return path


def test_bad_hdf5(tmp_path):
    data, theta = np.ones((4, 2, 8), np.float32), 45.0 * np.arange(4)
    path = tmp_path / "bad.h5"
    cases = {
        "has no angles": {"data": data},
        "3 angles": {"data": data, "theta": theta[:3]},
        "data_white has frames": {"data": data, "theta": theta, "data_white": np.ones((2, 3, 8))},
        "swapped": {"data": data, "theta": theta, "data_white": data, "data_dark": 2 * data},
        "3 dimensions": {"data": np.ones((4, 8)), "theta": theta},
        "NaN": {"data": data * np.nan, "theta": theta, "data_white": data},
        "empty": {"data": np.ones((0, 2, 8)), "theta": theta[:0]},
    }
    for message, arrays in cases.items():
        with pytest.raises(DataError, match=message) as caught:
            invcore.read(hdf5(path, **arrays))
        assert "bad.h5" in str(caught.value)


def test_hdf5_that_lies(tmp_path):
    path = tmp_path / "lies.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("exchange/data", shape=(2000, 4000, 4000), dtype="f4", chunks=(1, 4000, 4000))
        file["exchange/theta"] = np.zeros(2000)
    with pytest.raises(DataError, match="incomplete"):
        invcore.read(path)
    other = hdf5(tmp_path / "other.h5", data=np.ones((4, 2, 8)), theta=np.zeros(4))
    with h5py.File(path, "w") as file:
        file["exchange/data"] = h5py.ExternalLink(str(other), "exchange/data")
    with pytest.raises(DataError, match="a link to 'exchange/data' in the file"):
        invcore.read(path)


def test_bad_lists_of_angles(tmp_path):
    path = written("tiff", "stack", tmp_path)
    angles = tmp_path / "scan.angles.txt"
    for text, message in (
        ("1\n2\n", "40 views, but 2"),
        ("a\n", "not a list"),
        ("", "no angles"),
        ("nan\n", "finite"),
    ):
        angles.write_text(text)
        with pytest.raises(DataError, match=message):
            invcore.read(path)
    angles.unlink()
    assert not invcore.reader("tomography.tiff").sniff(path)


def test_matlab_files_of_other_versions(tmp_path):
    path = tmp_path / "new.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(600))
    with pytest.raises(DataError, match="-v7"):
        invcore.read(path, format="tomography.htc")


def test_a_reference_has_all_views_of_the_slice(tmp_path):
    """A scan is read with few views; the reference beside it keeps them all, and the other options."""
    path = written("dxchange", "DXchange", tmp_path)
    reader = invcore.reader("tomography.dxchange")
    options = {"slice": 2, "center": 23.5, "pixel_size": 1e-3}
    whole = invcore.read(path, **options)
    exact = whole.physics.operator.fbp(whole.y)
    assert torch.equal(reader.reference(path, every=4, **options), exact)
    with pytest.raises(ParameterError, match="pixel_siz"):
        reader.reference(path, pixel_siz=1.0)


def test_the_pixel_of_a_microscope_can_be_given(tmp_path):
    path = written("txrm", "cone", tmp_path)
    geometry = invcore.read(path, pixel_size=1e-5).physics.operator.geometry
    assert geometry.u.norm(dim=-1) == pytest.approx(1e-5)
    assert geometry.grid.spacing == pytest.approx((1e-5 * 20 / 50,) * 2)


def test_the_axis_of_a_fan_is_not_searched(tmp_path):
    for name, label in (("htc", "limited"), ("txrm", "cone")):
        path = written(name, label, tmp_path)
        with pytest.raises(ParameterError, match="parallel beams"):
            invcore.read(path, center="auto")


def test_beside_the_image_is_what_the_geometry_has_a_formula_for(generator):
    geometry = parallel(12, columns=16, pitch=0.1)
    acquisition = acquire(shepp_logan().project(geometry).float(), geometry)
    beside = acquisition.output.beside(acquisition)
    assert torch.equal(beside.pop("Filtered backprojection"), acquisition.physics.operator.fbp(acquisition.y))
    assert not beside
    tilted = laminography(4, tilt=0.5, rows=8, columns=8, pitch=0.1)
    acquisition = acquire(torch.rand(1, 4, 8, 8, generator=generator), tilted, sigma=1.0)
    (image,) = acquisition.output.beside(acquisition).values()
    assert torch.equal(image, acquisition.physics.operator.H(acquisition.y))
