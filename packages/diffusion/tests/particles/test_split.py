"""DAPS, PnP-DM and blind sampling against their laws in closed form."""

from itertools import pairwise

import pytest
import torch
from torch.distributions import MultivariateNormal

import invcore
from invcore import Denoiser, ParameterError, Physics
from invcore.noises import GaussianNoise, NoNoise, PoissonNoise
from invcore.operators import Convolution, Identity, LinearOperator, Operator, Space
from invcore.testing import KnownPrior
from invcore_diffusion import DAPS, Blind, Karras, PnPDM
from invcore_diffusion._sampling.given_data import given_data
from invcore_learning import NetworkDenoiser
from invcore_testsupport import rng

F64 = torch.float64
EYE = torch.eye(2, dtype=F64)
GAUSSIAN = KnownPrior.gaussian()
MEAN, C = GAUSSIAN.density.means[0], GAUSSIAN.density.covariances[0]
ROW = torch.tensor([[1.0, -0.5]], dtype=F64)
SEEN = LinearOperator.from_function(lambda x: x.flatten(-2) @ ROW.mT.to(x.dtype), (1, 2))
PHYSICS, Y = Physics(SEEN, GaussianNoise(sigma=0.5)), torch.tensor([1.2], dtype=F64)


def run(sampler, physics, y, items, seed=0):
    return sampler.chain(y, physics, draws=1, chains=items, keep=0, generator=rng(seed))


def require_law(x, mean, covariance):
    """Mean and covariance, to 4 standard errors."""
    white = torch.linalg.inv(torch.linalg.cholesky(covariance))
    away = (x.flatten(1) - mean) @ white.mT
    assert away.mean(0).abs().max() < 4 / len(x) ** 0.5
    assert (away.mT.cov() - EYE).abs().max() < 4 * (2 / len(x)) ** 0.5


def posterior(mean, covariance, variance):
    """Mean and covariance given data of ROW with noise of this variance."""
    gain = covariance @ ROW.mT / (ROW @ covariance @ ROW.mT + variance)
    return mean + gain @ (Y - ROW @ mean), covariance - gain @ ROW @ covariance


def test_draws_given_gaussian_data_are_exact():
    problem = PnPDM(GAUSSIAN.denoiser).problem(Y.expand(4000, 1), PHYSICS)
    center = torch.tensor([[0.3, -0.8]], dtype=F64).expand(4000, 1, 2)
    z = given_data(problem, center, 0.49, rng(0), start=center, steps=1, name="test")
    require_law(z, *posterior(center[0, 0], 0.49 * EYE, 0.25))


def test_draws_given_other_data_leave_their_density_alone():
    """Poisson data of one pixel, begun with exact draws: the mean and variance of a quadrature remain."""
    physics, y = Physics(Identity((1, 1)), PoissonNoise(gain=0.5)), torch.tensor([[3.0]], dtype=F64)
    grid = torch.linspace(0.01, 8, 4001, dtype=F64).view(-1, 1, 1)
    log = -physics.likelihood().value(grid, y, physics.range) - (grid - 2.5).square().flatten() / (2 * 0.36)
    weights = log.softmax(0)
    start = grid[torch.multinomial(weights, 6000, replacement=True, generator=rng(1))]
    problem = PnPDM(GAUSSIAN.denoiser).problem(y.expand(6000, 1, 1), physics)
    center = torch.full((6000, 1, 1), 2.5, dtype=F64)
    z = given_data(problem, center, 0.36, rng(2), start=start, steps=20, curvature=2.0, name="test").flatten()
    mean = weights @ grid.flatten()
    variance = weights @ (grid.flatten() - mean).square()
    assert abs(float(z.mean() - mean)) < 4 * float(variance / 6000) ** 0.5
    assert abs(float(z.var() / variance) - 1) < 0.1
    assert float((z != start.flatten()).double().mean()) > 0.99


