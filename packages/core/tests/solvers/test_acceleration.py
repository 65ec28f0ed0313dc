"""Momentum as a preconditioner: the rates of V-FISTA, heavy ball and restarts that know nothing."""

import math

import pytest
import torch

from invcore import ParameterError, Physics
from invcore.fidelities import PoissonKL
from invcore.noises import GaussianNoise
from invcore.operators import Mask, Matrix
from invcore.priors import L1, Tikhonov
from invcore.solvers import FISTA, ConjugateGradient, HeavyBall, ProximalGradient, Status
from invcore_testsupport import error, normal

F64 = torch.float64


def spread(kappa):
    """½‖Dx - y‖² of 200 curvatures from ``kappa`` to 1, and its solution."""
    d = torch.logspace(math.log10(kappa), 0, 200, dtype=F64).sqrt()
    x = normal(200, seed=7)
    return Physics(Mask(d, domain=(200,))), d, d * x, x


def errors(solver, kappa, steps):
    physics, _, y, x = spread(kappa)
    found = []
    solver.solve(y, physics, callback=lambda k, p, s: found.append(float((s.x - x).norm())) or k + 1 >= steps)
    return found


@pytest.mark.parametrize(
    ("solver", "theory", "within"),
    [
        (ProximalGradient(rtol=0.0), 1 - 1e-3, 0.002),
        (FISTA(strong_convexity=1e-3, rtol=0.0), 1 - math.sqrt(1e-3), 0.004),
        (HeavyBall(strong_convexity=1e-3, rtol=0.0), (1 - 1e-3**0.5) / (1 + 1e-3**0.5), 0.004),
    ],
)
def test_contraction_of_a_step_is_that_of_theory(solver, theory, within):
    """κ = 1e-3, from step 200 to 400 (proximal gradient: 4000 to 8000)."""
    first = 4000 if isinstance(solver, ProximalGradient) else 200
    found = errors(solver, 1e-3, 2 * first)
    assert abs((found[-1] / found[first - 1]) ** (1 / first) - theory) < within


def test_the_objective_falls_by_the_bound_of_v_fista():
    """F(x_k) - F* ≤ (1 - √κ)^k (F(x_0) - F* + μ‖x_0 - x*‖²/2), Beck (2017), Theorem 10.42."""
    kappa = 1e-2
    physics, _, y, x = spread(kappa)
    gaps = []
    solver = FISTA(strong_convexity=kappa, rtol=0.0, max_steps=100)
    solver.solve(y, physics, callback=lambda k, p, s: gaps.append(float(p.objective(s.x))) and False)
    first = float(y.square().sum() / 2 + kappa * x.square().sum() / 2)
    assert all(gap <= (1 - kappa**0.5) ** (k + 1) * first * (1 + 1e-12) for k, gap in enumerate(gaps))


def steps_to(solver, kappa, rtol=1e-8):
    physics, d, y, _ = spread(kappa)
    least = rtol * float((d * y).norm())
    found = []

    def small(k, problem, state):
        found.append(k)
        return float(problem.gradient(state.x).norm()) <= least

    solver(kappa).solve(y, physics, callback=small)
    return len(found)


@pytest.mark.parametrize(
    ("solver", "low", "high"),
    [
        (lambda k: FISTA(strong_convexity=k, rtol=0.0), 0.38, 0.54),
        (lambda k: FISTA(rtol=0.0), 0.3, 0.6),
        (lambda k: FISTA(restart="free", rtol=0.0), 0.3, 0.6),
        (lambda k: HeavyBall(strong_convexity=k, rtol=0.0), 0.38, 0.54),
    ],
    ids=["v_fista", "gradient", "free", "heavy_ball"],
)
def test_steps_grow_with_the_root_of_the_condition(solver, low, high):
    """Slope in log-log of the steps to 1e-8 of the gradient, κ from 1e-2 to 1e-4."""
    few, many = (steps_to(solver, kappa) for kappa in (1e-2, 1e-4))
    assert low < math.log10(many / few) / 2 < high


def test_plain_gradient_steps_grow_with_the_condition():
    few, many = (steps_to(lambda k: ProximalGradient(rtol=0.0), kappa) for kappa in (1e-1, 1e-2))
    assert 0.83 < math.log10(many / few) < 1.03


# -- restarts --------------------------------------------------------------------------------------


def reference(values, lengths, C=6.38):
    """The rule as it is written, in Python numbers."""
    n = [math.floor(2 * C)] * 2
    for j in range(2, len(values)):
        estimates = [
            4 / (n[i - 1] + 1) ** 2 * (values[i - 1] - values[j]) / (values[i] - values[j])
            for i in range(1, j)
        ]
        n.append(2 * n[-1] if n[-1] <= C / math.sqrt(min(estimates)) else n[-1])
    return n[: len(lengths)]


