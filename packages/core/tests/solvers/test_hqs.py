"""Half-quadratic splitting: the smoothed problem it solves, and the schedule of DPIR."""

import pytest
import torch

from invcore import ParameterError, Physics
from invcore.denoisers import BM3D, Denoiser, WaveletDenoiser
from invcore.noises import GaussianNoise
from invcore.operators import Convolution, Identity, LinearOperator, Mask
from invcore.priors import L1, PnP, Prior
from invcore.solvers import ADMM, FISTA, HalfQuadraticSplitting, Status
from invcore_testsupport import error, normal, physics_of, rng

F64 = torch.float64


def soft(b, t):
    return b.sign() * (b.abs() - t).clamp_min(0)


@pytest.mark.parametrize("sharpness", [1.0, 10.0, 100.0])
def test_hqs_minimizes_the_smoothed_problem(sharpness):
    """x = prox(v), and v minimizes f + envelope: ∇f(v) = μ (x - v)."""
    A, y, weight = normal(12, 6), normal(12, seed=1), 2.0
    physics = physics_of(A)
    solver = HalfQuadraticSplitting(
        prior=L1(), weight=weight, sharpness=sharpness, rtol=1e-13, max_steps=20000
    )
    solution = solver.solve(y, physics)
    mu = sharpness * float(solution.problem.lipschitz)
    x = solution.value
    v = torch.linalg.solve(A.T @ A + mu * torch.eye(6, dtype=F64), A.T @ y + mu * x)
    assert solution.status is Status.CONVERGED
    assert torch.allclose(x, soft(v, weight / mu), atol=1e-9)


def test_hqs_tends_to_the_minimizer():
    A, y = normal(12, 6), normal(12, seed=1)
    best = FISTA(prior=L1(), weight=2.0, rtol=1e-13, max_steps=20000)(y, physics_of(A))
    found = [
        HalfQuadraticSplitting(prior=L1(), weight=2.0, sharpness=s, rtol=1e-12, max_steps=20000)(
            y, physics_of(A)
        )
        for s in (1.0, 10.0, 100.0, 1000.0)
    ]
    errors = [error(x, best) for x in found]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-3


def test_dpir_denoises_at_the_levels_of_the_paper():
    """σ_k from 49/255 to the noise level, evenly in log σ, and α_k = λσ²/σ_k² in the data step."""
    seen, y = [], 0.5 + 0.1 * normal(1, 8, 8)

    class Spy(Prior):
        def _value(self, x, space):
            raise ParameterError("no value")

        def _prox(self, x, step, space):
            seen.append((x, float(step)))
            return 0.9 * x

    physics = Physics(Identity((1, 8, 8)), GaussianNoise(sigma=0.02))
    solver = HalfQuadraticSplitting(prior=Spy(), weight=0.23, schedule="dpir")
    solution = solver.solve(y, physics)
    assert solution.status is Status.CONVERGED and int(solution.stats["steps"]) == 8
    sigma = torch.logspace(
        torch.log10(torch.tensor(49 / 255)).item(), torch.log10(torch.tensor(0.02)).item(), 8
    )
    assert torch.allclose(torch.tensor([t for _, t in seen]), sigma.double().square().float(), rtol=1e-4)
    x = torch.zeros_like(y)
    for (v, _), level in zip(seen, sigma.double()):
        alpha = 0.23 * 0.02**2 / level**2
        assert error(v, (y + alpha * x) / (1 + alpha)) < 1e-3
        x = 0.9 * v
    assert torch.equal(solution.value, 0.9 * seen[-1][0])


def test_dpir_ends_at_the_level_given():
    """σ_K = sigma_end; the data keep their own noise: v = (y + α x)/(1 + α), α = λσ²/σ_k²."""
    seen, y = [], 0.5 + 0.1 * normal(1, 8, 8)

    class Spy(Prior):
        def _value(self, x, space):
            raise ParameterError("no value")

        def _prox(self, x, step, space):
            seen.append((x, float(step) ** 0.5))
            return 0.9 * x

    solver = HalfQuadraticSplitting(prior=Spy(), weight=1.0, schedule="dpir", levels=3, sigma_end=0.04)
    solution = solver.solve(y, Physics(Identity((1, 8, 8)), GaussianNoise(sigma=0.02)))
    levels = [49 / 255, (49 / 255 * 0.04) ** 0.5, 0.04]
    assert [level for _, level in seen] == pytest.approx(levels, rel=1e-4)
    x = torch.zeros_like(y)
    for (v, _), level in zip(seen, levels):
        alpha = 0.02**2 / level**2
        assert error(v, (y + alpha * x) / (1 + alpha)) < 1e-3
        x = 0.9 * v
    assert torch.equal(solution.state.v, seen[-1][0])


