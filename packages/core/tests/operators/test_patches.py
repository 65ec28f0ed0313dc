"""Patches against torch's unfold and slices, and their closed forms against the dense matrix."""

import pytest
import torch

from invcore import ParameterError, ShapeError
from invcore.operators import SVD, Patches, Space, least_squares
from invcore_testsupport import error, normal


def test_against_unfold():
    x, A = normal(2, 3, 12, 9), Patches((3, 12, 9), size=(4, 3), stride=(2, 3))
    columns = torch.nn.functional.unfold(x, (4, 3), stride=(2, 3))  # (batch, c * 4 * 3, patch)
    assert torch.equal(A(x), columns.mT.reshape(2, -1, 3, 4, 3)) and A.places == (5, 3)
    back = torch.nn.functional.fold(columns, (12, 9), (4, 3), stride=(2, 3))
    assert error(A.H(A(x)), back) < 1e-15


def test_the_last_place_is_at_the_edge():
    x, A = normal(1, 10, 11), Patches((1, 10, 11), size=4, stride=3)
    starts = ([0, 3, 6], [0, 3, 6, 7])
    expected = [x[:, i : i + 4, j : j + 4] for i in starts[0] for j in starts[1]]
    assert torch.equal(A(x), torch.stack(expected)) and bool((A.counts() > 0).all())


def test_a_volume():
    x, A = normal(2, 4, 5, 6), Patches((2, 4, 5, 6), size=3, stride=1)
    k = 0
    for i in range(2):
        for j in range(3):
            for m in range(4):
                assert torch.equal(A(x)[k], x[:, i : i + 3, j : j + 3, m : m + 3])
                k += 1


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_closed_forms_against_the_dense_matrix(kind):
    A = Patches(Space((2, 5, 7), kind), size=3, stride=2)
    wide = torch.complex128 if kind == "complex" else torch.float64
    M = A.dense(dtype=wide)
    y, z = normal(2, *A.range.shape, dtype=wide), normal(2, 2, 5, 7, dtype=wide, seed=1)
    inverse = torch.linalg.pinv(M)
    assert error(A.pinv(y).flatten(1), (inverse @ y.flatten(1).mT).mT) < 1e-12
    assert float(A.norm()) == pytest.approx(float(torch.linalg.matrix_norm(M, 2)), rel=1e-5)
    found = least_squares(A, y, shift=0.3, center=z, rtol=1e-12)
    right = M.mH @ y.flatten(1).mT + 0.3 * z.flatten(1).mT
    solved = torch.linalg.solve(M.mH @ M + 0.3 * torch.eye(M.shape[1], dtype=wide), right).mT
    assert error(found.flatten(1), solved) < 1e-10
    assert error(SVD.of(A)(z), A(z)) < 1e-6
    values = SVD.of(A).s.expand(2, 5, 7).flatten().sort(descending=True).values
    assert torch.allclose(values.double(), torch.linalg.svdvals(M), atol=1e-6)


def test_a_denoiser_patch_by_patch():
    """The mean of denoised patches: a projection of each patch on three vectors, as one matrix."""
    A, P = Patches((1, 8, 8), size=4, stride=1), torch.linalg.qr(normal(16, 3))[0]
    x = normal(1, 8, 8)
    ours = A.pinv((A(x).flatten(-2) @ P @ P.T).unflatten(-1, (4, 4)))
    total, count = torch.zeros(8, 8, dtype=torch.float64), torch.zeros(8, 8, dtype=torch.float64)
    for i in range(5):
        for j in range(5):
            patch = x[0, i : i + 4, j : j + 4].flatten()
            total[i : i + 4, j : j + 4] += (P @ (P.T @ patch)).reshape(4, 4)
            count[i : i + 4, j : j + 4] += 1
    assert error(ours[0], total / count) < 1e-14


def test_wrong_use_is_refused():
    with pytest.raises(ShapeError, match="do not fit"):
        Patches((1, 4), size=5)
    with pytest.raises(ParameterError, match="every pixel is in a patch"):
        Patches((1, 8), size=2, stride=3)
    with pytest.raises(ShapeError, match="2 of them"):
        Patches((1, 8, 8), size=(2,))