def test_free_restarts_come_when_the_rule_says():
    """The runs between restarts, read off the momentum, are n_0, n_1, … of the rule; so is F at each."""
    physics, d, y, _ = spread(1e-3)
    since, lengths, values = 0, [], [float(y.square().sum() / 2)]

    def watch(k, problem, state):
        nonlocal since
        since += 1
        if float(state.t) == 1.0:
            lengths.append(since)
            values.append(float((d * state.x - y).square().sum() / 2))
            since = 0

    solution = FISTA(restart="free", rtol=0.0, max_steps=400).solve(y, physics, callback=watch)
    assert len(lengths) >= 6 and lengths == reference(values, lengths)
    growth = float(solution.state.schedule.growth)
    assert 1e-3 < growth < 2e-2  # an overestimate by the theorem, of the right order


def test_free_restarts_of_a_sample_do_not_depend_on_its_batch():
    A, y = normal(20, 12), normal(3, 20, seed=1)
    y[1] = 1e3 * y[1]
    solver = FISTA(prior=L1(), weight=torch.tensor([0.1, 30.0, 3.0]), restart="free", rtol=1e-9)
    together = solver.solve(y, Physics(Matrix(A)))
    for i in range(3):
        alone = FISTA(prior=L1(), weight=float(solver.weight[i]), restart="free", rtol=1e-9).solve(
            y[i], Physics(Matrix(A))
        )
        assert error(together.value[i], alone.value) < 1e-6
        assert abs(int(together.stats["steps"][i]) - int(alone.stats["steps"])) <= 1


@pytest.mark.parametrize("restart", ["gradient", "free", None])
def test_all_restarts_end_at_the_lasso(restart):
    A, y = normal(12, 20), normal(12, seed=1)
    solver = FISTA(prior=L1(), weight=2.0, rtol=1e-12, restart=restart, max_steps=40_000)
    x = solver(y, Physics(Matrix(A)))
    dual = A.T @ (y - A @ x) / 2.0
    on = x.abs() > 1e-8
    assert torch.allclose(dual[on], x[on].sign(), atol=1e-6) and float(dual.abs().max()) < 1 + 1e-6


# -- heavy ball ------------------------------------------------------------------------------------


def test_heavy_ball_is_a_linear_recurrence():
    """Per curvature ξ: x_{k+1} = (1 + b - sξ)x_k - b x_{k-1}, a power of a companion matrix."""
    L, mu = 3.0, 0.2
    s, b = 4 / (L**0.5 + mu**0.5) ** 2, ((L**0.5 - mu**0.5) / (L**0.5 + mu**0.5)) ** 2
    d = torch.tensor([L, 1.0, mu], dtype=F64)
    solver = HeavyBall(strong_convexity=mu / L, rtol=0.0, max_steps=25)
    start = torch.ones(3, dtype=F64)
    x = solver.solve(torch.zeros(3, dtype=F64), Physics(Mask(d.sqrt(), domain=(3,))), x0=start).value
    for xi, value in zip(d.tolist(), x.tolist()):
        step = torch.tensor([[1 + b - s * xi, -b], [1.0, 0.0]], dtype=F64)
        expected = torch.linalg.matrix_power(step, 25) @ torch.ones(2, dtype=F64)
        assert abs(value - float(expected[0])) < 1e-13


def test_a_ridge_tells_heavy_ball_its_curvature():
    A, y = normal(20, 30), normal(2, 20, seed=1)
    weight = torch.tensor([0.5, 5.0], dtype=F64, requires_grad=True)
    physics = Physics(Matrix(A), GaussianNoise(sigma=0.7))
    solver = HeavyBall(prior=Tikhonov(), weight=weight, rtol=1e-12)
    solution = solver.solve(y, physics, differentiate="implicit")
    exact = ConjugateGradient(weight=weight, rtol=1e-14).solve(y, physics, differentiate="implicit").value
    assert solution.status is Status.CONVERGED and error(solution.value.detach(), exact.detach()) < 1e-9
    found, expected = (torch.autograd.grad(x.square().sum(), weight)[0] for x in (solution.value, exact))
    assert error(found, expected) < 1e-6


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: HeavyBall(prior=L1()), "no squared norm"),
        (lambda: HeavyBall(strong_convexity=1.5), "from 0 to 1"),
        (lambda: HeavyBall()(torch.ones(2), Physics(Mask(torch.ones(2), domain=(2,)))), "least curvature"),
        (
            lambda: HeavyBall(fidelity=PoissonKL())(torch.ones(2), Physics(Mask(torch.ones(2), domain=(2,)))),
            "least squares",
        ),
        (lambda: FISTA(strong_convexity=0.0), "above 0"),
        (lambda: FISTA(restart=True), "'gradient', 'free', 'residual' or None"),
    ],
)
def test_wrong_options_are_refused(make, words):
    with pytest.raises(ParameterError, match=words):
        make()
