"""The known posteriors of the kit against independent ways to get them."""

import pytest
import torch

from invcore.priors import Quadratic
from invcore.testing import KnownPrior
from invcore.testing._known import data_of, moments_of, physics_of, posterior_of
from invcore.testing._solver_problems import DenseProblem

GAUSSIAN, MIXTURE = KnownPrior.gaussian(), KnownPrior.mixture()
COMPLEX = KnownPrior.gaussian(kind="complex")


@pytest.mark.parametrize("known", [GAUSSIAN, COMPLEX, MIXTURE], ids=["real", "complex", "mixture"])
@pytest.mark.parametrize("operator", ["blur", "mask", "matrix"])
def test_posterior_is_that_of_weighted_draws_of_the_prior(known, operator):
    physics = physics_of(operator, known.space)
    y = data_of(known, physics)
    mean, covariance = moments_of(posterior_of(known, physics, y))
    v = known.density.sample(100_000, torch.Generator().manual_seed(0))
    residual = (physics.operator(known.images(v)) - y).abs().square().flatten(1).sum(1)
    w = torch.softmax(-residual / (2 * 0.5**2), 0)
    found = w @ v
    away = (v - found) * w.sqrt().unsqueeze(1)
    torch.testing.assert_close(found, mean, atol=0.02, rtol=0)
    torch.testing.assert_close(away.mT @ away, covariance, atol=0.02, rtol=0)


@pytest.mark.parametrize("known", [GAUSSIAN, COMPLEX], ids=["real", "complex"])
def test_gaussian_prior_is_the_quadratic_one(known):
    C = known.denoiser.covariance
    white = torch.linalg.inv(torch.linalg.cholesky(C)).to(known.denoiser.mean.dtype)
    L = DenseProblem(matrix=white, domain=known.space, range=known.space)
    other = Quadratic(L, center=known.denoiser.mean, rtol=1e-12)
    x = known.images(known.density.sample(5, torch.Generator().manual_seed(1)))
    steps = torch.tensor([0.1, 0.5, 1.0, 2.0, 10.0], dtype=torch.float64)
    for name, extra in (("value", ()), ("grad", ()), ("prox", (0.7,)), ("prox", (steps,))):
        found, expected = (getattr(g, name)(x, *extra, known.space) for g in (known.prior, other))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_prior_and_denoiser_are_of_the_same_density():
    for known in (GAUSSIAN, MIXTURE):
        x = known.images(known.density.sample(5, torch.Generator().manual_seed(1)))
        score = (known.denoiser(x, 1e-4) - x) / 1e-8
        torch.testing.assert_close(known.prior.grad(x, known.space), -score, rtol=1e-5, atol=1e-5)


def test_curvature_of_the_mixture_bounds_its_hessian():
    x = MIXTURE.images(MIXTURE.density.sample(200, torch.Generator().manual_seed(2)))
    value = lambda v: MIXTURE.prior.value(v.view(1, 2), MIXTURE.space)
    largest = max(torch.linalg.eigvalsh(torch.func.hessian(value)(v.flatten())).max() for v in x)
    bound = MIXTURE.prior.curvature(MIXTURE.space)
    assert 0.7 * bound < largest <= bound
