"""Replacement, ALD, DDNM, LGD and FlowDPS against their formulas, and where they are exact."""

import pytest
import torch

from invcore import Denoiser, ParameterError, Physics
from invcore.denoisers import GaussianDenoiser
from invcore.noises import GaussianNoise
from invcore.operators import Mask, Operator, Space
from invcore.solvers import Problem
from invcore_diffusion import ALD, DDNM, DPS, FlowDPS, LossGuided, PiGDM, Replacement
from invcore_testsupport import error, normal, physics_of, rng

NOISE = 0.3
A = normal(2, 3, seed=3)
ROWS = torch.linalg.qr(A.T)[0].T  # A Aᵀ = 1
EYE = torch.eye(3, dtype=torch.float64)
COVARIANCE = torch.tensor([[1.0, 0.5, 0.1], [0.5, 0.8, -0.2], [0.1, -0.2, 0.4]], dtype=torch.float64)


class Affine(Denoiser):
    """D(x, σ) = C (C + σ²)⁻¹ x, of vectors."""

    covariance: torch.Tensor
    channels, value_range, sigma_range, spatial_dims = None, None, (0.0, float("inf")), 0

    def denoise(self, x, sigma):
        return x @ torch.linalg.solve(self.covariance + sigma**2 * EYE, self.covariance)


def problem_of(y, matrix=A, noise=NOISE):
    physics = physics_of(matrix, noise)
    return Problem(physics=physics, y=y, fidelity=physics.likelihood())


def conditional_mean(covariance, x, y, sigma, matrix, noise):
    precision = torch.linalg.inv(covariance) + EYE / sigma**2 + matrix.T @ matrix / noise**2
    return torch.linalg.solve(precision, (x / sigma**2 + y @ matrix / noise**2).mT).mT


X, Y = normal(5, 3), normal(5, 2, seed=1)


def test_ald_is_exact_for_images_of_any_size_and_orthonormal_rows():
    D, sigma = Affine(covariance=1e10 * EYE), 0.7
    found = ALD().estimate(problem_of(Y, ROWS), D, X, sigma, rng())
    assert error(found, conditional_mean(1e10 * EYE, X, Y, sigma, ROWS, NOISE)) < 1e-8


def test_ald_is_its_formula():
    D, sigma, gamma = Affine(covariance=COVARIANCE), 0.7, 1.6
    expected = D(X, sigma) + (Y - X @ A.T) @ A / (NOISE**2 / sigma**2 + gamma**2)
    assert error(ALD(gamma=gamma).estimate(problem_of(Y), D, X, sigma, rng()), expected) < 1e-12


def test_ddnm_is_exact_for_white_images_without_noise():
    D, sigma = Affine(covariance=0.6 * EYE), 0.7
    found = DDNM().estimate(problem_of(Y, noise=None), D, X, sigma, rng())
    assert error(found, conditional_mean(0.6 * EYE, X, Y, sigma, A, 1e-5)) < 1e-6
    assert error(found @ A.T, Y) < 1e-12


def test_replacement_puts_the_data_at_the_level_of_the_image():
    problem, sigma, n = problem_of(Y, noise=None), 0.4, normal(5, 3)
    found = Replacement().after(problem, X, sigma, rng())  # its noise is the same n
    expected = X + (Y + sigma * n @ A.T - X @ A.T) @ torch.linalg.pinv(A).T
    assert error(found, expected) < 1e-12
    half = Replacement(weight=0.5).after(problem, X, sigma, rng())
    assert error(half, (X + expected) / 2) < 1e-12
    assert error(Replacement().after(problem, X, 0.0, rng()) @ A.T, Y) < 1e-12


def test_replacement_with_a_mask_is_inpainting():
    mask = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
    truth, x, n = normal(4, 1, 3, seed=5), normal(4, 1, 3, seed=6), normal(4, 1, 3)
    physics = Physics(Mask(mask, domain=(1, 3)))
    problem = Problem(physics=physics, y=mask * truth, fidelity=physics.likelihood())
    found = Replacement().after(problem, x, 0.5, rng())
    assert error(found, torch.where(mask > 0, truth + 0.5 * n, x)) < 1e-12


