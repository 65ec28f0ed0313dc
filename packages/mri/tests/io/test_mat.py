"""K-space in MATLAB files: names, axes, units, versions, and what is not clear."""

import h5py
import numpy as np
import pytest
import torch
from scipy.io import savemat

import invcore
from invcore import DataError, ParameterError
from invcore_mri import MatReader, NUFFTSense, radial, root_sum_of_squares, simulate, spiral

RECORD = [("real", "<f8"), ("imag", "<f8")]


@pytest.fixture(scope="module")
def spokes():
    """Image, k-space (sample, spoke, coil) as MATLAB has it, its trajectory in cycles per field of view."""
    scan = simulate((32, 32), coils=4, generator=torch.Generator().manual_seed(0))
    k = radial(48, 32, 32)
    y = NUFFTSense(scan.maps, k.reshape(-1, 2), method="direct")(scan.image).reshape(4, 48, 32)
    y = y + 1e-3 * torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1))
    return scan, y.permute(2, 1, 0).numpy(), k.numpy()


def image_error(acq, scan, solve, fitted_error):
    inside = (scan.maps.abs().square().sum(0).sqrt() * scan.image[0]).abs()
    return fitted_error(solve(acq), inside)


def test_spokes_give_the_image_upright(spokes, tmp_path, solve, fitted_error):
    scan, y, k = spokes
    savemat(tmp_path / "a.mat", {"rawdata": y, "k": k[..., 0].T / 32 + 1j * k[..., 1].T / 32})
    acq = invcore.read(tmp_path / "a.mat")
    assert acq.metadata["format"] == "mri.mat" and acq.metadata["shape"] == [32, 32]
    assert "cycles per pixel" in acq.metadata["notes"][0] and "rows" in acq.metadata["notes"][1]
    torch.testing.assert_close(acq.physics.operator.trajectory, torch.from_numpy(k).reshape(-1, 2))
    assert image_error(acq, scan, solve, fitted_error) < 0.08
    other = invcore.read(tmp_path / "a.mat", transpose=True)
    torch.testing.assert_close(other.physics.operator.trajectory, acq.physics.operator.trajectory.flip(-1))


@pytest.mark.parametrize(
    ("factor", "unit", "said"),
    [
        (1 / 32, None, "per pixel"),
        (2 * np.pi / 32, None, "radians"),
        (1, None, "field of view"),
        (4, "1/m", ""),
    ],
)
def test_units_agree(spokes, tmp_path, factor, unit, said):
    _, y, k = spokes
    savemat(tmp_path / "u.mat", {"kdata": y, "traj": factor * k.transpose(1, 0, 2)})
    fov = 0.25 if unit else None
    acq = invcore.read(tmp_path / "u.mat", unit=unit, fov=fov, sigma=1e-3)
    torch.testing.assert_close(acq.physics.operator.trajectory, torch.from_numpy(k).reshape(-1, 2))
    assert said in " ".join(acq.metadata["notes"]) and acq.physics.operator.shape == (32, 32)
    assert acq.voxel_size == ((0.25 / 32,) * 2 if unit else None)


def test_a_unit_that_is_not_clear_is_refused(spokes, tmp_path):
    _, y, k = spokes
    savemat(tmp_path / "m.mat", {"kdata": y, "traj": 4 * k.transpose(1, 0, 2)})
    with pytest.raises(DataError, match=r"unit of the trajectory is not clear.*reaches 64.*unit="):
        invcore.read(tmp_path / "m.mat")
    with pytest.raises(DataError, match="fov="):
        invcore.read(tmp_path / "m.mat", unit="1/m")
    with pytest.raises(ParameterError, match="unit= is one of"):
        invcore.read(tmp_path / "m.mat", unit="mm")
    savemat(tmp_path / "s.mat", {"kdata": np.ones((4, 64), complex), "traj": spiral(4, 64, 32).numpy() / 32})
    with pytest.raises(DataError, match="shape="):
        invcore.read(tmp_path / "s.mat", axes="sr")


