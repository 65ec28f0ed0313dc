"""Likelihoods of angles and of closure quantities against simulated noise."""

import math

import pytest
import torch
from scipy import stats

from invcore import ShapeError
from invcore.operators import Space
from invcore_radio import (
    BlockCovariance,
    ClosurePhases,
    CorrelatedLeastSquares,
    CorrelatedPhaseLikelihood,
    LogClosureAmplitudes,
    PhaseLikelihood,
    closure_quadrangles,
    closure_triangles,
    wrapped,
)


@pytest.mark.parametrize("rho", [100.0, 15.0])
def test_correlated_likelihoods_follow_chi_squared(baselines, noisy, visibilities, rho, generator):
    """At the truth 2f is χ² distributed with as many degrees of freedom as there are closures."""
    a, b, time = baselines(6)
    V = visibilities((len(a), 1), generator)
    sigma = V.abs() / rho
    data = noisy(V, sigma, 3000, generator)
    for A in (
        ClosurePhases(closure_triangles(a, b, time)),
        LogClosureAmplitudes(closure_quadrangles(a, b, time)),
    ):
        f = A.noise(V, sigma, correlated=True).likelihood()
        y = A.measured(data)
        chi2 = 2 * f.value(A(V).expand_as(y), y, A.range)
        assert stats.kstest(chi2.numpy(), stats.chi2(len(A.closures)).cdf).pvalue > 1e-3
        independent = A.noise(V, sigma).likelihood()
        narrow = 2 * independent.value(A(V).expand_as(y), y, A.range)
        assert narrow.mean() == pytest.approx(len(A.closures), rel=0.05)
        assert narrow.var() > 1.3 * chi2.var()  # without the correlations it is not χ²


@pytest.mark.parametrize("rho", [2.0, 4.0, 10.0])
def test_expected_value_of_phase_likelihoods_at_any_signal(baselines, noisy, visibilities, rho, generator):
    a, b, time = baselines(5)
    A = ClosurePhases(closure_triangles(a, b, time))
    V = visibilities((len(a), 1), generator)
    sigma = V.abs() / rho
    strong = V * math.sqrt(1 + 2 / rho**2)  # its estimated signal-to-noise ratio is the true one
    y = A.measured(noisy(V, sigma, 20_000, generator))
    for correlated in (False, True):
        f = A.noise(strong, sigma, correlated=correlated).likelihood()
        mean = f.value(A(V).expand_as(y), y, A.range).mean()
        assert mean == pytest.approx(float(f.expected()), rel=0.03)


def test_likelihood_of_angles_is_smooth_over_the_jump(generator):
    y = torch.tensor([3.1, -3.0, 0.2], dtype=torch.float64)
    sigma = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    covariance = BlockCovariance(index=torch.tensor([[0, 1, 2]]), matrix=torch.diag(sigma**2)[None])
    for f in (PhaseLikelihood(sigma=sigma), CorrelatedPhaseLikelihood(covariance)):
        u = torch.linspace(-math.pi, 5 * math.pi, 2001, dtype=torch.float64)[:, None].expand(-1, 3)
        value, grad = f.value(u, y, Space((3,))), f.grad(u, y, Space((3,)))
        again = f.value(u + 2 * math.pi, y, Space((3,)))
        assert (again - value).abs().max() < 1e-9 * value.max()
        assert (f.value(wrapped(u), y, Space((3,))) - value).abs().max() < 1e-9 * value.max()
        slope = torch.gradient(value, spacing=(float(u[1, 0] - u[0, 0]),))[0]
        assert (slope - grad.sum(-1))[1:-1].abs().max() < 1e-3 * slope.abs().max()
    first, second = PhaseLikelihood(sigma=sigma), CorrelatedPhaseLikelihood(covariance)
    assert (first.value(u, y, Space((3,))) - second.value(u, y, Space((3,)))).abs().max() < 1e-9
    assert float(first.expected()) == pytest.approx(float(second.expected()), rel=1e-12)


def test_correlated_phases_are_least_squares_for_small_differences(generator):
    root = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    covariance = BlockCovariance(
        index=torch.arange(5)[None], matrix=(root @ root.T + torch.eye(5))[None] * 1e-2
    )
    y = torch.tensor([3.14, -3.14, 0.0, 1.0, 2.0], dtype=torch.float64)
    d = 1e-4 * torch.randn(5, generator=generator, dtype=torch.float64)
    angle = CorrelatedPhaseLikelihood(covariance).value(wrapped(y + d), y)
    plain = CorrelatedLeastSquares(covariance).value(y + d, y)
    assert float(angle) == pytest.approx(float(plain), rel=1e-5)


def test_prox_of_angles_against_a_grid(generator):
    grid = torch.linspace(-10, 10, 400_001, dtype=torch.float64)
    for _ in range(30):
        y, u = 6 * torch.rand(2, generator=generator, dtype=torch.float64) - 3
        sigma = 0.1 + 2 * torch.rand((), generator=generator, dtype=torch.float64)
        step = 5 * float(torch.rand((), generator=generator))
        f = PhaseLikelihood(sigma=sigma)
        objective = (1 - torch.cos(grid - y)) / sigma**2 + (grid - u) ** 2 / (2 * step)
        z = f.prox(u, y, step, Space(()))
        value = (1 - torch.cos(z - y)) / sigma**2 + (z - u) ** 2 / (2 * step)
        assert float(value) <= float(objective.min()) + 1e-9


def test_errors_of_another_shape_are_named():
    u = torch.zeros(2, 4)
    with pytest.raises(ShapeError, match=r"sigma has shape \(3,\); expected \(batch\.\.\., 4\)"):
        PhaseLikelihood(sigma=torch.ones(3)).value(u, u, Space((4,)))