@pytest.mark.parametrize(("flow_steps", "variance"), [(1, 0.7), (4, None)])
def test_daps_has_the_law_of_its_affine_recursion(flow_steps, variance):
    karras = Karras(sigma_min=0.1, sigma_max=5.0, rho=3.0)
    levels = karras.levels(10).tolist()
    mean, covariance = torch.zeros(2, dtype=F64), levels[0] ** 2 * EYE
    for sigma, following in pairwise(levels):
        flow, off = EYE, torch.zeros(2, dtype=F64)
        for a, b in pairwise(levels_of(sigma, flow_steps)):
            gain = C @ torch.linalg.inv(C + a**2 * EYE)
            step = (1 - b / a) * gain + b / a * EYE
            flow, off = step @ flow, step @ off + (1 - b / a) * (MEAN - gain @ MEAN)
        r2 = sigma**2 if variance is None else sigma**2 * variance / (sigma**2 + variance)
        kept = r2 * ROW.mT / (r2 * ROW @ ROW.mT + 0.25)
        left = EYE - kept @ ROW
        mean = left @ (flow @ mean + off) + kept @ Y
        covariance = left @ flow @ covariance @ flow.mT @ left.mT + r2 * left + following**2 * EYE
    sampler = DAPS(GAUSSIAN.denoiser, flow_steps=flow_steps, variance=variance, schedule=karras, steps=10)
    require_law(run(sampler, PHYSICS, Y, 8000).last, mean, covariance)


def levels_of(sigma, steps):
    return Karras(sigma_min=0.01 * sigma, sigma_max=sigma).levels(steps).tolist()


def test_daps_is_exact_for_white_images():
    D = invcore.denoiser("gaussian", mean=MEAN.view(1, 2), covariance=0.7 * EYE)
    karras = Karras(sigma_min=0.02, sigma_max=10.0, rho=3.0)
    x = run(DAPS(D, flow_steps=1, variance=0.7, schedule=karras, steps=60), PHYSICS, Y, 4000).last
    require_law(x, *posterior(MEAN, 0.7 * EYE, 0.25))


@pytest.mark.parametrize("rho", [0.6, 0.15])
def test_pnp_dm_draws_given_data_of_a_noisy_image(rho):
    sampler = PnPDM(GAUSSIAN.denoiser, rho=rho, start=3.0, decay=0.8, inner=20, burn_in=40)
    gain = C @ ROW.mT / (ROW @ (C + rho**2 * EYE) @ ROW.mT + 0.25)
    x = run(sampler, PHYSICS, Y, 3000).last
    require_law(x, MEAN + gain @ (Y - ROW @ MEAN), C - gain @ ROW @ C)


def test_pnp_dm_of_a_mixture_and_nonlinear_data():
    """The exponential of a pixel: both modes, in the shares that a quadrature gives them."""
    means, weights = torch.tensor([[[-1.0]], [[1.0]]], dtype=F64), torch.tensor([0.3, 0.7], dtype=F64)
    D = invcore.denoiser(
        "gaussian_mixture", weights=weights, means=means, covariances=torch.full((2, 1, 1), 0.04, dtype=F64)
    )
    physics = Physics(Operator.from_function(torch.exp, (1, 1)), GaussianNoise(sigma=1.0))
    y = torch.tensor([[1.2]], dtype=F64)
    grid = torch.linspace(-2, 2, 4001, dtype=F64)
    prior = (weights.log() - (grid[:, None] - means.flatten()) ** 2 / 0.08).logsumexp(1)
    density = (prior - (grid.exp() - 1.2) ** 2 / 2).softmax(0)
    sampler = PnPDM(D, rho=0.1, start=3.0, decay=0.9, inner=12, langevin=8, curvature=10.0, burn_in=60)
    x = run(sampler, physics, y, 1500).last.flatten()
    assert abs(float((x > 0).double().mean()) - float(density[grid > 0].sum())) < 0.06
    assert abs(float(x.abs().mean()) - float(density @ grid.abs())) < 0.04


class Gain(LinearOperator):
    """One factor for all pixels, or for each item its own."""

    domain: Space
    gain: torch.Tensor
    params = ("gain",)
    range = property(lambda self: self.domain)

    def forward(self, x):
        return self.gain[..., None, None] * x

    def adjoint(self, y):
        return self.forward(y)


class Power(Operator):
    """Pixels to a power, which is a parameter that is not linear."""

    domain: Space
    power: torch.Tensor
    params = ("power",)
    range = property(lambda self: self.domain)

    def forward(self, x):
        return x.abs() ** self.power[..., None, None]


