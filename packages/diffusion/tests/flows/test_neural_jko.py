"""Rejection steps by quadrature, JKO steps between Gaussians, and the modes of a mixture."""

import math
from itertools import pairwise

import pytest
import torch

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Identity
from invcore.priors import Tikhonov
from invcore_diffusion import NeuralJKO, jko_step, resample
from invcore_diffusion._flows.density import Normal, Transported
from invcore_testsupport import normal, rng

GRID = torch.linspace(-16, 16, 8001, dtype=torch.float64)[:, None]
STEP = float(GRID[1] - GRID[0])


def two_modes(x):
    """Minus the logarithm of a density of one variable, of integral 1."""
    parts = [
        math.log(w) - (x[..., 0] - m).square() / (2 * s**2) - math.log(s * (2 * math.pi) ** 0.5)
        for w, m, s in ((0.7, -2.0, 0.4), (0.3, 3.0, 0.6))
    ]
    return -torch.logsumexp(torch.stack(parts), 0)


def divergence(model):
    p = model.log_prob(GRID)
    return float((p.exp() * (p + two_modes(GRID))).sum() * STEP)


def test_rejection_steps_keep_the_mass_and_lower_the_divergence():
    model, g = Normal(torch.zeros(1).double(), 4.0), rng()
    found = [divergence(model)]
    for _ in range(9):
        model = resample(model, two_modes, 0.2, generator=g, number=4000)
        mass = float(model.log_prob(GRID).exp().sum() * STEP)
        assert mass == pytest.approx(1.0, abs=0.03)
        assert model.accepted == pytest.approx(0.8, abs=1e-4)
        found.append(divergence(model))
    assert all(b < a + 0.01 for a, b in pairwise(found))
    assert found[-1] < 0.1 * found[0]


def test_draws_have_the_density_that_is_stated():
    model, g = Normal(torch.zeros(1).double(), 4.0), rng(1)
    for _ in range(4):
        model = resample(model, two_modes, 0.2, generator=g, number=20_000)
    x = model.sample(20_000, generator=g)[:, 0]
    p = model.log_prob(GRID).exp() * STEP
    for test in (torch.sign, torch.square, torch.sin):
        exact, seen = float((p * test(GRID[:, 0])).sum()), test(x)
        assert abs(float(seen.mean()) - exact) < 5 * float(seen.std()) / len(x) ** 0.5


def test_any_model_with_draws_and_a_density_is_resampled():
    class Wide:
        def sample(self, number, *, generator):
            return 4 * torch.randn((number, 1), generator=generator, dtype=torch.float64)

        def log_prob(self, x):
            return -x[:, 0].square() / 32 - math.log(4 * (2 * math.pi) ** 0.5)

    model, g = Wide(), rng(2)
    for _ in range(5):
        model = resample(model, two_modes, 0.2, generator=g, number=4000)
    x = model.sample(4000, generator=g)[:, 0]
    share = float((model.log_prob(GRID).exp() * (GRID[:, 0] < 0.5)).sum() * STEP)
    assert abs(float((x < 0.5).double().mean()) - share) < 0.04


def test_rows_draw_the_same_whoever_else_does():
    from invcore_diffusion._flows.density import Rows

    model = resample(Normal(torch.zeros(1).double(), 4.0), two_modes, 0.5, generator=rng(), number=1000)
    model = resample(model, two_modes, 0.5, generator=rng(), number=1000)
    both = model.drawn(Rows(rng(3), 6, 1, torch.float64), torch.arange(6))[0]
    some = model.drawn(Rows(rng(3), 6, 1, torch.float64), torch.tensor([1, 4]))[0]
    assert torch.equal(both[[1, 4]], some)


@pytest.mark.parametrize(("k", "s", "tau"), [(1.0, 2.0, 0.5), (4.0, 1.0, 0.1)])
def test_a_jko_step_between_gaussians_has_the_right_width(k, s, tau):
    """(s' - s)/τ + k s' - 1/s' = 0."""
    x = s * torch.tensor([[-1.0], [1.0]], dtype=torch.float64)  # of the standard deviation s
    linear = lambda weights, z, t: (weights[0] + weights[1] * t + weights[2] * t**2) * z
    start = torch.zeros(3, dtype=torch.float64)
    energy = lambda z: k * z[:, 0].square() / 2
    w = jko_step(linear, start, x, energy, tau, generator=rng(), steps=200, rate=0.05, ode_steps=5)
    moved, _ = Transported(Normal(torch.zeros(1).double(), 1.0), lambda z, t: linear(w, z, t), 20).moved(
        x, 0.0, 1.0
    )
    a, b, c = 1 / tau + k, -s / tau, -1.0
    exact = (-b + (b * b - 4 * a * c) ** 0.5) / (2 * a)
    assert float(moved[1, 0]) == pytest.approx(exact, abs=2e-3)


def test_a_flow_has_the_density_of_its_draws():
    velocity = lambda z, t: torch.sin(z.flip(-1)) * (1 + t) - 0.3 * z
    model = Transported(Normal(torch.zeros(2).double(), 1.0), velocity, 10)
    x, log_prob = model.with_density(50, rng())
    torch.testing.assert_close(model.log_prob(x), log_prob, rtol=0, atol=1e-4)


def test_the_posterior_of_gaussian_unknowns_and_its_evidence():
    physics = Physics(Identity((2,)), GaussianNoise(sigma=0.8))
    y = torch.tensor([1.0, -0.5], dtype=torch.float64)
    sampler = NeuralJKO(
        prior=Tikhonov(),
        scale=1.5,
        flows=0,
        blocks=1,
        rejections=6,
        tau=1.0,
        training=80,
        batch=150,
        ode_steps=4,
    )
    problem = sampler.problem(y.expand(1500, 2), physics)
    g = rng()
    state = sampler.step(problem, sampler.init(problem, g), g)
    assert len(state.levels) == 1  # one model for equal data
    variance = 1 / (1 + 1 / 0.64)
    assert (state.x.mean(0) - y * variance / 0.64).abs().max() < 0.08
    assert (state.x.var(0) - variance).abs().max() < 0.06
    lower, value = sampler.log_evidence(problem, state, generator=g)
    # ∫ exp(-|x - y|²/2σ² - |x|²/2) dx
    exact = math.log(2 * math.pi * variance) - float(y.square().sum()) / (2 * 1.64)
    assert value == pytest.approx(exact, abs=0.03)
    assert lower < value


def test_what_makes_no_sense_is_refused():
    with pytest.raises(invcore.ParameterError, match="rate"):
        resample(Normal(torch.zeros(1), 1.0), two_modes, 1.5, generator=rng())
    with pytest.raises(invcore.ParameterError, match="scale"):
        NeuralJKO(scale=0.0)
    with pytest.raises(invcore.ParameterError, match="64"):
        physics = Physics(Identity((100,)), GaussianNoise(sigma=1.0))
        NeuralJKO(prior=Tikhonov())(normal(100), physics, generator=rng())
