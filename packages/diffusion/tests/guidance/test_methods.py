"""Named methods: found by name, and their draws against recursions of mean and variance of one pixel."""

import math
from itertools import pairwise

import pytest
import torch

import invcore
from invcore import Physics
from invcore.denoisers import GaussianDenoiser
from invcore.noises import GaussianNoise
from invcore.operators import Identity
from invcore_diffusion import Karras, diffpir, dps, pigdm
from invcore_testsupport import rng

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


def diffpir_estimate(sigma, weight=7.0):
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


@pytest.mark.parametrize("name", ["dps", "ddrm", "diffpir", "pigdm", "ddnm_plus"])
def test_methods_are_found_by_name_and_say_their_bias(name):
    sampler = invcore.sampler(f"diffusion.{name}", denoiser=D)
    assert sampler.bias
    x = sampler(Y[:3], PHYSICS, generator=rng())
    assert x.shape == (3, 1, 1) and torch.isfinite(x).all()
