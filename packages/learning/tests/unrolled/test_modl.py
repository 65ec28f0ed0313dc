"""MoDL against its iteration with dense matrices."""

import pytest
import torch

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise, PoissonNoise
from invcore.operators import Convolution
from invcore_learning import modl

F = torch.float64


class Half(torch.nn.Module):
    """A linear network."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(0.5, dtype=F))

    def forward(self, x):
        return self.factor * x.roll(1, -1)


def test_it_is_the_iteration_of_dense_matrices():
    g = torch.Generator().manual_seed(0)
    A = Convolution(torch.rand(1, 3, 3, generator=g, dtype=F), domain=(1, 4, 5))
    y = torch.randn(2, 1, 4, 5, generator=g, dtype=F)
    weight = torch.tensor(0.3, dtype=F, requires_grad=True)
    factor = torch.tensor(0.5, dtype=F, requires_grad=True)
    M = A.dense()
    M = M.reshape(20, 20)
    norm2 = A.norm().detach() ** 2
    shift = torch.eye(20, dtype=F).reshape(20, 1, 4, 5).roll(1, -1).reshape(20, 20).T
    b = M.T @ y.reshape(2, 20).T
    z = b / norm2
    for _ in range(3):
        x = torch.linalg.solve(M.T @ M + weight * norm2 * torch.eye(20, dtype=F), b + weight * norm2 * z)
        z = factor * shift @ x
    model = modl(Half(), steps=3, weight=0.3).to(F)
    found = model(y, Physics(A, GaussianNoise(sigma=0.1)))
    torch.testing.assert_close(found.detach().reshape(2, 20).T, x.detach(), rtol=1e-8, atol=1e-10)
    found.square().sum().backward()
    x.square().sum().backward()
    (network,) = model.networks.values()
    torch.testing.assert_close(network.factor.grad, factor.grad, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(model.numbers["weight"].theta.grad, 0.3 * weight.grad, rtol=1e-6, atol=1e-9)


def test_counts_are_refused():
    A = Convolution(torch.ones(1, 3, 3), domain=(1, 4, 5))
    with pytest.raises(invcore.ParameterError, match="modl is for Gaussian noise"):
        modl(Half())(torch.ones(1, 4, 5), Physics(A, PoissonNoise()))
