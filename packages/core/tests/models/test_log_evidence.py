"""The density of data of Gaussian images: scipy's, the width of a blur, and the failure of joint
estimation."""

import functools
import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

import invcore
from invcore import Physics
from invcore.models import GaussianRestorer
from invcore.noises import GaussianMapNoise, GaussianNoise, NoNoise
from invcore.operators import Convolution, FourierTransform, Mask, Matrix, Space
from invcore.priors import Quadratic

F64 = torch.float64


def normal(*shape, seed=0, dtype=F64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def spectrum(n):
    """1/f², the mean 1."""
    f = torch.fft.fftfreq(n, dtype=F64)
    S = 1 / (f[:, None] ** 2 + f**2).clamp_min(1 / n**2)
    return S / S.mean()


def gaussian_blur(width, n):
    """A circular blur with the transfer function exp(-2π² w² f²)."""
    f = torch.fft.fftfreq(n, dtype=F64)
    gain = torch.exp(-2 * (math.pi * width) ** 2 * (f[:, None] ** 2 + f**2))
    kernel = torch.fft.fftshift(torch.fft.ifft2(gain).real)[None]
    return Convolution(kernel=kernel, domain=Space((1, n, n)))


def test_joint_estimation_returns_no_blur_and_marginal_likelihood_the_right_one():
    n, true = 128, 2.0
    S, generator = spectrum(n), torch.Generator().manual_seed(0)
    R = GaussianRestorer(mean=torch.zeros(1, n, n, dtype=F64), spectrum=S)
    blurred = gaussian_blur(true, n)(R.sample(generator=generator))
    sigma = 0.05 * float(blurred.square().mean().sqrt())
    y = blurred + sigma * torch.randn(blurred.shape, generator=generator, dtype=F64)
    power = torch.fft.fft2(y, norm="ortho").abs().square()
    widths, joint, marginal = [k / 10 for k in range(41)], [], []
    f = torch.fft.fftfreq(n, dtype=F64)
    for width in widths:
        variance = torch.exp(-4 * (math.pi * width) ** 2 * (f[:, None] ** 2 + f**2)) * S + sigma**2
        joint.append(0.5 * float((power / variance).sum()))
        physics = Physics(gaussian_blur(width, n), GaussianNoise(sigma=sigma))
        marginal.append(-float(R.log_evidence(y, physics)))
        expected = joint[-1] + 0.5 * float(torch.log(2 * math.pi * variance).sum())
        assert marginal[-1] == pytest.approx(expected, rel=1e-10)
    assert (np.diff(joint) > 0).all()
    assert widths[int(np.argmin(marginal))] == true


def test_the_joint_objective_at_the_best_image_is_the_closed_form():
    n = 16
    S, y, sigma = spectrum(n), normal(1, n, n, seed=1), 0.3
    physics = Physics(gaussian_blur(1.0, n), GaussianNoise(sigma=sigma))
    R = GaussianRestorer(mean=torch.zeros(1, n, n, dtype=F64), spectrum=S)
    root = Convolution(
        kernel=torch.fft.fftshift(torch.fft.ifft2(S.rsqrt()).real)[None], domain=Space((1, n, n))
    )
    x = R(y, physics)
    J = physics.likelihood().value(physics.operator(x), y) + Quadratic(root).value(x)
    gain = torch.fft.fft2(torch.fft.ifftshift(physics.operator.kernel)).abs().square()
    expected = 0.5 * (torch.fft.fft2(y, norm="ortho").abs().square() / (gain * S + sigma**2)).sum()
    torch.testing.assert_close(J, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("shape", [(1, 7), (2, 4, 3)])
@pytest.mark.parametrize("boundary", ["circular", "zero", "valid"])
def test_it_is_the_density_of_scipy(shape, boundary):
    size = math.prod(shape)
    root = normal(size, size, seed=2)
    C, mean = root @ root.T / size, normal(*shape, seed=3)
    kernel = normal(1, *(2,) * (len(shape) - 1), seed=4)
    A = Convolution(kernel=kernel, domain=Space(shape), boundary=boundary)
    H, y = A.dense(dtype=F64).numpy(), normal(3, *A.range.shape, seed=5)
    levels = 0.2 + 0.5 * normal(*A.range.shape, seed=6).abs()
    for noise, sigmas in (
        (GaussianNoise(sigma=0.4), np.full(A.range.size, 0.4)),
        (GaussianMapNoise(sigma=levels), levels.flatten().numpy()),
    ):
        covariance = H @ C.numpy() @ H.T + np.diag(sigmas**2)
        density = multivariate_normal(H @ mean.flatten().numpy(), covariance)
        found = GaussianRestorer(mean=mean, covariance=C).log_evidence(y, Physics(A, noise))
        np.testing.assert_allclose(found.numpy(), density.logpdf(y.flatten(1).numpy()), rtol=1e-9)


@pytest.mark.parametrize("dtype", [F64, torch.complex128])
def test_the_closed_form_and_the_factorization_agree(dtype):
    kind, n = "complex" if dtype.is_complex else "real", 6
    S, mean = 0.2 + spectrum(n), normal(2, n, n, seed=1, dtype=dtype)
    A = Convolution(kernel=normal(2, 3, 2, seed=2), domain=Space((2, n, n), kind))
    y = normal(4, 2, n, n, seed=3, dtype=dtype)
    stationary = GaussianRestorer(mean=mean, spectrum=S)
    general = GaussianRestorer(mean=mean, operator=stationary.spread(dtype))
    for sigma in (0.3, torch.tensor([0.1, 0.2, 0.3, 2.0], dtype=F64)):
        physics = Physics(A, GaussianNoise(sigma=sigma))
        torch.testing.assert_close(
            stationary.log_evidence(y, physics), general.log_evidence(y, physics), rtol=1e-10, atol=0
        )


def test_complex_data_of_real_images():
    domain = Space((1, 4), "complex")
    A = FourierTransform(domain=domain, spatial_dims=1) @ invcore.operators.AsComplex((1, 4))
    y = normal(2, 1, 4, seed=1, dtype=torch.complex128)
    R = GaussianRestorer(mean=torch.zeros(1, 4, dtype=F64), covariance=torch.eye(4, dtype=F64))
    found = R.log_evidence(y, Physics(A, GaussianNoise(sigma=0.5)))
    F = np.fft.fft(np.eye(4), norm="ortho")
    H = np.concatenate([F.real, F.imag])
    density = multivariate_normal(np.zeros(8), H @ H.T + 0.25 * np.eye(8))
    data = np.concatenate([y.real.flatten(1), y.imag.flatten(1)], 1)
    np.testing.assert_allclose(found.numpy(), density.logpdf(data), rtol=1e-9)


def test_derivatives_reach_kernel_and_noise_level():
    y = normal(1, 6, seed=1)
    R = GaussianRestorer(mean=normal(1, 6), spectrum=torch.full((1, 1), 0.7, dtype=F64))

    def evidence(kernel, sigma, boundary="circular"):
        A = Convolution(kernel=kernel, domain=Space((1, 6)), boundary=boundary)
        return R.log_evidence(y, Physics(A, GaussianNoise(sigma=sigma)))

    at = normal(1, 3, seed=2).requires_grad_(), torch.tensor(0.4, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(evidence, at)
    assert torch.autograd.gradcheck(functools.partial(evidence, boundary="zero"), at)


def test_what_it_refuses():
    R = GaussianRestorer(mean=torch.zeros(1, 60, 60, dtype=F64), spectrum=spectrum(60))
    y = torch.zeros(1, 60, 60, dtype=F64)
    with pytest.raises(invcore.ParameterError, match="2048"):
        R.log_evidence(y, Physics(Mask(torch.ones_like(y), (1, 60, 60)), GaussianNoise(sigma=1.0)))
    small = GaussianRestorer(mean=torch.zeros(2, 2, dtype=F64), covariance=torch.eye(4, dtype=F64))
    tall = Mask(torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=F64), (2, 2))
    with pytest.raises(invcore.ParameterError, match="singular"):
        small.log_evidence(torch.zeros(2, 2, dtype=F64), Physics(tall, NoNoise()))
    with pytest.raises(invcore.ShapeError):
        small.log_evidence(torch.zeros(3, dtype=F64), Physics(Matrix(normal(3, 3)), NoNoise()))
