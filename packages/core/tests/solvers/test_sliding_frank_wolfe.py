"""Spikes off the grid: the stated positions, the certificate, the bias of first order, noise and counts."""

import pytest
import torch

from invcore import ParameterError, Physics
from invcore.fidelities import PoissonKL
from invcore.metrics import Hausdorff, SpikeMatching
from invcore.noises import GaussianNoise
from invcore.operators import Identity, MeasureSamples
from invcore.solvers import SlidingFrankWolfe, Status
from invcore_testsupport import normal, rng

F64 = torch.float64
TRUE = torch.tensor([[1.2, 0.7], [1.0, 0.3], [0.8, 0.42]], dtype=F64)


def line(spikes=6, dtype=F64, sigma=0.05):
    return MeasureSamples(torch.linspace(0, 1, 101, dtype=dtype)[:, None], spikes=spikes, sigma=sigma)


def filled(spikes, rows):
    out = torch.zeros(rows, spikes.shape[-1], dtype=spikes.dtype)
    out[: len(spikes)] = spikes
    return out


def test_three_spikes_are_found_in_three_rounds():
    """Separation 2.4 σ, λ = 1e-4, no noise: positions to 1e-6, amplitudes low by 1e-5, certified."""
    A = line()
    solution = SlidingFrankWolfe(weight=1e-4).solve(A(filled(TRUE, 6)), Physics(A))
    x = solution.value
    assert solution.status is Status.CONVERGED and int(solution.stats["steps"]) == 3
    assert float((x[:3, 1] - TRUE[:, 1]).abs().max()) < 1e-6 and not x[3:].any()
    low = TRUE[:, 0] - x[:3, 0]
    assert bool((low > 0).all()) and float(low.max()) < 1.3e-5
    assert abs(float(solution.state.certificate) - 1) < 1e-4


def test_the_bias_is_that_of_first_order():
    """(a, p) - true = -λ (JᵀJ)⁻¹ (s, 0), J the derivative in amplitudes and positions, up to λ²."""
    A, weight = line(3), 1e-3
    jacobian = A.linearize(TRUE).dense()
    signs = torch.tensor([1.0, 0.0] * 3, dtype=F64)
    expected = -weight * torch.linalg.solve(jacobian.T @ jacobian, signs).reshape(3, 2)
    found = SlidingFrankWolfe(weight=weight)(A(TRUE), Physics(A)) - TRUE
    assert float((found - expected).abs().max()) < 0.01 * float(expected.abs().max())


def test_the_certificate_holds_on_a_fine_grid():
    """|η| ≤ 1 everywhere and 1 at the spikes, computed here from the data and the list alone."""
    A, weight = line(20), 0.3
    y = A(filled(TRUE, 20)) + 0.05 * normal(101, seed=3)
    solution = SlidingFrankWolfe(weight=weight, signed=True).solve(y, Physics(A))
    x, t = solution.value, torch.linspace(0, 1, 101, dtype=F64)
    x = x[x[:, 0] != 0]
    atoms = lambda p: torch.exp(-((t - p[:, None]) ** 2) / (2 * 0.05**2))
    residual = y - x[:, 0] @ atoms(x[:, 1])
    grid = torch.linspace(0, 1, 5001, dtype=F64)
    assert solution.status is Status.CONVERGED
    assert float((atoms(grid) @ residual / weight).abs().max()) < 1 + 1.1e-4
    assert float((atoms(x[:, 1]) @ residual / weight - x[:, 0].sign()).abs().max()) < 1e-6


def test_signed_spectra():
    """Spikes of both signs from 21 Fourier coefficients, 2/f_max apart (wrapped around)."""
    A = MeasureSamples(torch.arange(-10.0, 11.0, dtype=F64)[:, None], spikes=5, kernel="fourier")
    true = torch.tensor([[1.0, 0.2], [-0.7, 0.5], [0.5, 0.81]], dtype=F64)
    x = SlidingFrankWolfe(weight=1e-3, signed=True)(A(filled(true, 5)), Physics(A))
    assert float((x[:3] - true).abs().max()) < 2e-4
    positive = SlidingFrankWolfe(weight=1e-3, max_steps=8).solve(A(filled(true, 5)), Physics(A))
    assert float(positive.value[:, 0].min()) >= 0


def camera(n, rows):
    axis = torch.arange(float(n), dtype=F64)
    points = torch.cartesian_prod(axis, axis).reshape(1, n, n, 2)
    return MeasureSamples(points, spikes=rows, kernel="pixel", sigma=1.1, pixel=1.0)


