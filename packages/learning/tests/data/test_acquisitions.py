"""Files with measurements as a data set to train on."""

import numpy as np
import pytest
import torch

import invcore
from invcore import Physics
from invcore.io import Acquisition
from invcore.noises import GaussianNoise
from invcore.operators import Mask
from invcore_learning import Acquisitions, DnCNN, Loading, Optimization, Splitting, train
from invcore_testsupport import rng


def read(path, part=0):
    """Data, and the mask that each file has of its own."""
    held = torch.from_numpy(np.load(path))
    y, mask = held[part, :1], held[part, 1:]
    return Acquisition(y=y, physics=Physics(Mask(mask, tuple(y.shape)), GaussianNoise(sigma=0.1)))


@pytest.fixture
def folder(tmp_path):
    for i in (10, 2, 1):
        held = torch.rand(2, 2, 6, 6, generator=rng(i))
        held[:, 1] = (held[:, 1] < 0.7).float()
        np.save(tmp_path / f"scan{i}.npy", held.numpy())
    return tmp_path


def test_entries_are_the_data_and_the_parameters_of_their_own_physics(folder):
    scans = Acquisitions(folder, options=[{"part": 0}, {"part": 1}], read=read)
    assert [p.name for p in scans.files] == ["scan1.npy", "scan2.npy", "scan10.npy"] and len(scans) == 6
    held = torch.from_numpy(np.load(folder / "scan10.npy"))[1]
    x = torch.rand(1, 6, 6, generator=rng(0))
    for sample in (scans[5], scans[-1]):
        assert sample.x is None and torch.equal(sample.y, held[:1])
        assert torch.equal(scans.physics.bind(**sample.params).operator(x), held[1:] * x)


def test_a_model_learns_from_them(folder):
    scans = Acquisitions(folder, options=[{"part": 0}, {"part": 1}], read=read)
    loss = Splitting(keep=0.8)
    model = loss.wrap(DnCNN(depth=2, features=4))
    how = {"optimization": Optimization(epochs=15, lr=1e-2), "loading": Loading(batch=3)}
    done = train(model, scans.physics, scans, loss=loss, **how)
    assert done.history[-1]["loss"] < done.history[0]["loss"]


def test_what_does_not_fit_is_named(folder, tmp_path):
    np.save(folder / "scan3.npy", np.zeros((2, 2, 8, 8), np.float32))
    scans = Acquisitions(folder, read=read)
    with pytest.raises(invcore.DataError, match=r"scan3.npy has the physics .* by pattern"):
        scans[2]
    with pytest.raises(invcore.DataError, match="no file in it matches"):
        Acquisitions(folder, pattern="*.h5")
    with pytest.raises(invcore.DataError, match="there is no such folder"):
        Acquisitions(folder / "none")
    with pytest.raises(invcore.DataError, match="no reader recognizes|not recognized|reader"):
        Acquisitions(folder)
    stacked = lambda path: Acquisition(y=torch.zeros(3, 1, 6, 6), physics=read(path).physics)
    with pytest.raises(invcore.DataError, match="several measurements"):
        Acquisitions(folder, pattern="scan1.npy", read=stacked)[0]
