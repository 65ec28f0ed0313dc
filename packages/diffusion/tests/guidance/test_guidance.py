"""Guided estimates of Gaussian images against conditional means, and against the formulas of their papers."""

import pytest
import torch

from invcore import Denoiser, ParameterError, Physics
from invcore.denoisers import GaussianDenoiser
from invcore.noises import PoissonNoise
from invcore.operators import Matrix, Operator, Space
from invcore.solvers import Problem
from invcore_diffusion import DPS, DiffPIR, MomentMatching, PiGDM
from invcore_testsupport import error, normal, physics_of, rng

NOISE = 0.3
A = normal(2, 3, seed=3)
MEAN = torch.tensor([0.5, -0.2, 0.1], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.0, 0.5, 0.1], [0.5, 0.8, -0.2], [0.1, -0.2, 0.4]], dtype=torch.float64)
EYE = torch.eye(3, dtype=torch.float64)
HERMITIAN = COVARIANCE + 0.2j * (EYE.roll(1, 0).tril() - EYE.roll(1, 0).tril().T)


class Vectors(Denoiser):
    """A denoiser of images (1, n) for vectors (n,), its channels."""

    images: Denoiser
    channels, value_range, sigma_range, spatial_dims = None, None, (0.0, float("inf")), 0

    def denoise(self, x, sigma):
        return self.images(x.unsqueeze(-2), float(sigma)).squeeze(-2)


def denoiser(covariance):
    return Vectors(GaussianDenoiser(mean=MEAN[None].to(covariance.dtype), covariance=covariance))


def problem_of(y, matrix=A, noise=NOISE):
    physics = physics_of(matrix, noise)
    return Problem(physics=physics, y=y, fidelity=physics.likelihood())


def estimate(guidance, D, x, y, sigma, **options):
    return guidance.estimate(problem_of(y, **options), D, x, sigma, rng())


def conditional_mean(covariance, x, y, sigma, matrix=A, noise=NOISE):
    """E[x₀ | x, y] of x₀ ~ N(m, C), x = x₀ + σ n and y = A x₀ + noise."""
    prior = torch.linalg.inv(covariance)
    precision = prior + EYE / sigma**2 + matrix.mH @ matrix / noise**2
    right = prior @ MEAN.to(prior.dtype) + x / sigma**2 + y @ matrix.conj() / noise**2
    return torch.linalg.solve(precision, right.unsqueeze(-1)).squeeze(-1)


@pytest.mark.parametrize("sigma", [0.01, 0.4, 30.0])
def test_moment_matching_is_exact_for_gaussian_images(sigma):
    x, y = sigma * normal(5, 3), normal(5, 2, seed=1)
    found = estimate(MomentMatching(rtol=1e-13), denoiser(COVARIANCE), x, y, sigma)
    assert error(found, conditional_mean(COVARIANCE, x, y, sigma)) < 1e-10


@pytest.mark.parametrize("variance", [1.0, 0.2, 5.0])
@pytest.mark.parametrize("sigma", [0.01, 0.4, 30.0])
def test_pigdm_is_exact_for_white_images_of_its_variance(variance, sigma):
    x, y = sigma * normal(5, 3), normal(5, 2, seed=1)
    found = estimate(PiGDM(variance=variance), denoiser(variance * EYE), x, y, sigma)
    assert error(found, conditional_mean(variance * EYE, x, y, sigma)) < 1e-10


def test_pigdm_of_other_images_is_its_formula():
    sigma, v, x, y = 0.7, 1.5, normal(3), normal(2, seed=1)
    D = denoiser(COVARIANCE)
    J = COVARIANCE @ torch.linalg.inv(COVARIANCE + sigma**2 * EYE)
    r2 = sigma**2 * v / (sigma**2 + v)
    inverse = torch.linalg.inv(r2 * A @ A.T + NOISE**2 * EYE[:2, :2])
    expected = D(x, sigma) + sigma**2 * J @ A.T @ inverse @ (y - A @ D(x, sigma))
    assert error(estimate(PiGDM(variance=v), D, x, y, sigma), expected) < 1e-12
    assert error(expected, conditional_mean(COVARIANCE, x, y, sigma)) > 1e-2  # the bias is there


