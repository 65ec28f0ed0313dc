"""Langevin chains against the law that each has with its step: affine recursions, and kernels on a grid."""

import numpy as np
import pytest
import scipy.linalg
import torch

from invcore import Denoiser, ParameterError, Physics
from invcore.denoisers import GaussianDenoiser
from invcore.noises import GaussianNoise, NoNoise
from invcore.operators import Identity, Matrix
from invcore.priors import L1, Box, FunctionPrior, Tikhonov
from invcore.spaces import Space
from invcore_diffusion import MYULA, PSGLA, SKROCK, ULA, PnPULA
from invcore_diffusion._mcmc.sk_rock import coefficients
from invcore_testsupport import rng

F64 = torch.float64
SIGMA = 0.8
MATRIX = torch.tensor([[1.0, 0.4], [-0.3, 0.6], [0.5, 0.2]], dtype=F64)
Y = torch.tensor([0.7, -0.4, 1.1], dtype=F64)
DATA = MATRIX.mT @ MATRIX / SIGMA**2
"""The curvature of the data's term."""


def two_pixels():
    return Physics(Matrix(MATRIX), GaussianNoise(sigma=SIGMA))


def one_pixel(sigma=1.0, kind="real"):
    return Physics(Identity(Space((1, 1), kind)), GaussianNoise(sigma=sigma))


def law(sampler, y, physics, *, chains=4000, draws=30, seed=0):
    """Mean and covariance of draws, all chains and times together."""
    generator = torch.Generator().manual_seed(seed)
    chain = sampler.chain(y, physics, draws=draws, keep=draws, chains=chains, generator=generator)
    x = chain.draws.reshape(draws * chains, -1)
    return x.mean(0), x.mT.cov()


def stationary(mean_map, noise):
    """The covariance of x' = M x + n, n ~ N(0, N)."""
    found = scipy.linalg.solve_discrete_lyapunov(mean_map.numpy(), noise.numpy())
    return torch.as_tensor(found)


def apart(found, truth):
    """The largest relative error of a variance in any direction."""
    white = torch.linalg.inv(torch.linalg.cholesky(truth))
    return float((torch.linalg.eigvalsh(white @ found @ white.mT) - 1).abs().max())


EYE = torch.eye(2, dtype=F64)
POSTERIOR = torch.linalg.inv(DATA + EYE)
SHORT = {"burn_in": 60, "thin": 10}


def bound_of(physics):
    """The certified bound of the curvature of the data's term, a little above the truth."""
    return float(physics.operator.norm()) ** 2 / SIGMA**2


# -- one pixel: the formulas of the booklet --------------------------------------------------------------


@pytest.mark.parametrize(("step", "ratio"), [(0.4, 2.5), (0.1, 1 / 0.85), (0.025, 1 / 0.9625)])
def test_variance_of_ula_is_too_large_by_half_its_step(step, ratio):
    """f'' = 1 and g'' = 2: 1/(3 (1 - 3γ/2))."""
    sampler = ULA(prior=Tikhonov(), weight=2.0, step_size=3 * step, burn_in=int(4 / step), thin=int(1 / step))
    mean, variance = law(sampler, torch.tensor([[0.7]], dtype=F64), one_pixel())
    assert float(mean) == pytest.approx(0.7 / 3, abs=0.01)
    assert float(variance) == pytest.approx(ratio / 3, rel=0.02)


@pytest.mark.parametrize(("step", "bias"), [(0.4, -0.167), (0.1, -0.048), (0.025, -0.012)])
def test_variance_of_psgla_by_its_formula(step, bias):
    k = 1 / (1 + 2 * step)
    truth = 2 * step * k**2 / (1 - k**2 * (1 - step) ** 2)
    assert truth == pytest.approx((1 + bias) / 3, rel=2e-3)
    sampler = PSGLA(prior=Tikhonov(), weight=2.0, step_size=step, burn_in=int(4 / step), thin=int(1 / step))
    _, variance = law(sampler, torch.tensor([[0.7]], dtype=F64), one_pixel())
    assert float(variance) == pytest.approx(truth, rel=0.02)


