"""Priors made from denoisers against the prior of an exact Gaussian denoiser."""

import math

import pytest
import torch

from invcore import ParameterError, Physics, ShapeError
from invcore.denoisers import Denoiser, Equivariant, WaveletDenoiser
from invcore.noises import GaussianNoise
from invcore.operators import Identity, Matrix, Space
from invcore.priors import RED, GradientStep, PnP, Tikhonov
from invcore.solvers import FISTA, LBFGS
from invcore_testsupport import normal

F64 = torch.float64


class Shrink(Denoiser):
    """The posterior mean for images of white Gaussian noise with variance 1: the prior is ‖x‖²/2."""

    channels, value_range, sigma_range = None, None, (0.0, math.inf)
    spatial_dims: int = 1

    def denoise(self, x, sigma):
        return x / (1 + sigma**2)


def test_plug_and_play_of_the_exact_denoiser_is_the_proximal_operator():
    x, space, steps = normal(3, 1, 6), Space((1, 6)), torch.tensor([0.1, 1.0, 4.0], dtype=F64)
    pnp = PnP(Shrink())
    assert torch.allclose(pnp.prox(x, steps, space), Tikhonov().prox(x, steps, space))
    assert torch.allclose(PnP(Shrink(), strength=2.0).prox(x, 1.0, space), x / 5)
    assert torch.allclose(PnP(Shrink(), sigma=1.0).prox(x, steps, space), x / 2)
    # MAP of a Gaussian prior, in closed form
    M = normal(5, 6)
    physics = Physics(Matrix(M), GaussianNoise(sigma=0.5))
    y = normal(5)

    class Flat(Denoiser):
        channels, value_range, sigma_range = None, None, (0.0, math.inf)
        spatial_dims: int = 0

        def denoise(self, x, sigma):
            return x / (1 + sigma**2)

    found = FISTA(prior=PnP(Flat()), max_steps=5000, rtol=1e-9)(y, physics)
    expected = torch.linalg.solve(M.T @ M / 0.25 + torch.eye(6, dtype=F64), M.T @ y / 0.25)
    assert torch.allclose(found, expected, atol=1e-5)


def test_residual_and_score():
    x, space, sigma = normal(2, 1, 6), Space((1, 6)), torch.tensor([0.5, 2.0], dtype=F64)
    unit, score = RED(Shrink(), sigma=sigma), RED(Shrink(), sigma=sigma, scale="score")
    variance = sigma.reshape(2, 1, 1) ** 2
    assert torch.allclose(unit.grad(x, space), x * variance / (1 + variance))
    assert torch.allclose(score.grad(x, space), x / (1 + variance))  # of images N(0, 1) smoothed by σ


def test_gradient_step_against_closed_form_and_autograd():
    x, space, sigma = normal(2, 1, 6), Space((1, 6)), torch.tensor([0.5, 2.0], dtype=F64)
    g = GradientStep(Shrink(), sigma=sigma)
    factor = (sigma**2 / (1 + sigma**2)) ** 2
    assert torch.allclose(g.value(x, space), factor * x.square().sum((1, 2)) / 2)
    with torch.no_grad():
        assert torch.allclose(g.grad(x, space), factor.reshape(2, 1, 1) * x)
    point = x.clone().requires_grad_()
    second = torch.autograd.grad(g.grad(point, space).sum(), point)[0]
    assert torch.allclose(second, factor.reshape(2, 1, 1).expand_as(x))


def test_priors_of_denoisers_name_what_they_lack():
    D = WaveletDenoiser(wavelet="haar", levels=1)
    with pytest.raises(ParameterError, match="PnP has no value"):
        PnP(D).value(normal(1, 4, 4))
    with pytest.raises(ParameterError, match="RED has no value"):
        RED(D, sigma=0.1).value(normal(1, 4, 4))
    with pytest.raises(ParameterError, match="denoiser must be a Denoiser, got 0.3"):
        PnP(0.3)
    with pytest.raises(ParameterError, match="strength"):
        PnP(D, strength=0.0)
    with pytest.raises(ParameterError, match="must be positive"):
        RED(D, sigma=0.0, scale="score")
    with pytest.raises(ShapeError, match="batch shape"):
        PnP(D, sigma=torch.ones(2)).prox(normal(2, 1, 4, 4), 0.1)


def test_plug_and_play_denoises_with_a_wavelet_denoiser():
    clean = torch.zeros(1, 32, 32, dtype=F64)
    clean[:, 8:20, 10:25] = 1.0
    physics = Physics(Identity((1, 32, 32)), GaussianNoise(sigma=0.2))
    y = clean + 0.2 * normal(1, 32, 32)
    found = FISTA(prior=PnP(WaveletDenoiser(wavelet="haar")), max_steps=20)(y, physics)
    assert float((found - clean).norm()) < 0.6 * float((y - clean).norm())


@pytest.mark.parametrize("kind", [PnP, RED, GradientStep])
def test_priors_of_a_random_denoiser_draw_with_it(kind):
    D = Equivariant(WaveletDenoiser(wavelet="db2", levels=1), draw="random", seed=5)
    g = kind(denoiser=D, sigma=0.3)
    assert g.stochastic
    assert not kind(denoiser=D.denoiser, sigma=0.3).stochastic
    space, x = Space((1, 8, 8)), normal(1, 8, 8)

    def use(prior):
        return prior.prox(x, 0.5, space) if kind is PnP else prior.grad(x, space)

    drawn = [use(g.at(k)) for k in range(8)]
    assert all(torch.equal(use(kind(denoiser=D.at(k), sigma=0.3)), drawn[k]) for k in range(8))
    assert any(not torch.allclose(drawn[0], d, atol=1e-6) for d in drawn[1:])
    assert not g.at(3).stochastic
    plain = kind(denoiser=D.denoiser, sigma=0.3)
    assert plain.at(3) is plain


def test_solvers_that_need_curvature_take_a_gradient_step_prior():
    physics = Physics(Identity((1, 6)), GaussianNoise(sigma=0.5))
    y, g = normal(1, 6), GradientStep(Shrink(), sigma=0.5)  # g(x) = (x/5)²/2
    x = LBFGS(prior=g, weight=2.0, rtol=1e-9)(y, physics)
    assert torch.allclose(x, 4 * y / (4 + 2.0 / 25), rtol=1e-7)
