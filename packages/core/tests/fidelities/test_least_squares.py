"""Least squares: the likelihood of Gaussian noise, its derivatives, blocks and noise levels."""

import math

import pytest
import torch

from invcore import ParameterError
from invcore.fidelities import LeastSquares
from invcore.noises import GaussianNoise
from invcore.operators import Space
from invcore_testsupport import normal

F64, C128 = torch.float64, torch.complex128


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("sigma", [0.5, torch.tensor([0.5, 2.0, 1.0], dtype=F64)])
def test_least_squares_is_the_likelihood(dtype, sigma):
    """Differences of the value are those of the log-density, component by component."""
    space = Space((4,), "complex" if dtype.is_complex else "real")
    u, v, y = (normal(3, 4, dtype=dtype, seed=s) for s in range(3))
    f = GaussianNoise(sigma=sigma).likelihood()
    level = torch.as_tensor(sigma, dtype=F64).expand(3).unsqueeze(-1)

    def log_density(u):
        parts = [(u.real, y.real), (u.imag, y.imag)] if dtype.is_complex else [(u, y)]
        return sum(torch.distributions.Normal(a, level).log_prob(b).sum(-1) for a, b in parts)

    assert torch.allclose(f.value(u, y, space) - f.value(v, y, space), log_density(v) - log_density(u))


@pytest.mark.parametrize("dtype", [F64, C128])
def test_gradient_and_prox_of_least_squares(dtype):
    space = Space((4,), "complex" if dtype.is_complex else "real")
    f, step = LeastSquares(sigma=torch.tensor([0.5, 2.0], dtype=F64)), torch.tensor([0.3, 1.2], dtype=F64)
    u, y = normal(2, 4, dtype=dtype).requires_grad_(), normal(2, 4, dtype=dtype, seed=1)
    (expected,) = torch.autograd.grad(f.value(u, y, space).sum(), u)
    assert torch.allclose(f.grad(u, y, space), expected)
    z = f.prox(u, y, step, space)
    assert torch.allclose(f.grad(z, y, space) + (z - u) / step.unsqueeze(-1), torch.zeros_like(z))
    assert torch.allclose(f.lipschitz(), torch.tensor([4.0, 0.25], dtype=F64))


def test_least_squares_on_blocks():
    space = Space((2,)), Space((3,), "complex")
    u, y = (normal(2), normal(3, dtype=C128)), (normal(2, seed=1), normal(3, dtype=C128, seed=1))
    f = LeastSquares(sigma=0.5)
    expected = 2 * ((u[0] - y[0]).square().sum() + (u[1] - y[1]).abs().square().sum())
    assert torch.allclose(f.value(u, y, space), expected)
    assert torch.allclose(f.value(u, y), expected)
    assert torch.allclose(f.grad(u, y, space)[1], 4 * (u[1] - y[1]))
    z = f.prox(u, y, 0.5, space)
    assert all(torch.allclose(4 * (c - b) + (c - a) / 0.5, torch.zeros_like(c)) for a, b, c in zip(u, y, z))


def test_noiseless_data_have_weight_one():
    assert LeastSquares(sigma=0.0).precision() == 1
    assert LeastSquares(sigma=torch.tensor([0.0, 2.0])).precision().tolist() == [1, 0.25]
    sigma = torch.tensor([0.0, 2.0], requires_grad=True)
    LeastSquares(sigma=sigma).precision().sum().backward()
    assert sigma.grad.tolist() == [0, -0.25]


def test_an_empty_batch_has_no_values():
    empty = torch.zeros(0, 3)
    assert LeastSquares(sigma=torch.ones(0)).value(empty, empty, Space((3,))).shape == (0,)


@pytest.mark.parametrize("sigma", [-1.0, math.nan, torch.tensor([1.0, -0.1]), torch.tensor(math.nan)])
def test_noise_levels_that_make_no_sense_are_refused(sigma):
    with pytest.raises(ParameterError, match="LeastSquares: sigma must be a number >= 0"):
        LeastSquares(sigma=sigma)
