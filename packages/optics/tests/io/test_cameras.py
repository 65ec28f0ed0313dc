"""Files of lensless and spectral cameras."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from scipy.io import savemat
from scipy.ndimage import affine_transform, gaussian_filter

import invcore
from invcore import DataError, ParameterError
from invcore_optics._examples import cassi_mat, lensless_tiff

DATA = Path(os.environ.get("INVCORE_DATA", Path(__file__).parents[4] / "shared/data")) / "optics"
measured = pytest.mark.skipif(not DATA.exists(), reason="the measured files are not here (INVCORE_DATA)")


def test_the_pattern_beside_a_frame_is_found_or_given(tmp_path):
    path = lensless_tiff()["frame"](tmp_path)
    found = invcore.read(path, pixels=1)
    assert found.metadata["psf"] == "lab_psf.tif"
    assert found.physics.operator.psf.sum().item() == pytest.approx(1)
    assert found.y.shape == (1, 20, 24) and found.y.max() == 1
    other = tmp_path / "elsewhere.tif"
    (tmp_path / "lab_psf.tif").rename(other)
    with pytest.raises(DataError, match="psf="):
        invcore.read(path)
    given = invcore.read(path, format="optics.lensless_tiff", psf=str(other), pixels=1, scene="all")
    assert given.physics.domain.shape == (1, 39, 47)


def test_bayer_frames_have_three_colors(tmp_path):
    path = lensless_tiff()["frame"](tmp_path)
    found = invcore.read(path, pixels=1, bayer="rggb")
    raw = torch.tensor(tifffile.imread(path).astype(np.float32))
    assert found.y.shape == (3, 10, 12)
    green = (raw[::2, 1::2] + raw[1::2, ::2]) / 2
    assert torch.corrcoef(torch.stack((found.y[1].flatten(), green.flatten())))[0, 1] > 0.99


@pytest.mark.parametrize("kind", ["another size", "dark", "a stack", "lying size"])
def test_damaged_frames(tmp_path, kind):
    path = lensless_tiff()["frame"](tmp_path)
    image = tifffile.imread(path)
    if kind == "another size":
        tifffile.imwrite(path, image[:-1])
    if kind == "dark":
        tifffile.imwrite(path, np.full_like(image, 7))
    if kind == "a stack":
        tifffile.imwrite(path, np.stack([image, image]), photometric="minisblack")
    if kind == "lying size":
        raw = bytearray(path.read_bytes())
        with tifffile.TiffFile(path) as file:
            at = file.pages[0].tags["ImageLength"].valueoffset
        raw[at : at + 2] = (60000).to_bytes(2, "little")
        path.write_bytes(raw)
    with pytest.raises(DataError, match="lab_scene.tif"):
        invcore.read(path, format="optics.lensless_tiff", pixels=1)


@pytest.mark.parametrize("which", ["mask inside", "mask beside"])
def test_snapshots_with_their_mask(tmp_path, which):
    path = cassi_mat()[which](tmp_path)
    found = invcore.read(path)
    assert found.physics.domain.shape == (4, 12, 10)
    assert found.physics.operator.dispersion.tolist() == [0, 2, 4, 6]
    part = invcore.read(path, rows="2:8", columns="1:9")
    torch.testing.assert_close(part.y[0], found.y[0, 2:8, 1:15])
    assert "rows 2:8" in part.left_out[0]
    with pytest.raises(ParameterError, match="within 0:12"):
        invcore.read(
            tmp_path / "scene.mat" if which == "mask inside" else tmp_path / "lab_scene.mat", rows="5:2"
        )


@pytest.mark.parametrize(
    "change, match",
    [
        ({"mask": np.ones((11, 10))}, "as many rows"),
        ({"mask": np.full((12, 10), np.nan)}, "NaN"),
        ({"meas": np.zeros((12, 16))}, "constant"),
        ({"meas": np.ones((12, 4, 4))}, "2 axes"),
    ],
)
def test_snapshots_that_contradict_themselves(tmp_path, change, match):
    held = {"meas": np.random.default_rng(0).random((12, 16)), "mask": np.ones((12, 10))} | change
    savemat(tmp_path / "scene.mat", held)
    with pytest.raises(DataError, match=match):
        invcore.read(tmp_path / "scene.mat")


def test_a_snapshot_without_mask_says_what_it_lacks(tmp_path):
    savemat(tmp_path / "scene.mat", {"meas": np.eye(4)})
    with pytest.raises(DataError, match="mask=FILE"):
        invcore.read(tmp_path / "scene.mat")
    savemat(tmp_path / "mask.mat", {"mask": np.eye(4)})
    with pytest.raises(DataError, match="belongs to a snapshot"):
        invcore.read(tmp_path / "mask.mat")


@measured
def test_measured_files_are_recognized():
    hand = invcore.read(DATA / "diffusercam_hand.tif")
    assert hand.y.shape == (1, 300, 400)
    snapshot = invcore.read(DATA / "cassi_scene1.mat", rows="300:340")
    assert snapshot.physics.domain.shape == (28, 40, 660)
    assert snapshot.y.shape == (1, 40, 714)
    assert "moved by +0.20 rows" in snapshot.metadata["notes"][1]
    with pytest.raises(DataError, match="contradicts 10 bands at a dispersion of 6 pixels"):
        invcore.read(DATA / "cassi_scene1.mat", step=6.0)


def snapshot_through(mask):
    """A disk of 6 bands 2 pixels apart behind a mask, summed shift by shift."""
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]]
    scene = np.exp(-(((rows - 60) / 40.0) ** 2 + ((columns - 60) / 40.0) ** 2))
    y = np.zeros((mask.shape[0], mask.shape[1] + 10))
    for k, light in enumerate((0.2, 0.9, 0.6, 0.3, 0.5, 0.8)):
        y[:, 2 * k : 2 * k + mask.shape[1]] += light * scene * mask
    return y + 0.003 * np.random.default_rng(1).standard_normal(y.shape)


@pytest.fixture(scope="module")
def grains():
    """A mask of squares of 3 pixels."""
    return np.kron(np.random.default_rng(0).integers(0, 2, (40, 40)), np.ones((3, 3)))


def test_a_dispersion_that_the_snapshot_contradicts_is_refused(tmp_path, grains):
    path = tmp_path / "scene.mat"
    savemat(path, {"meas": snapshot_through(grains), "mask": grains})
    assert "notes" not in invcore.read(path, step=2.0).metadata
    with pytest.raises(DataError, match="contradicts 2 bands at a dispersion of 7 pixels"):
        invcore.read(path, step=7.0)
    assert invcore.read(path, step=7.0, register=False).physics.domain.shape[0] == 2
    to_the_left = snapshot_through(grains[:, ::-1])[:, ::-1]  # from the first column on, as if to the right
    savemat(path, {"meas": np.roll(to_the_left, -8, 1), "mask": grains})
    with pytest.raises(DataError, match=r"displaced by -\d+ to"):
        invcore.read(path, step=2.0)


def test_a_mirrored_mask_is_refused(tmp_path, grains):
    savemat(tmp_path / "scene.mat", {"meas": snapshot_through(grains), "mask": grains[::-1]})
    with pytest.raises(DataError, match="turned top to bottom"):
        invcore.read(tmp_path / "scene.mat")


def test_a_mask_out_of_place_is_registered(tmp_path, grains):
    # row p of the detector shows row p − 0.4 − 0.01 (p − 59.5) of the mask, blurred by 0.7 pixels
    to_mask = np.diag((1 - 0.01, 1.0))
    there = affine_transform(grains, to_mask, offset=(-0.4 + 0.01 * 59.5, 0), order=1, mode="nearest")
    there = gaussian_filter(there, 0.7)
    savemat(tmp_path / "scene.mat", {"meas": snapshot_through(there), "mask": grains})
    found = invcore.read(tmp_path / "scene.mat", step=2.0)
    (note,) = found.metadata["notes"]
    offset, stretch, blur = map(float, re.findall(r"[+-]?\d+\.?\d*(?= rows| %| pixels)", note))
    assert offset == pytest.approx(0.4, abs=0.1)
    assert stretch == pytest.approx(1.0, abs=0.2)
    assert blur == pytest.approx(0.7, abs=0.2)
    given = torch.from_numpy(grains).float()
    seen = torch.from_numpy(there).float()
    inside = (slice(20, 100), slice(20, 100))
    after = (found.physics.operator.mask[0] - seen)[inside].norm()
    assert after < 0.25 * (given - seen)[inside].norm()


def test_an_assumed_dispersion_is_said(tmp_path):
    path = cassi_mat()["mask inside"](tmp_path)
    assumed = invcore.read(path)
    assert "2 pixels a band, hence 4 bands, is assumed" in assumed.metadata["notes"][0]
    assert "notes" not in invcore.read(path, step=2.0, register=False).metadata
    assert "not found in the snapshot" in invcore.read(path, step=2.0).metadata["notes"][0]
    assert "no multiple of 4" in invcore.read(path, step=4.0).metadata["notes"][0]
