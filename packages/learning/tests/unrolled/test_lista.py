"""LISTA starts as ISTA."""

import pytest
import torch

import invcore
from invcore import Physics, Space
from invcore.operators import LinearOperator, Matrix
from invcore.priors import L1
from invcore.solvers import ProximalGradient
from invcore_learning import LISTA

F = torch.float64


def ista(A, y, weight, steps, shrink):
    """The iteration as it is written in textbooks."""
    L = torch.linalg.matrix_norm(A, 2) ** 2
    x = torch.zeros(A.shape[1], dtype=A.dtype)
    for _ in range(steps):
        x = shrink(x - A.conj().T @ (A @ x - y) / L, weight / L)
    return x


def soft(v, t):
    size = v.abs()
    return v * torch.where(size > t, 1 - t / size, 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("tied", [True, False])
def test_its_start_is_ista(dtype, tied):
    g = torch.Generator().manual_seed(0)
    A = torch.randn(5, 9, generator=g, dtype=dtype)
    y = torch.randn(3, 5, generator=g, dtype=dtype)
    found = LISTA(Matrix(A), weight=0.2, steps=12, tied=tied)(y, Physics(Matrix(A)))
    for i in range(3):
        torch.testing.assert_close(found[i].detach(), ista(A, y[i], 0.2, 12, soft), rtol=1e-4, atol=1e-5)
    solver = ProximalGradient(prior=L1(), weight=0.2)
    same = solver.solve(y, Physics(Matrix(A)), steps=12).value
    torch.testing.assert_close(found.detach(), same, rtol=1e-9, atol=1e-12)


def test_it_learns_to_be_faster():
    """As Gregor and LeCun found: with as many layers it is nearer to the sparse codes than ISTA."""
    g = torch.Generator().manual_seed(1)
    A = torch.randn(10, 20, generator=g) / 10**0.5
    codes = torch.randn(400, 20, generator=g) * (torch.rand(400, 20, generator=g) < 0.1)
    y = codes @ A.T
    physics = Physics(Matrix(A))
    model = LISTA(Matrix(A), weight=0.05, steps=4)
    before = (model(y[300:], physics) - codes[300:]).square().mean().detach()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(120):
        optimizer.zero_grad()
        (model(y[:300], physics) - codes[:300]).square().mean().backward()
        optimizer.step()
    assert (model(y[300:], physics) - codes[300:]).square().mean() < 0.75 * before


def test_another_operator_is_refused():
    model = LISTA(Matrix(torch.eye(3)))
    with pytest.raises(invcore.ShapeError, match="LISTA is for an operator"):
        model(torch.ones(4), Physics(Matrix(torch.eye(4))))
    with pytest.raises(invcore.ParameterError, match="weight positive"):
        LISTA(Matrix(torch.eye(3)), weight=0.0)


def test_images_keep_their_shape():
    A = LinearOperator.from_function(lambda x: x.sum(-1), Space((1, 3, 2)))
    assert LISTA(A, steps=2)(torch.ones(4, 1, 3), Physics(A)).shape == (4, 1, 3, 2)
