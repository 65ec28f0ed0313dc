"""Each piece of the budget against simulation: chains, data sets, gradient descent, a diffusion."""

import math

import pytest
import torch

from invcore import ParameterError, Physics
from invcore.denoisers import GaussianDenoiser
from invcore.metrics import bures_wasserstein
from invcore.noises import GaussianNoise
from invcore.operators import Mask
from invcore_diffusion import ULA, gaussian_error_budget
from invcore_testsupport import rng

F64 = torch.float64
POWERS = torch.tensor([4.0, 1.0, 0.25], dtype=F64)


def images():
    return GaussianDenoiser(mean=torch.zeros(1, 3, dtype=F64), covariance=torch.diag(POWERS))


def test_langevin_steps_by_their_stationary_law_and_by_chains():
    found = gaussian_error_budget(POWERS, sigma=0.1, step_size=0.05).variances
    assert torch.allclose(found, torch.tensor([4.035, 1.036, 0.2877], dtype=F64), rtol=1e-3)
    nothing = Physics(Mask(torch.zeros(1, 3, dtype=F64), (1, 3)), GaussianNoise(sigma=1.0))
    sampler = ULA(denoiser=images(), sigma=0.4, step_size=0.16 / 0.16, burn_in=150)
    chain = sampler.chain(
        torch.zeros(1, 3, dtype=F64), nothing, draws=1, chains=20_000, keep=0, generator=rng(0)
    )
    truth = gaussian_error_budget(POWERS, sigma=0.4, step_size=0.16).variances
    assert torch.allclose(chain.last.reshape(-1, 3).var(0), truth, rtol=0.035)  # 3 standard errors


def test_a_number_of_steps_by_the_recursion():
    v = torch.zeros(3, dtype=F64)
    for _ in range(30):
        v = (1 - 0.05 / (POWERS + 0.01)) ** 2 * v + 0.1
    found = gaussian_error_budget(POWERS, sigma=0.1, step_size=0.05, steps=30)
    assert torch.allclose(found.variances, v, rtol=1e-12)


def test_smallest_noise_and_total_are_distances_of_gaussians():
    zero = torch.zeros(3, dtype=F64)
    found = gaussian_error_budget(POWERS, sigma=0.3, step_size=0.05)
    noisy, drawn = torch.diag(POWERS + 0.09), torch.diag(found.variances)
    for value, other in ((found.noise, noisy), (found.total, drawn)):
        assert value == pytest.approx(float(bures_wasserstein(zero, torch.diag(POWERS), zero, other)) ** 2)


def test_finite_data_against_covariances_of_data_sets():
    found = gaussian_error_budget(POWERS, sigma=0.0, step_size=0.01, samples=400).data
    assert found == pytest.approx(0.00965, abs=1e-5)
    x = torch.randn(1000, 400, 3, generator=rng(0), dtype=F64) * POWERS.sqrt()
    covariances = x.mT @ x / 400
    zero = torch.zeros(3, dtype=F64)
    distances = bures_wasserstein(zero, torch.diag(POWERS), zero, covariances).square()
    assert abs(float(distances.mean()) - found) < 3.5 * float(distances.std()) / 1000**0.5


def test_training_by_gradient_descent():
    """s ← s - τ (p s - 1) from 0; the draws of the learned score have variance 1/s."""
    slope = torch.zeros(3, dtype=F64)
    for _ in range(40):
        slope = slope - 0.1 * (POWERS * slope - 1)
    truth = float((POWERS.sqrt() - slope.rsqrt()).square().sum())
    found = gaussian_error_budget(POWERS, sigma=0.1, step_size=0.05, training=(0.1, 40))
    assert found.training == pytest.approx(truth, rel=1e-9) and found.training > 0.01


def test_reverse_diffusion_is_of_first_order_and_what_the_denoiser_gives():
    distances = [
        gaussian_error_budget(POWERS, sigma=0.0, horizon=4.0, steps=n).total ** 0.5 for n in (50, 100, 200)
    ]
    assert distances == pytest.approx([0.0990, 0.0486, 0.0240], abs=1e-4)
    x, g, step = torch.randn(20_000, 1, 3, generator=rng(0), dtype=F64), rng(1), 4.0 / 50
    for k in range(50):
        t = 4.0 - k * step
        clean = images()(x * math.exp(t), math.sqrt(math.expm1(2 * t)))
        score = (math.exp(-t) * clean - x) / -math.expm1(-2 * t)
        x = x + step * (x + 2 * score) + (2 * step) ** 0.5 * torch.randn(x.shape, generator=g, dtype=F64)
    truth = gaussian_error_budget(POWERS, sigma=0.0, horizon=4.0, steps=50).variances
    assert torch.allclose(x.reshape(-1, 3).var(0), truth, rtol=0.035)


def test_the_best_settings_are_better_than_their_neighbors():
    options = {"steps": 100, "training": (0.1, 50), "samples": 1000}
    best = gaussian_error_budget(POWERS, **options)
    assert best.step_size < 2 * (0.25 + best.sigma**2)
    for change in (0.7, 1.4):
        other = gaussian_error_budget(POWERS, sigma=best.sigma * change, step_size=best.step_size, **options)
        assert best.total <= other.total + 1e-5  # the grid ends where noise costs nothing
        if best.step_size * change < 2 * (0.25 + best.sigma**2):
            other = gaussian_error_budget(
                POWERS, sigma=best.sigma, step_size=best.step_size * change, **options
            )
            assert best.total <= other.total
    assert gaussian_error_budget(POWERS, horizon=4.0, steps=50).sigma < 0.01


def test_refusals():
    with pytest.raises(ParameterError, match=r"stable below 2 min\(λ \+ σ²\) = 0.52"):
        gaussian_error_budget(POWERS, sigma=0.1, step_size=0.6)
    with pytest.raises(ParameterError, match="stable for lengths below 0.5"):
        gaussian_error_budget(POWERS, sigma=0.0, step_size=0.1, training=(0.6, 10))
    with pytest.raises(ParameterError, match="give steps="):
        gaussian_error_budget(POWERS)
    with pytest.raises(ParameterError, match="horizon= and steps="):
        gaussian_error_budget(POWERS, sigma=0.1, horizon=4.0)
    with pytest.raises(ParameterError, match="holds variances"):
        gaussian_error_budget(torch.tensor([-1.0]), sigma=0.1, step_size=0.1)