def test_lgd_tends_to_pigdm_with_the_draws():
    D, sigma, problem = Affine(covariance=COVARIANCE), 0.7, problem_of(Y, noise=1.0)
    exact = PiGDM(variance=0.8).estimate(problem, D, X, sigma, rng())
    errors = [
        error(LossGuided(draws=n, variance=0.8).estimate(problem, D, X, sigma, rng()), exact)
        for n in (100, 100_000)
    ]
    assert errors[1] < 0.01 and 10 < errors[0] / errors[1] < 100  # √1000 = 32


def test_lgd_of_one_draw_without_spread_is_dps():
    D, sigma, problem = Affine(covariance=COVARIANCE), 0.7, problem_of(Y)
    found = LossGuided(draws=1, variance=1e-20).estimate(problem, D, X, sigma, rng())
    assert error(found, DPS().estimate(problem, D, X, sigma, rng())) < 1e-8


class Squares(Operator):
    domain = range = Space((3,))

    def forward(self, x):
        return x.square()


def test_lgd_is_the_gradient_of_the_averaged_likelihood_of_any_operator():
    D, sigma, x, y = Affine(covariance=COVARIANCE), 0.7, X.clone().requires_grad_(), normal(5, 3, seed=2)
    physics = Physics(Squares(), GaussianNoise(sigma=0.8))
    problem = Problem(physics=physics, y=y, fidelity=physics.likelihood())
    r = (sigma**2 * 0.5 / (sigma**2 + 0.5)) ** 0.5
    z = D(x, sigma) + r * normal(6, 5, 3)
    log = (-((z.square() - y).square().sum(-1)) / (2 * 0.64)).logsumexp(0).sum()
    expected = (D(x, sigma) + sigma**2 * torch.autograd.grad(log, x, retain_graph=True)[0]).detach()
    assert error(LossGuided(draws=6, variance=0.5).estimate(problem, D, x, sigma, rng()), expected) < 1e-12


def test_flow_dps_moves_to_the_data_by_its_share():
    D, sigma = Affine(covariance=COVARIANCE), 0.7
    z = D(X, sigma)
    for _ in range(3):
        z = z - (z @ A.T - Y) @ A / torch.linalg.matrix_norm(A, 2) ** 2
    share = sigma / (1 + sigma)
    expected = (1 - share) * D(X, sigma) + share * z
    for noise in (NOISE, 2.0):  # whatever it is
        found = FlowDPS().estimate(problem_of(Y, noise=noise), D, X, sigma, rng())
        assert error(found, expected) < 1e-8


@pytest.mark.parametrize("guidance", [ALD(), DDNM(), Replacement(), FlowDPS()], ids=repr)
def test_they_are_for_linear_operators(guidance):
    D = GaussianDenoiser(mean=torch.zeros(1, 3), spectrum=torch.ones(1, 1))
    physics = Physics(Squares(), GaussianNoise(sigma=0.8))
    problem = Problem(physics=physics, y=torch.ones(3), fidelity=physics.likelihood())
    with pytest.raises(ParameterError, match="linear"):
        guidance.after(problem, guidance.estimate(problem, D, torch.ones(1, 3), 0.5, rng()), 0.1, rng())


@pytest.mark.parametrize(
    "make",
    [
        lambda: ALD(gamma=-1.0),
        lambda: Replacement(weight=0.0),
        lambda: LossGuided(draws=0),
        lambda: FlowDPS(gradient_steps=0),
    ],
)
def test_what_makes_no_sense_is_refused(make):
    with pytest.raises(ParameterError):
        make()


def test_data_that_see_nothing_lead_nowhere():
    physics = Physics(Mask(torch.zeros(1, 3), domain=(1, 3)), GaussianNoise(sigma=0.5))
    problem = Problem(physics=physics, y=torch.zeros(1, 3), fidelity=physics.likelihood())
    D = GaussianDenoiser(mean=torch.zeros(1, 3), spectrum=torch.ones(1, 1))
    x = torch.ones(1, 3)
    assert torch.equal(FlowDPS().estimate(problem, D, x, 1.0, rng()), D(x, 1.0))
