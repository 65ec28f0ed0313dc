"""The operators of core against numpy, scipy and matrices written out."""


import numpy as np
import pytest
import torch

from invcore import ParameterError, ShapeError, Space
from invcore.operators import Differences


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def same(got, expected, tolerance=1e-12):
    expected = np.asarray(expected)
    assert tuple(got.shape) == expected.shape
    np.testing.assert_allclose(
        got.detach().resolve_conj().numpy(), expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max())
    )


def differentiable(op, space=None, batch=(), dtype=torch.float64):
    """First and second derivatives through A and its adjoint, and the gram against A.H A."""
    for part in (op, op.H):
        kind = torch.complex128 if part.domain.kind == "complex" else torch.float64
        x = randn(*batch, *part.domain.shape, dtype=kind).requires_grad_()
        assert torch.autograd.gradcheck(part, (x,))
        assert torch.autograd.gradgradcheck(part, (x,))


# -- differences ------------------------------------------------------------------------------------------


def difference_matrix(n, boundary):
    D = np.eye(n, k=1) - np.eye(n)
    if boundary == "neumann":
        D[-1] = 0
    elif boundary == "periodic":
        D[-1, 0] += 1
    return D


@pytest.mark.parametrize("boundary", ["neumann", "periodic", "zero"])
@pytest.mark.parametrize("shape", [(1, 6), (2, 1), (1, 4, 5), (3, 2, 1), (1, 3, 2, 5)])
def test_differences_are_kronecker_products(shape, boundary):
    spacing = (0.5, 2.0, 3.0)[: len(shape) - 1]
    D = Differences(domain=Space(shape), boundary=boundary, spacing=spacing)
    rows = []
    for axis, h in zip(range(1, len(shape)), spacing):
        matrix = np.eye(1)
        for d, n in enumerate(shape):
            matrix = np.kron(matrix, difference_matrix(n, boundary) / h if d == axis else np.eye(n))
        rows.append(matrix)
    dense = np.concatenate(rows)
    same(D.dense(dtype=torch.float64), dense)
    same(D.H.dense(dtype=torch.float64), dense.T)
    same(D.gram.dense(dtype=torch.float64), dense.T @ dense)
    truth = np.linalg.norm(dense, 2)
    assert truth <= D.norm_bound().double().item() <= truth * (1 + 3e-7) + 1e-30


@pytest.mark.parametrize("boundary", ["neumann", "periodic", "zero"])
def test_differences_differentiate_twice(boundary):
    differentiable(Differences(domain=Space((1, 3, 2), "complex"), boundary=boundary), batch=(2,))
    D = Differences(domain=Space((1, 3, 2)), boundary=boundary)
    differentiable(D.gram, batch=(2,))


def test_differences_refuse():
    with pytest.raises(ParameterError, match="'neumann', 'periodic' or 'zero'"):
        Differences(domain=Space((1, 4)), boundary="reflect")
    with pytest.raises(ShapeError, match="say spatial_dims"):
        Differences(domain=Space((4,)))
    with pytest.raises(ParameterError, match="2 positive numbers"):
        Differences(domain=Space((1, 4, 4)), spacing=(1.0, 0.0))
