"""Velocities against closed forms: scores, Gaussian flows, memorization, likelihood."""

import math

import pytest
import torch

import invcore
from invcore.denoisers import GaussianDenoiser, GaussianMixtureDenoiser
from invcore_diffusion import (
    FromVelocity,
    Velocity,
    empirical_flow,
    flow_log_density,
    gaussian_flow,
)
from invcore_diffusion._flows.transport import evenly, transported
from invcore_testsupport import normal, rng


def mixture():
    means = torch.tensor([[[-2.0, 0.5]], [[1.5, 1.0]], [[0.0, -2.0]]], dtype=torch.float64)
    roots = normal(3, 2, 2, seed=3)
    covariances = 0.2 * torch.eye(2, dtype=torch.float64) + 0.1 * roots @ roots.mT
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    return GaussianMixtureDenoiser(weights=weights, means=means, covariances=covariances)


MEAN = torch.tensor([[1.0, -0.5, 0.3]], dtype=torch.float64)
COVARIANCE = torch.tensor([[2.0, 0.4, 0.0], [0.4, 0.5, 0.1], [0.0, 0.1, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize("t", [0.05, 0.5, 0.95])
def test_the_gaussian_velocity_is_its_closed_form(t):
    v, x = gaussian_flow(mean=MEAN, covariance=COVARIANCE), normal(5, 1, 3)
    eye = torch.eye(3, dtype=torch.float64)
    gain = (t * COVARIANCE - (1 - t) * eye) @ torch.linalg.inv(t**2 * COVARIANCE + (1 - t) ** 2 * eye)
    expected = MEAN + (x - t * MEAN) @ gain.mT
    torch.testing.assert_close(v(x, t), expected, rtol=1e-12, atol=1e-12)


def test_the_velocity_gives_the_score():
    D, t = mixture(), 0.6
    x = normal(7, 1, 2).requires_grad_()
    # p_t(x) = p_σ(x/t) / t^n: its score by autograd of the mixture's log density
    (score,) = torch.autograd.grad(D.log_density(x / t, (1 - t) / t).sum(), x)
    v = Velocity(D)(x.detach(), t)
    torch.testing.assert_close((t * v - x.detach()) / (1 - t), score, rtol=1e-12, atol=1e-12)


def test_velocity_and_denoiser_are_each_other():
    class Network(torch.nn.Module):
        def forward(self, z, t):
            return torch.sin(3 * z) + t.reshape(-1, 1, 1, 1) * z.roll(1, -1)

    v, x = Velocity(FromVelocity(Network())), normal(4, 1, 3, 2)
    t = torch.tensor([0.1, 0.4, 0.7, 0.99], dtype=torch.float64)
    torch.testing.assert_close(v(x, t), Network()(x, t), rtol=1e-12, atol=1e-12)
    D = GaussianDenoiser(mean=torch.zeros(1, 3, 2).double(), spectrum=torch.full((1, 1, 1), 2.0).double())
    back = FromVelocity(Velocity(D))
    torch.testing.assert_close(back(x, 0.3), D(x, 0.3), rtol=1e-12, atol=1e-12)


def test_a_batch_of_times_equals_the_loop():
    v, x = Velocity(mixture()), normal(3, 1, 2)
    t = torch.tensor([0.0, 0.3, 0.9], dtype=torch.float64)
    each = torch.stack([v(x[i], float(t[i])) for i in range(3)])
    torch.testing.assert_close(v(x, t), each, rtol=1e-12, atol=1e-12)


def test_at_time_zero_all_velocities_point_to_the_mean():
    v, x = gaussian_flow(mean=MEAN, covariance=COVARIANCE), normal(5, 1, 3)
    torch.testing.assert_close(v(x, 0.0), (MEAN - x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("t", [1.0, -0.1, float("nan")])
def test_other_times_are_refused(t):
    with pytest.raises(invcore.ParameterError, match=r"\[0, 1\)"):
        gaussian_flow(mean=MEAN, covariance=COVARIANCE)(normal(1, 3), t)


def pushed(method, steps):
    """Mean and covariance of the discrete flow, an affine map, against those of the images."""
    v = gaussian_flow(mean=MEAN, covariance=COVARIANCE)
    x = torch.cat([torch.zeros(1, 1, 3), torch.eye(3)[:, None]]).double()
    y = transported(v, x, evenly(steps), method)[:, 0]
    M = (y[1:] - y[0]).mT
    return (y[0] - MEAN[0]).abs().max(), (M @ M.mT - COVARIANCE).abs().max()


@pytest.mark.parametrize(("method", "least"), [("euler", 1.9), ("heun", 3.5), ("midpoint", 3.5)])
def test_the_gaussian_flow_converges_in_order(method, least):
    (mean, first), (_, second) = pushed(method, 50), pushed(method, 100)
    assert mean < 1e-7
    assert first / second > least


def test_the_midpoint_method_is_as_accurate_as_it_should_be():
    _, error = pushed("midpoint", 100)
    assert error < 5e-6


def test_the_empirical_flow_ends_at_its_images():
    images = 2 * normal(20, 1, 3, seed=4)
    x = transported(empirical_flow(images), normal(500, 1, 3, seed=5), evenly(200), "euler")
    distance, index = torch.cdist(x[:, 0], images[:, 0]).min(1)
    assert distance.max() < 1e-6
    counts = torch.bincount(index, minlength=20).double()
    chi2 = ((counts - 25) ** 2 / 25).sum() / 19
    assert 0.2 < chi2 < 2.2


@pytest.mark.parametrize("sigma", [0.1, 0.5])
def test_the_likelihood_of_a_mixture(sigma):
    D, x = mixture(), 1.5 * normal(6, 1, 2, seed=6)
    found = flow_log_density(Velocity(D), x, sigma=sigma, steps=60)
    torch.testing.assert_close(found, D.log_density(x, sigma), rtol=0, atol=2e-4)


def test_the_likelihood_converges_in_fourth_order():
    D, x = mixture(), 1.5 * normal(6, 1, 2, seed=6)
    truth = D.log_density(x, 0.5)
    errors = [(flow_log_density(Velocity(D), x, sigma=0.5, steps=k) - truth).abs().max() for k in (12, 24)]
    assert errors[0] / errors[1] > 8


def test_the_estimated_likelihood_is_right_on_average():
    D = GaussianDenoiser(
        mean=torch.zeros(1, 9, 9).double(),
        spectrum=(0.5 + torch.fft.fftfreq(9)[:, None].abs().double().expand(9, 9))[None],
    )
    x = normal(1, 1, 9, 9).expand(400, 1, 9, 9)
    found = flow_log_density(Velocity(D), x, sigma=0.5, steps=8, generator=rng(1))
    error = found.mean() - D.log_density(x[0], 0.5)
    assert found.std() > 0.01
    assert error.abs() < 4 * found.std() / math.sqrt(400)
    with pytest.raises(invcore.ParameterError, match="generator"):
        flow_log_density(Velocity(D), x, sigma=0.5)
