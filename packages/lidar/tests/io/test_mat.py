"""MATLAB files: what is read back, what is known of public files, files that are damaged or hostile."""

import dataclasses
import math

import h5py
import numpy as np
import pytest
import torch
from scipy.io import savemat

import invcore
from invcore import DataError, ParameterError
from invcore_lidar import (
    ImpulseResponse,
    MatReader,
    depth_deviation,
    depth_of,
    read_mat,
    read_ply,
    simulate_tags,
    still_life,
    write_mat,
)
from invcore_lidar._examples.io import write_73
from invcore_lidar._io.mat import cell_array


@pytest.fixture
def tags(generator):
    return simulate_tags(
        *still_life((12, 10)),
        impulse=ImpulseResponse.gaussian(fwhm=400e-12),
        photons=3.0,
        signal_to_background=0.5,
        tick=2e-12,
        generator=generator,
    )


def same(a, b):
    return (
        torch.equal(a.indptr, b.indptr)
        and torch.equal(a.tags, b.tags)
        and (a.shape, a.start, a.stop) == (b.shape, b.start, b.stop)
    )


def test_what_is_written_is_read_back(tags, tmp_path):
    path = write_mat(tmp_path / "tags.mat", tags, fwhm=400e-12, pitch=2e-3)
    assert same(read_mat(path), tags)
    assert read_mat(path).tick == pytest.approx(2e-12)
    assert read_mat(path).pulses is None
    shots = dataclasses.replace(tags, pulses=1000)
    assert read_mat(write_mat(tmp_path / "shots.mat", shots)).pulses == 1000
    found = invcore.read(path)
    assert torch.equal(found.y, tags.histogram(50).counts)
    operator = found.physics.operator
    assert operator.start == pytest.approx(tags.start * 2e-12)
    assert operator.bin_width == pytest.approx(100e-12)
    assert operator.impulse.fwhm == pytest.approx(400e-12, rel=1e-3)
    assert found.metadata["photons"] == len(tags.tags)
    assert found.metadata["tick_from"] == "file"
    assert found.metadata["range_m"][0] == pytest.approx(depth_of(tags.start * 2e-12))
    assert found.output.pitch == 2e-3
    assert (found.output.bins, found.output.bin_width) == (operator.bins, operator.bin_width)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["shots.mat", "tags.mat"]


def test_version_73_is_the_same(tags, tmp_path):
    assert same(read_mat(write_73(tmp_path / "a.mat", tags)), tags)


def test_names_of_public_files(tags, tmp_path):
    path = tmp_path / "gated.mat"
    savemat(path, {"Ts_gated": cell_array(tags, np.int32), "SBR": 0.5})
    found = read_mat(path)
    assert found.tick == 1e-12
    assert found.start % 1000 == 0
    assert found.stop % 1000 == 0
    assert found.start <= tags.tags.min() < found.start + 1000
    assert invcore.read(path).physics.operator.impulse.fwhm == pytest.approx(1e-9, rel=1e-3)
    savemat(path, {"photon_times": cell_array(tags, np.uint16)})
    found = read_mat(path)
    assert found.tick == 8e-12
    assert (found.start, found.stop - 1) == tuple(v.item() for v in tags.tags.aminmax())
    assert invcore.read(path).metadata["tick_from"].startswith("assumed")
    assert read_mat(path, tick=4e-12).tick == 4e-12
    assert invcore.read(path, tick=4e-12).physics.operator.impulse.fwhm == pytest.approx(329.6e-12, rel=1e-3)


def test_other_names_are_not_guessed(tags, tmp_path):
    path = tmp_path / "mine.mat"
    savemat(path, {"toa": cell_array(tags, np.float64), "other": cell_array(tags, np.float64)})
    assert not MatReader().sniff(path)
    with pytest.raises(DataError, match=r"which cell array.*'toa'"):
        read_mat(path)
    with pytest.raises(DataError, match="give tick="):
        read_mat(path, name="toa")
    with pytest.raises(DataError, match="no cell array 'x'"):
        read_mat(path, name="x", tick=1e-12)
    found = read_mat(path, name="toa", tick=2e-12, start=tags.start, stop=tags.stop)
    assert same(found, tags)
    with pytest.raises(DataError, match="give fwhm="):
        invcore.read(path, format="lidar.mat", name="toa", tick=2e-12)
    with pytest.raises(ParameterError, match="tick"):
        read_mat(path, name="toa", tick=-1.0)


def test_options(tags, tmp_path):
    path = write_mat(tmp_path / "tags.mat", tags, fwhm=400e-12, pitch=2e-3)
    found = invcore.read(path, near=2.2, far=3.0, pixels=2, surfaces=2, width=100, decay=1e-9)
    operator = found.physics.operator
    assert operator.shape == (6, 5)
    assert operator.surfaces == 2
    assert operator.bin_width == pytest.approx(200e-12)
    assert found.metadata["range_m"] == pytest.approx([2.2, 3.0], abs=1e-3)
    assert found.output.pitch == 4e-3
    assert invcore.read(path, pixels=3, pitch=1e-3, surfaces=1).output.pitch == pytest.approx(3e-3)
    assert operator.impulse.decay == 1e-9
    with pytest.raises(ParameterError, match="surfaces"):
        invcore.read(path, surfaces=0)
    with pytest.raises(ParameterError, match="gate"):
        read_mat(path, start=5, stop=5)
    with pytest.raises(ParameterError, match="given in seconds"):
        invcore.read(path, fwhm=0.4)  # meant as nanoseconds