def test_version_7_3_and_other_ways_to_store_complex_numbers(spokes, tmp_path):
    _, y, k = spokes
    turns = k[..., 0].T / 32 + 1j * k[..., 1].T / 32
    savemat(tmp_path / "5.mat", {"rawdata": y, "k": turns})
    savemat(tmp_path / "pair.mat", {"kspace_real": y.real, "kspace_imag": y.imag, "k": turns})
    savemat(
        tmp_path / "axis.mat", {"kdata": np.stack([y.real, y.imag], -1), "kx": turns.real, "ky": turns.imag}
    )
    with h5py.File(tmp_path / "73.mat", "w", userblock_size=512) as file:
        for name, value in {"rawdata": y, "k": turns}.items():
            record = np.zeros(value.T.shape, RECORD)
            record["real"], record["imag"] = value.T.real, value.T.imag
            file[name] = record
    first = invcore.read(tmp_path / "5.mat", sigma=1e-3)
    for name in ("pair", "axis", "73"):
        other = invcore.read(tmp_path / f"{name}.mat", sigma=1e-3)
        torch.testing.assert_close(other.y, first.y)
        torch.testing.assert_close(other.physics.operator.trajectory, first.physics.operator.trajectory)


def test_axes_are_found_or_asked_for(spokes, tmp_path):
    _, y, k = spokes
    turns = k[..., 0] / 32 + 1j * k[..., 1] / 32
    frames = np.stack([y, 2 * y], -1)
    savemat(tmp_path / "f.mat", {"rawdata": frames, "k": turns.T})
    with pytest.raises(DataError, match="axes="):
        invcore.read(tmp_path / "f.mat")
    acq = invcore.read(tmp_path / "f.mat", axes="rsc-", index=1, sigma=1e-3)
    assert "entry 1 of 2 on axis 3" in acq.left_out[0]
    savemat(
        tmp_path / "c.mat", {"rawdata": 2 * y.transpose(2, 1, 0), "k": turns}
    )  # coils first, spokes first
    torch.testing.assert_close(invcore.read(tmp_path / "c.mat", sigma=1e-3).y, acq.y)
    with pytest.raises(ParameterError, match="letter for each"):
        invcore.read(tmp_path / "f.mat", axes="rsx-")


def test_a_unit_or_a_length_that_cannot_be_meant_is_refused(spokes, tmp_path):
    _, y, k = spokes
    savemat(tmp_path / "m.mat", {"kdata": y, "traj": 4 * k.transpose(1, 0, 2)})
    with pytest.raises(ParameterError, match="meters, not millimeters"):
        invcore.read(tmp_path / "m.mat", unit="1/m", fov=250)
    savemat(tmp_path / "m.mat", {"kdata": y, "traj": 4000 * k.transpose(1, 0, 2)})
    with pytest.raises(DataError, match="is the unit another"):
        invcore.read(tmp_path / "m.mat", unit="1/m", fov=0.25)


def test_samples_and_coils_of_one_number_are_told_apart_by_axes(tmp_path):
    turns = np.exp(2j * np.pi * np.arange(12) / 12)
    savemat(tmp_path / "s.mat", {"kdata": np.ones((12, 12)) + 0j, "traj": 0.5 * turns[:, None]})
    with pytest.raises(DataError, match="axes="):
        invcore.read(tmp_path / "s.mat", unit="cycles/pixel", shape=12)


def test_a_grid(scan, tmp_path):
    kspace = scan.kspace.movedim(0, -1).numpy()
    savemat(tmp_path / "g.mat", {"kspace": kspace})
    acq = invcore.read(tmp_path / "g.mat")
    assert acq.y.shape == (6, 96, 80) and acq.metadata["axes"] == ["x", "y"]
    assert "shortest axis" in acq.metadata["notes"][0]
    assert not any(
        "shortest axis" in n for n in invcore.read(tmp_path / "g.mat", axes="xyc").metadata["notes"]
    )
    with pytest.raises(ParameterError, match="meters, not millimeters"):
        invcore.read(tmp_path / "g.mat", fov=250)
    torch.testing.assert_close(MatReader().reference(tmp_path / "g.mat"), root_sum_of_squares(scan.kspace))
    savemat(tmp_path / "t.mat", {"kspace": np.stack([kspace, kspace], 2)})
    with pytest.raises(DataError, match="axes="):
        invcore.read(tmp_path / "t.mat")
    torch.testing.assert_close(invcore.read(tmp_path / "t.mat", axes="xy-c").y, acq.y)


def test_the_measured_heart(mri_data):
    """Spokes through 12 coils: 1 in 10 samples, noise and unit found, maps that explain most of the data."""
    acq = invcore.read(mri_data / "radial_cardiac_25.mat")
    assert acq.physics.operator.shape == (256, 256) and acq.y.shape == (12, 6400)
    assert acq.metadata["trajectory_unit"] == "cycles/pixel" and 0.7e-5 < acq.metadata["sigma"] < 1.5e-5
    caption, gridded = acq.output.first(acq)
    body, outside = gridded[0, 100:180, 100:150].abs().mean(), gridded[0, :30, :60].abs().mean()
    assert "Gridded" in caption and body > 4 * outside
