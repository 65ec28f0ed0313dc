"""The optimum of a linear autoencoder in closed form; pullback metrics of known manifolds."""

import math

import pytest
import torch

import invcore
from invcore_learning import VAE, intrinsic_dimension
from invcore_testsupport import error, normal, rng

SPECTRUM = torch.tensor([5.0, 3.0, 1.5, 0.8, 0.4, 0.2, 0.1, 0.05]).double()


def test_the_loss_is_that_of_gaussians():
    """Reconstruction and Kullback-Leibler divergence from torch's distributions, with the same draw."""
    vae, x = VAE((2, 3), latent=2, hidden=(5,), variance=0.3, beta=1.7).double(), normal(4, 2, 3)
    mean, spread = vae.encode(x)
    z = mean + spread * torch.randn(mean.shape, generator=rng(1), dtype=torch.float64)
    N = torch.distributions.Normal
    divergence = torch.distributions.kl_divergence(N(mean, spread), N(torch.zeros(2).double(), 1.0)).sum(1)
    likelihood = N(vae.decode(z), math.sqrt(0.3)).log_prob(x).flatten(1).sum(1)
    expected = -likelihood - 3 * math.log(2 * math.pi * 0.3) + 1.7 * divergence
    assert error(vae.loss(x, generator=rng(1)).detach(), expected.detach()) < 1e-12


def expected_loss(vae, x):
    """The loss of a linear decoder in the mean over the draws."""
    mean, spread = vae.encode(x)
    misfit = (x - vae.decode(mean)).square().sum(1) + spread.square() @ vae.decoder[0].weight.square().sum(0)
    divergence = 0.5 * (spread**2 + mean**2 - 1 - 2 * spread.log()).sum(1)
    return (misfit / (2 * vae.variance) + vae.beta * divergence).mean()


@pytest.mark.parametrize(("beta", "active"), [(1.0, 5), (4.0, 3)])
def test_a_linear_autoencoder_keeps_the_directions_above_the_noise(beta, active):
    """W Wᵀ = U (Λ - βσ²)₊ Uᵀ is a minimum, on data whose sample covariance is UΛUᵀ exactly."""
    U, noise = torch.linalg.qr(normal(8, 8, seed=1)).Q, 0.25 * beta
    x = normal(400, 8)
    x = torch.linalg.qr(x - x.mean(0)).Q @ torch.diag(20 * SPECTRUM.sqrt()) @ U.mT
    W = U[:, :5] @ torch.diag((SPECTRUM[:5] - noise).clamp_min(0).sqrt())
    size = W.square().sum(0)
    vae = VAE((8,), latent=5, hidden=(), variance=0.25, beta=beta).double()
    with torch.no_grad():
        vae.decoder[0].weight.copy_(W)
        vae.decoder[0].bias.zero_()
        vae.encoder[0].weight.copy_(torch.cat([W.mT / (size + noise)[:, None], torch.zeros(5, 8)]))
        vae.encoder[0].bias.copy_(torch.cat([torch.zeros(5).double(), torch.log(noise / (size + noise))]))
    loss = expected_loss(vae, x)
    slopes = torch.autograd.grad(loss, list(vae.parameters()))
    assert max(float(g.abs().max()) for g in slopes) < 1e-12
    for seed in range(20):
        with torch.no_grad():
            for i, p in enumerate(vae.parameters()):
                p += 0.05 * normal(*p.shape, seed=10 * seed + i)
            assert expected_loss(vae, x) > loss
            for i, p in enumerate(vae.parameters()):
                p -= 0.05 * normal(*p.shape, seed=10 * seed + i)
    assert int(intrinsic_dimension(vae.decode, torch.zeros(1, 5).double()).dimension) == active
    assert abs(vae.loss(x.repeat(20, 1), generator=rng(0)).mean() - loss) < 0.02 * loss


def test_a_torus_with_a_redundant_variable_has_two_dimensions():
    def torus(z):
        u, v = z[0], z[1] + 0.5 * z[2]
        ring = 3 + torch.cos(v)
        return torch.stack([ring * torch.cos(u), ring * torch.sin(u), torch.sin(v)])

    z = normal(20, 3)
    found = intrinsic_dimension(torus, z)
    assert bool((found.dimension == 2).all())
    v = z[:, 1] + 0.5 * z[:, 2]
    metric = torch.stack([(3 + torch.cos(v)) ** 2, torch.full_like(v, 1.25), torch.zeros_like(v)], 1)
    assert error(found.eigenvalues, metric) < 1e-12


def test_what_does_not_fit_is_refused():
    vae = VAE((1, 2, 2), latent=3)
    for call in (lambda: vae.encode(torch.zeros(2, 4)), lambda: vae.decode(torch.zeros(2, 4))):
        with pytest.raises(invcore.ShapeError):
            call()
    for options in ({"latent": 0}, {"latent": 1, "variance": 0.0}, {"latent": 1, "beta": 0.0}):
        with pytest.raises(invcore.ParameterError):
            VAE((4,), **options)
    with pytest.raises(invcore.ParameterError, match="threshold"):
        intrinsic_dimension(torch.sin, torch.zeros(2, 1), threshold=0.0)
    with pytest.raises(invcore.ShapeError, match="n, q"):
        intrinsic_dimension(torch.sin, torch.zeros(2))