@pytest.mark.parametrize("sigma", [0.02, 0.0])
def test_dpir_is_the_same_whatever_the_unit_of_the_data(sigma):
    x = torch.zeros(1, 16, 16)
    x[:, 4:12, 5:10] = 0.8
    A = Mask((torch.rand(16, 16, generator=rng()) < 0.7).float(), domain=(1, 16, 16))
    y = A(x + 0.02 * normal(1, 16, 16))
    prior = PnP(WaveletDenoiser(wavelet="haar", levels=3))
    solver = HalfQuadraticSplitting(prior=prior, weight=0.23, schedule="dpir")
    expected = solver(y, Physics(A, GaussianNoise(sigma=sigma)))
    found = solver(50 * y, Physics(50 * A, GaussianNoise(sigma=50 * sigma)))
    assert torch.allclose(found, expected, atol=1e-4)


def test_dpir_with_a_denoiser_improves_an_inpainted_image():
    x = torch.zeros(1, 32, 32)
    x[:, 8:24, 10:20] = 0.8
    mask = (torch.rand(32, 32, generator=rng()) < 0.7).float()
    physics = Physics(
        Mask(mask, domain=(1, 32, 32)),
        GaussianNoise(sigma=torch.tensor([0.02, 0.1])),
    )
    y = physics(x.expand(2, 1, 32, 32), generator=rng(1))
    prior = PnP(WaveletDenoiser(wavelet="haar", levels=3))
    x_hat = HalfQuadraticSplitting(prior=prior, weight=0.23, schedule="dpir")(y, physics)
    assert x_hat.shape == (2, 1, 32, 32)
    for i in range(2):
        assert error(x_hat[i], x) < 0.5 * error(y[i], x)


def test_hqs_refuses_options_that_make_no_sense():
    for options in (
        {"schedule": "other"},
        {"levels": 0},
        {"sharpness": 0.0},
        {"sigma_start": float("inf")},
        {"sigma_end": 0.0},
    ):
        with pytest.raises(ParameterError, match=next(iter(options))):
            HalfQuadraticSplitting(prior=L1(), weight=1.0, **options)


@pytest.mark.parametrize("solver", [HalfQuadraticSplitting, ADMM])
def test_a_closed_form_of_the_data_step_replaces_its_iterations(solver, monkeypatch):
    """Each step looks at the residual once; without the closed form it takes several times as many grams."""
    counts = []

    def counted(self, x):
        counts[-1] += 1
        return gram(self, x)

    gram = Convolution._gram
    monkeypatch.setattr(Convolution, "_gram", counted)
    A = Convolution(torch.rand(1, 5, 4, generator=rng(1)).double(), domain=(1, 16, 15))
    physics = Physics(A, GaussianNoise(sigma=0.1))
    y = physics(torch.rand(1, 16, 15, generator=rng(2)).double(), generator=rng(3))
    found = []
    for _ in range(2):
        counts.append(0)
        found.append(solver(prior=L1(), weight=1.0, max_steps=3000).solve(y, physics))
        monkeypatch.setattr(Convolution, "_ridge", LinearOperator._ridge)
    assert counts[0] <= 1.1 * int(found[0].stats["steps"]) + 2 and counts[1] > 1.5 * counts[0]
    assert error(found[0].value, found[1].value) < 5e-3


@pytest.mark.parametrize("make", [HalfQuadraticSplitting, ADMM])
def test_a_denoiser_that_never_settles_does_not_run_to_the_step_limit(make):
    """Block matching changes its mind: the iterates move by 1e-4 to 1e-3 for ever."""
    x = torch.zeros(1, 32, 32)
    x[:, 8:24, 8:24] = 1.0
    physics = Physics(
        Convolution(torch.full((1, 3, 3), 1 / 9), domain=(1, 32, 32)),
        GaussianNoise(sigma=0.05),
    )
    y = physics(x, generator=torch.Generator().manual_seed(0))
    solution = make(prior=PnP(BM3D())).solve(y, physics)
    assert solution.status is Status.CONVERGED and int(solution.stats["steps"]) <= 60
    assert float((solution.value - x).square().mean()) < float((y - x).square().mean())


def test_the_continuation_starts_where_the_denoiser_does():
    """Without a limit the first level would be ten times the noise, here 0.5."""
    seen = []

    class Small(Denoiser):
        channels, value_range, sigma_range, spatial_dims = None, None, (0.0, 0.2), 2

        def denoise(self, x, sigma):
            seen.append(float(sigma))
            return x / (1 + sigma**2)

    physics = Physics(Identity((1, 8, 8)), GaussianNoise(sigma=0.05))
    HalfQuadraticSplitting(prior=PnP(Small()), max_steps=30)(normal(1, 8, 8), physics)
    assert seen[0] == pytest.approx(0.2, rel=1e-4) and seen[-1] == pytest.approx(0.05 / 10**0.5, rel=1e-3)
