"""LATINO on Gaussian images, where each step is affine: its law for finite steps, and its limit."""

from itertools import pairwise

import pytest
import torch

import invcore
from invcore import Physics, Space
from invcore.denoisers import GaussianDenoiser
from invcore.noises import GaussianNoise, NoNoise, PoissonNoise
from invcore.operators import Identity, Mask
from invcore.samplers import Sampler, Schedule
from invcore_diffusion import Latino, ProbabilityFlow, VariancePreserving
from invcore_testsupport import normal, rng

SPACE = Space((1, 2))
MEAN = torch.tensor([[0.5, -0.3]], dtype=torch.float64)
C = torch.tensor([[1.0, 0.5], [0.5, 0.8]], dtype=torch.float64)
D = GaussianDenoiser(mean=MEAN, covariance=C)
EYE = torch.eye(2, dtype=torch.float64)
PHYSICS = Physics(Mask(torch.tensor([[1.0, 0.4]], dtype=torch.float64), SPACE), GaussianNoise(sigma=0.5))
Y = torch.tensor([[1.2, 0.1]], dtype=torch.float64)
A = torch.diag(torch.tensor([1.0, 0.4], dtype=torch.float64))
COVARIANCE = torch.linalg.inv(A @ A / 0.25 + torch.linalg.inv(C))
POSTERIOR = MEAN[0] + COVARIANCE @ A @ (Y - MEAN @ A)[0] / 0.25


def exact(x, sigma):
    """The map of N(m, C + σ²) to N(m, C)."""
    values, vectors = torch.linalg.eigh(C)
    B = (vectors * (values / (values + sigma**2)).sqrt()) @ vectors.mT
    return MEAN + (x - MEAN) @ B


class Constant(Schedule):
    """The same level in each step."""

    level: float

    def between(self, steps):
        return torch.full((steps,), self.level, dtype=torch.float64)


def affine(sampler, k):
    """K, N and b of the step x ↦ K x + N ε + b, found from some samples; more than that has no solution."""
    x, y = normal(9, 1, 2, seed=1000 + k), Y.expand(9, 1, 2)
    state = sampler.init(sampler.problem(y, PHYSICS), rng())._replace(x=x, k=k)
    out = sampler.step(sampler.problem(y, PHYSICS), state, rng(k)).x
    given = torch.cat([x[:, 0], Sampler.noise(x, rng(k))[:, 0], torch.ones(9, 1)], 1)
    found = torch.linalg.lstsq(given, out[:, 0]).solution
    assert (given @ found - out[:, 0]).abs().max() < 1e-10
    return found[:2].mT, found[2:4].mT, found[4]


def test_noise_and_the_exact_map_leave_the_prior():
    for sigma in (0.1, 1.0, 10.0):
        columns = exact(torch.cat([MEAN[None], MEAN + EYE[:, None]]), sigma)[:, 0]
        B = (columns[1:] - columns[0]).mT
        assert (B @ (C + sigma**2 * EYE) @ B.mT - C).abs().max() < 1e-14


@pytest.mark.parametrize("sigma", [0.3, 1.0, 20.0])
def test_the_probability_flow_tends_to_the_exact_map(sigma):
    x = MEAN + (1 + sigma) * normal(4, 1, 2)
    errors = [(ProbabilityFlow(D, steps=k)(x, sigma) - exact(x, sigma)).abs().max() for k in (8, 16, 32)]
    assert errors[0] / errors[1] > 3
    assert errors[1] / errors[2] > 3
    assert errors[2] < 0.01


def test_one_step_of_the_probability_flow_is_enough_at_small_levels():
    errors = []
    for sigma in (0.2, 0.1):
        x = normal(50, 1, 2)
        errors.append((ProbabilityFlow(D, steps=1)(x, sigma) - exact(x, sigma)).abs().max())
    assert errors[1] < 1e-5
    assert errors[0] / errors[1] > 30  # σ⁶


def stationary(level):
    K, N, b = affine(Latino(generator=exact, schedule=Constant(level), steps=3), 1)
    mean = torch.linalg.solve(EYE - K, b)
    inner = torch.linalg.solve(torch.eye(4) - torch.kron(K, K), (N @ N.mT).flatten())
    return (mean - POSTERIOR).abs().max(), (inner.view(2, 2) - COVARIANCE).abs().max()


def test_at_a_constant_level_the_bias_is_of_the_order_of_its_square():
    found = [stationary((s / (1 - s)) ** 0.5) for s in (0.05, 0.0125, 0.003125)]
    for (mean, covariance), (smaller_mean, smaller) in pairwise(found):
        assert 3.3 < mean / smaller_mean < 4.7
        assert 3.3 < covariance / smaller < 4.7


def test_draws_have_the_law_of_their_affine_steps():
    sampler = Latino(D, schedule=VariancePreserving(), steps=8)
    x, n = sampler(Y.expand(20_000, 1, 2), PHYSICS, generator=rng())[:, 0], 20_000
    mean, covariance = (Y @ A)[0], torch.zeros(2, 2, dtype=torch.float64)
    for k in range(8):
        K, N, b = affine(sampler, k)
        mean, covariance = K @ mean + b, K @ covariance @ K.mT + N @ N.mT
    assert ((x.mean(0) - mean).abs() < 4 * (covariance.diagonal() / n).sqrt()).all()
    assert (torch.cov(x.mT) - covariance).abs().max() < 4 * covariance.max() * (2 / n) ** 0.5


def test_falling_levels_end_at_the_posterior():
    errors = []
    for steps in (50, 200):
        sampler = Latino(D, steps=steps)
        mean, covariance = (Y @ A)[0], torch.zeros(2, 2, dtype=torch.float64)
        for k in range(steps):
            K, N, b = affine(sampler, k)
            mean, covariance = K @ mean + b, K @ covariance @ K.mT + N @ N.mT
        errors.append((covariance - COVARIANCE).abs().max() / COVARIANCE.max())
    assert errors[0] > 2 * errors[1]
    assert errors[1] < 0.03


def test_without_noise_draws_fit_the_data():
    physics = Physics(Mask(torch.tensor([[1.0, 0.0]], dtype=torch.float64), SPACE), NoNoise())
    x = Latino(D, steps=60)(Y.expand(2000, 1, 2), physics, generator=rng())
    assert (x[..., 0] - 1.2).abs().max() < 1e-9
    expected = -0.3 + 0.5 * (1.2 - 0.5)  # of the second pixel given the first
    assert abs(float(x[..., 1].mean()) - expected) < 0.08
    assert abs(float(x[..., 1].var()) - (0.8 - 0.25)) < 0.08


def test_a_codec_says_where_the_map_works():
    class Halves:
        def encode(self, x):
            return x / 2

        def decode(self, z):
            return 2 * z

    half = GaussianDenoiser(mean=MEAN / 2, covariance=C / 4)
    x = Latino(half, codec=Halves(), delta=2.0, steps=100)(Y.expand(4000, 1, 2), PHYSICS, generator=rng())
    assert (x[:, 0].mean(0) - POSTERIOR).abs().max() < 0.08


def test_what_makes_no_sense_is_refused():
    with pytest.raises(invcore.ParameterError, match="denoiser"):
        Latino()
    with pytest.raises(invcore.ParameterError, match="Gaussian noise"):
        Latino(D)(Y.abs(), Physics(Identity(SPACE), PoissonNoise(gain=1.0)), generator=rng())
