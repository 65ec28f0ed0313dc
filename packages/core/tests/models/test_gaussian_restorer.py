"""The Gaussian restorer against dense linear algebra, its theoretical error, and the denoiser."""

import math

import pytest
import torch

import invcore
from invcore import Physics
from invcore.denoisers import GaussianDenoiser
from invcore.models import GaussianRestorer
from invcore.noises import GaussianMapNoise, GaussianNoise, NoNoise, PoissonNoise
from invcore.operators import (
    AsComplex,
    Convolution,
    FourierTransform,
    Identity,
    Mask,
    Matrix,
    Operator,
    stack,
)
from invcore.spaces import flatten

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=F64):
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


def covariance(n, seed=0, dtype=F64):
    root = normal(n, n, seed=seed, dtype=dtype)
    return root @ root.mH / n + 0.05 * torch.eye(n, dtype=dtype)


def dense(mean, c, H, noise, residual):
    """m + C Hᴴ (H C Hᴴ + Σ)⁻¹ residual by a linear solve."""
    return mean + (c @ H.mH @ torch.linalg.solve(H @ c @ H.mH + noise, residual.mT)).mT


def blur(dtype=F64):
    domain = invcore.Space((1, 6), "complex" if dtype.is_complex else "real")
    return Convolution(kernel=normal(1, 3, seed=5), domain=domain, boundary="zero")


@pytest.mark.parametrize("dtype", [F64, torch.complex128])
def test_it_is_the_linear_solve(dtype):
    mean, c, A = normal(1, 6, dtype=dtype), covariance(6, dtype=dtype), blur(dtype)
    H, y = A.dense(dtype=F64).to(dtype), normal(4, 1, 6, seed=2, dtype=dtype)
    levels = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5, 2.0]], dtype=F64)
    R = GaussianRestorer(mean=mean, covariance=c)
    for noise, sigma in (
        (GaussianNoise(sigma=0.3), torch.full((6,), 0.3, dtype=F64)),
        (GaussianMapNoise(sigma=levels), levels[0]),
    ):
        expected = dense(mean.flatten(), c, H, torch.diag(sigma**2).to(dtype), (y - A(mean)).flatten(1))
        torch.testing.assert_close(R(y, Physics(A, noise)).flatten(1), expected, rtol=1e-9, atol=1e-9)


def test_real_images_of_complex_data_in_blocks():
    mean, c = normal(1, 6), covariance(6)
    F = FourierTransform(domain=invcore.Space((1, 6), "complex"), spatial_dims=1) @ AsComplex(domain=(1, 6))
    A = stack([F, Mask(torch.tensor([[1.0, 0, 0, 1.0, 0, 0]], dtype=F64), (1, 6))])
    physics = Physics(A, GaussianNoise(sigma=0.4))
    x = normal(3, 1, 6, seed=4)
    y = physics(x, generator=seeded(1))
    H = torch.stack([flatten(A(e.view(1, 6)), A.range) for e in torch.eye(6, dtype=F64)], 1)
    residual = flatten(y, A.range) - H @ mean.flatten()
    expected = dense(mean.flatten(), c, H, 0.16 * torch.eye(18, dtype=F64), residual)
    found = GaussianRestorer(mean=mean, covariance=c)(y, physics)
    torch.testing.assert_close(found.flatten(1), expected, rtol=1e-9, atol=1e-9)


def test_it_denoises_as_the_denoiser():
    mean, c = normal(1, 2, 3), covariance(6)
    sigma, y = torch.tensor([0.1, 1.0, 10.0], dtype=F64), normal(3, 1, 2, 3, seed=3)
    physics = Physics(Identity((1, 2, 3)), GaussianNoise(sigma=sigma))
    D, R = (make(mean=mean, covariance=c) for make in (GaussianDenoiser, GaussianRestorer))
    torch.testing.assert_close(R(y, physics), D(y, sigma), rtol=1e-10, atol=1e-10)


def test_the_error_is_uncorrelated_with_the_data_and_as_small_as_it_can_be():
    mean, c, sigma, draws = normal(1, 4), covariance(4), 0.5, 20000
    A = Matrix(normal(3, 4, seed=7))
    D = GaussianDenoiser(mean=mean, covariance=c)
    x = D.sample((draws,), generator=seeded(1))
    physics = Physics(Matrix(A.matrix) @ _flat(), GaussianNoise(sigma=sigma))
    y = physics(x, generator=seeded(2))
    error = (GaussianRestorer(mean=mean, covariance=c)(y, physics) - x).flatten(1)
    products = error[:, :, None] * y[:, None]
    z = products.mean(0) / products.std(0) * math.sqrt(draws)
    assert float(z.abs().max()) < 4
    precision = torch.linalg.inv(c) + A.matrix.mT @ A.matrix / sigma**2
    squares = error.square().sum(1)
    least = float(torch.linalg.inv(precision).trace())
    assert abs(float(squares.mean()) - least) < 4 * float(squares.std()) / math.sqrt(draws)


def _flat():
    return invcore.LinearOperator.from_function(lambda x: x.flatten(-2), (1, 4))


def test_without_noise_it_keeps_the_data():
    mean, c = normal(1, 6), covariance(6)
    A = Mask(torch.tensor([[1.0, 0, 1.0, 0, 0, 1.0]], dtype=F64), (1, 6))
    x = normal(1, 6, seed=8)
    found = GaussianRestorer(mean=mean, covariance=c)(A(x), Physics(A, NoNoise()))
    torch.testing.assert_close(A(found), A(x), rtol=1e-9, atol=1e-9)
    seen, rest = [0, 2, 5], [1, 3, 4]
    gain = c[rest][:, seen] @ torch.linalg.inv(c[seen][:, seen])
    expected = mean[0, rest] + gain @ (x - mean)[0, seen]
    torch.testing.assert_close(found[0, rest], expected, rtol=1e-8, atol=1e-8)


def test_it_differentiates_twice_to_data_noise_and_operator():
    R = GaussianRestorer(mean=normal(1, 3), covariance=covariance(3))
    y = normal(1, 3, seed=1).requires_grad_()
    sigma = torch.tensor(0.5, dtype=F64, requires_grad=True)
    mask = torch.tensor([[1.0, 0.5, 0.2]], dtype=F64, requires_grad=True)
    restore = lambda y, s, m: R(y, Physics(Mask(m, (1, 3)), GaussianNoise(sigma=s)))
    assert torch.autograd.gradcheck(restore, (y, sigma, mask))
    assert torch.autograd.gradgradcheck(restore, (y, sigma, mask))


def test_it_refuses():
    R = GaussianRestorer(mean=torch.zeros(1, 6), covariance=torch.eye(6))
    A, y = Identity((1, 6)), torch.zeros(1, 6)
    with pytest.raises(invcore.ParameterError, match="noise must be Gaussian .* got PoissonNoise"):
        R(y, Physics(A, PoissonNoise()))
    square = Operator.from_function(torch.square, (1, 6))
    with pytest.raises(invcore.ParameterError, match="A must be linear"):
        R(y, Physics(square, GaussianNoise(sigma=1.0)))
    with pytest.raises(invcore.ShapeError, match="images in"):
        R(torch.zeros(1, 5), Physics(Identity((1, 5)), GaussianNoise(sigma=1.0)))
    with pytest.raises(invcore.ShapeError, match="y"):
        R(torch.zeros(1, 5), Physics(A, GaussianNoise(sigma=1.0)))
    with pytest.raises(invcore.ParameterError, match="one of covariance"):
        GaussianRestorer(mean=torch.zeros(1, 6))
