"""Chains with an accept-reject step: exact laws, acceptance, and items that do not wait for each other."""

import pytest
import torch

from invcore import ParameterError, Physics, Prior
from invcore.denoisers import GaussianDenoiser, WaveletDenoiser
from invcore.noises import GaussianNoise, PoissonNoise
from invcore.operators import Identity, Mask, Matrix
from invcore.priors import L1, Quadratic, Tikhonov
from invcore.spaces import Space
from invcore_diffusion import HMC, MALA, PCN
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


def run(sampler, y, physics, chains=2000, draws=20, seed=0):
    return sampler.chain(y, physics, draws=draws, chains=chains, generator=rng(seed))


def acceptance(sampler, chain):
    return chain.state.accepted / (chain.steps - sampler.burn_in)


SAMPLERS = [MALA(prior=Tikhonov(), burn_in=150, thin=5), HMC(prior=Tikhonov(), burn_in=60, leapfrogs=5)]


@pytest.mark.parametrize("sampler", [*SAMPLERS, PCN(prior=Tikhonov(), burn_in=150, thin=5)], ids=str)
def test_covariance_and_mean_are_those_of_the_posterior(sampler):
    truth = torch.linalg.inv(MATRIX.mT @ MATRIX / 0.64 + EYE)
    chain = run(sampler, Y, Physics(Matrix(MATRIX), GaussianNoise(sigma=0.8)))
    x = chain.draws.reshape(-1, 2)
    white = torch.linalg.inv(torch.linalg.cholesky(truth))
    assert torch.allclose(white @ x.mT.cov() @ white.mT, EYE, atol=0.05)
    assert torch.allclose(x.mean(0), truth @ MATRIX.mT @ Y / 0.64, atol=0.02)


@pytest.mark.parametrize("make", [MALA, HMC], ids=lambda make: make.__name__)
def test_a_posterior_without_bounded_curvature_by_quadrature(make):
    u = torch.linspace(-5, 5, 4001, dtype=F64)
    p = torch.exp(-((u - 2) ** 2) / 2 - u**4 / 4)
    p = p / p.sum()
    mean = float(p @ u)
    truth = [mean, float(p @ (u - mean) ** 2), float(p @ (u - mean) ** 3)]
    chain = run(make(prior=Quartic(), burn_in=100, thin=3), torch.tensor([[2.0]], dtype=F64), image())
    x = chain.draws.flatten()
    found = [float(x.mean()), float(x.var()), float((x - x.mean()).pow(3).mean())]
    assert found == pytest.approx(truth, abs=0.01)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_the_share_of_accepted_proposals_is_the_one_it_adapts_to(sampler):
    physics = image(50, sigma=0.5)
    chain = run(sampler, torch.zeros(1, 50, dtype=F64), physics, chains=100, draws=40)
    share = acceptance(sampler, chain)
    assert share.shape == (100,)
    assert float(share.mean()) == pytest.approx(sampler.share, abs=0.06)


def test_sizes_stay_as_they_are_in_the_last_fifth_of_the_burn_in():
    sizes = []
    sampler = HMC(prior=Tikhonov(), burn_in=30)
    sampler.chain(
        torch.zeros(1, 2),
        image(2),
        draws=10,
        generator=rng(0),
        callback=lambda k, problem, state: sizes.append(float(state.size)),
    )
    assert len(set(sizes[:24])) == 24 and len(set(sizes[23:])) == 1


def test_each_item_is_accepted_by_itself_and_has_a_size_of_its_own():
    """Noise a hundred times smaller: steps a hundred times shorter, as many of them accepted."""
    physics = image(2, sigma=torch.tensor([1.0, 0.01], dtype=F64))
    sampler = MALA(prior=Tikhonov(), burn_in=300)
    moved = []

    def watch(k, problem, state):
        moved.append(state.x.clone())

    y = torch.zeros(2, 1, 2, dtype=F64)
    chain = sampler.chain(y, physics, draws=40, generator=rng(0), callback=watch)
    share = acceptance(sampler, chain)
    assert torch.all((share > 0.45) & (share < 0.7))
    ratio = float(chain.state.size[0] / chain.state.size[1])
    assert 30 < ratio < 150
    stays = (torch.stack(moved).diff(dim=0) == 0).flatten(2).all(-1)[300:]
    assert bool((stays[:, 0] & ~stays[:, 1]).any()) and bool((~stays[:, 0] & stays[:, 1]).any())


def test_an_item_goes_as_it_would_with_other_batch_mates():
    sampler = HMC(prior=Tikhonov(), burn_in=20)
    y = torch.tensor([[[0.5]], [[1.0]]], dtype=F64)
    mates = torch.tensor([[[0.5]], [[1e3]]], dtype=F64)
    found, other = (sampler(data, image(), generator=rng(0)) for data in (y, mates))
    assert torch.equal(found[0], other[0])


