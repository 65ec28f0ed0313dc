"""The wavelet engine against PyWavelets and dense matrices."""

import math

import numpy as np
import pytest
import pywt
import torch

import invcore
from invcore.operators import Space, WaveletTransform, _filterbank
from invcore.operators._wavelet import (
    approximation_index,
    detail_indices,
    dwt,
    idwt,
    max_levels,
    orthogonal_filters,
    soft_threshold,
)

ORTHOGONAL = [n for n in pywt.wavelist(kind="discrete") if pywt.Wavelet(n).orthogonal and n != "dmey"]


def random(*shape, dtype=torch.complex128, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def dense(function, shape):
    n = math.prod(shape)
    basis = torch.eye(n, dtype=torch.float64).reshape(n, *shape)
    return function(basis).reshape(n, n).T


@pytest.fixture(params=["windows", "plain matrices for short axes"])
def method(request, monkeypatch):
    if request.param == "windows":
        monkeypatch.setattr(_filterbank, "_SHORT", 1)


@pytest.mark.parametrize("name", ORTHOGONAL)
def test_filters_are_orthonormal_to_machine_precision_and_pywavelets(name):
    filters = orthogonal_filters(name)
    low, high = np.array(filters.low), np.array(filters.high)
    taps = len(low)
    for m in range(taps // 2):
        assert abs(low[: taps - 2 * m] @ low[2 * m :] - (m == 0)) < 1e-14
    reference = pywt.Wavelet(name)
    np.testing.assert_allclose(low, reference.dec_lo, atol=1e-9)
    np.testing.assert_allclose(high, reference.dec_hi, atol=1e-9)


@pytest.mark.usefixtures("method")
@pytest.mark.parametrize(
    "name, shape, levels",
    [
        ("haar", (16, 24), 3),
        ("db4", (48, 40), 3),
        ("db4", (4, 8), 2),  # shorter than the filter
        ("sym5", (20, 36), 2),  # block length does not divide
        ("coif3", (32, 16), 3),
        ("db12", (64, 128), 2),
        ("db2", (8, 12, 16), 2),
        ("db3", (64,), 4),
    ],
)
@pytest.mark.filterwarnings("ignore:Level value")
def test_even_sizes_equal_pywavelets(name, shape, levels):
    x = random(*shape)
    dims = tuple(range(-len(shape), 0))
    reference = pywt.coeffs_to_array(pywt.wavedecn(x.numpy(), name, "periodization", levels))[0]
    np.testing.assert_allclose(dwt(x, name, levels, dims).numpy(), reference, atol=1e-12)


@pytest.mark.usefixtures("method")
@pytest.mark.parametrize("name", ["haar", "db2", "db4", "sym20", "coif1", "db38"])
@pytest.mark.parametrize(
    "shape, levels", [((5, 7), 1), ((9, 13), 3), ((5, 6), 4), ((1, 3), 2), ((7, 6, 5), 2), ((131,), 4)]
)
def test_matrix_is_orthogonal_for_every_size(name, shape, levels):
    dims = tuple(range(-len(shape), 0))
    shift = tuple(range(1, 1 + len(shape)))
    W = dense(lambda x: dwt(x, name, levels, dims, shift), shape)
    inverse = dense(lambda c: idwt(c, name, levels, dims, shift), shape)
    identity = torch.eye(W.shape[0], dtype=torch.float64)
    assert (W @ W.T - identity).abs().max() < 1e-13
    assert (W.T - inverse).abs().max() < 1e-13


@pytest.mark.usefixtures("method")
@pytest.mark.parametrize("shape", [(32, 48), (31, 45), (12, 14, 9)])
def test_shift_is_the_transform_of_the_rolled_image(shape):
    x = random(2, *shape)
    dims, shift = tuple(range(-len(shape), 0)), (5, -3, 40)[: len(shape)]
    c = dwt(x, "db4", 2, dims, shift)
    assert torch.allclose(c, dwt(x.roll(shift, dims), "db4", 2, dims), atol=1e-13)
    assert torch.allclose(idwt(c, "db4", 2, dims, shift), x, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
def test_batches_axes_and_strides_do_not_matter(dtype):
    x = random(2, 3, 20, 13, dtype=dtype)
    tolerance = 1e-5 if dtype in (torch.float32, torch.complex64) else 1e-13
    c = dwt(x, "db2", 2)
    assert c.dtype == dtype and c.is_contiguous()
    one_by_one = torch.stack([torch.stack([dwt(x[i, j], "db2", 2) for j in range(3)]) for i in range(2)])
    assert torch.allclose(c, one_by_one, atol=tolerance)
    moved = dwt(x.permute(2, 0, 3, 1), "db2", 2, dims=(0, 2))  # not contiguous, axes apart
    assert torch.allclose(moved.permute(1, 3, 0, 2), c, atol=tolerance)
    assert torch.allclose(idwt(moved, "db2", 2, dims=(0, 2)).permute(1, 3, 0, 2), x, atol=tolerance)
    if dtype.is_complex:
        assert torch.allclose(dwt(x.conj(), "db2", 2), c.conj(), atol=tolerance)


def test_float32_is_accurate():
    x = random(1, 61, 50, dtype=torch.complex64)
    W = dense(lambda v: dwt(v, "db4", 3), (61, 50))
    exact = (W.to(torch.complex128) @ x.to(torch.complex128).flatten()).reshape(x.shape)
    assert torch.linalg.vector_norm(dwt(x, "db4", 3) - exact) / torch.linalg.vector_norm(exact) < 1e-6


@pytest.mark.parametrize("function", [dwt, idwt])
def test_nothing_is_mutated_and_edge_cases(function):
    x = random(3, 8, 6)
    kept = x.clone()
    function(x, "db2", 2)
    assert torch.equal(x, kept)
    assert function(x[:0], "db2", 2).shape == (0, 8, 6)
    same = function(x, "db2", 0)
    assert torch.equal(same, x) and same.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_derivatives_are_those_of_finite_differences(dtype):
    x = random(2, 5, 6, dtype=dtype).requires_grad_()
    for function in (dwt, idwt):
        call = lambda v, function=function: function(v, "db2", 2, (-2, -1), (1, 2))
        assert torch.autograd.gradcheck(call, (x,))
        assert torch.autograd.gradgradcheck(call, (x,))
    _, tangent = torch.func.jvp(lambda v: dwt(v, "db2", 2), (x.detach(),), (x.detach(),))
    assert torch.allclose(tangent, dwt(x.detach(), "db2", 2))
    mapped = torch.func.vmap(lambda v: idwt(v, "db2", 2))(x.detach())
    assert torch.allclose(mapped, idwt(x.detach(), "db2", 2))


@pytest.mark.parametrize("shape, levels", [((8, 12), 2), ((9, 14), 3), ((7, 8, 5), 2)])
def test_blocks_tile_the_coefficients(shape, levels):
    dims = tuple(range(-len(shape), 0))
    count = torch.zeros(shape, dtype=torch.int)
    count[approximation_index(shape, levels, dims)] += 1
    for level in detail_indices(shape, levels, dims):
        assert len(level) == 2 ** len(shape) - 1
        for index in level.values():
            count[index] += 1
    assert (count == 1).all()


def test_constant_image_has_no_details_and_blocks_follow_pywavelets():
    c = dwt(torch.ones(16, 24, dtype=torch.float64), "db4", 2)
    c[approximation_index(c.shape, 2)] = 0
    assert c.abs().max() < 1e-12
    x = random(16, 24, dtype=torch.float64)
    c = dwt(x, "db2", 2)
    finest = pywt.wavedecn(x.numpy(), "db2", "periodization", 2)[-1]
    for word, index in detail_indices(c.shape, 2)[0].items():
        np.testing.assert_allclose(c[index].numpy(), finest[word], atol=1e-12)


def test_levels():
    assert max_levels((230, 180), "db4") == 4
    assert max_levels((4, 4), "db4") == 1
    assert max_levels((1, 1), "db4") == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_soft_threshold(dtype):
    c = random(40, dtype=dtype) * torch.tensor([0.0, 0.3, 1.0, 3.0]).repeat(10)
    for threshold in (0.0, 0.7, torch.tensor(0.7), torch.full((40,), 0.7)):
        limit = float(torch.as_tensor(threshold).max())
        expected = pywt.threshold(c.numpy(), limit, "soft") if limit else c.numpy()
        with torch.no_grad():
            np.testing.assert_allclose(soft_threshold(c, threshold).numpy(), expected, atol=1e-6)
        np.testing.assert_allclose(soft_threshold(c, threshold).numpy(), expected, atol=1e-6)
    exact = soft_threshold(c, 0.1)
    assert torch.allclose(exact.abs(), (c.abs() - 0.1).clamp_min(0), atol=1e-15)  # 0.1 in double precision
    c.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: soft_threshold(v, 0.2), (c[c.detach().abs() > 0],))
    (grad,) = torch.autograd.grad(soft_threshold(c, 0.2).abs().sum(), c)
    assert torch.isfinite(torch.view_as_real(grad) if dtype.is_complex else grad).all()


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda x: dwt(x, "bior2.2", 1), invcore.ParameterError, "not orthogonal"),
        (lambda x: dwt(x, "dmey", 1), invcore.ParameterError, "not orthogonal"),
        (lambda x: dwt(x, "nonsense", 1), invcore.ParameterError, "'db4'"),
        (lambda x: dwt(x, "db4", -1), invcore.ParameterError, "levels"),
        (lambda x: dwt(x, "db4", 1, (-1, 1)), invcore.ShapeError, "different axes"),
        (lambda x: dwt(x, "db4", 1, (-4,)), invcore.ShapeError, "dims"),
        (lambda x: dwt(x, "db4", 1, (-1,), (1, 2)), invcore.ParameterError, "shift"),
        (lambda x: dwt(x.int(), "db4", 1), invcore.DtypeError, "floating"),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call(torch.ones(4, 4))


def test_operator():
    W = invcore.operator("wavelet", domain=Space((2, 9, 12)), wavelet="db2", levels=2, shift=(1, 2))
    A = W.dense(dtype=torch.float64)
    assert (A @ A.T - torch.eye(216)).abs().max() < 1e-13
    assert (A.T - W.H.dense(dtype=torch.float64)).abs().max() < 1e-13
    assert W.norm() == 1 and W.depth == 2
    assert WaveletTransform((1, 230, 180)).depth == 4
    x = random(3, 2, 9, 12, dtype=torch.float32)
    assert torch.equal(W.gram(x), x)
    with pytest.raises(invcore.ShapeError, match="spatial_dims"):
        WaveletTransform((8,), spatial_dims=2)
    with pytest.raises(invcore.ParameterError, match="shift"):
        WaveletTransform((1, 8, 8), shift=(1,))
