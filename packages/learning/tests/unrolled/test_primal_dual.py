"""Learned primal-dual: with networks that state Chambolle-Pock it is Chambolle-Pock."""

import pytest
import torch

import invcore
from invcore import Physics, Space
from invcore.noises import GaussianNoise
from invcore.operators import LinearOperator, stack
from invcore_learning import UNet, learned_primal_dual

F = torch.float64


class Dual(torch.nn.Module):
    """u ← (u + s (Ax̄ - y))/(1 + s): the proximal step of the conjugate of ½‖· - y‖², as a change of u."""

    def __init__(self, step):
        super().__init__()
        self.step = torch.nn.Parameter(torch.tensor(step, dtype=F))

    def forward(self, h):
        u, _, shown, y = h.split(h.shape[1] // 4, dim=1)
        new = (u + self.step * (shown - y)) / (1 + self.step)
        return torch.cat([new - u, torch.zeros_like(u)], dim=1)


class Primal(torch.nn.Module):
    """x ← x - t Aᴴu and x̄ ← 2 x_new - x, as changes of both."""

    def __init__(self, step):
        super().__init__()
        self.step = torch.nn.Parameter(torch.tensor(step, dtype=F))

    def forward(self, h):
        x, ahead, back = h.split(h.shape[1] // 3, dim=1)
        moved = -self.step * back
        return torch.cat([moved, x + 2 * moved - ahead], dim=1)


class Rows(LinearOperator):
    """A matrix for each row of an image."""

    matrix: torch.Tensor

    @property
    def domain(self):
        return Space((1, 3, 4), "complex" if self.matrix.is_complex() else "real")

    @property
    def range(self):
        return Space((1, 3, 6), self.domain.kind)

    def forward(self, x):
        return x @ self.matrix.T

    def adjoint(self, y):
        return y @ self.matrix.conj()


@pytest.mark.parametrize("dtype", [F, torch.complex128])
def test_chambolle_pock_solves_least_squares(dtype):
    g = torch.Generator().manual_seed(0)
    M = torch.linalg.qr(torch.randn(6, 4, generator=g, dtype=dtype)).Q * torch.linspace(1, 0.7, 4, dtype=F)
    y = torch.randn(2, 1, 3, 6, generator=g, dtype=dtype)
    model = learned_primal_dual(Primal(0.9), Dual(0.9), memory=2, steps=150, tied=True)
    with torch.no_grad():
        found = model(y, Physics(Rows(M), GaussianNoise(sigma=0.1)))
    exact = torch.linalg.lstsq(M, y.reshape(-1, 6).T).solution.T.reshape(2, 1, 3, 4)
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-6)


def test_each_step_has_its_networks_and_gradients_are_exact():
    g = torch.Generator().manual_seed(0)
    physics = Physics(Rows(torch.randn(6, 4, generator=g, dtype=F)))
    y = torch.randn(2, 1, 3, 6, generator=g, dtype=F)
    grads = []
    for checkpointed in (False, True):
        torch.manual_seed(1)
        primal = UNet(in_channels=3, out_channels=2, features=(4,), blocks=1)
        dual = UNet(in_channels=4, out_channels=2, features=(4,), blocks=1)
        model = learned_primal_dual(primal, dual, memory=2, steps=3, checkpointed=checkpointed).to(F)
        model(y, physics).square().sum().backward()
        grads.append([p.grad for p in model.parameters()])
    assert len(model.networks["primal"]) == len(model.networks["dual"]) == 3
    torch.testing.assert_close(grads[0], grads[1])


def test_data_that_are_no_image_are_refused():
    A = LinearOperator.from_function(lambda x: x[..., :2], (1, 2, 4))
    model = learned_primal_dual(Primal(0.9), Dual(0.9), memory=2, steps=1)
    with pytest.raises(invcore.ParameterError, match="take images"):
        model((torch.ones(1, 2, 2), torch.ones(1, 2, 2)), Physics(stack([A, A])))
    with pytest.raises(invcore.ParameterError, match="memory"):
        learned_primal_dual(Primal(0.9), Dual(0.9), memory=1)