def test_blind_gain_has_its_posterior():
    mean, rho = MEAN + 1, 0.2
    D = invcore.denoiser("gaussian", mean=mean.view(1, 2), covariance=C)
    physics = Physics(Gain((1, 2), torch.ones((), dtype=F64)), GaussianNoise(sigma=0.5))
    y = torch.tensor([[2.5, 1.3]], dtype=F64)
    g = torch.linspace(-1, 4, 2001, dtype=F64)
    S = g[:, None, None] ** 2 * (C + rho**2 * EYE) + 0.25 * EYE
    log = MultivariateNormal(g[:, None] * mean, S).log_prob(y[0]) - (g - 1) ** 2 / (2 * 0.09)
    weights = log.softmax(0)
    expected = weights @ g
    variance = weights @ (g - expected) ** 2
    gain = g[:, None, None] * torch.linalg.solve(S, C.expand_as(S)).mT
    image = weights @ (mean + (gain @ (y[0] - g[:, None] * mean).unsqueeze(-1)).squeeze(-1))
    blind = Blind(
        D,
        "gain",
        mean=torch.ones((), dtype=F64),
        deviation=0.3,
        rho=rho,
        start=3.0,
        decay=0.85,
        inner=12,
        burn_in=80,
    )
    end = run(blind, physics, y, 2500).state
    assert (end.accepted == 80).all()  # the model is linear in the gain
    assert abs(float(end.xi.mean() - expected)) < 4 * float(variance / 2500) ** 0.5
    assert abs(float(end.xi.var() / variance) - 1) < 0.12
    assert (end.x.mean(0) - image).abs().max() < 0.07


def test_blind_kernel_has_its_posterior():
    """Two taps and four pixels, by quadrature over the taps."""
    powers = torch.tensor([[4.0, 1.0, 0.3, 1.0]], dtype=F64)
    D = invcore.denoiser("gaussian", mean=torch.full((1, 4), 0.5, dtype=F64), spectrum=powers)
    prior, rho, sigma = torch.tensor([[0.7, 0.3]], dtype=F64), 0.15, 0.3
    physics = Physics(Convolution(prior, (1, 4)), GaussianNoise(sigma=sigma))
    y = torch.tensor([[1.6, 0.2, -0.4, 1.5]], dtype=F64)
    side = torch.linspace(-1.2, 1.2, 97, dtype=F64)
    taps = prior + torch.cartesian_prod(side, side)[:, None]
    A = Convolution(taps, (1, 4)).dense(dtype=F64)
    F = torch.fft.fft(torch.eye(4, dtype=torch.complex128), norm="ortho")
    spread = (F.mH @ torch.diag(powers[0] + rho**2).to(F.dtype) @ F).real
    S = A @ spread @ A.mT + sigma**2 * torch.eye(4, dtype=F64)
    log = MultivariateNormal(A @ torch.full((4,), 0.5, dtype=F64), S).log_prob(y[0])
    weights = (log - (taps - prior).square().sum((1, 2)) / (2 * 0.09)).softmax(0)
    expected = (weights[:, None] * taps[:, 0]).sum(0)
    variance = (weights[:, None] * (taps[:, 0] - expected) ** 2).sum(0)
    blind = Blind(
        D, "kernel", mean=prior, deviation=0.3, rho=rho, start=3.0, decay=0.85, inner=12, burn_in=150
    )
    xi = run(blind, physics, y, 1200).state.xi[:, 0]
    assert ((xi.mean(0) - expected) / variance.sqrt()).abs().max() < 0.13
    assert (xi.var(0) / variance - 1).abs().max() < 0.25


