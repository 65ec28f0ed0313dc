"""Files of single-pixel cameras."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat

import invcore
from invcore import DataError
from invcore.operators import Space
from invcore_optics import SinglePixel, SinglePixelReader, bernoulli_patterns, write_single_pixel

DATA = Path(os.environ.get("INVCORE_DATA", Path(__file__).parents[4] / "shared/data"))
JASZCZAK = DATA / "optics/singlepixel_jaszczak_haar.mat"


def picture(ny, nx):
    return torch.rand(1, ny, nx, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("detection", ["difference", "pairs"])
@pytest.mark.parametrize("basis", ["hadamard", "haar", "bernoulli"])
def test_written_files_are_read(tmp_path, detection, basis):
    patterns = basis
    if basis == "bernoulli":
        patterns = bernoulli_patterns(20, (8, 4), generator=torch.Generator().manual_seed(0))
    camera = SinglePixel(patterns, Space((1, 8, 4)), measurements=12, detection=detection, dwell=100.0)
    x = picture(8, 4)
    path = write_single_pixel(tmp_path / "scan.mat", camera(x), camera)
    found = invcore.read(path)
    assert found.metadata["format"] == "optics.single_pixel"
    torch.testing.assert_close(found.y, found.physics.operator(x), atol=1e-5, rtol=1e-4)
    assert found.y.shape == (1, 12)
    few = invcore.read(path, measurements=5)
    torch.testing.assert_close(few.y, found.y[:, :5])
    assert "5 readings" in few.left_out[0]


def test_reference_needs_all_patterns(tmp_path):
    x = picture(8, 8)
    whole = SinglePixel("hadamard", Space((1, 8, 8)), order="zigzag", detection="pairs", dwell=9.0)
    path = write_single_pixel(tmp_path / "whole.mat", whole(x), whole)
    torch.testing.assert_close(SinglePixelReader().reference(path), x)
    with pytest.raises(DataError, match="not all patterns"):
        SinglePixelReader().reference(path, measurements=60)


def test_haar_details_of_files_are_second_minus_first(tmp_path):
    x = picture(8, 8)[0].double().numpy()
    even, odd = x[::2] + x[1::2], x[1::2] - x[::2]
    layout = np.block(
        [
            [even[:, ::2] + even[:, 1::2], even[:, 1::2] - even[:, ::2]],
            [odd[:, ::2] + odd[:, 1::2], odd[:, 1::2] - odd[:, ::2]],
        ]
    )
    savemat(tmp_path / "scan.mat", {"W": layout / 2, "J": 1.0, "wav": "Haar"})
    image = SinglePixelReader().reference(tmp_path / "scan.mat")
    torch.testing.assert_close(image[0], torch.tensor(x, dtype=torch.float32))


@pytest.mark.parametrize(
    "change, match",
    [
        ({"W": np.full((8, 8), np.nan)}, "NaN"),
        ({"W": np.zeros((8, 8))}, "nothing was measured"),
        ({"W": np.ones((8, 7))}, "levels"),
        ({"wav": "db4"}, "only Haar"),
        ({"J": 1.5}, "whole number"),
        ({"W": "text"}, "numbers"),
    ],
)
def test_files_that_contradict_themselves(tmp_path, change, match):
    held = {"W": np.arange(64.0).reshape(8, 8), "J": 2.0, "wav": "Haar"} | change
    savemat(tmp_path / "scan.mat", held)
    with pytest.raises(DataError, match=match) as error:
        invcore.read(tmp_path / "scan.mat")
    assert "scan.mat" in str(error.value)


@pytest.mark.parametrize(
    "change, match",
    [
        ({"image_shape": [[6.0, 8.0]]}, "powers of two"),
        ({"image_shape": [[8.0]]}, "image_shape"),
        ({"patterns": "dct"}, "'hadamard'"),
        ({"order": [[1.0, 2.0, 2.5, 4.0]]}, "counted from 1"),
        ({"order": [[0.0, 1.0, 2.0, 3.0]]}, "from 0 to 63"),
        ({"order": [[1.0, 2.0]]}, "order of 2|between 1 and 2"),
        ({"readings": -np.ones((2, 4))}, "negative|constant"),
        ({"readings": np.ones((3, 4))}, "readings"),
    ],
)
def test_readings_that_contradict_themselves(tmp_path, change, match):
    held = {"readings": np.arange(8.0).reshape(2, 4), "patterns": "hadamard", "image_shape": [[8.0, 8.0]]}
    savemat(tmp_path / "scan.mat", held | change)
    with pytest.raises(DataError, match=match):
        invcore.read(tmp_path / "scan.mat")


def test_what_a_file_lacks_is_said(tmp_path):
    savemat(tmp_path / "scan.mat", {"W": np.eye(8), "J": 1.0})
    with pytest.raises(DataError, match="lacks the variable wav"):
        invcore.read(tmp_path / "scan.mat")


@pytest.mark.skipif(not JASZCZAK.exists(), reason="the measured file is not here (INVCORE_DATA)")
def test_jaszczak_phantom_agrees_with_the_camera():
    found = invcore.read(JASZCZAK)
    assert found.y.shape == (1, 64 * 64)
    coarse = found.physics.operator.H(found.y)[0].reshape(64, 2, 64, 2).mean((1, 3))
    camera = torch.tensor(loadmat(JASZCZAK)["F"]).float().reshape(64, 2, 64, 2).mean((1, 3))
    both = torch.stack((coarse.flatten(), camera.flatten()))
    assert torch.corrcoef(both)[0, 1].item() == pytest.approx(0.938, abs=0.003)
    a, b = both - both.mean(1, keepdim=True)
    assert (a @ b / (b @ b)).item() == pytest.approx(0.92, abs=0.02)
