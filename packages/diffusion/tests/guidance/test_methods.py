"""Named methods: found by name, and their draws against recursions of mean and variance of one pixel."""

import math
from itertools import pairwise

import pytest
import torch

import invcore
from invcore import Physics, SolverError
from invcore.denoisers import GaussianDenoiser
from invcore.noises import GaussianNoise
from invcore.operators import Identity
from invcore_diffusion import Ancestral, Karras, REDDiff, VariancePreserving, diffpir, dps, pigdm, repaint
from invcore_testsupport import error, rng

DRAWS, STEPS = 4000, 30
V, M, NOISE, DATA = 0.7, 0.4, 0.5, -0.9
SCHEDULE = Karras(sigma_min=0.02, sigma_max=10.0)
D = GaussianDenoiser(mean=torch.full((1, 1), M).double(), covariance=torch.tensor([[V]]).double())
PHYSICS = Physics(Identity((1, 1)), GaussianNoise(sigma=NOISE))
Y = torch.full((DRAWS, 1, 1), DATA, dtype=torch.float64)


def denoised(sigma):
    """D(x) = a x + b."""
    return V / (V + sigma**2), M * sigma**2 / (V + sigma**2)


def dps_estimate(sigma):
    a, b = denoised(sigma)
    gain = sigma**2 * a / NOISE**2
    return a - gain * a, b - gain * (b - DATA)


def pigdm_estimate(sigma, v=1.0):
    a, b = denoised(sigma)
    gain = sigma**2 * a / (sigma**2 * v / (sigma**2 + v) + NOISE**2)
    return a - gain * a, b - gain * (b - DATA)


def diffpir_estimate(sigma, weight=1.0):
    a, b = denoised(sigma)
    rho = weight * NOISE**2 / sigma**2
    return rho * a / (1 + rho), (DATA + rho * b) / (1 + rho)


def ancestral(a, b, sigma, following):
    """x' = p x + q + r n for the estimate a x + b."""
    r = following * (1 - following**2 / sigma**2) ** 0.5
    keep = following**2 / sigma**2
    return keep + (1 - keep) * a, (1 - keep) * b, r


def renoised(a, b, sigma, following, zeta=0.3):
    keep = following / sigma * (1 - zeta) ** 0.5
    return keep + (1 - keep) * a, (1 - keep) * b, following * zeta**0.5


def recursion(estimate, step, schedule=SCHEDULE, steps=STEPS):
    levels = schedule.levels(steps).tolist()
    mean, variance = 0.0, levels[0] ** 2
    for sigma, following in pairwise(levels):
        p, q, r = step(*estimate(sigma), sigma, following)
        mean, variance = p * mean + q, p**2 * variance + r**2
    return mean, variance


CASES = {
    "dps": (dps, dps_estimate, ancestral),
    "pigdm": (pigdm, pigdm_estimate, ancestral),
    "diffpir": (diffpir, diffpir_estimate, renoised),
}


@pytest.mark.parametrize("name", CASES)
def test_draws_of_one_pixel_have_the_moments_of_the_recursion(name):
    """A factor 2, or the variance of the noise left out, is many standard errors."""
    make, estimate, step = CASES[name]
    options = {} if name == "diffpir" else {"integrator": invcore.integrator("diffusion.ancestral")}
    x = make(D, schedule=SCHEDULE, steps=STEPS, **options)(Y, PHYSICS, generator=rng())
    mean, variance = recursion(estimate, step)
    assert abs(float(x.mean()) - mean) < 4 * math.sqrt(variance / DRAWS)
    assert abs(float(x.var()) / variance - 1) < 4 * math.sqrt(2 / DRAWS)


def test_the_bias_of_dps_does_not_vanish_with_the_steps():
    posterior = 1 / (1 / V + 1 / NOISE**2)
    for steps in (200, 5000):
        mean, variance = recursion(dps_estimate, ancestral, steps=steps)
        assert variance < 0.75 * posterior  # too narrow
        assert abs(mean - posterior * (M / V + DATA / NOISE**2)) > 0.1 * posterior**0.5


def test_pigdm_with_the_variance_of_the_images_tends_to_the_posterior():
    posterior = 1 / (1 / V + 1 / NOISE**2)
    errors = []
    for steps in (100, 400):
        _, variance = recursion(lambda sigma: pigdm_estimate(sigma, V), ancestral, steps=steps)
        errors.append(abs(variance / posterior - 1))
    assert 3 < errors[0] / errors[1] < 5  # of first order in the length of the step
    assert errors[1] < 0.03


NAMED = ["ald", "ddnm_plus", "ddrm", "diffpir", "dps", "flow_dps", "ilvr", "pigdm", "tmpd"]


@pytest.mark.parametrize("name", NAMED)
def test_methods_are_found_by_name_and_say_their_bias(name):
    sampler = invcore.sampler(f"diffusion.{name}", denoiser=D)
    assert sampler.bias
    x = sampler(Y[:3], PHYSICS, generator=rng())
    assert x.shape == (3, 1, 1) and torch.isfinite(x).all()


