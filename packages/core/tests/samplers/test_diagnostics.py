"""Diagnostics of chains against ArviZ, autoregressions whose effective size is known, and by hand."""

import dataclasses
import math
from typing import NamedTuple

import pytest
import torch

from invcore import ParameterError, Physics, Sampler
from invcore.noises import GaussianNoise
from invcore.operators import Identity
from invcore.samplers import Chain
from invcore_testsupport import normal, rng


class State(NamedTuple):
    x: torch.Tensor


class Autoregression(Sampler):
    """x' = a x + √(1 - a²) ε, whose law is N(0, 1) whatever the data; (1 - a)/(1 + a) of its draws count."""

    a: float
    burn_in: int = 100
    thin: int = 1

    def init(self, problem, generator):
        return State(self.noise(problem.start(), generator))

    def step(self, problem, state, generator):
        return State(self.a * state.x + (1 - self.a**2) ** 0.5 * self.noise(state.x, generator))


def chain_of(draws, chains=None, space=(1, 2, 2)):
    """A chain with these draws, (draw, chain, ...)."""
    physics = Physics(Identity(space), GaussianNoise(sigma=1.0))
    made = Autoregression(0.5).chain(torch.zeros(space), physics, draws=1, generator=rng(0))
    return dataclasses.replace(made, draws=draws, chains=chains)


def run(a, kind=torch.float64, **options):
    physics = Physics(Identity((1, 2, 2)), GaussianNoise(sigma=1.0))
    return Autoregression(a).chain(torch.zeros(1, 2, 2, dtype=kind), physics, generator=rng(0), **options)


def test_effective_size_of_an_autoregression():
    for a in (0.0, 0.7, -0.3):
        found = run(a, draws=2000, keep=2000, chains=8).ess()
        assert found.shape == (1, 2, 2)
        truth = 16_000 * (1 - a) / (1 + a)
        assert float(found.mean()) == pytest.approx(truth, rel=0.1)


def test_slowest_projection_is_no_faster_than_what_all_pixels_share():
    x = run(0.0, draws=1000).draws
    slow = run(0.9, draws=1000).draws.mean((-3, -2, -1), keepdim=True)
    found = chain_of(x + 10 * slow).slowest_ess(generator=rng(1))
    assert found.shape == ()
    assert 0.5 < float(found) / (1000 * 0.1 / 1.9) < 1.5
    assert float(chain_of(x).slowest_ess(generator=rng(1))) > 600


def test_r_hat_is_one_for_chains_that_agree():
    good = run(0.5, draws=1000, chains=4)
    assert float(good.r_hat().max()) < 1.02
    assert float(chain_of(good.draws[:, :1]).r_hat().max()) < 1.05  # its halves agree


def test_r_hat_sees_a_chain_elsewhere_one_that_is_wider_and_one_that_drifts():
    draws = run(0.0, draws=500, chains=4).draws
    elsewhere, wider, drifting = draws.clone(), draws.clone(), draws[:, 0].clone()
    elsewhere[:, 0] += 1
    wider[:, 0] *= 4
    drifting += torch.linspace(0, 2, 500)[:, None, None, None]
    for bad, chains in ((elsewhere, 4), (wider, 4), (drifting, None)):
        assert float(chain_of(bad, chains).r_hat().min()) > 1.05


def test_r_hat_by_its_formula_without_ranks_to_interfere():
    """Two draws of each half: ranks 1, 2 | 3, 4, whose normal scores are ±z₁, ±z₂."""
    draws = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64).view(4, 1, 1, 1, 1)
    score = torch.special.ndtri((torch.arange(1, 5, dtype=torch.float64) - 0.375) / 4.25)
    within = (score[:2].var() + score[2:].var()) / 2
    between = torch.stack([score[:2].mean(), score[2:].mean()]).var()
    truth = float(((within / 2 + between) / within).sqrt())
    assert float(chain_of(draws, space=(1, 1, 1)).r_hat().max()) == pytest.approx(truth, rel=1e-12)


def test_equal_draws_share_their_rank():
    """A chain that mostly stays is judged as it is, not by the order in which equal numbers were sorted."""
    stays = run(0.5, draws=400, chains=2).draws.round()
    turned = chain_of(stays.flip(2), 2).ess().flip(0)
    assert torch.allclose(chain_of(stays, 2).ess(), turned)
    constant = chain_of(torch.ones_like(stays), 2)
    assert torch.equal(constant.r_hat(), torch.ones(1, 2, 2)) and float(constant.ess().min()) == 800


def test_complex_images_take_the_worse_part():
    real, imaginary = run(0.0, draws=400, chains=2).draws, run(0.9, draws=400, chains=2).draws
    both = chain_of(torch.complex(real, imaginary), 2)
    parts = [chain_of(t, 2) for t in (real, imaginary)]
    assert torch.allclose(both.ess(), torch.minimum(*(c.ess() for c in parts)))
    assert torch.allclose(both.r_hat(), torch.maximum(*(c.r_hat() for c in parts)))


def test_quantiles_against_torch():
    chain = run(0.3, draws=50, chains=3)
    q = [0.0, 0.05, 0.5, 0.951, 1.0]
    truth = torch.quantile(chain.draws.flatten(0, 1), torch.tensor(q, dtype=torch.float64), dim=0)
    assert torch.allclose(chain.quantile(q), truth, rtol=1e-12)
    assert torch.allclose(chain.quantile(0.5), truth[2], rtol=1e-12)


def test_a_batch_is_taken_item_by_item():
    draws = normal(100, 3, 2, 1, 2, 2)
    chain = chain_of(draws, 3)
    assert chain.ess().shape == chain.r_hat().shape == (2, 1, 2, 2)
    assert chain.slowest_ess(generator=rng(0)).shape == (2,)
    alone = chain_of(draws[:, :, 1], 3)
    assert torch.allclose(chain.ess()[1], alone.ess()) and torch.allclose(chain.r_hat()[1], alone.r_hat())


def test_refusals():
    none = run(0.3, draws=5, keep=0)
    with pytest.raises(ParameterError, match="at least 4 kept draws of a single image, the chain has 0"):
        none.r_hat()
    with pytest.raises(ParameterError, match=r"q must lie in \[0, 1\]"):
        run(0.3, draws=5).quantile(1.5)
    with pytest.raises(ParameterError, match="no order"):
        chain_of(normal(8, 1, 2, 2) + 0j).quantile(0.5)


def test_arviz_agrees():
    """ArviZ ends its sum with the last pair of lags in another way: no more than rounding for long chains."""
    arviz = pytest.importorskip("arviz")
    for a, chains, n in ((0.0, 4, 200), (0.8, 4, 501), (-0.5, 2, 300), (0.95, 2, 1000)):
        draws = run(a, draws=n, chains=chains).draws
        data = chain_of(draws, chains).to_arviz()
        found = chain_of(draws, chains)
        for ours, theirs in ((found.r_hat(), arviz.rhat(data)), (found.ess(), arviz.ess(data))):
            assert torch.allclose(ours, torch.as_tensor(theirs["x"].values), rtol=1e-9)
    pair = chain_of(torch.complex(draws, draws), 2).to_arviz()
    assert dict(pair.posterior["x_imag"].sizes)["draw"] == 1000
    assert math.prod(pair.posterior["x_real"].shape) == draws.numel()


def test_the_repr_and_the_type():
    assert isinstance(run(0.1, draws=3), Chain)
    assert repr(run(0.1, draws=3)) == "Chain(3 draws in 102 steps)"