@pytest.mark.parametrize(
    ("guidance", "covariance"), [(PiGDM(), EYE), (MomentMatching(rtol=1e-13), COVARIANCE)], ids=repr
)
def test_without_noise_it_is_the_limit(guidance, covariance):
    x, y = normal(5, 3), normal(5, 2, seed=1)
    found = estimate(guidance, denoiser(covariance), x, y, 0.5, noise=None)
    assert error(found, conditional_mean(covariance, x, y, 0.5, noise=1e-5)) < 1e-6
    assert error(found @ A.T, y) < 1e-12


@pytest.mark.parametrize("sigma", [0.02, 0.5, 20.0])
def test_diffpir_is_exact_for_white_images_with_a_weight_of_its_own_for_each_level(sigma):
    v, x, y = 0.6, sigma * normal(5, 3), normal(5, 2, seed=1)
    found = estimate(DiffPIR(weight=1 + sigma**2 / v), denoiser(v * EYE), x, y, sigma)
    assert error(found, conditional_mean(v * EYE, x, y, sigma)) < 1e-10


def test_diffpir_minimizes_what_its_paper_says():
    sigma, weight, x, y = 0.4, 7.0, normal(3), normal(2, seed=1)
    D = denoiser(COVARIANCE)
    z = estimate(DiffPIR(weight=weight), D, x, y, sigma).requires_grad_()
    rho = weight * NOISE**2 / sigma**2
    value = (A @ z - y).square().sum() + rho * (z - D(x, sigma)).square().sum()
    assert torch.autograd.grad(value, z)[0].abs().max() < 1e-12


def test_diffpir_without_noise_projects_on_the_data():
    x, y = normal(3), normal(2, seed=1)
    D = denoiser(COVARIANCE)
    clean = D(x, 0.4)
    expected = clean + torch.linalg.pinv(A) @ (y - A @ clean)
    assert error(estimate(DiffPIR(), D, x, y, 0.4, noise=None), expected) < 1e-12


def test_dps_is_the_gradient_of_the_likelihood_of_the_denoised_image():
    sigma, x, y = 0.7, normal(5, 3).requires_grad_(), normal(5, 2, seed=1)
    D = denoiser(COVARIANCE)
    value = (D(x, sigma) @ A.T - y).square().sum() / (2 * NOISE**2)
    expected = D(x, sigma) - 0.5 * sigma**2 * torch.autograd.grad(value, x)[0]
    assert error(estimate(DPS(weight=0.5), D, x, y, sigma), expected.detach()) < 1e-12


def test_the_normalized_step_of_dps_is_the_gradient_of_the_norm():
    sigma, x, y = 0.7, normal(5, 3).requires_grad_(), normal(5, 2, seed=1)
    D = denoiser(COVARIANCE)
    value = torch.linalg.vector_norm(D(x, sigma) @ A.T - y, dim=-1).sum()
    expected = D(x, sigma) - 3 * sigma**2 * torch.autograd.grad(value, x)[0]
    assert error(estimate(DPS(weight=3.0, normalized=True), D, x, y, sigma), expected.detach()) < 1e-12
    fits = D(x, sigma).detach() @ A.T
    assert torch.isfinite(estimate(DPS(normalized=True), D, x, fits, sigma)).all()


def test_the_normalized_step_is_that_of_the_authors_process():
    """x_t = s x, a transition with β: the next image moves by ζ ∇_{x_t} ‖y - A D‖, to first order in β."""
    beta, zeta, y = 1e-5, 0.8, normal(2, seed=1)
    alpha_bar = 0.3
    before = alpha_bar / (1 - beta)
    sigma, following = ((1 - a) / a for a in (alpha_bar, before))
    sigma, following = sigma**0.5, following**0.5
    D, xt = denoiser(COVARIANCE), normal(3).requires_grad_()
    size = torch.linalg.vector_norm(D(xt / alpha_bar**0.5, sigma) @ A.T - y)
    theirs = -zeta * torch.autograd.grad(size, xt)[0] / before**0.5  # in the coordinate x
    x = xt.detach() / alpha_bar**0.5
    shift = estimate(DPS(weight=zeta / beta, normalized=True), D, x, y, sigma) - D(x, sigma)
    ours = (1 - following**2 / sigma**2) * shift  # what an ancestral step makes of it
    assert error(ours, theirs) < 1e-4