def laplace(step=None):
    """Mean and variance of exp(-(x - 0.7)²/2 - 1.5 |x|), or of the stationary law of PSGLA with a step."""
    u = np.linspace(-6, 6, 1201)
    if step is None:
        p, x = np.exp(-((u - 0.7) ** 2) / 2 - 1.5 * abs(u)), u
    else:
        x = np.sign(u) * np.maximum(abs(u) - 1.5 * step, 0)
        kernel = np.exp(-((u[:, None] - (1 - step) * x - step * 0.7) ** 2) / (4 * step))
        kernel /= kernel.sum(0)
        p = np.full(len(u), 1 / len(u))
        for _ in range(int(12 / step)):
            p = kernel @ p
    p /= p.sum()
    return (p * x).sum(), (p * x**2).sum() - (p * x).sum() ** 2


def test_psgla_with_a_laplace_prior_has_the_law_of_its_kernel():
    """Truth 0.2468 and 0.3737, and for a step of 0.2 0.237 and 0.357: the bias falls with the step."""
    assert laplace() == pytest.approx((0.2468, 0.3737), abs=1e-4)
    coarse, fine = (np.array(laplace(step)) - laplace() for step in (0.2, 0.05))
    assert (coarse / fine).min() > 2.5 and (coarse / fine).max() < 4
    sampler = PSGLA(prior=L1(), weight=1.5, step_size=0.2, burn_in=30, thin=8)
    mean, variance = law(sampler, torch.tensor([[0.7]], dtype=F64), one_pixel())
    expected = laplace(0.2)
    assert float(mean) == pytest.approx(expected[0], abs=0.006)
    assert float(variance) == pytest.approx(expected[1], rel=0.02)


# -- two pixels: discrete Lyapunov equations ---------------------------------------------------------------


def langevin_law(curvature, step):
    return stationary(EYE - step * curvature, 2 * step * EYE)


def ula_case():
    step = 1.2 / (bound_of(two_pixels()) + 1)
    return ULA(prior=Tikhonov(), step_size=1.2, **SHORT), langevin_law(DATA + EYE, step)


def myula_case():
    L = bound_of(two_pixels())
    mu, step = 0.5 / L, 0.9 / (3 * L)
    curvature = DATA + EYE * (1 - 1 / (1 + mu)) / mu
    return MYULA(prior=Tikhonov(), step_size=0.9, **SHORT), langevin_law(curvature, step)


def psgla_case():
    step = 0.9 / bound_of(two_pixels())
    shrink = EYE / (1 + step)
    truth = stationary(shrink @ (EYE - step * DATA), 2 * step * shrink @ shrink)
    return PSGLA(prior=Tikhonov(), step_size=0.9, **SHORT), truth


def sk_rock_case():
    """By the polynomials T and U of the linear test equation, written with cosines."""
    stages, step = 4, 10 / (bound_of(two_pixels()) + 1)
    omega = 1 + 0.05 / stages**2
    T, U = chebyshev(stages)
    rate = T(omega) / (stages * U(omega))
    values, vectors = torch.linalg.eigh(DATA + EYE)
    z = omega - rate * step * values.numpy()
    decay = T(z) / T(omega)
    noise = U(z) / U(omega) * (1 - rate * step * values.numpy() / 2)
    variance = torch.as_tensor(2 * step * noise**2 / (1 - decay**2))
    sampler = SKROCK(prior=Tikhonov(), stages=stages, step_size=10.0, burn_in=60, thin=4)
    return sampler, (vectors * variance) @ vectors.mT


def chebyshev(stages):
    """T_s and U_{s-1}."""

    def first(x):
        return np.polynomial.chebyshev.chebval(x, [0] * stages + [1])

    def second(x):
        return (
            np.polynomial.chebyshev.chebval(x, np.polynomial.chebyshev.chebder([0] * stages + [1])) / stages
        )

    return first, second


