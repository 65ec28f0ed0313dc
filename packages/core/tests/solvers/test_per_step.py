"""Options with a value for each step: weights, step sizes, penalties and noise levels."""

import dataclasses

import pytest
import torch

import invcore
from invcore import ParameterError, Physics
from invcore.noises import GaussianNoise
from invcore.operators import Identity, Matrix
from invcore.priors import L1, TV, Tikhonov
from invcore.solvers import (
    ADMM,
    FISTA,
    SAGA,
    SVRG,
    Anderson,
    ChambollePock,
    CondatVu,
    ConjugateGradient,
    DouglasRachford,
    HalfQuadraticSplitting,
    ProximalGradient,
    Solver,
    Status,
)
from invcore_testsupport import error, normal, physics_of

F64 = torch.float64
WEIGHTS = (3.0, 1.0, 0.4)


def test_steps_of_proximal_gradient_may_be_listed():
    """Steps of 1/L and then 1/2L on a diagonal problem, by hand."""
    d, y = torch.tensor([2.0, 1.0], dtype=F64), torch.tensor([2.0, 3.0], dtype=F64)
    expected = torch.zeros(2, dtype=F64)
    for size in (1.0, 0.5, 0.5):
        expected = expected - size / 4 * d * (d * expected - y)
    solver = ProximalGradient(step_size=(1.0, 0.5), max_steps=3, rtol=0.0)
    assert error(solver(y, physics_of(torch.diag(d))), expected) < 1e-12


def test_weights_and_steps_of_fista_by_hand():
    """Soft thresholding with momentum, λ and t of their own in each step."""
    A, y = normal(6, 4), normal(6, seed=1)
    bound = float(Matrix(A).norm()) ** 2
    x = z = torch.zeros(4, dtype=F64)
    t = 1.0
    for weight, size in zip(WEIGHTS, (1.0, 0.7, 0.5)):
        v = z - size / bound * A.T @ (A @ z - y)
        x_new = v.sign() * (v.abs() - weight * size / bound).clamp_min(0)
        t_new = (1 + (1 + 4 * t * t) ** 0.5) / 2
        x, z, t = x_new, x_new + (t - 1) / t_new * (x_new - x), t_new
    solver = FISTA(prior=L1(), weight=WEIGHTS, step_size=(1.0, 0.7, 0.5), restart=None, rtol=0.0, max_steps=3)
    assert error(solver(y, physics_of(A)), x) < 1e-12


LISTING = {
    "pgd": ProximalGradient(prior=L1(), weight=WEIGHTS, rtol=1e-9),
    "fista": FISTA(prior=L1(), weight=WEIGHTS, rtol=1e-9),
    "fista, steps": FISTA(prior=L1(), weight=WEIGHTS, step_size=(1.0, 0.5, 0.9), rtol=1e-9),
    "admm": ADMM(prior=L1(), weight=WEIGHTS, rtol=1e-8),
    "admm, penalties": ADMM(prior=L1(), weight=WEIGHTS, penalty=(0.1, 3.0, 1.0), adaptive=False, rtol=1e-8),
    "chambolle_pock": ChambollePock(prior=L1(), weight=WEIGHTS, rtol=1e-8),
    "condat_vu": CondatVu(prior=L1(), weight=WEIGHTS, rtol=1e-8),
    "douglas_rachford": DouglasRachford(prior=L1(), weight=WEIGHTS, rtol=1e-8),
    "saga": SAGA(prior=L1(), weight=WEIGHTS, rtol=1e-9),
    "svrg": SVRG(prior=L1(), weight=WEIGHTS, rtol=1e-9),
}


@pytest.mark.parametrize("name", LISTING)
def test_a_list_ends_at_the_problem_of_its_last_values(name):
    """The solution is that of λ = 0.4, on one sample and on two, in data of any unit."""
    A, y = normal(12, 8, seed=3), normal(2, 12, seed=4)
    physics = Physics(Matrix(A), GaussianNoise(sigma=0.5))
    expected = FISTA(prior=L1(), weight=WEIGHTS[-1], rtol=1e-13)(y, physics)
    solution = LISTING[name].solve(y, physics)
    assert solution.status is Status.CONVERGED and error(solution.value, expected) < 1e-6
    assert float(solution.problem.weight) == WEIGHTS[-1]
    assert error(LISTING[name](y[0], physics), expected[0]) < 1e-6
    unit = 2.0**40
    solver = dataclasses.replace(LISTING[name], weight=tuple(w / unit for w in WEIGHTS))
    far = solver.solve(unit * y, Physics(Matrix(A), GaussianNoise(sigma=0.5 * unit)))
    assert error(far.value, unit * solution.value) < 1e-12
    assert float(far.problem.weight) == WEIGHTS[-1] / unit


def test_every_solver_that_takes_lists_is_here():
    taking = {
        c.name
        for c in invcore.components(kind="solver", plugin="invcore")
        if invcore.get("solver", c.name).per_step
    }
    assert taking == {name.split(",")[0] for name in LISTING} | {"hqs"}