def test_molecules_in_counts():
    """Poisson counts of four sources of 2,000 photons over a background, to a tenth of a pixel."""
    A = camera(16, 8)
    true = torch.tensor(
        [[2000, 4.3, 5.1], [2000, 11.2, 4.4], [2000, 7.9, 10.6], [2000, 12.5, 11.1]], dtype=F64
    )
    y = torch.poisson(A(filled(true, 8)) + 2.0, generator=rng(5))
    solver = SlidingFrankWolfe(weight=0.3, fidelity=PoissonKL(background=2.0))
    solution = solver.solve(y, Physics(A))
    strong = solution.value * (solution.value[:, :1] > 200)
    assert float(SpikeMatching(tolerance=0.3)(strong, true)) == 1.0
    assert float(SpikeMatching(tolerance=0.3, measure="rmse")(strong, true)) < 0.1
    assert float(Hausdorff()(strong, true)) < 0.2


def test_each_sample_of_a_batch_has_its_own_problem():
    A = line()
    lists = torch.stack([filled(TRUE, 6), filled(TRUE[:1], 6), torch.zeros(6, 2, dtype=F64)])
    weights = torch.tensor([1e-3, 0.1, 1.0], dtype=F64)
    physics = Physics(A, GaussianNoise(sigma=0.5))
    together = SlidingFrankWolfe(weight=weights).solve(A(lists), physics)
    assert together.stats["steps"].tolist() == [3, 1, 0]
    for i in range(3):
        alone = SlidingFrankWolfe(weight=float(weights[i]))(A(lists[i]), physics)
        assert float((together.value[i] - alone).abs().max()) < 1e-9


def test_single_precision_and_a_warm_start():
    A = line(dtype=torch.float32)
    x = SlidingFrankWolfe(weight=1e-3).solve(A(filled(TRUE, 6).float()), Physics(A)).value
    assert x.dtype == torch.float32 and float((x[:3, 1] - TRUE[:, 1]).abs().max()) < 1e-4
    A = line()
    near = filled(TRUE, 6) + 0.01 * (filled(TRUE, 6) != 0)
    solution = SlidingFrankWolfe(weight=1e-4).solve(A(filled(TRUE, 6)), Physics(A), x0=near)
    assert int(solution.stats["steps"]) <= 2
    assert float((solution.value[:3] - TRUE).abs().max()) < 2e-5


def test_implicit_derivatives_are_those_of_the_solution():
    """To the data, the weight and the width, against differences of solutions."""
    truth = filled(TRUE, 4)
    y = (line(4)(truth) + 0.01 * normal(101, seed=2)).requires_grad_()
    weight, sigma = (torch.tensor(v, dtype=F64, requires_grad=True) for v in (0.05, 0.05))

    def total(y, weight, sigma, mode="none"):
        physics = Physics(line(4, sigma=sigma), GaussianNoise(sigma=0.5))
        x = SlidingFrankWolfe(weight=weight).solve(y, physics, differentiate=mode).value
        return (x[:3] * torch.tensor([[1.0, 2.0], [-0.5, 1.0], [0.3, -1.0]], dtype=F64)).sum()

    found = torch.autograd.grad(total(y, weight, sigma, "implicit"), (y, weight, sigma))
    plain, h = (y.detach(), weight.detach(), sigma.detach()), 1e-6
    moves = (normal(101, seed=5), torch.tensor(1.0, dtype=F64), torch.tensor(1.0, dtype=F64))
    for i, (slope, move) in enumerate(zip(found, moves)):
        ends = [total(*(v + s * h * move if i == j else v for j, v in enumerate(plain))) for s in (1, -1)]
        exact = float(ends[0] - ends[1]) / (2 * h)
        assert abs(float((slope * move).sum()) - exact) < 1e-5 * max(abs(exact), 1)


def test_a_full_list_is_no_proof():
    A = line(2)
    solution = SlidingFrankWolfe(weight=1e-4, max_steps=4).solve(line(3)(TRUE), Physics(A))
    assert solution.status is Status.MAX_STEPS and float(solution.state.certificate) > 1.1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SlidingFrankWolfe(weight=0.0), "weight must be positive"),
        (lambda: SlidingFrankWolfe(weight=1.0)(torch.ones(3), Physics(Identity((3,)))), "'measure_samples'"),
        (
            lambda: SlidingFrankWolfe(weight=1.0)(
                torch.ones(2, 101), Physics(line(sigma=torch.tensor([0.1, 0.2])))
            ),
            "one width for all",
        ),
    ],
)
def test_what_it_cannot_solve_is_refused(call, words):
    with pytest.raises(ParameterError, match=words):
        call()