@pytest.mark.parametrize("make", [MALA, HMC, PCN], ids=lambda make: make.__name__)
def test_complex_images_have_the_law_in_each_part(make):
    y = torch.tensor([[1.0 - 2.0j]], dtype=torch.complex128)
    chain = run(make(prior=Tikhonov(), burn_in=100, thin=5), y, image(kind="complex"))
    parts = torch.view_as_real(chain.draws).reshape(-1, 2)
    assert torch.allclose(parts.mean(0), torch.tensor([0.5, -1.0], dtype=F64), atol=0.02)
    assert torch.allclose(parts.mT.cov(), EYE / 2, atol=0.03)


def test_a_denoiser_with_a_density_gives_value_and_gradient():
    """The posterior of images with noise of the level sigma: ((C + σ²)⁻¹ + 1)⁻¹."""
    D = GaussianDenoiser(mean=torch.zeros(1, 1, dtype=F64), covariance=torch.ones(1, 1, dtype=F64))
    chain = run(HMC(denoiser=D, sigma=0.5, burn_in=60), torch.zeros(1, 1, dtype=F64), image())
    assert float(chain.draws.var()) == pytest.approx(1 / (1 / 1.25 + 1), rel=0.04)
    with pytest.raises(ParameterError, match="WaveletDenoiser has no known density, which an accept-reject"):
        HMC(denoiser=WaveletDenoiser())


# -- pCN ---------------------------------------------------------------------------------------------------


def test_acceptance_of_pcn_does_not_fall_with_the_number_of_pixels():
    """One pixel is seen: with β = 0.5 fixed, the others change nothing."""
    shares = []
    for n in (2, 400):
        mask = torch.zeros(1, n, dtype=F64)
        mask[0, 0] = 1
        physics = Physics(Mask(mask, (1, n)), GaussianNoise(sigma=0.5))
        sampler = PCN(prior=Tikhonov(), burn_in=0, thin=20)
        chain = run(sampler, torch.zeros(1, n, dtype=F64), physics, chains=300, draws=3)
        shares.append(float(acceptance(sampler, chain).mean()))
    assert shares[0] == pytest.approx(shares[1], abs=0.04) and shares[0] > 0.3


def test_pcn_takes_the_mean_and_the_covariance_of_a_denoiser_or_a_center():
    C = torch.tensor([[1.0, 0.5], [0.5, 0.6]], dtype=F64)
    m, y = torch.tensor([[3.0, -1.0]], dtype=F64), torch.tensor([[2.0, 0.0]], dtype=F64)
    physics = image(2)
    given = GaussianDenoiser(mean=m, covariance=C)
    x = run(PCN(denoiser=given, burn_in=100, thin=10), y, physics, chains=300).draws.reshape(-1, 2)
    truth = torch.linalg.inv(torch.linalg.inv(C) + EYE)
    assert torch.allclose(x.mT.cov(), truth, atol=0.06)
    assert torch.allclose(x.mean(0), m[0] + truth @ (y - m)[0], atol=0.05)
    white = Quadratic(Identity((1, 2)), center=m)
    x = run(PCN(prior=white, weight=4.0, burn_in=100, thin=10), y, physics, chains=300).draws.reshape(-1, 2)
    assert torch.allclose(x.mean(0), (4 * m + y)[0] / 5, atol=0.05)
    assert torch.allclose(x.mT.cov(), EYE / 5, atol=0.02)


def test_pcn_needs_no_gradient_of_the_data():
    """Counts: a Poisson likelihood, whose gradient has no Lipschitz constant, by quadrature."""
    physics = Physics(Identity((1, 1)), PoissonNoise())
    prior = Quadratic(Identity((1, 1)), center=torch.full((1, 1), 5.0, dtype=F64))
    u = torch.linspace(1e-3, 12, 6001, dtype=F64)
    p = torch.exp(-((u - 5) ** 2) / 2 + 3 * u.log() - u)
    mean = float((p * u).sum() / p.sum())
    y = torch.full((1, 1), 3.0, dtype=F64)
    chain = run(PCN(prior=prior, burn_in=200, thin=10), y, physics, chains=500)
    assert float(chain.draws.mean()) == pytest.approx(mean, abs=0.04)


def test_refusals():
    with pytest.raises(ParameterError, match=r"Gaussian prior: prior=Tikhonov\(\).*got Quartic.*hmc"):
        PCN(prior=Quartic())
    with pytest.raises(ParameterError, match="gradient of the prior, and L1 has none"):
        MALA(prior=L1())
    with pytest.raises(ParameterError, match="leapfrogs must be a whole number from 1 on, got 0"):
        HMC(prior=Tikhonov(), leapfrogs=0)
