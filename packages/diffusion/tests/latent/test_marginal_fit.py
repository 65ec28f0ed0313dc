"""The mean of a Gaussian prior by stochastic approximation, against its closed form."""

from typing import NamedTuple

import pytest
import torch

import invcore
from invcore import Physics, Space
from invcore.denoisers import GaussianDenoiser
from invcore.noises import GaussianNoise
from invcore.operators import Identity
from invcore_diffusion import ProbabilityFlow, consistency_evidence, marginal_fit
from invcore_testsupport import rng

SPACE = Space((1, 3))
ONES = torch.ones(1, 3, dtype=torch.float64)
C = torch.tensor([[1.0, 0.4, 0.1], [0.4, 0.8, 0.3], [0.1, 0.3, 0.5]], dtype=torch.float64)
PRECISION = torch.linalg.inv(C)
PHYSICS = Physics(Identity(SPACE), GaussianNoise(sigma=0.6))
Y = torch.tensor([[2.0, 3.1, 1.9]], dtype=torch.float64)
K = torch.linalg.inv(C + 0.36 * torch.eye(3))
BEST = float((Y @ K).sum() / K.sum())
ZERO = torch.zeros((), dtype=torch.float64)


class Exact(invcore.Sampler):
    """Draws from the posterior of these images."""

    mean: torch.Tensor
    burn_in: int = 1

    def init(self, problem, generator):
        return State(problem.start())

    def step(self, problem, state, generator):
        P = torch.linalg.inv(PRECISION + torch.eye(3) / 0.36)
        center = (self.mean * ONES @ PRECISION + problem.y / 0.36) @ P
        return State(center + self.noise(state.x, generator) @ torch.linalg.cholesky(P).mT)


class State(NamedTuple):
    x: torch.Tensor


def images(mean):
    return GaussianDenoiser(mean=mean * ONES, covariance=C)


def log_density(mean, x):
    away = (x - mean * ONES)[..., 0, :]
    return -((away @ PRECISION) * away).sum(-1) / 2


def test_the_marginal_likelihood_of_a_mean_is_maximized():
    fit = marginal_fit(
        lambda mean: Exact(mean),
        log_density,
        Y.expand(30, 1, 3),  # thirty draws a step
        PHYSICS,
        start=ZERO,
        generator=rng(),
        steps=300,
        step_size=0.5,
    )
    assert fit.path.shape == (301,)
    assert abs(float(fit.value) - BEST) < 0.05


def test_steps_may_be_of_given_length_and_stay_in_a_ball():
    fit = marginal_fit(
        lambda mean: Exact(mean),
        log_density,
        Y,
        PHYSICS,
        start=ZERO,
        generator=rng(),
        steps=10,
        normalized=True,
        step_size=0.3,
        radius=0.5,
    )
    assert float(fit.path[1].abs()) == pytest.approx(0.3)
    assert float(fit.path.max()) == pytest.approx(0.5)


def test_the_evidence_of_a_consistent_generator_is_largest_at_the_truth():
    x = images(torch.tensor(1.5, dtype=torch.float64)).sample((3000,), generator=rng(1))
    restore = lambda z, mean, sigma: ProbabilityFlow(images(mean), steps=2)(z, sigma)
    values = [
        float(consistency_evidence(restore, (2.0, 1.0, 0.5), rng(2))(torch.tensor(m).double(), x).mean())
        for m in (0.5, 1.5, 2.5)
    ]
    assert values[1] > max(values[0], values[2])
    with pytest.raises(invcore.ParameterError, match="falling"):
        consistency_evidence(restore, (0.5, 1.0), rng())


def test_steps_that_do_not_converge_are_refused():
    with pytest.raises(invcore.ParameterError, match="power"):
        marginal_fit(images, log_density, Y, PHYSICS, start=ZERO, generator=rng(), power=0.3)
