"""CMRxRecon files: which axis is what, choices, and files that lie."""

import h5py
import numpy as np
import pytest
import torch

import invcore
from invcore import DataError, ParameterError
from invcore_mri import CMRxReconReader, FastMRIReader, MaskEquispaced, root_sum_of_squares, simulate

RECORD = [("real", "<f4"), ("imag", "<f4")]


def matlab(path, **variables):
    """Arrays of MATLAB's shape as its 7.3 files hold them: axes reversed, complex numbers as records."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            value = np.ascontiguousarray(np.transpose(value))
            if np.iscomplexobj(value):
                record = np.zeros(value.shape, RECORD)
                record["real"], record["imag"] = value.real, value.imag
                value = record
            file[name] = value
    return path


@pytest.fixture(scope="module")
def heart():
    """K-space of MATLAB's shape (readout, phase, coil, slice, frame) = (48, 40, 4, 3, 2)."""
    scans = [
        simulate((48, 40), coils=4, sigma=0.02, generator=torch.Generator().manual_seed(k)).kspace
        for k in range(6)
    ]
    return torch.stack(scans).reshape(2, 3, 4, 48, 40).permute(3, 4, 2, 1, 0).numpy()


def test_the_axes_are_those_of_the_challenge(heart, tmp_path):
    path = matlab(tmp_path / "cine_sax.mat", kspace_full=heart)
    got = invcore.read(path, slice=2, frame=1)
    assert got.metadata["format"] == "mri.cmrxrecon" and got.metadata["axes"] == ["readout", "phase 1"]
    assert got.metadata["slices"] == [2] and got.metadata["frames"] == [1]
    assert "1 of 3 slices and 1 of 2 frames used" in got.left_out[0]
    kspace = torch.from_numpy(heart[..., 2, 1]).permute(2, 0, 1)
    whole = CMRxReconReader().reference(path, slice=2, frame=1)
    torch.testing.assert_close(whole, root_sum_of_squares(kspace), rtol=1e-5, atol=1e-6)
    image = got.physics.operator.H(got.y).abs()
    assert image.shape == (1, 48, 40)
    cosine = torch.nn.functional.cosine_similarity(image.flatten(), whole.flatten(), 0)
    assert float(cosine) > 0.98  # one sensitivity-weighted image: the same object, the right way round
    middle = invcore.read(path)
    assert middle.metadata["slices"] == [1] and middle.metadata["frames"] == [0]
    frames = invcore.read(path, frame="all")
    assert frames.y.shape == (2, 4, 48, 40) and frames.metadata["frames"] == [0, 1]
    slices = invcore.read(path, slice="all")
    assert slices.y.shape == (3, 4, 48, 40)


def test_undersampled_lines_of_one_coil(heart, tmp_path):
    mask = MaskEquispaced(shape=(48, 40), acceleration=2.0, calib=16)().numpy()[0]
    lines = heart[:, :, 0] * np.broadcast_to(mask, (48, 40))[:, :, None, None]
    path = matlab(tmp_path / "cine_lax.mat", kspace_single_sub04=lines)
    got = invcore.read(path)
    assert got.y.shape == (1, 48, 40)
    found = (got.y.abs().sum((0, 1)) > 0).float()
    assert torch.equal(found, torch.from_numpy(np.broadcast_to(mask, (48, 40)).copy())[0])


def test_choices_and_refusals(heart, tmp_path):
    path = matlab(tmp_path / "a.mat", kspace_full=heart)
    with pytest.raises(ParameterError, match="there is no frame 2: the file has 2"):
        invcore.read(path, frame=2)
    with pytest.raises(ParameterError, match="there is no slice 3"):
        invcore.read(path, slice=3)
    with pytest.raises(ParameterError, match="not both"):
        invcore.read(path, slice="all", frame="all")
    cases = {
        r"must have shape \(frame, slice, coil, x, y\)": {"kspace_full": heart[..., 0]},
        r"must have shape \(frame, slice, x, y\)": {"kspace_single_full": heart},
        "must be complex": {"kspace_full": heart.real},
        "k-space of one name": {"kspace_full": heart, "kspace_sub04": heart},
    }
    for message, held in cases.items():
        bad = matlab(tmp_path / "bad.mat", **held)
        with pytest.raises(DataError, match=message):
            CMRxReconReader().read(bad)
    other = matlab(tmp_path / "other.mat", image=heart.real)
    assert not CMRxReconReader().sniff(other) and not FastMRIReader().sniff(path)
    with pytest.raises(DataError, match="k-space of one name"):
        CMRxReconReader().read(other)


def test_a_folder_is_a_data_set(heart, tmp_path):
    learning = pytest.importorskip("invcore_learning")
    for patient in ("P001", "P002"):
        (tmp_path / patient).mkdir()
        matlab(tmp_path / patient / "cine_sax.mat", kspace_full=heart)
    scans = learning.Acquisitions(
        tmp_path, pattern="**/cine_sax.mat", options=[{"slice": k, "frame": 1} for k in (0, 2)]
    )
    assert len(scans) == 4 and scans[3].y.shape == (4, 48, 40) and set(scans[0].params) >= {"maps", "mask"}