@pytest.mark.parametrize("case", [ula_case, myula_case, psgla_case, sk_rock_case])
def test_covariance_with_a_long_step_is_that_of_its_recursion(case):
    """The step is so long that the law is far from the posterior: a wrong constant cannot hide."""
    sampler, truth = case()
    assert apart(truth, POSTERIOR) > 0.1
    mean, covariance = law(sampler, Y, two_pixels())
    assert apart(covariance, truth) < 0.04
    if not isinstance(sampler, PSGLA):
        curvature = torch.linalg.inv(POSTERIOR) if not isinstance(sampler, MYULA) else None
        if curvature is not None:
            assert torch.allclose(mean, POSTERIOR @ MATRIX.mT @ Y / SIGMA**2, atol=0.02)


def image_physics():
    return Physics(Identity((1, 2)), GaussianNoise(sigma=SIGMA))


@pytest.mark.parametrize("make", [ULA, PnPULA], ids=lambda make: make.__name__)
def test_with_a_denoiser_the_prior_is_that_of_noisy_images(make):
    """The covariance is ((C + s²)⁻¹ + 1/σ²)⁻¹, inflated by the step."""
    C = torch.tensor([[1.0, 0.5], [0.5, 0.6]], dtype=F64)
    D = GaussianDenoiser(mean=torch.zeros(1, 2, dtype=F64), covariance=C)
    L, score = 1 / SIGMA**2, 1 / 0.5**2
    sampler = make(denoiser=D, sigma=0.5, step_size=0.9, burn_in=60, thin=10)
    total = L + score + (2 * (2 * L + score) if make is PnPULA else 0)
    curvature = torch.linalg.inv(C + 0.25 * EYE) + EYE / SIGMA**2
    truth = langevin_law(curvature, 0.9 / total)
    smoothed = torch.linalg.inv(torch.linalg.inv(C) + EYE / SIGMA**2)
    assert apart(truth, smoothed) > 0.1
    _, covariance = law(sampler, torch.zeros(1, 2, dtype=F64), image_physics())
    assert apart(covariance, truth) < 0.04


def test_the_pull_of_pnp_ula_holds_the_chain_near_its_box():
    """Data far outside: the pull 1/μ is four times the curvature of the data's term."""
    D = GaussianDenoiser(mean=torch.zeros(1, 2, dtype=F64), covariance=EYE * 1e4)
    far = torch.full((1, 2), 100.0, dtype=F64)
    pulled, projected = (
        law(PnPULA(denoiser=D, sigma=0.5, box=(-1.0, 1.0), projected=p, **SHORT), far, image_physics())[0]
        for p in (False, True)
    )
    L, score = 1 / SIGMA**2, 1 / (0.25 + 1e4)
    pull = 2 * (2 * L + 4.0)
    assert torch.allclose(pulled, torch.full_like(pulled, (100 * L + pull) / (L + score + pull)), rtol=0.01)
    assert torch.all(projected <= 1) and torch.all(projected > 0.9)


def test_complex_images_have_the_law_in_each_part():
    y = torch.tensor([[1.0 - 2.0j]], dtype=torch.complex128)
    sampler = ULA(prior=Tikhonov(), step_size=0.8, burn_in=40, thin=5)
    chain = sampler.chain(y, one_pixel(kind="complex"), draws=20, chains=4000, generator=rng(0))
    parts = torch.view_as_real(chain.draws).reshape(-1, 2)
    assert torch.allclose(parts.mean(0), torch.tensor([0.5, -1.0], dtype=F64), atol=0.02)
    assert torch.allclose(parts.mT.cov(), EYE / (2 * (1 - 0.4)), atol=0.02)


def test_a_batch_of_operators_and_noises_each_with_its_own_step():
    """The step follows the curvature of each item: one for both would be unstable, or far too short."""
    scales = torch.tensor([1.0, 10.0], dtype=F64)
    physics = Physics(Matrix(scales[:, None, None] * MATRIX), GaussianNoise(sigma=SIGMA))
    sampler = ULA(prior=Tikhonov(), step_size=0.2, burn_in=100, thin=10)
    chain = sampler.chain(scales[:, None] * Y, physics, draws=10, chains=2000, generator=rng(0))
    for i, s in enumerate(scales):
        truth = torch.linalg.inv(s**2 * DATA + EYE)
        assert apart(chain.draws[:, :, i].reshape(-1, 2).mT.cov(), truth) < 0.17


