"""Scans of a full turn with the axis near an end of the detector, as reported in algotom#12 and LEAP#35."""

import math

import h5py
import numpy as np
import pytest
import torch

import invcore
from invcore import DataError
from invcore_tomography import ellipses, parallel

PHANTOM = ellipses(
    center=[(0.0, 0.0), (14.0, 6.0), (-20.0, 9.0)],
    axes=[(32.0, 30.0), (5.0, 4.0), (4.0, 6.0)],
    density=[0.02, 0.03, -0.01],
)


def scan(folder, turn, center=9.3, columns=48):
    angles = torch.arange(240, dtype=torch.float64) * turn / 240
    lines = PHANTOM.project(parallel(angles, columns=columns, center_of_rotation=center, grid=(8, 8)))[0]
    counts = np.random.default_rng(0).poisson(20000 * np.exp(-lines.numpy()))[:, None]
    with h5py.File(folder / "scan.h5", "w") as file:
        file["exchange/data"], file["exchange/theta"] = counts.astype(np.uint16), torch.rad2deg(angles)
        file["exchange/data_white"] = np.full((2, 1, columns), 20000, np.uint16)
        file["exchange/data_dark"] = np.zeros((2, 1, columns), np.uint16)
    return folder / "scan.h5"


def test_the_field_is_that_of_both_sides(tmp_path):
    acquisition = invcore.read(scan(tmp_path, 2 * math.pi))
    assert acquisition.metadata["center_of_rotation_column"] == pytest.approx(9.3, abs=0.1)
    grid = acquisition.physics.operator.geometry.grid
    assert grid.shape == (78, 78) and grid.spacing == pytest.approx((1.0, 1.0))  # 2 (47.5 - 9.3) columns
    x = acquisition.physics.operator.fbp(acquisition.y)
    truth = PHANTOM.rasterize(grid, samples=4)
    assert (x - truth).norm() < 0.2 * truth.norm()
    smaller = invcore.read(tmp_path / "scan.h5", width=48, center=9.3).physics.operator.geometry.grid
    assert smaller.shape == (48, 48) and smaller.spacing == pytest.approx((1.0, 1.0))
    coarse = invcore.read(tmp_path / "scan.h5", size=39, center=9.3).physics.operator.geometry.grid
    assert coarse.shape == (39, 39) and coarse.spacing == pytest.approx((2.0, 2.0))


def test_an_axis_that_is_not_found_is_an_error(tmp_path):
    path = scan(tmp_path, 0.4 * math.pi)
    with pytest.raises(DataError, match="Say center=<column>, or center='middle'"):
        invcore.read(path)
    assert invcore.read(path, center="middle").physics.operator.geometry.grid.shape == (48, 48)