def test_a_parameter_that_is_not_linear_passes_a_metropolis_test():
    """A power, for an image that is known: its posterior by quadrature."""
    z = torch.tensor([[1.8, 0.6]], dtype=F64)
    physics = Physics(Power((1, 2), torch.ones((), dtype=F64)), GaussianNoise(sigma=0.4))
    y, p = torch.tensor([[3.0, 0.4]], dtype=F64), torch.linspace(-2, 5, 4001, dtype=F64)
    f = (z.abs() ** p[:, None, None] - y).square().sum((1, 2)) / (2 * 0.16)
    weights = (-f - (p - 1.0) ** 2 / 2).softmax(0)
    expected = weights @ p
    variance = weights @ (p - expected) ** 2
    blind = Blind(GAUSSIAN.denoiser, "power", mean=torch.ones((), dtype=F64), deviation=1.0)
    problem = blind.problem(y.expand(2000, 1, 2), physics)
    start = xi = p[torch.multinomial(weights, 2000, replacement=True, generator=rng(4))]
    generator = rng(5)
    for _ in range(20):
        xi, _ = blind._drawn(problem, z.expand(2000, 1, 2), xi, generator)
    assert float((xi != start).double().mean()) > 0.9
    assert abs(float(xi.mean() - expected)) < 4 * float(variance / 2000) ** 0.5
    assert abs(float(xi.var() / variance) - 1) < 0.12


def test_items_have_parameters_of_their_own():
    physics = Physics(Gain((1, 2), torch.ones((), dtype=F64)), GaussianNoise(sigma=0.05))
    D = invcore.denoiser("gaussian", mean=torch.ones(1, 2, dtype=F64), covariance=1e-4 * EYE)
    y = torch.tensor([[[2.0, 2.0]], [[0.5, 0.5]]], dtype=F64)
    blind = Blind(
        D, "gain", mean=torch.ones((), dtype=F64), deviation=1.0, rho=0.02, start=1.0, inner=6, burn_in=60
    )
    xi = run(blind, physics, y, 50).state.xi.mean(0)
    assert torch.allclose(xi, torch.tensor([2.0, 0.5], dtype=F64), atol=0.05)


def test_what_cannot_be_is_refused():
    y = torch.zeros(1, 2, dtype=F64)
    for sampler in (DAPS(GAUSSIAN.denoiser), PnPDM(GAUSSIAN.denoiser)):
        with pytest.raises(ParameterError, match="state a small one"):
            sampler(y, Physics(Identity((1, 2)), NoNoise()), generator=rng(0))
        square = Physics(Operator.from_function(torch.square, (1, 2)), GaussianNoise(sigma=1.0))
        with pytest.raises(ParameterError, match="state it as curvature="):
            sampler(y, square, generator=rng(0))
    with pytest.raises(ParameterError, match="rho falls from start"):
        PnPDM(GAUSSIAN.denoiser, rho=1.0, start=0.5)
    one = torch.ones((), dtype=F64)
    with pytest.raises(ParameterError, match="no parameter 'kernel'"):
        Blind(GAUSSIAN.denoiser, "kernel", mean=one, deviation=1.0)(Y, PHYSICS, generator=rng(0))
    with pytest.raises(ParameterError, match="deviation must be positive"):
        Blind(GAUSSIAN.denoiser, "gain", mean=one, deviation=0.0)


def test_rho_is_no_larger_than_the_denoiser_knows():
    class Little(Denoiser):
        channels, value_range, sigma_range, spatial_dims = None, None, (0.01, 0.5), 1

        def denoise(self, x, sigma):
            return x / (1 + sigma**2)

    physics = Physics(Identity((1, 2)), GaussianNoise(sigma=1.0))
    x = run(PnPDM(Little(), rho=0.3, burn_in=60), physics, torch.ones(1, 2, dtype=F64), 2000).last
    variance = 1 / (1 + 1 / (1 + 0.09))
    require_law(x, torch.full((2,), 1 / (2 + 0.09), dtype=F64), variance * EYE)


def test_daps_goes_down_to_the_smallest_level_of_a_denoiser_and_no_further():
    class Shrink(torch.nn.Module):
        def forward(self, x, sigma):
            return x / (1 + sigma.reshape(-1, 1, 1) ** 2)

    D = NetworkDenoiser(Shrink(), sigma_range=(0.05, 80.0), value_range=None, spatial_dims=1)
    levels = Karras(sigma_min=0.05, sigma_max=3.0)
    x = run(DAPS(D, flow_steps=4, schedule=levels, steps=8), PHYSICS, Y, 10).last
    assert torch.isfinite(x).all()
