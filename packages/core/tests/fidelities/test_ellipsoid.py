"""The projection onto ‖Ax - y‖ <= r against the optimality conditions and a generic optimizer."""

import pytest
import torch
from scipy import optimize

from invcore import DataError, ParameterError
from invcore.fidelities import Composed, L2Ball
from invcore.operators import Convolution, Matrix, Space, gaussian_kernel
from invcore_testsupport import normal


def test_by_a_generic_optimizer():
    A, y, u, r = Matrix(normal(5, 3)), normal(5, seed=1), 3 * normal(3, seed=2), 2.5
    x = Composed(L2Ball(radius=r), A, rtol=1e-10).prox(u, y, 7.0)
    M, yn, un = A.matrix.numpy(), y.numpy(), u.numpy()
    inside = {"type": "ineq", "fun": lambda x: r**2 - ((M @ x - yn) ** 2).sum()}
    best = optimize.minimize(lambda x: ((x - un) ** 2).sum(), un, constraints=[inside], tol=1e-14)
    assert torch.allclose(x, torch.from_numpy(best.x), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex128])
def test_conditions_of_a_batch(dtype):
    """Inside nothing moves; outside x - u = -λ Aᴴ(Ax - y), λ > 0, and the residual is r."""
    A, small = Matrix(normal(6, 9, dtype=dtype)), 2e-3 if dtype == torch.float32 else 1e-6
    y, u = normal(3, 6, seed=1, dtype=dtype), normal(3, 9, seed=2, dtype=dtype)
    r = torch.tensor([100.0, 1.0, 1e-3], dtype=dtype.to_real())
    x = Composed(L2Ball(radius=r), A, rtol=1e-6 if dtype == torch.float32 else 1e-9).prox(u, y, 1.0)
    assert torch.equal(x[0], u[0])
    rest = A(x) - y
    assert torch.allclose(rest.norm(dim=-1)[1:], r[1:], rtol=1e-3 if dtype == torch.float32 else 1e-8)
    for i in (1, 2):
        moved, pull = u[i] - x[i], A.H(rest[i])
        scale = float((pull.conj() @ moved).real / (pull.conj() @ pull).real)
        assert scale > 0 and float((moved - scale * pull).norm()) < small * float(moved.norm())


def test_an_ill_conditioned_blur():
    A = Convolution(gaussian_kernel(2.0), domain=Space((1, 24, 24)), boundary="circular").to(torch.float64)
    x = normal(1, 24, 24)
    y = A(x) + 0.01 * normal(1, 24, 24, seed=1)
    z = Composed(L2Ball(radius=0.01 * 24), A, rtol=1e-8).prox(torch.zeros_like(x), y, 1.0)
    assert float((A(z) - y).norm()) == pytest.approx(0.24, rel=1e-7)


def test_what_has_no_answer_is_refused():
    A, y = Matrix(torch.tensor([[1.0], [0.0]])), torch.tensor([0.0, 3.0])
    with pytest.raises(DataError, match="no image found"):
        Composed(L2Ball(radius=2.0), A).prox(torch.ones(1), y, 1.0)
    with pytest.raises(ParameterError, match="must be positive"):
        Composed(L2Ball(radius=0.0), A).prox(torch.ones(1), y, 1.0)
    with pytest.raises(ParameterError, match="no derivatives"):
        Composed(L2Ball(radius=4.0), A).prox(torch.ones(1, requires_grad=True), y, 1.0)
