"""Particle samplers against posteriors in closed form, of the images and of finitely many steps."""

import math
from itertools import pairwise

import pytest
import torch
from torch.distributions import MultivariateNormal

import invcore
from invcore import ParameterError, Physics
from invcore.noises import GaussianNoise, NoNoise, PoissonNoise
from invcore.operators import Identity, LinearOperator, Mask, Operator, Space
from invcore.testing import KnownPrior
from invcore_diffusion import FPS, Karras, MCGdiff, TwistedSMC
from invcore_testsupport import rng

F64 = torch.float64
KARRAS = Karras(sigma_min=0.05, sigma_max=10.0, rho=3.0)
COARSE = Karras(sigma_min=0.2, sigma_max=10.0, rho=3.0)
GAUSSIAN = KnownPrior.gaussian()
MATRIX = torch.tensor([[1.0, 0.5], [0.0, 1.2], [0.7, -0.4]], dtype=F64)
ROW = torch.tensor([[1.0, -0.5]], dtype=F64)
MEAN, COVARIANCE = GAUSSIAN.density.means[0], GAUSSIAN.density.covariances[0]


def law_of_the_chain(levels, variance=None):
    """Mean and covariance of the end of ancestral sampling of Gaussian images."""
    eye = torch.eye(2, dtype=F64)
    mean, covariance = torch.zeros(2, dtype=F64), levels[0] ** 2 * eye
    for sigma, following in pairwise(levels):
        ratio = (following / sigma) ** 2
        gain = COVARIANCE @ torch.linalg.inv(COVARIANCE + sigma**2 * eye)
        step = (1 - ratio) * gain + ratio * eye
        mean = step @ mean + (1 - ratio) * (MEAN - gain @ MEAN)
        spread = following**2 * (1 - ratio)
        if variance and following:
            spread += (1 - ratio) ** 2 * sigma**2 * variance / (sigma**2 + variance)
        covariance = step @ covariance @ step.mT + spread * eye
    return mean, covariance


def data(matrix, off=0.3):
    """Physics of a matrix, and data that are ``off`` those of the mean image."""
    A = LinearOperator.from_function(lambda x: x.flatten(-2) @ matrix.mT.to(x.dtype), (1, 2))
    return Physics(A, GaussianNoise(sigma=0.5)), matrix @ MEAN + off


def posterior(mean, covariance, physics, y):
    """Mean and covariance of Gaussian images given data, and log E exp(-f)."""
    A, variance = physics.operator.dense(dtype=F64), float(physics.noise.sigma) ** 2
    S = A @ covariance @ A.mT + variance * torch.eye(len(A), dtype=F64)
    gain = torch.linalg.solve(S, A @ covariance).mT
    evidence = MultivariateNormal(A @ mean, S).log_prob(y.flatten()) + len(A) / 2 * math.log(
        2 * math.pi * variance
    )
    return mean + gain @ (y.flatten() - A @ mean), covariance - gain @ A @ covariance, evidence


def run(sampler, physics, y, items, seed=0):
    return sampler.chain(y, physics, draws=1, chains=items, keep=0, generator=rng(seed))


def errors(x, mean, covariance):
    """Largest error of mean and covariance, in units of the posterior's deviation."""
    white = torch.linalg.inv(torch.linalg.cholesky(covariance))
    away = (x.flatten(1) - mean) @ white.mT
    return away.mean(0).abs().max(), (away.mT.cov() - torch.eye(2)).abs().max()


@pytest.mark.parametrize("kind", [TwistedSMC, MCGdiff])
@pytest.mark.parametrize(("matrix", "variance"), [(MATRIX, None), (ROW, 0.6)])
def test_draws_are_from_the_posterior_of_the_finite_chain(kind, matrix, variance):
    physics, y = data(matrix, 0.7)
    mean, covariance, _ = posterior(*law_of_the_chain(COARSE.levels(8).tolist(), variance), physics, y)
    sampler = kind(GAUSSIAN.denoiser, particles=64, variance=variance, schedule=COARSE, steps=8)
    x = run(sampler, physics, y, 3000).last
    off_mean, off_covariance = errors(x, mean, covariance)
    assert off_mean < 0.08 and off_covariance < 0.1  # 4 standard errors, and 1/particles