def test_the_model_explains_the_counts(generator, tmp_path):
    """The rates of the true scene and the counts that are read agree, bin by bin, as Poisson counts do."""
    scene = still_life((24, 24), dtype=torch.float64)
    h = ImpulseResponse.gaussian(fwhm=400e-12)
    tags = simulate_tags(*scene, impulse=h, photons=200.0, signal_to_background=2.0, generator=generator)
    found = invcore.read(write_mat(tmp_path / "tags.mat", tags, fwhm=400e-12))
    operator = found.physics.operator
    light = scene.reflectivity * (200 / scene.reflectivity.mean())
    background = 100 * operator.bin_width / tags.duration
    rate = operator(operator.image(depth=scene.depth, reflectivity=light, background=background))
    dense = rate > 3
    chi2 = ((found.y - rate) ** 2 / rate)[dense]
    assert chi2.mean().item() == pytest.approx(1.0, abs=5 * math.sqrt(2 / len(chi2)) + 0.01)


def test_output_writes_points_and_pictures(tags, tmp_path):
    path = write_mat(tmp_path / "tags.mat", tags, fwhm=400e-12, pitch=2e-3)
    found = invcore.read(path)
    scene = still_life((12, 10))
    x = torch.cat([scene.depth, 20 * scene.reflectivity, torch.full((1, 12, 10), 0.01)])
    files = found.output.write(tmp_path, x, {})
    cloud = read_ply(files["points"])
    assert len(cloud) > 100  # thin things are left out where they are too dim to be sure
    assert torch.allclose(cloud.points.norm(dim=1), scene.depth[0].reshape(-1)[: len(cloud)], atol=1e-4)
    light, b = x[1].reshape(-1).double(), 0.01
    bound = depth_deviation(light, b, impulse=ImpulseResponse.gaussian(fwhm=400e-12), bin_width=100e-12)
    assert torch.allclose(cloud.uncertainty.double(), bound[: len(cloud)], rtol=1e-3)
    assert files["depth_map"].read_bytes()[:4] == b"\x89PNG"
    without = invcore.read(write_mat(tmp_path / "b.mat", tags, fwhm=400e-12))
    (tmp_path / "two").mkdir()
    flat = read_ply(without.output.write(tmp_path / "two", x, {})["points"])
    assert torch.allclose(flat.points[:, 2], scene.depth[0].reshape(-1))
    assert list(found.output.pictures(x)) == [
        f"Depth beyond {found.output.near:.6g} m",
        "Reflectivity",
        "Background",
    ]


def test_damaged_and_hostile_files(tags, tmp_path):
    def refused(held, match, **options):
        path = tmp_path / "bad.mat"
        savemat(path, held)
        with pytest.raises(DataError, match=match):
            read_mat(path, **options)

    good = cell_array(tags, np.int64)
    strange = good.copy()
    strange[1, 2] = "text"
    refused({"photon_times": strange}, r"cell \(2, 3\)")
    strange[1, 2] = np.ones((2, 2))
    refused({"photon_times": strange}, r"cell \(2, 3\)")
    strange[1, 2] = np.array([[1.5e-9]])
    refused({"photon_times": strange}, "whole ticks")
    strange[1, 2] = np.array([[math.nan]])
    refused({"photon_times": strange}, "whole ticks")
    strange[1, 2] = np.array([[2**63]], np.uint64)
    refused({"photon_times": strange}, "whole ticks")
    refused({"photon_times": np.ones((3, 3))}, "no cell array")
    refused({"photon_times": good, "tick_s": -1.0}, "tick_s")
    refused({"photon_times": good, "tick_s": "long"}, "tick_s")
    refused({"photon_times": good, "gate_ticks": np.array([3.0, 1.0])}, "gate_ticks")
    refused({"photon_times": good, "gate_ticks": np.array([0.5, 1.0])}, "gate_ticks")
    refused({"photon_times": good, "gate_ticks": np.array([0.0, 1e300])}, "gate_ticks")
    refused({"Ts_gated": good, "photon_times": good}, "which cell array")
    path = write_73(tmp_path / "c.mat", tags)
    with h5py.File(path, "r+") as file:
        del file["photon_times"]
        file.create_dataset("photon_times", (2**20, 2**20), dtype=h5py.ref_dtype, chunks=True)
    with pytest.raises(DataError, match="incomplete"):
        read_mat(path)


def test_cell_count_beyond_the_file_is_not_allocated(tags, tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"photon_times": cell_array(tags, np.int32)})
    raw = path.read_bytes()
    at = raw.index(np.array([12, 10], "<i4").tobytes())
    path.write_bytes(raw[:at] + np.array([2**30, 2**30], "<i4").tobytes() + raw[at + 8 :])
    with pytest.raises(DataError):
        read_mat(path)
