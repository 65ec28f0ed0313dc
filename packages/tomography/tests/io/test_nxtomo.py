"""NXtomo as beamlines write it: links, virtual datasets, other names, several scans."""

import h5py
import numpy as np
import pytest
import torch

import invcore
from invcore import DataError, ParameterError
from invcore_tomography._examples import io as samples

COUNTS, FLAT, DARK, ANGLES = samples._counts()
FRAMES = np.concatenate([DARK, FLAT, COUNTS])
KEY = np.repeat([2, 1, 0], [len(DARK), len(FLAT), len(COUNTS)])
THETA = np.r_[np.zeros(len(DARK) + len(FLAT)), np.rad2deg(ANGLES)]


def write(path, data=None, entries=("entry",), detector="detector", theta=THETA):
    """A file whose frames are put in place by ``data(file, group)``."""
    with h5py.File(path, "w") as file:
        for entry in entries:
            group = file.create_group(f"{entry}/instrument/{detector}")
            group["image_key"] = KEY
            if data is None:
                group["data"] = FRAMES
            else:
                data(file, group)
            if theta is not None:
                file[f"{entry}/sample/rotation_angle"] = theta
    return path


def soft(file, group):
    file["camera/frames"] = FRAMES
    group["data"] = h5py.SoftLink("/camera/frames")


def virtual(source):
    def make(file, group):
        if source == ".":
            file["camera/frames"] = FRAMES
        layout = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
        layout[:] = h5py.VirtualSource(source, "/camera/frames", FRAMES.shape)
        group.create_virtual_dataset("data", layout)

    return make


@pytest.fixture
def plain(tmp_path):
    return invcore.read(write(tmp_path / "plain.nxs"), center=23.5)


def test_frames_by_links_in_the_file(plain, tmp_path):
    for name, how in (("soft", soft), ("virtual", virtual("."))):
        assert torch.equal(invcore.read(write(tmp_path / f"{name}.nxs", how), center=23.5).y, plain.y)
    assert torch.equal(
        invcore.read(write(tmp_path / "d.nxs", detector="imaging"), center=23.5).y, plain.y
    )  # httomo#553
    few = write(tmp_path / "few.nxs", theta=np.rad2deg(ANGLES))  # of the views only
    assert torch.equal(invcore.read(few, center=23.5).y, plain.y)


def test_frames_in_another_file(plain, tmp_path):
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["camera/frames"] = FRAMES
    link = lambda file, group: group.__setitem__("data", h5py.ExternalLink("frames.h5", "/camera/frames"))
    for name, how in (("link", link), ("virtual", virtual("frames.h5"))):
        path = write(tmp_path / f"{name}.nxs", how)
        with pytest.raises(DataError, match=r"frames.h5"):
            invcore.read(path)
        assert torch.equal(invcore.read(path, center=23.5, external=True).y, plain.y)


def test_several_scans_in_a_file(plain, tmp_path):
    path = write(tmp_path / "two.nxs", entries=("entry0000", "entry0001"))
    acquisition = invcore.read(path, center=23.5)
    assert torch.equal(acquisition.y, plain.y)
    assert any("one of 2 scans is used, 'entry0000'" in said for said in acquisition.left_out)
    assert torch.equal(invcore.read(path, center=23.5, entry="entry0001").y, plain.y)
    with pytest.raises(ParameterError, match="no NXtomo entry"):
        invcore.read(path, entry="entry7")


def test_exposure_of_flats_from_the_file(plain, tmp_path):
    """Flats of a third of the exposure, as count_time says (Savu#222)."""
    path = write(tmp_path / "a.nxs")
    with h5py.File(path, "r+") as file:
        frames = FRAMES.astype(float)
        frames[KEY == 1] = 100 + (frames[KEY == 1] - 100) / 3
        del file["entry/instrument/detector/data"]
        file["entry/instrument/detector/data"] = frames.astype(np.float32)
        file["entry/instrument/detector/count_time"] = np.where(KEY == 1, 0.1, 0.3)
    acquisition = invcore.read(path, center=23.5)
    assert float((acquisition.y - plain.y).abs().max()) < 1e-2
    assert any("3 times as long" in note for note in acquisition.metadata["notes"])