@pytest.mark.parametrize(("kind", "particles"), [(TwistedSMC, 4), (MCGdiff, 64)])
@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_evidence_is_unbiased(kind, particles, threshold):
    physics, y = data(MATRIX)
    _, _, evidence = posterior(*law_of_the_chain(COARSE.levels(5).tolist()), physics, y)
    sampler = kind(GAUSSIAN.denoiser, particles=particles, threshold=threshold, schedule=COARSE, steps=5)
    found = (run(sampler, physics, y, 4000).state.log_evidence - evidence).exp()
    error = float(found.std() / len(found) ** 0.5)
    assert error < 0.02 and abs(float(found.mean()) - 1) < 4 * error


@pytest.mark.parametrize("kind", [TwistedSMC, MCGdiff, FPS])
def test_draws_tend_to_the_posterior_with_steps(kind):
    physics, y = data(ROW)
    mean, covariance, evidence = posterior(MEAN, COVARIANCE, physics, y)
    white = torch.linalg.inv(torch.linalg.cholesky(covariance))
    missing = []
    for steps in (15, 60):
        end = run(kind(GAUSSIAN.denoiser, particles=16, schedule=KARRAS, steps=steps), physics, y, 1500)
        away = (end.last.flatten(1) - mean) @ white.mT
        missing.append(1 - float(away.var(0).mean()))
    assert 2.5 < missing[0] / missing[1] < 6  # of first order
    assert away.mean(0).abs().max() < 0.15
    assert abs(float((end.state.log_evidence - evidence).exp().mean()) - 1) < 0.15


@pytest.mark.parametrize("kind", [TwistedSMC, MCGdiff, FPS])
def test_few_steps_do_where_the_variance_of_images_is_known(kind):
    physics, y = data(ROW)
    mean, covariance, _ = posterior(MEAN, COVARIANCE, physics, y)
    sampler = kind(GAUSSIAN.denoiser, particles=16, variance=0.6, schedule=KARRAS, steps=30)
    off_mean, off_covariance = errors(run(sampler, physics, y, 2000).last, mean, covariance)
    assert off_mean < 0.1 and off_covariance < 0.13  # without it 0.25


def fps_law(levels, y, noise):
    """Mean and variance of the draws of FPS, one pixel of N(0.4, 1) seen with noise.

    The image of each level above the noise is a point of the path, that of the first one below has y.
    """
    n = len(levels)
    mean, rows, extra = torch.zeros(n, dtype=F64), torch.zeros(n, n, dtype=F64), torch.zeros(n, dtype=F64)
    rows[0, 0] = levels[0]
    for k, (sigma, following) in enumerate(pairwise(levels)):
        ratio = (following / sigma) ** 2
        gain = 1 / (1 + sigma**2)
        step = (1 - ratio) * gain + ratio
        mean[k + 1] = step * mean[k] + (1 - ratio) * 0.4 * (1 - gain)
        rows[k + 1] = step * rows[k]
        rows[k + 1, k + 1] = following * (1 - ratio) ** 0.5
    covariance = rows @ rows.mT
    above = sum(sigma > noise for sigma in levels)
    seen = torch.arange(above + 1)
    extra[above] = noise**2 - levels[above] ** 2
    S = (covariance + extra.diag())[seen][:, seen]
    gain = torch.linalg.solve(S, covariance[seen, -1])
    path = torch.tensor([sigma**2 - noise**2 for sigma in levels[:above]] + [0.0], dtype=F64)
    spread = torch.minimum(path[:, None], path)
    center = mean[-1] + gain @ (y - mean[seen])
    return float(center), float(covariance[-1, -1] - gain @ covariance[seen, -1] + gain @ spread @ gain)


def test_fps_conditions_on_the_path():
    D = invcore.denoiser(
        "gaussian", mean=torch.full((1, 1), 0.4, dtype=F64), covariance=torch.eye(1, dtype=F64)
    )
    physics, y = Physics(Identity((1, 1)), GaussianNoise(sigma=0.5)), torch.full((1, 1), 1.5, dtype=F64)
    mean, variance = fps_law(KARRAS.levels(8).tolist(), 1.5, 0.5)
    x = run(FPS(D, particles=200, schedule=KARRAS, steps=8), physics, y, 4000).last.flatten()
    assert abs(float(x.mean()) - mean) < 4 * (variance / 4000) ** 0.5 + 0.005
    assert abs(float(x.var()) / variance - 1) < 0.1


