"""The No-U-Turn sampler: exact laws, what it adapts to, and items that do not wait for each other."""

import pytest
import torch

from invcore import ParameterError, Physics, Prior
from invcore.noises import GaussianNoise
from invcore.operators import Identity, Matrix
from invcore.priors import L1, Tikhonov
from invcore.spaces import Space
from invcore_diffusion import NUTS
from invcore_diffusion._mcmc.adaptation import windows
from invcore_testsupport import rng

F64 = torch.float64
EYE = torch.eye(2, dtype=F64)
MATRIX = torch.tensor([[1.0, 0.4], [-0.3, 0.6], [0.5, 0.2]], dtype=F64)
Y = torch.tensor([0.7, -0.4, 1.1], dtype=F64)


class Quartic(Prior):
    """Σ x⁴/4: no bound of the curvature, not Gaussian."""

    def _value(self, x, space):
        return x.pow(4).sum(tuple(range(-len(space.shape), 0))) / 4

    def _grad(self, x, space):
        return x.pow(3)


def image(n=1, sigma=1.0, kind="real"):
    return Physics(Identity(Space((1, n), kind)), GaussianNoise(sigma=sigma))


def run(sampler, y, physics, chains=600, draws=15, seed=0):
    return sampler.chain(y, physics, draws=draws, chains=chains, generator=rng(seed))


def test_covariance_and_mean_are_those_of_the_posterior():
    truth = torch.linalg.inv(MATRIX.mT @ MATRIX / 0.64 + EYE)
    sampler = NUTS(prior=Tikhonov(), burn_in=40)
    chain = run(sampler, Y, Physics(Matrix(MATRIX), GaussianNoise(sigma=0.8)))
    x = chain.draws.reshape(-1, 2)
    white = torch.linalg.inv(torch.linalg.cholesky(truth))
    assert torch.allclose(white @ x.mT.cov() @ white.mT, EYE, atol=0.06)
    assert torch.allclose(x.mean(0), truth @ MATRIX.mT @ Y / 0.64, atol=0.03)
    assert not chain.state.divergent.any()
    share = chain.state.acceptance / (chain.steps - sampler.burn_in)
    assert float(share.mean()) == pytest.approx(sampler.share, abs=0.15)


def test_a_posterior_without_bounded_curvature_by_quadrature():
    u = torch.linspace(-5, 5, 4001, dtype=F64)
    p = torch.exp(-((u - 2) ** 2) / 2 - u**4 / 4)
    p = p / p.sum()
    mean = float(p @ u)
    truth = [mean, float(p @ (u - mean) ** 2), float(p @ (u - mean) ** 3)]
    chain = run(NUTS(prior=Quartic(), burn_in=60), torch.tensor([[2.0]], dtype=F64), image())
    x = chain.draws.flatten()
    found = [float(x.mean()), float(x.var()), float((x - x.mean()).pow(3).mean())]
    assert found == pytest.approx(truth, abs=0.02)


def test_complex_images_have_the_law_in_each_part():
    y = torch.tensor([[1.0 - 2.0j]], dtype=torch.complex128)
    chain = run(NUTS(prior=Tikhonov(), burn_in=60), y, image(kind="complex"), chains=400)
    parts = torch.view_as_real(chain.draws).reshape(-1, 2)
    assert torch.allclose(parts.mean(0), torch.tensor([0.5, -1.0], dtype=F64), atol=0.03)
    assert torch.allclose(parts.mT.cov(), EYE / 2, atol=0.03)
    assert float(chain.state.variance.mean()) == pytest.approx(0.5, abs=0.1)


def test_masses_adapt_to_pixels_of_unlike_variance():
    """Standard deviations from 0.02 to 1: a few leapfrog steps are enough where equal masses need fifty."""
    std = torch.logspace(-1.7, 0, 6, dtype=F64)
    physics = Physics(Matrix(torch.diag(1 / std)), GaussianNoise(sigma=1.0))
    sampler = NUTS(prior=Tikhonov(), weight=1e-9, burn_in=125, max_depth=6)
    taken = []
    chain = sampler.chain(
        torch.zeros(6, dtype=F64),
        physics,
        chains=4,
        draws=60,
        generator=rng(0),
        callback=lambda k, problem, state: taken.append(float(state.gradients.mean())),
    )
    ratio = chain.state.variance / std**2
    assert float(ratio.min()) > 0.3 and float(ratio.max()) < 3
    assert (taken[-1] - taken[124]) / 59 < 12
    assert float(chain.ess().min()) > 80
    assert torch.allclose(chain.draws.flatten(0, 1).std(0) / std, torch.ones(6, dtype=F64), atol=0.3)


def test_an_item_goes_as_it_would_with_other_batch_mates():
    sampler = NUTS(prior=Tikhonov(), burn_in=20)
    y = torch.tensor([[[0.5]], [[1.0]]], dtype=F64)
    mates = torch.tensor([[[0.5]], [[1e3]]], dtype=F64)
    found, other = (sampler(data, image(), generator=rng(0)) for data in (y, mates))
    assert torch.equal(found[0], other[0])


def test_the_first_draw_is_as_wide_as_the_posterior():
    """A size that follows the acceptance up to the last step makes it 3.5 % too narrow."""
    sampler = NUTS(prior=Tikhonov(), burn_in=50, max_depth=3)
    chain = run(sampler, torch.zeros(1, 2, dtype=F64), image(2), chains=20_000, draws=1)
    assert float(chain.last.square().mean()) == pytest.approx(0.5, rel=0.018)  # 2.5 standard errors


def test_size_and_masses_stay_as_they_are_in_the_last_fifth_of_the_burn_in():
    seen = []
    sampler = NUTS(prior=Tikhonov(), burn_in=30)
    sampler.chain(
        torch.zeros(1, 2),
        image(2),
        draws=8,
        generator=rng(0),
        callback=lambda k, problem, state: seen.append((float(state.size), state.variance.clone())),
    )
    assert len({size for size, _ in seen[23:]}) == 1
    assert all(torch.equal(seen[23][1], variance) for _, variance in seen[23:])
    assert len({size for size, _ in seen[:24]}) == 24


def test_a_trajectory_is_no_longer_than_allowed():
    sampler = NUTS(prior=Tikhonov(), burn_in=0, max_depth=3)
    physics = image(2, sigma=torch.tensor([1e-3, 1e3], dtype=F64))
    chain = run(sampler, torch.zeros(2, 1, 2, dtype=F64), physics, chains=1, draws=10)
    assert 0 < float(chain.state.gradients.max()) <= 7 * chain.steps


def test_windows_of_a_long_burn_in_are_those_of_stan():
    assert windows(1000) == (75, frozenset((100, 150, 250, 450, 950)))
    assert windows(100) == (15, frozenset((75,)))
    assert windows(40) == (40, frozenset())


def test_refusals():
    with pytest.raises(ParameterError, match="gradient of the prior, and L1 has none"):
        NUTS(prior=L1())
    with pytest.raises(ParameterError, match="max_depth must be a whole number from 1 on, got 0"):
        NUTS(prior=Tikhonov(), max_depth=0)
