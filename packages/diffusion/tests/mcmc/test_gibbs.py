"""Split Gibbs sampling against the law of its linear recursion, and the exact conditional draw."""

import pytest
import scipy.linalg
import torch

from invcore import ParameterError, Physics
from invcore.noises import GaussianNoise, PoissonNoise
from invcore.operators import Identity, Matrix
from invcore.priors import TV, Tikhonov
from invcore.spaces import Space
from invcore_diffusion import Gibbs
from invcore_testsupport import rng

F64 = torch.float64
EYE = torch.eye(2, dtype=F64)
MATRIX = torch.tensor([[1.0, 0.4], [-0.3, 0.6], [0.5, 0.2]], dtype=F64)
Y = torch.tensor([0.7, -0.4, 1.1], dtype=F64)
SIGMA = 0.8
PHYSICS = Physics(Matrix(MATRIX), GaussianNoise(sigma=SIGMA))


def recursion(sampler):
    """Covariance of x = Q⁻¹ z/ρ² + noise, where z ← κ((1 - s) z + s x + ρ √(s (2 - s)) ε) a few times."""
    rho2 = sampler.coupling / (float(MATRIX.new_tensor(1) * PHYSICS.operator.norm()) ** 2 / SIGMA**2)
    s = sampler.step_size
    spread = torch.linalg.inv(MATRIX.mT @ MATRIX / SIGMA**2 + EYE / rho2)
    first = torch.cat([torch.cat([0 * EYE, spread / rho2], 1), torch.cat([0 * EYE, EYE], 1)])
    noise = torch.block_diag(spread, 0 * EYE)
    k = 1 / (1 + s * rho2)
    inner = torch.cat([torch.cat([EYE, 0 * EYE], 1), k * torch.cat([s * EYE, (1 - s) * EYE], 1)])
    for _ in range(sampler.inner):
        first, noise = inner @ first, inner @ noise @ inner.mT
        noise = noise + torch.block_diag(0 * EYE, s * (2 - s) * rho2 * k**2 * EYE)
    return torch.as_tensor(scipy.linalg.solve_discrete_lyapunov(first.numpy(), noise.numpy()))[:2, :2]


def test_covariance_with_coarse_settings_is_that_of_its_recursion():
    sampler = Gibbs(prior=Tikhonov(), coupling=1.5, inner=2, step_size=0.8, burn_in=30, thin=4)
    truth, posterior = recursion(sampler), torch.linalg.inv(MATRIX.mT @ MATRIX / SIGMA**2 + EYE)
    assert float((truth - posterior).abs().max()) > 0.1
    x = sampler.chain(Y, PHYSICS, draws=20, chains=3000, generator=rng(0)).draws.reshape(-1, 2)
    assert torch.allclose(x.mT.cov(), truth, atol=0.02)


def test_the_error_is_of_first_order_in_the_coupling():
    """For small steps: the covariance of the recursion tends to the posterior's."""
    posterior = torch.linalg.inv(MATRIX.mT @ MATRIX / SIGMA**2 + EYE)
    errors = [
        float((recursion(Gibbs(prior=Tikhonov(), coupling=c, step_size=1e-3)) - posterior).abs().max())
        for c in (0.1, 0.05)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.2) and errors[0] < 0.03


def test_noise_levels_and_operators_of_a_batch():
    """Each item has a law of its own; draws given the data take one least-squares problem for all."""
    scales = torch.tensor([1.0, 3.0], dtype=F64)
    physics = Physics(Matrix(scales[:, None, None] * MATRIX), GaussianNoise(sigma=torch.tensor([0.8, 0.4])))
    chain = Gibbs(prior=Tikhonov(), burn_in=60, thin=15).chain(
        torch.stack([Y, Y]), physics, draws=4, chains=700, generator=rng(0)
    )
    for i, (s, sigma) in enumerate(((1.0, 0.8), (3.0, 0.4))):
        truth = torch.linalg.inv(s**2 * MATRIX.mT @ MATRIX / sigma**2 + EYE)
        found = chain.draws[:, :, i].reshape(-1, 2).mT.cov()
        assert torch.allclose(found, truth, rtol=0.15, atol=0.02)


def test_complex_images_and_a_proximal_prior():
    y = torch.tensor([[1.0 - 2.0j]], dtype=torch.complex128)
    physics = Physics(Identity(Space((1, 1), "complex")), GaussianNoise(sigma=1.0))
    sampler = Gibbs(prior=Tikhonov(), burn_in=60, thin=10)
    x = sampler.chain(y, physics, draws=5, chains=2000, generator=rng(0)).draws
    parts = torch.view_as_real(x).reshape(-1, 2)
    assert torch.allclose(parts.mean(0), torch.tensor([0.5, -1.0], dtype=F64), atol=0.05)
    assert torch.allclose(parts.mT.cov(), EYE / 2, atol=0.05)
    real = Physics(Identity((1, 4, 4)), GaussianNoise(sigma=1.0))
    assert Gibbs(prior=TV(), burn_in=3)(torch.ones(1, 4, 4), real, generator=rng(0)).shape == (1, 4, 4)


def test_refusals():
    with pytest.raises(ParameterError, match="Gaussian noise; this physics has PoissonNoise.*hmc"):
        Gibbs(prior=Tikhonov())(Y, Physics(Matrix(MATRIX), PoissonNoise()), generator=rng(0))
    with pytest.raises(ParameterError, match="coupling must be positive"):
        Gibbs(prior=Tikhonov(), coupling=0.0)
    with pytest.raises(ParameterError, match="stable up to 1; got 1.5"):
        Gibbs(prior=Tikhonov(), step_size=1.5)