def test_no_sample_stops_before_the_last_value():
    """Solved at once, were it not for the list: the data are those of the start."""
    y, physics = torch.tensor([3.0, 0.5], dtype=F64), Physics(Identity((2,)))
    x0 = torch.tensor([2.0, 0.0], dtype=F64)
    solver = ProximalGradient(prior=L1(), weight=(1.0,) * 7 + (0.25,), rtol=1e-6)
    solution = solver.solve(y, physics, x0=x0)
    assert solution.value.tolist() == [2.75, 0.25] and int(solution.stats["steps"]) >= 8


def test_noise_levels_of_plug_and_play_are_listed():
    """v = (σ²y/λ + x)/(1 + σ²/λ), x = the prior's prox of variance σ², for σ as listed; learned."""
    y = normal(1, 6, seed=2)
    sigmas = [torch.tensor(s, dtype=F64, requires_grad=True) for s in (1.0, 0.5)]
    x = torch.zeros_like(y)
    for s in (*sigmas, sigmas[-1]):
        t = s**2 / 0.3
        v = (t * y + x) / (t + 1)
        x = v / (1 + s**2)
    expected = torch.autograd.grad(x.sum(), sigmas)
    solver = HalfQuadraticSplitting(
        prior=Tikhonov(), weight=0.3, sigma=tuple(sigmas), max_steps=3, rtol=0.0, inner_steps=50
    )
    solution = solver.solve(y, Physics(Identity((1, 6))), differentiate="unroll")
    found = torch.autograd.grad(solution.value.sum(), sigmas)
    assert error(solution.value.detach(), x.detach()) < 1e-12
    assert all(abs(float(a - b)) < 1e-10 for a, b in zip(expected, found))


@pytest.mark.parametrize("mode", ["unroll", "unroll_checkpointed"])
def test_listed_weights_learn(mode):
    """The gradient to each of three weights and steps of two samples, against differences."""
    A, y = normal(6, 4), 3 * normal(2, 6, seed=1)

    def loss(values):
        weights, steps = tuple(values[:3]), tuple(values[3:])
        solver = FISTA(prior=Tikhonov(), weight=weights, step_size=steps, max_steps=5, rtol=0.0)
        grad = any(v.requires_grad for v in values)
        return solver.solve(y, physics_of(A), differentiate=mode if grad else "none").value.square().sum()

    values = [torch.tensor(v, dtype=F64, requires_grad=True) for v in (0.5, 0.4, 0.3, 1.0, 0.9, 0.8)]
    found = torch.autograd.grad(loss(values), values)
    for i, slope in enumerate(found):
        moved = [[v.detach() + h * (i == j) for j, v in enumerate(values)] for h in (1e-5, -1e-5)]
        assert abs(float((loss(moved[0]) - loss(moved[1])) / 2e-5 - slope)) < 1e-6


def test_implicit_derivatives_are_those_of_the_last_values():
    A, y = normal(6, 4), normal(6, seed=1)
    weights = tuple(torch.tensor(v, dtype=F64, requires_grad=True) for v in (5.0, 0.5))
    solver = FISTA(prior=Tikhonov(), weight=weights, rtol=1e-13)
    x = solver.solve(y, physics_of(A), differentiate="implicit").value
    first, last = torch.autograd.grad(x.sum(), weights, allow_unused=True)
    bend = A.T @ A + 0.5 * torch.eye(4, dtype=F64)
    exact = -torch.linalg.solve(bend, torch.linalg.solve(bend, A.T @ y)).sum()
    assert first is None or not float(first)
    assert abs(float(last - exact)) < 1e-8


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ProximalGradient(step_size=()), "from 1 to max_steps"),
        (lambda: ProximalGradient(step_size=(1.0, 2.5)), "between 0 and 2"),
        (
            lambda: FISTA(weight=(1.0, 2.0), max_steps=1),
            "from 1 to max_steps=1 values, one for each step, got 2",
        ),
        (lambda: FISTA(weight=(1.0, 2.0), step_size=(1.0,)), "equally many, got 2 of weight, 1 of step_size"),
        (lambda: ConjugateGradient(weight=(1.0, 2.0)), "weight must be one value"),
        (lambda: ProximalGradient(step_size=(1.0, 0.5), backtracking=True), "backtracking"),
        (lambda: ADMM(penalty=(1.0, 0.5)), "adaptive"),
        (lambda: HalfQuadraticSplitting(sigma=(1.0, 0.0)), "sigma must be positive"),
        (lambda: Anderson(solver=FISTA(weight=(1.0, 2.0))), "another in each step"),
        (
            lambda: FISTA(prior=L1(), weight=(1.0, -2.0))(torch.ones(2), Physics(Identity((2,)))),
            "weight must be 'auto' or finite",
        ),
        (
            lambda: FISTA(prior=L1(), weight=("auto", 2.0))(torch.ones(2), Physics(Identity((2,)))),
            "weight must be 'auto' or finite",
        ),
    ],
)
def test_wrong_lists_are_refused(make, words):
    with pytest.raises(ParameterError, match=words):
        make()


def test_supports_and_bind_take_lists():
    solver = FISTA(prior=TV(), weight=(1.0, 0.5))
    assert solver.supports(Physics(Identity((1, 4, 4))))
    learned = tuple(torch.nn.Parameter(torch.tensor(v)) for v in (0.3, 0.2, 0.1))
    bound = solver.bind(weight=learned)
    assert isinstance(bound, Solver) and bound.weight is learned
    assert dataclasses.replace(bound, weight=0.1).weight == 0.1
