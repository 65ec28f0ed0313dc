"""Backprojection in a plane against its torch twin, for all pixel steps, sources in the image too."""

import numpy as np
import pytest
import torch

from invcore_tomography._kernels import torch_fdk
from invcore_tomography._kernels.fdk import fdk_adjoint, fdk_backproject

SHAPE = (37, 301)  # several pieces of a row, the last one shorter


def scan(kind, *, distance=600.0, pitch=1.0, views=9):
    """Views all around at ``distance`` pixels, columns ``pitch`` pixels wide at the axis."""
    angle = np.linspace(0, 2 * np.pi, views, endpoint=False) + 0.01
    angle[0] = 0  # along the columns of the image
    across, towards = np.stack([np.cos(angle), np.sin(angle)]), np.stack([-np.sin(angle), np.cos(angle)])
    out = np.zeros((views, 10))
    middle = np.array([(SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2]) + 0.3
    if kind == "parallel":
        out[:, 0] = 1
    else:
        out[:, 1:3] = towards.T / distance
        out[:, 0] = 1 - middle @ towards / distance
    scale = distance if kind == "curved" else pitch
    out[:, 4:6] = across.T / scale
    out[:, 3] = -middle @ across / scale
    out[:, 8] = 1
    out[:, 9] = np.linspace(0.5, 1.5, views)
    return out, {"per_radian": distance / pitch if kind == "curved" else 0.0}


@pytest.mark.parametrize("kind", ["parallel", "flat", "curved"])
@pytest.mark.parametrize("pitch", [1.7, 0.6, 0.3, 0.1])
@pytest.mark.parametrize("distance", [600.0, 90.0])  # the second inside the image
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equal_to_the_twin(kind, pitch, distance, dtype):
    views, options = scan(kind, distance=distance, pitch=pitch)
    columns = int(260 / pitch)
    rng = np.random.default_rng(0)
    q = rng.normal(size=(2, len(views), 1, columns)).cumsum(-1)
    q -= q.mean(-1, keepdims=True)
    x = rng.normal(size=(2, 1, *SHAPE))
    grid = (1, *SHAPE)
    twin = torch_fdk.fdk_backproject(torch.from_numpy(q), torch.from_numpy(views), grid, **options).numpy()
    back = torch_fdk.fdk_adjoint(
        torch.from_numpy(x), torch.from_numpy(views), (1, columns), **options
    ).numpy()
    tolerance = 1e-11 if dtype == np.float64 else max(3e-5, 1e-5 / pitch)
    for found, true in (
        (fdk_backproject(q.astype(dtype), views, grid, **options), twin),
        (fdk_adjoint(x.astype(dtype), views, (1, columns), **options), back),
    ):
        assert found.dtype == dtype
        assert np.linalg.norm(found - true) <= tolerance * np.linalg.norm(true)
        assert np.abs(found - true).max() <= 10 * tolerance * np.abs(true).max()


def test_nearly_constant_columns():
    """Rounding must not take a neighbor for one that lies far away."""
    rng = np.random.default_rng(1)
    views, _ = scan("flat", views=64)
    views[:, 4] = rng.normal(size=64) * 1e-7
    views[:, 5] = 0
    views[:, 1] = 1e-4
    views[:, 3] = 0.0
    q = rng.normal(size=(1, 64, 1, 31)).astype(np.float32)
    found = fdk_backproject(q, views, (1, *SHAPE))
    twin = torch_fdk.fdk_backproject(torch.from_numpy(q).double(), torch.from_numpy(views), (1, *SHAPE))
    np.testing.assert_allclose(found, twin.numpy(), rtol=0, atol=1e-4 * float(twin.abs().max()))


@pytest.mark.parametrize("kind", ["parallel", "flat", "curved"])
def test_any_number_of_threads_gives_the_same(kind):
    views, options = scan(kind)
    rng = np.random.default_rng(2)
    q = rng.normal(size=(1, len(views), 1, 200)).astype(np.float32)
    x = rng.normal(size=(1, 1, *SHAPE)).astype(np.float32)
    before = torch.get_num_threads()
    results = []
    for count in (1, 3):
        torch.set_num_threads(count)
        results.append(
            (fdk_backproject(q, views, (1, *SHAPE), **options), fdk_adjoint(x, views, (1, 200), **options))
        )
    torch.set_num_threads(before)
    for one, three in zip(*results):
        np.testing.assert_array_equal(one, three)
