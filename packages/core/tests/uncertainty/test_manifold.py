"""Adversarial manifolds of linear operators and of a scale ambiguity, both in closed form."""

import pytest
import torch

from invcore import Operator, ParameterError
from invcore.operators import Matrix, Space
from invcore.uncertainty import _manifold, manifold
from invcore.uncertainty._weakest import weakest
from invcore_testsupport import normal

F64 = torch.float64


@pytest.mark.parametrize("dtype", [F64, torch.complex128])
def test_a_linear_operator_gives_an_ellipse_in_its_weakest_plane(dtype):
    left, right = (torch.linalg.qr(normal(8, 6, dtype=dtype, seed=s)).Q[:, :6] for s in (0, 1))
    right = torch.linalg.qr(normal(6, 6, dtype=dtype, seed=1)).Q
    sizes = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.02, 0.01], dtype=F64)
    matrix = left * sizes @ right.mH
    x, epsilon = normal(6, dtype=dtype, seed=2), 0.03
    found = manifold(Matrix(matrix), x, epsilon, count=11, extent=10.0, dims=2 if dtype is F64 else 4)
    moves = found.points - x
    weak = right[:, 4:]
    assert float((moves - moves @ weak.conj() @ weak.mT).norm()) < 1e-8 * float(moves.norm())
    assert torch.allclose(found.misfits, (moves @ matrix.mT).norm(dim=-1), atol=1e-10)
    lengths = (found.coordinates * found.singular_values[:-1]).norm(dim=-1)
    assert torch.allclose(lengths, found.misfits, atol=1e-8) and float(lengths.max()) > 0.99 * epsilon
    expected = [0.01, 0.02, 0.5] if dtype is F64 else [0.01, 0.01, 0.02, 0.02, 0.5]
    assert torch.allclose(found.singular_values, torch.tensor(expected, dtype=F64), rtol=1e-6)


class Scale(Operator):
    """(x₁x₂, x₃, x₃²/10): what scales x₁ up and x₂ down leaves no trace."""

    domain = Space((3,))
    range = Space((3,))

    def forward(self, x):
        return torch.stack([x[..., 0] * x[..., 1], x[..., 2], x[..., 2] ** 2 / 10], -1)


def test_a_scale_ambiguity_is_a_hyperbola():
    x = torch.tensor([1.0, 1.0, 2.0], dtype=F64)
    found = manifold(Scale(), x, 1e-6, dims=1, extent=0.9, count=19)
    assert found.points.shape == (19, 3)
    assert float((found.points[:, 0] * found.points[:, 1] - 1).abs().max()) < 1e-8
    assert torch.allclose(found.points[:, 2], x[2].expand(19))
    tangent = x + found.coordinates @ found.directions
    assert float((Scale()(tangent) - Scale()(x)).norm(dim=-1).max()) > 0.3
    along = found.points[-1] - found.points[0]
    assert float(along.abs().max()) > 1.2


def test_directions_without_a_matrix(monkeypatch):
    """Locally optimal block conjugate gradient against the dense decomposition."""
    matrix = normal(30, 40)
    matrix[:, :2] *= 1e-3
    S = matrix.T @ matrix + torch.diag(torch.linspace(0.5, 4, 40, dtype=F64))
    values, vectors = torch.linalg.eigh(S)
    got, V, done = weakest(lambda v: v @ S, 40, 3, S, rtol=1e-9, max_steps=500, seed=0)
    assert done and torch.allclose(got, values[:3], rtol=1e-6)
    assert torch.allclose((V @ vectors[:, :3]).square().sum(-1), torch.ones(3, dtype=F64))
    x = torch.tensor([1.0, 1.0, 2.0], dtype=F64)
    dense = manifold(Scale(), x, 1e-6, dims=1, extent=0.9, count=5)
    monkeypatch.setattr(_manifold, "_DENSE", 0)
    assert torch.allclose(manifold(Scale(), x, 1e-6, dims=1, extent=0.9, count=5).misfits, dense.misfits)


def test_it_says_what_it_cannot_do():
    with pytest.raises(ParameterError, match="one image"):
        manifold(Scale(), torch.ones(2, 3), 0.1)
    with pytest.raises(ParameterError, match="count odd"):
        manifold(Scale(), torch.ones(3), 0.1, count=4)