# -- SK-ROCK -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stages", [2, 5, 10])
def test_the_stages_of_sk_rock_make_the_chebyshev_polynomial(stages):
    first, *later = coefficients(stages)
    omega = 1 + 0.05 / stages**2
    T, U = chebyshev(stages)
    longest = SKROCK(prior=Tikhonov(), stages=stages)._longest()
    for z in np.linspace(0, longest, 7):
        before, now = 1.0, 1 - first[0] * z
        for mu, nu, kappa in later:
            before, now = now, nu * now + kappa * before - mu * z * now
        assert now == pytest.approx(T(omega - T(omega) / (stages * U(omega)) * z) / T(omega), abs=1e-9)
        assert abs(now) < 1 + 1e-12


def test_sk_rock_is_bounded_at_its_limit_and_refused_beyond():
    longest = SKROCK(prior=Tikhonov(), stages=3)._longest()
    sampler = SKROCK(prior=Tikhonov(), stages=3, step_size=0.999 * longest, burn_in=300)
    x = sampler(Y.expand(100, 3), two_pixels(), generator=rng(0))
    assert float(x.abs().max()) < 10
    with pytest.raises(ParameterError, match=f"stable below {longest:.4g}"):
        SKROCK(prior=Tikhonov(), stages=3, step_size=1.01 * longest)


def test_sk_rock_takes_a_prior_without_gradient_by_its_envelope():
    sampler = SKROCK(prior=L1(), weight=1.5, smoothing=0.02, step_size=1.0, burn_in=300, thin=60)
    mean, variance = law(sampler, torch.tensor([[0.7]], dtype=F64), one_pixel(), draws=10)
    assert (float(mean), float(variance)) == pytest.approx(laplace(), abs=0.02)


# -- what is refused ---------------------------------------------------------------------------------------


def test_refusals_name_what_helps():
    y, physics = torch.zeros(1, 2, dtype=F64), image_physics()
    with pytest.raises(ParameterError, match="stable below 2; got 2.5"):
        ULA(prior=Tikhonov(), step_size=2.5)
    with pytest.raises(ParameterError, match="prior= or denoiser=, got neither"):
        ULA()
    with pytest.raises(ParameterError, match="gradient of the prior, and L1 has none.*psgla"):
        ULA(prior=L1())
    with pytest.raises(ParameterError, match="FunctionPrior states no bound of its curvature.*curvature="):
        ULA(prior=FunctionPrior(torch.sum))(y, physics, generator=rng(0))
    with pytest.raises(ParameterError, match="weighs the data by their noise"):
        ULA(prior=Tikhonov())(y, Physics(Identity((1, 2)), NoNoise()), generator=rng(0))
    with pytest.raises(ParameterError, match="give the noise level sigma="):
        ULA(denoiser=Adapting())(y, physics, generator=rng(0))
    with pytest.raises(ParameterError, match="give box="):
        PnPULA(denoiser=Adapting())


class Adapting(Denoiser):
    channels, value_range, sigma_range, spatial_dims = None, None, (0.0, float("inf")), 1

    def denoise(self, x, sigma):
        return x / (1 + sigma**2)


def test_a_stated_curvature_takes_the_place_of_an_unknown_one():
    prior = FunctionPrior(lambda x: x.square().sum() / 2)
    sampler = ULA(prior=prior, curvature=1.0, burn_in=3)
    same = ULA(prior=Tikhonov(), burn_in=3)
    y = Y.expand(2, 3)
    assert torch.allclose(*(s(y, two_pixels(), generator=rng(0)) for s in (sampler, same)))


def test_a_constraint_is_kept():
    x = PSGLA(prior=Box(lower=0.0, upper=1.0), burn_in=50)(Y.expand(50, 3), two_pixels(), generator=rng(0))
    assert float(x.min()) >= 0 and float(x.max()) <= 1


def test_single_precision_stays():
    chain = ULA(prior=Tikhonov(), burn_in=20).chain(
        torch.ones(1, 2), image_physics(), draws=5, chains=4, generator=rng(0)
    )
    assert chain.draws.dtype == torch.float32 and chain.draws.shape == (5, 4, 1, 2)