def test_flow_dps_renoises_as_its_authors():
    """In the time of the flow: z' = (1 - s') x̂ + s' (√s' ε̂ + √(1-s') n), s = σ/(1 + σ)."""
    sampler = invcore.sampler("diffusion.flow_dps", denoiser=D, steps=20)

    def estimate(sigma):
        a, b = denoised(sigma)
        share = sigma / (1 + sigma)  # one gradient step is enough for the identity
        return (1 - share) * a, (1 - share) * b + share * DATA

    def step(a, b, sigma, following):
        s = following / (1 + following)
        kept, new = s**0.5 * s / sigma, (1 - s) ** 0.5 * s
        p, q = (1 - s) * a + kept * (1 - a), (1 - s) * b - kept * b
        return p / (1 - s), q / (1 - s), new / (1 - s)  # in the coordinate x

    x = sampler(Y, PHYSICS, generator=rng())
    mean, variance = recursion(estimate, step, sampler.schedule, 20)
    assert abs(float(x.mean()) - mean) < 4 * math.sqrt(variance / DRAWS)
    assert abs(float(x.var()) / variance - 1) < 4 * math.sqrt(2 / DRAWS)


def test_repaint_goes_up_and_down_again():
    sampler = repaint(D, jump=2, repeats=3, steps=5)
    assert sampler._walk == [0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 4, 2, 3, 4, 2, 3, 4, 5, 4, 5, 4, 5]
    levels = sampler.schedule.levels(5).tolist()
    seen = []
    sampler.chain(Y[:1], PHYSICS, draws=1, generator=rng(), callback=lambda k, p, state: seen.append(state.k))
    assert seen == list(range(1, sampler.burn_in + 1)) and levels[-1] == 0


def test_jumps_keep_the_distribution_of_unguided_draws():
    """Without data each level has its law, which going up and down again does not change."""
    fine = {"schedule": SCHEDULE, "steps": 60, "integrator": Ancestral()}
    blind = Physics(Identity((1, 1)), GaussianNoise(sigma=1e3))
    x = invcore.sampler("diffusion.diffusion", denoiser=D, guidance=None, jump=6, repeats=3, **fine)(
        Y, blind, generator=rng()
    )
    levels = SCHEDULE.levels(60).tolist()
    mean, variance = 0.0, levels[0] ** 2
    walk = repaint(D, jump=6, repeats=3, steps=60)._walk
    for k, following in pairwise(walk):
        if following < k:
            variance += levels[following] ** 2 - levels[k] ** 2
            continue
        p, q, r = ancestral(*denoised(levels[k]), levels[k], levels[following])
        mean, variance = p * mean + q, p**2 * variance + r**2
    assert abs(variance / V - 1) < 0.15
    assert abs(float(x.mean()) - mean) < 4 * math.sqrt(variance / DRAWS)
    assert abs(float(x.var()) / variance - 1) < 4 * math.sqrt(2 / DRAWS)


def test_an_image_that_grows_is_an_error_that_says_what_to_do():
    precise = Physics(Identity((1, 1)), GaussianNoise(sigma=0.001))
    with pytest.raises(SolverError, match="DPS diverges.*more steps"):
        dps(D, steps=30)(Y[:2], precise, generator=rng())


def test_red_diff_is_adam_on_its_loss():
    """The authors' loss: ½‖y - μ‖² + λ (σ/α) ⟨stop(ε̂ - ε), μ⟩ with ε̂ = (x - D)/σ, by torch's Adam."""
    sampler = REDDiff(D, steps=40, weight=0.7, step_size=0.05)
    found = sampler(Y[:3], PHYSICS, generator=rng())
    g, mu = rng(), Y[:3].clone().requires_grad_()
    adam = torch.optim.Adam([mu], lr=0.05, betas=(0.9, 0.99))
    for sigma in sampler.schedule.levels(40)[:-1].tolist():
        noise = torch.randn(mu.shape, generator=g, dtype=torch.float64)
        x = mu.detach() + sigma * noise
        predicted = (x - D(x, sigma)) / sigma
        loss = (mu - Y[:3]).square().sum() / 2 + 0.7 * sigma * ((predicted - noise) * mu).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert error(found, mu.detach()) < 1e-10
    assert isinstance(sampler.schedule, VariancePreserving)


def test_red_diff_settles_where_data_and_denoiser_agree():
    """At one level σ: μ - y + λ (μ - D(μ, σ)) = 0 on average, for an affine denoiser."""
    sigma = 0.5
    level = Karras(sigma_min=sigma, sigma_max=sigma * 1.0001)
    x = REDDiff(D, schedule=level, weight=0.7, step_size=0.005, steps=800)(Y[:400], PHYSICS, generator=rng())
    a, b = denoised(sigma)
    assert abs(float(x.mean()) - (DATA + 0.7 * b) / (1 + 0.7 * (1 - a))) < 0.02
