"""imresize against its published definition written out, and torch's antialiased interpolation inside."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from invcore import ParameterError, ShapeError
from invcore.operators import SVD, Imresize, Space
from invcore_testsupport import error, normal


def randn(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


def cubic(t):
    t = abs(t)
    if t <= 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t <= 2 else 0.0


PUBLISHED = {
    "bicubic": (cubic, 4),
    "bilinear": (lambda t: max(0.0, 1 - abs(t)), 2),
    "box": (lambda t: float(-0.5 <= t < 0.5), 1),
    "lanczos3": (lambda t: float(np.sinc(t) * np.sinc(t / 3)) if abs(t) < 3 else 0.0, 6),
}


def published(n, out, scale, kernel, antialias=True):
    """The matrix of one axis, entry by entry, on an image continued by mirror images."""
    h, width = PUBLISHED[kernel]
    s = scale if scale < 1 and antialias else 1.0
    matrix = np.zeros((out, n))
    for row in range(1, out + 1):
        u = row / scale + 0.5 * (1 - 1 / scale)
        reach = math.ceil(width / s) + 1
        taps = {j: h(s * (u - j)) for j in range(math.floor(u) - reach, math.floor(u) + reach + 1)}
        total = sum(taps.values())
        for j, weight in taps.items():
            folded = (j - 1) % (2 * n)
            matrix[row - 1, min(folded, 2 * n - 1 - folded)] += weight / total
    return matrix


@pytest.mark.parametrize("kernel", PUBLISHED)
@pytest.mark.parametrize("scale", [0.5, 0.25, 1 / 3, 0.37, 1.0, 2.0, 1.7])
@pytest.mark.parametrize("n", [1, 6, 11])
def test_matrix_is_the_published_one(kernel, scale, n):
    out = math.ceil(scale * n)
    A = Imresize((1, n), scale=scale, kernel=kernel)
    assert A.range.shape == (1, out)
    truth = published(n, out, scale, kernel)
    np.testing.assert_allclose(A.dense(dtype=torch.float64).numpy(), truth, atol=1e-12)
    np.testing.assert_allclose(A.H.dense(dtype=torch.float64).numpy(), truth.T, atol=1e-12)
    assert float(A.to(torch.float64).norm()) == pytest.approx(np.linalg.norm(truth, 2), rel=3e-6)


def test_ramp_has_the_values_of_matlab():
    """imresize(0:7, 0.5) and imresize([0 8 16 24], 2, 'bilinear') worked out by hand from the weights."""
    half = Imresize((1, 8), scale=0.5)(torch.arange(8.0)[None])
    # eight weights of the stretched cubic at ±1/4, ±3/4, ±5/4, ±7/4, mirrored at the left edge
    w = np.array([cubic(t / 4) / 2 for t in (-7, -5, -3, -1, 1, 3, 5, 7)])
    first = w @ np.array([2, 1, 0, 0, 1, 2, 3, 4])
    np.testing.assert_allclose(half[0, :2].numpy(), [first, 2.5 + w[0]], atol=1e-6)
    double = Imresize((1, 4), scale=2.0, kernel="bilinear")(torch.tensor([[0.0, 8.0, 16.0, 24.0]]))
    assert double.tolist() == [[0.0, 2.0, 6.0, 10.0, 14.0, 18.0, 22.0, 24.0]]


def test_sizes_and_scales_differ_between_axes():
    x = randn(2, 3, 7, 9)
    A = Imresize((3, 7, 9), size=(4, 13), antialias=False)
    rows = torch.as_tensor(published(7, 4, 4 / 7, "bicubic", antialias=False))
    columns = torch.as_tensor(published(9, 13, 13 / 9, "bicubic"))
    assert torch.allclose(A(x), rows @ x @ columns.T)
    assert Imresize((3, 7, 9), scale=(0.5, 1.5)).range.shape == (3, 4, 14)


@pytest.mark.parametrize("kernel", ["bicubic", "bilinear"])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_inside_it_is_torchs_antialiased_interpolation(kernel, factor):
    n = 12 * factor
    x = randn(1, 1, n, n)
    ours = Imresize((1, n, n), scale=1 / factor, kernel=kernel)(x)
    theirs = F.interpolate(x, size=(12, 12), mode=kernel, antialias=True, align_corners=False)
    inside = (..., slice(3, -3), slice(3, -3))
    torch.testing.assert_close(ours[inside], theirs[inside], rtol=0, atol=1e-12)


def test_what_cannot_be_resized_is_refused():
    with pytest.raises(ParameterError, match="one of the two"):
        Imresize((1, 8))
    with pytest.raises(ParameterError, match="kernel"):
        Imresize((1, 8), scale=0.5, kernel="cubic")
    with pytest.raises(ShapeError, match="one number for each"):
        Imresize((1, 8, 8), size=(4,))
    with pytest.raises(ParameterError, match="positive"):
        Imresize((1, 8), scale=-1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex128])
@pytest.mark.parametrize("size", [(3, 11), (9, 3), (6, 7), (13, 12)])
def test_closed_forms_against_the_dense_matrix(size, dtype):
    space = Space((2, 6, 7), "complex" if dtype.is_complex else "real")
    A, wide = Imresize(space, size=size), torch.complex128 if dtype.is_complex else torch.float64
    M = A.dense(dtype=wide)
    y, z = normal(3, 2, *size, dtype=dtype), normal(3, 2, 6, 7, dtype=dtype, seed=1)
    small, weight = (
        2e-5 if dtype == torch.float32 else 1e-12,
        torch.tensor([0.01, 0.5, 2.0]).to(dtype.to_real()),
    )
    flat = lambda t: t.flatten(1).to(wide)
    for i in range(3):
        normal_matrix = M.mH @ M + float(weight[i]) * torch.eye(M.shape[1], dtype=wide)
        expected = torch.linalg.solve(normal_matrix, M.mH @ flat(y)[i] + float(weight[i]) * flat(z)[i])
        found = A._ridge(y, z, weight)[i]
        assert found.dtype == dtype and error(flat(found[None])[0], expected) < small
    decomposed = SVD.of(A)
    assert error(decomposed(z), A(z)) < 1e-6
    values = decomposed.s.expand(2, *decomposed.s.shape[1:]).flatten().sort(descending=True).values
    assert torch.allclose(values.double(), torch.linalg.svdvals(M)[: len(values)], atol=1e-6)
    assert error(SVD.of(A.H)(y), A.H(y)) < 1e-6