@pytest.mark.parametrize("kind", [TwistedSMC, MCGdiff, FPS])
def test_modes_get_their_shares(kind):
    known, (physics, _) = KnownPrior.mixture(), data(ROW)
    p, y = known.density, ROW @ known.density.means[:2].mean(0)
    seen = (ROW @ p.covariances @ ROW.mT).flatten() + 0.25
    weights = (p.weights.log() - seen.log() / 2 - (y - p.means @ ROW[0]) ** 2 / (2 * seen)).softmax(0)
    x = run(kind(known.denoiser, particles=16, schedule=KARRAS, steps=60), physics, y, 600).last
    off = x.flatten(1)[:, None] - p.means
    gain = torch.linalg.solve(p.covariances, off.unsqueeze(-1)).squeeze(-1)
    found = (p.weights.log() - p.covariances.logdet() / 2 - (off * gain).sum(-1) / 2).softmax(-1).mean(0)
    assert (found - weights).abs().max() < 0.08


def test_items_keep_their_own_particles_and_noise_levels():
    sigma = torch.tensor([0.1, 5.0], dtype=F64)
    physics = Physics(Mask(torch.tensor([[1.0, 0.0]], dtype=F64), (1, 2)), GaussianNoise(sigma=sigma))
    y = torch.tensor([[[2.0, 0.0]], [[2.0, 0.0]]], dtype=F64)
    for kind in (TwistedSMC, MCGdiff, FPS):
        x = run(kind(GAUSSIAN.denoiser, particles=8, schedule=KARRAS, steps=30), physics, y, 300).last
        pixel = x[:, :, 0, 0]
        assert abs(float(pixel[:, 0].mean()) - 2) < 0.1 and float(pixel[:, 0].std()) < 0.2
        assert abs(float(pixel[:, 1].mean()) - 0.46) < 0.25 and float(pixel[:, 1].std()) > 0.8


@pytest.mark.parametrize("kind", [TwistedSMC, MCGdiff, FPS])
def test_complex_images_are_pairs_of_real_ones(kind):
    white = torch.eye(2, dtype=torch.complex128)
    D = invcore.denoiser("gaussian", mean=torch.zeros(1, 2, dtype=torch.complex128), covariance=white)
    pairs = invcore.denoiser(
        "gaussian", mean=torch.zeros(1, 2, 2, dtype=F64), covariance=torch.eye(4, dtype=F64)
    )
    noise, y = GaussianNoise(sigma=0.5), torch.tensor([[1 + 1j, -1j]], dtype=torch.complex128)
    x = run(kind(D, particles=4, steps=10), Physics(Identity(Space((1, 2), "complex")), noise), y, 5)
    real = run(
        kind(pairs, particles=4, steps=10), Physics(Identity((1, 2, 2)), noise), torch.view_as_real(y), 5
    )
    assert torch.allclose(torch.view_as_real(x.last), real.last)
    assert torch.allclose(x.state.log_evidence, real.state.log_evidence)


def test_counts_and_nonlinear_operators_are_for_twisted_smc():
    white = invcore.denoiser(
        "gaussian", mean=torch.full((1, 2), 4.0, dtype=F64), covariance=0.1 * torch.eye(2, dtype=F64)
    )
    counts, y = Physics(Identity((1, 2)), PoissonNoise(gain=1.0)), torch.tensor([[5.0, 3.0]], dtype=F64)
    square = Physics(Operator.from_function(torch.square, (1, 2)), GaussianNoise(sigma=2.0))
    for physics, data in ((counts, y), (square, y**2)):
        sampler = TwistedSMC(white, particles=16, curvature=1.0, schedule=KARRAS, steps=60)
        x = run(sampler, physics, data, 300).last
        grid = torch.linspace(2.5, 5.5, 601, dtype=F64)
        image = torch.stack([grid, torch.full_like(grid, 4.0)], -1)[:, None]
        f = physics.likelihood().value(physics.operator(image), data, physics.range)
        mean = float(((grid - 4) ** 2 / -0.2 - f).softmax(0) @ grid)
        assert abs(float(x[:, 0, 0].mean()) - mean) < 0.08
        with pytest.raises(ParameterError, match=r"use diffusion\.smc|needs a linear operator"):
            MCGdiff(white)(data, physics, generator=rng(0))


def test_what_has_no_likelihood_is_refused():
    y = torch.zeros(1, 2, dtype=F64)
    with pytest.raises(ParameterError, match="state a small one"):
        TwistedSMC(GAUSSIAN.denoiser)(y, Physics(Identity((1, 2)), NoNoise()), generator=rng(0))
    with pytest.raises(ParameterError, match="particles must be"):
        TwistedSMC(GAUSSIAN.denoiser, particles=0)
    with pytest.raises(ParameterError, match="threshold must lie"):
        FPS(GAUSSIAN.denoiser, threshold=2.0)
