"""Voxel-driven backprojection: compiled kernel against its torch twin, and its adjoint."""

import numpy as np
import pytest
import torch

from invcore_tomography._kernels import torch_fdk
from invcore_tomography._kernels.fdk import fdk_adjoint, fdk_backproject


def numbers(name, grid, rows, views=3):
    """The ten numbers of each view, made up but plausible."""
    rng = np.random.default_rng(4)
    nz, ny, nx = grid
    out = np.zeros((views, 10))
    angle = rng.uniform(0, 2 * np.pi, views)
    if name != "parallel":
        out[:, 1:3] = np.stack([-np.sin(angle), np.cos(angle)], 1) / 30
        out[:, 7] = -0.2
    out[:, 0] = 1 if name == "parallel" else 0.7
    out[:, 0] -= out[:, 1] * (nx - 1) / 2 + out[:, 2] * (ny - 1) / 2
    out[:, 4:6] = np.stack([np.cos(angle), np.sin(angle)], 1) * 0.8
    if name == "curved":
        out[:, 4:6] /= 24
    out[:, 3] = -out[:, 4] * (nx - 1) / 2 - out[:, 5] * (ny - 1) / 2
    out[:, 8] = {"fine": 0.05, "coarse": 4.0}.get(name, 0.8)
    out[:, 6] = (rows - 1) / 2
    out[:, 7] -= out[:, 8] * (nz - 1) / 2
    out[:, 9] = rng.uniform(0.5, 1.5, views)
    return out, {"per_radian": 20.0 if name == "curved" else 0.0, "power": 0 if name == "parallel" else 2}


@pytest.mark.parametrize("name", ["cone", "curved", "parallel", "fine", "coarse"])
@pytest.mark.parametrize(
    ("grid", "shape"), [((6, 7, 8), (9, 10)), ((40, 5, 6), (33, 7)), ((1, 9, 8), (1, 12))]
)
def test_equal_to_the_twin_and_adjoint(name, grid, shape):
    views, options = numbers(name, grid, shape[0])
    rng = np.random.default_rng(0)
    q, x = rng.normal(size=(2, 3, *shape)), rng.normal(size=(2, *grid))
    out, back = fdk_backproject(q, views, grid, **options), fdk_adjoint(x, views, shape, **options)
    assert np.abs(out).max() > 0
    twin = torch_fdk.fdk_backproject(torch.from_numpy(q), torch.from_numpy(views), grid, **options)
    np.testing.assert_allclose(out, twin.numpy(), atol=1e-12)
    twin = torch_fdk.fdk_adjoint(torch.from_numpy(x), torch.from_numpy(views), shape, **options)
    np.testing.assert_allclose(back, twin.numpy(), atol=1e-12)
    assert np.vdot(out, x) == pytest.approx(np.vdot(q, back), rel=1e-12, abs=1e-12)
    single = fdk_backproject(q.astype(np.float32), views, grid, **options)
    np.testing.assert_allclose(single, out, atol=1e-4)
    single = fdk_adjoint(x.astype(np.float32), views, shape, **options)
    np.testing.assert_allclose(single, back, atol=3e-4)