class Intensities(Operator):
    """|A x|²: not linear."""

    matrix: torch.Tensor
    params = ("matrix",)

    @property
    def domain(self):
        return Space((3,))

    @property
    def range(self):
        return Space((2,))

    def forward(self, x):
        return (x @ self.matrix.T).square()


@pytest.mark.parametrize("normalized", [False, True])
def test_dps_leads_through_an_operator_that_is_not_linear(normalized):
    sigma, x, y = 0.7, normal(5, 3).requires_grad_(), normal(5, 2, seed=1).square()
    D, operator = denoiser(COVARIANCE), Intensities(matrix=A)
    physics = Physics(operator, physics_of(A, NOISE).noise)
    problem = Problem(physics=physics, y=y, fidelity=physics.likelihood())
    residual = operator(D(x, sigma)) - y
    value = residual.norm(dim=-1).sum() if normalized else residual.square().sum() / (2 * NOISE**2)
    expected = D(x, sigma) - sigma**2 * torch.autograd.grad(value, x)[0]
    assert error(DPS(normalized=normalized).estimate(problem, D, x, sigma, rng()), expected.detach()) < 1e-12
    with pytest.raises(ParameterError, match="linear"):
        PiGDM().estimate(problem, D, x, sigma, rng())


def test_dps_takes_the_likelihood_of_any_noise():
    D, x, y = denoiser(COVARIANCE), normal(3).abs(), torch.tensor([3.0, 1.0], dtype=torch.float64)
    physics = Physics(Matrix(A.abs()), PoissonNoise(gain=0.5))
    problem = Problem(physics=physics, y=y, fidelity=physics.likelihood())
    shift = DPS().estimate(problem, D, x, 0.1, rng()) - D(x, 0.1)
    J = COVARIANCE @ torch.linalg.inv(COVARIANCE + 0.01 * EYE)
    assert error(shift, -0.01 * J @ problem.gradient(D(x, 0.1))) < 1e-12
    with pytest.raises(ParameterError, match="Gaussian noise"):
        PiGDM().estimate(problem, D, x, 0.1, rng())


GUIDANCES = [DPS(), DPS(normalized=True), PiGDM(variance=0.7), DiffPIR(), MomentMatching(rtol=1e-13)]


@pytest.mark.parametrize("guidance", GUIDANCES, ids=repr)
def test_each_sample_has_its_own_noise_level(guidance):
    D, x, y = denoiser(COVARIANCE), normal(2, 3), normal(2, 2, seed=1)
    both = estimate(guidance, D, x, y, 0.5, noise=torch.tensor([0.1, 0.8], dtype=torch.float64))
    for i, level in enumerate((0.1, 0.8)):
        assert error(both[i], estimate(guidance, D, x[i], y[i], 0.5, noise=level)) < 1e-10


@pytest.mark.parametrize(
    ("guidance", "covariance"),
    [
        (MomentMatching(rtol=1e-13), HERMITIAN),
        (PiGDM(variance=0.7), 0.7 * EYE + 0j),
    ],
    ids=repr,
)
def test_complex_images(guidance, covariance):
    """σ is the deviation of the real and of the imaginary part, of images and data."""
    matrix = normal(2, 3, dtype=torch.complex128)
    x, y = normal(4, 3, dtype=torch.complex128), normal(4, 2, dtype=torch.complex128, seed=1)
    found = estimate(guidance, denoiser(covariance), x, y, 0.5, matrix=matrix)
    assert error(found, conditional_mean(covariance, x, y, 0.5, matrix=matrix)) < 1e-10


@pytest.mark.parametrize("make", [lambda: PiGDM(variance=0.0), lambda: DiffPIR(weight=-1.0)])
def test_what_makes_no_sense_is_refused(make):
    with pytest.raises(ParameterError, match="positive"):
        make()
