"""Scattered microwaves: what a file says, what is refused, and the measured foam cylinder."""

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat

import invcore
from invcore_optics import FresnelReader
from invcore_optics._examples.scattering import fresnel_mat
from invcore_testsupport import error, measured


@pytest.mark.parametrize("name", ["tiny", "conjugated"])
def test_the_contrast_that_was_simulated_explains_the_data(tmp_path, name):
    found = FresnelReader().read(fresnel_mat()[name](tmp_path), pixels=6)
    contrast = torch.zeros(1, 6, 6)
    contrast[:, 2:4, 2:5] = 0.5
    assert error(found.physics.operator(contrast), found.y) < 2e-3
    assert ("conjugated" in found.metadata["time_factor"]) == (name == "conjugated")


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda held: held.pop("uin"), "lacks"),
        (lambda held: held.update(uin=held["uin"][:-1]), "and uin"),
        (lambda held: held.update(uin=held["uin"] * np.nan), "NaN"),
        (lambda held: held.update(SP={"x": [[1.0]], "z": [[1.0]]}), "coordinates of receivers"),
        (lambda held: held.update(simP={"EmitterPos": np.ones((3, 2)), "lambda0": 0.1}), "how large"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused(tmp_path, change, said):
    path = fresnel_mat()["tiny"](tmp_path)
    held = {name: value for name, value in loadmat(path).items() if name[0] != "_"}
    change(held)
    savemat(path, held)
    with pytest.raises(invcore.DataError, match=said):
        FresnelReader().read(path)


def test_antennas_within_the_scene_are_refused(tmp_path):
    with pytest.raises(invcore.DataError, match="within a scene"):
        FresnelReader().read(fresnel_mat()["tiny"](tmp_path), size=3.0)


def test_the_measured_foam_cylinder_is_explained_by_its_true_index():
    path = measured("optics/fresnel_foamdielext_3GHz.mat")
    found = FresnelReader().read(path, pixels=64)
    index = torch.from_numpy(loadmat(path)["n"].T.copy()).float()
    contrast = (index.reshape(64, 8, 64, 8) ** 2 - 1).mean((1, 3))[None]
    assert error(found.physics.operator(contrast), found.y) < 0.115
