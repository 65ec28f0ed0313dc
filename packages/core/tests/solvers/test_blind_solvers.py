"""Blind solvers: what they find, against closed forms and independent minimizations; what they warn about."""

import dataclasses
import math
import warnings

import pytest
import torch
from scipy.optimize import least_squares as scipy_least_squares

import invcore
from invcore import Physics
from invcore.datasets import dead_leaves
from invcore.metrics import PSFError
from invcore.models import GaussianRestorer
from invcore.noises import GaussianNoise, PoissonNoise
from invcore.operators import Convolution, Crop, LinearOperator, Mask, Matrix, Space, gaussian_kernel
from invcore.priors import L1, Box, NonNegative, Simplex, Tikhonov
from invcore.solvers import (
    FISTA,
    LBFGS,
    BlindAlternating,
    BlindRichardsonLucy,
    ConjugateGradient,
    MarginalLikelihood,
    MirrorDescent,
    RichardsonLucy,
    VariableProjection,
)

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


class Exponentials(LinearOperator):
    """y(t) = Σ x_i exp(-ξ_i t) for two rates."""

    rates: torch.Tensor
    domain = Space((2,))
    range = Space((30,))
    params = ("rates",)

    def forward(self, x):
        t = torch.linspace(0, 3, 30, dtype=F64)
        return (x.unsqueeze(-1) * torch.exp(-self.rates.unsqueeze(-1) * t)).sum(-2)


class GaussianBlur(LinearOperator):
    """A circular blur along a line, nonlinear in its width."""

    width: torch.Tensor
    domain: Space
    params = ("width",)

    @property
    def range(self):
        return self.domain

    def forward(self, x):
        f = torch.fft.rfftfreq(x.shape[-1], dtype=F64)
        gain = torch.exp(-2 * (math.pi * self.width.unsqueeze(-1) * f).square())
        return torch.fft.irfft(torch.fft.rfft(x) * gain, n=x.shape[-1])


# -- variable projection ---------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_variable_projection_finds_the_minimum_of_both_unknowns(weight):
    A = Exponentials(rates=torch.tensor([0.3, 3.0], dtype=F64))
    x = torch.tensor([2.0, 1.0], dtype=F64)
    y = A.bind(rates=torch.tensor([0.5, 2.0], dtype=F64))(x) + 0.02 * normal(30)
    solver = VariableProjection(solver=ConjugateGradient(weight=weight, rtol=1e-12), rtol=1e-10)
    solution = solver.solve(y, Physics(A, GaussianNoise(sigma=0.1)), record_objective=True)

    def residuals(v):
        v = torch.as_tensor(v)
        data = (A.bind(rates=v[2:])(v[:2]) - y) / 0.1
        return torch.cat([data, weight**0.5 * v[:2]]).numpy()

    joint = scipy_least_squares(residuals, [1, 1, 0.3, 3.0], xtol=1e-14, ftol=1e-14, gtol=1e-14)
    found = torch.cat([solution.value, solution.physics.operator.rates])
    torch.testing.assert_close(found, torch.as_tensor(joint.x), rtol=1e-5, atol=1e-6)
    assert float(solution.stats["objective"][-1]) == pytest.approx(joint.cost, rel=1e-8)
    assert int(solution.stats["steps"]) <= 12
    assert (solution.stats["objective"].diff() <= 1e-9 * joint.cost).all()


def test_variable_projection_takes_fewer_steps_than_turns():
    A = Exponentials(rates=torch.tensor([0.3, 3.0], dtype=F64))
    y = A.bind(rates=torch.tensor([0.5, 2.0], dtype=F64))(torch.tensor([2.0, 1.0], dtype=F64))
    physics, ridge = Physics(A, GaussianNoise(sigma=0.1)), ConjugateGradient(weight=0.1, rtol=1e-10)
    projected = VariableProjection(solver=ridge, rtol=1e-8).solve(y, physics)
    turns = BlindAlternating(solver=ridge, parameter_solver=LBFGS(max_steps=10), rtol=0.0)
    steps = 4 * int(projected.stats["steps"])
    alternated = dataclasses.replace(turns, max_steps=steps).solve(y, physics)
    ours, theirs = (s.problem.objective(s.value) for s in (projected, alternated))
    assert float(ours) < float(theirs) - 1e-3 * abs(float(ours))


def test_variable_projection_keeps_to_its_set_and_is_stationary_there():
    x = torch.zeros(1, 24, dtype=F64)
    x[0, 3:9], x[0, 14], x[0, 18:21] = 1.0, 3.0, 2.0
    true = torch.tensor([[0.0, 0.6, 0.4, 0.0, 0.0]], dtype=F64)
    A = Convolution(kernel=torch.full((1, 5), 0.2, dtype=F64), domain=Space((1, 24)))
    physics = Physics(A, GaussianNoise(sigma=0.05))
    y = A.bind(kernel=true)(x) + 0.02 * normal(1, 24)
    ridge = ConjugateGradient(weight=0.3, rtol=1e-12)
    solver = VariableProjection(solver=ridge, constraint=Simplex(), rtol=1e-9, max_steps=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it may become a point, as it should
        solution = solver.solve(y, physics)
    kernel = solution.physics.operator.kernel
    assert float(kernel.min()) >= 0 and float(kernel.sum()) == pytest.approx(1, abs=1e-12)
    free = kernel.clone().requires_grad_()
    value = physics.bind(kernel=free).likelihood().value(A.bind(kernel=free)(solution.value), y)
    (g,) = torch.autograd.grad(value, free)
    step = 1e-3 / float(g.norm())
    assert float((Simplex().prox(kernel - step * g, 1.0) - kernel).norm()) < 1e-3 * step * float(g.norm())


# -- alternating -----------------------------------------------------------------------------------------


def test_each_turn_lowers_the_joint_objective_and_it_ends_stationary():
    x = torch.tensor([[0.0, 1.0, 1.0, 0.0, 3.0, 0.0, 0.5]], dtype=F64)
    A = Convolution(kernel=torch.tensor([[0.3, 0.4, 0.3]], dtype=F64), domain=Space((1, 7)), boundary="zero")
    y = A.bind(kernel=torch.tensor([[0.5, 0.3, 0.2]], dtype=F64))(x)
    physics = Physics(A, GaussianNoise(sigma=0.2))
    solver = BlindAlternating(
        solver=ConjugateGradient(weight=10.0, rtol=1e-12),
        parameter_solver=FISTA(prior=Tikhonov(), weight=20.0, rtol=1e-12, max_steps=100),
        rtol=1e-7,
        max_steps=150,
    )
    solution = solver.solve(y, physics, record_objective=True)
    values = solution.stats["objective"]
    assert (values.diff() <= 1e-12 * values[0]).all()
    both = [
        solution.value.clone().requires_grad_(),
        solution.physics.operator.kernel.clone().requires_grad_(),
    ]

    def J(x, kernel):
        fit = (A.bind(kernel=kernel)(x) - y).square().sum() / (2 * 0.2**2)
        return fit + 5 * x.square().sum() + 10 * kernel.square().sum()

    assert float(values[-1]) == pytest.approx(float(J(*both).detach()), rel=1e-10)
    for g in torch.autograd.grad(J(*both), both):
        assert float(g.norm()) < 1e-4 * float(values[-1])


def test_a_collapsed_kernel_is_reported():
    x = normal(1, 64, seed=1).cumsum(-1)
    blur = Convolution(gaussian_kernel(1.5, size=9, dtype=F64)[:, 4:5].reshape(1, 9), Space((1, 64)))
    kernel = blur.kernel / blur.kernel.sum()
    y = blur.bind(kernel=kernel)(x) + 0.05 * normal(1, 64)
    start = Physics(blur.bind(kernel=torch.full((1, 9), 1 / 9, dtype=F64)), GaussianNoise(sigma=0.05))
    rough = BlindAlternating(
        solver=ConjugateGradient(weight=50.0),
        parameter_solver=MirrorDescent(prior=Simplex(), max_steps=20),
        max_steps=200,
    )
    with pytest.warns(UserWarning, match="collapsed to a point.*marginal_likelihood"):
        solution = rough.solve(y, start)
    assert float(solution.physics.operator.kernel.max()) > 0.9


def test_any_operator_any_parameter():
    """A mask (its diagonal gains), a matrix, an operator in a composition, per sample and in a batch."""
    x = normal(3, 6, seed=1)
    gains = torch.tensor([0.5, 1.5, 1.0, 2.0, 0.8, 1.2], dtype=F64)
    H = Matrix(normal(9, 6, seed=2))
    A = H @ Mask(mask=torch.ones(6, dtype=F64), domain=Space((6,)))
    y = A.bind(mask=gains)(x)
    solver = BlindAlternating(
        parameter="mask",
        solver=ConjugateGradient(weight=1e-6, rtol=1e-10),
        parameter_solver=FISTA(prior=Box(lower=0.4, upper=2.0), rtol=1e-9),
        max_steps=20,
    )
    solution = solver.solve(y, Physics(A))
    assert solution.physics.operator.parameters()["mask"].shape == (3, 6)
    torch.testing.assert_close(solution.physics.operator(solution.value), y, rtol=0, atol=1e-4)
    with pytest.raises(invcore.ParameterError, match="name one"):
        BlindAlternating(solver=FISTA(), parameter_solver=FISTA()).solve(y, Physics(A))
    with pytest.raises(invcore.ParameterError, match="'kernel'"):
        BlindAlternating(parameter="kernel", solver=FISTA(), parameter_solver=FISTA()).solve(y, Physics(A))


def test_the_weight_of_a_parameter_prior_is_a_number():
    A = Convolution(kernel=torch.ones(1, 3, dtype=F64), domain=Space((1, 8)))
    solver = BlindAlternating(solver=FISTA(), parameter_solver=FISTA(prior=L1()))
    with pytest.raises(invcore.ParameterError, match="number"):
        solver.solve(normal(1, 8), Physics(A))


# -- Richardson–Lucy -------------------------------------------------------------------------------------


def test_with_the_kernel_held_its_turns_are_those_of_richardson_lucy():
    """One entry of sum one cannot change: the image steps are those of the plain method."""
    y = normal(1, 12).abs() + 0.5
    A = Mask(mask=torch.ones(1, 12, dtype=F64), domain=Space((1, 12))) @ Convolution(
        kernel=torch.ones(1, 1, dtype=F64), domain=Space((1, 12))
    )
    solver = BlindRichardsonLucy(parameter="kernel", max_steps=4, image_steps=3, kernel_steps=1, rtol=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # a kernel that is a point
        found = solver.solve(y, Physics(A, PoissonNoise(gain=1.0)))
    plain = RichardsonLucy(max_steps=12, rtol=0.0)(y, Physics(A, PoissonNoise(gain=1.0)))
    torch.testing.assert_close(found.value, plain, rtol=1e-10, atol=0)


@pytest.mark.parametrize("boundary", ["circular", "zero", "valid", "reflect"])
def test_blind_richardson_lucy_raises_the_likelihood_and_keeps_the_sum(boundary):
    g = torch.Generator().manual_seed(0)
    x = 50 * torch.rand(2, 20, 18, generator=g, dtype=F64) ** 4
    kernel = torch.rand(1, 5, 3, generator=g, dtype=F64)
    true = Convolution(kernel=kernel / kernel.sum(), domain=Space((2, 20, 18)), boundary=boundary)
    physics = Physics(true, PoissonNoise(gain=1.0))
    y = physics(x, generator=g)
    start = physics.bind(kernel=torch.full((1, 5, 3), 7.0, dtype=F64))  # of any sum
    solver = BlindRichardsonLucy(max_steps=15, kernel_steps=2, image_steps=3, rtol=0.0)
    solution = solver.solve(y, start, record_objective=True)
    values = solution.stats["objective"]
    assert (values.diff() < 0).all()
    found = solution.physics.operator.kernel
    assert float(found.sum()) == pytest.approx(1, abs=1e-12) and float(found.min()) >= 0
    assert float(solution.value.min()) >= 0
    expected = solution.physics.operator(solution.value)
    u = torch.where(y > 0, y * torch.log(y / expected), 0) - y + expected
    assert float(values[-1]) == pytest.approx(float(u.sum()), rel=1e-9)


def test_blind_richardson_lucy_improves_kernel_and_image():
    x = 1000 * dead_leaves((64, 64), r_min=3.0, generator=torch.Generator().manual_seed(3)).double() ** 2
    kernel = torch.zeros(1, 9, 9, dtype=F64)
    kernel[0, 4, 1:8] = 1 / 7
    true = Convolution(kernel=kernel, domain=Space((1, 64, 64)))
    physics = Physics(true, PoissonNoise(gain=1.0))
    y = physics(x, generator=torch.Generator().manual_seed(1))
    start = physics.bind(kernel=gaussian_kernel(2.0, size=9, dtype=F64))
    solution = BlindRichardsonLucy(kernel_steps=5, image_steps=1, max_steps=50).solve(y, start)
    before = PSFError()(start.operator.kernel, kernel)
    after = PSFError()(solution.physics.operator.kernel, kernel)
    assert float(after) < 0.7 * float(before)
    held = RichardsonLucy(max_steps=50)(y, start)
    assert (solution.value - x).norm() < (held - x).norm()


def test_what_blind_richardson_lucy_refuses():
    A = Convolution(kernel=torch.full((1, 3), 1 / 3, dtype=F64), domain=Space((1, 8)))
    solver, y = BlindRichardsonLucy(), torch.ones(1, 8, dtype=F64)
    with pytest.raises(invcore.ParameterError, match="negative entries"):
        solver.solve(-y, Physics(A))
    with pytest.raises(invcore.ParameterError, match="not negative"):
        solver.solve(y, Physics(A.bind(kernel=torch.tensor([[0.5, 0.6, -0.1]], dtype=F64))))
    with pytest.raises(invcore.ParameterError, match="zero"):
        solver.solve(y, Physics(A.bind(kernel=torch.zeros(1, 3, dtype=F64))))
    with pytest.raises(invcore.ParameterError, match="not linear in 'width'"):
        solver.solve(y, Physics(GaussianBlur(width=torch.ones(1, 1, dtype=F64), domain=Space((1, 8)))))
    with pytest.raises(invcore.ParameterError, match="kernel_steps"):
        BlindRichardsonLucy(kernel_steps=0)


def test_a_crop_behind_the_blur_is_an_unknown_border():
    domain = Space((1, 30))
    blur = Convolution(kernel=torch.tensor([[0.2, 0.5, 0.3]], dtype=F64), domain=domain, boundary="zero")
    A = Crop(domain=domain, size=(28,), offset=(1,)) @ blur
    valid = Convolution(kernel=blur.kernel, domain=domain, boundary="valid")
    y = valid(normal(1, 30).abs())
    one = BlindRichardsonLucy(parameter="kernel", max_steps=5).solve(y, Physics(A))
    other = BlindRichardsonLucy(max_steps=5).solve(y, Physics(valid))
    torch.testing.assert_close(one.value, other.value, rtol=1e-8, atol=1e-8)


# -- marginal likelihood ---------------------------------------------------------------------------------


def gains(y, sigma):
    """The gain ξ of y = ξ x + n, x and n white, by its closed form: ξ² = mean y² - σ²."""
    return (y.square().mean(-1) - sigma**2).sqrt()


@pytest.mark.parametrize("draws", [None, 300])
def test_marginal_likelihood_of_a_gain_is_its_closed_form(draws):
    y, sigma = normal(3, 1, 100, seed=1) * torch.tensor([1.5, 2.0, 0.9], dtype=F64)[:, None, None], 0.5
    white = GaussianRestorer(mean=torch.zeros(1, 100, dtype=F64), spectrum=torch.ones(1, 1, dtype=F64))
    A = Convolution(kernel=torch.ones(1, 1, dtype=F64), domain=Space((1, 100)))
    solver = MarginalLikelihood(
        restorer=white,
        parameter_solver=LBFGS(rtol=1e-9, max_steps=10),
        draws=draws,
        rtol=1e-6,
        max_steps=8 if draws is None else 40,
    )
    solution = solver.solve(y, Physics(A, GaussianNoise(sigma=sigma)))
    found = solution.physics.operator.kernel.flatten().abs()
    tolerance = 1e-5 if draws is None else 0.03
    torch.testing.assert_close(found, gains(y.squeeze(1), sigma), rtol=tolerance, atol=0)
    ξ = solution.physics.operator.kernel
    posterior = ξ * y / (ξ.square() + sigma**2)
    torch.testing.assert_close(solution.value, posterior, rtol=1e-8, atol=1e-8)


def test_expectation_maximization_is_that_of_the_closed_form_step_by_step():
    """For y = ξ x + n the M-step is ξ = Σ x̄ y / Σ (x̄² + v), with x̄ and v of the ξ before."""
    y, sigma = 1.5 * normal(1, 2000, seed=3), 0.5
    white = GaussianRestorer(mean=torch.zeros(1, 2000, dtype=F64), spectrum=torch.ones(1, 1, dtype=F64))
    A = Convolution(kernel=torch.full((1, 1), 0.7, dtype=F64), domain=Space((1, 2000)))
    ξ = 0.7
    for steps in (1, 2, 3):
        mean, variance = ξ * y / (ξ**2 + sigma**2), sigma**2 / (ξ**2 + sigma**2)
        ξ = float((mean * y).sum() / (mean.square() + variance).sum())
        solver = MarginalLikelihood(
            restorer=white,
            parameter_solver=LBFGS(rtol=1e-10, max_steps=15),
            draws=64,
            rtol=0.0,
            max_steps=steps,
        )
        found = solver.solve(y, Physics(A, GaussianNoise(sigma=sigma))).physics.operator.kernel
        assert float(found) == pytest.approx(ξ, rel=0.01)


def test_it_finds_the_width_of_a_blur_where_joint_estimation_finds_none():
    n, true, sigma = 200, 2.0, 0.05
    f = torch.fft.fftfreq(n, dtype=F64)
    S = 1 / f.square().clamp_min(1 / n**2)
    R = GaussianRestorer(mean=torch.zeros(1, n, dtype=F64), spectrum=S / S.mean())
    generator = torch.Generator().manual_seed(2)
    A = GaussianBlur(width=torch.full((1,), 1.0, dtype=F64), domain=Space((1, n)))
    x = R.sample(generator=generator)
    y = A.bind(width=torch.full((1,), true, dtype=F64))(x) + sigma * torch.randn(
        1, n, generator=generator, dtype=F64
    )
    physics = Physics(A, GaussianNoise(sigma=sigma))
    solver = MarginalLikelihood(restorer=R, parameter_solver=LBFGS(max_steps=10), rtol=1e-3, max_steps=5)
    solution = solver.solve(y, physics)
    found = float(solution.physics.operator.width)
    assert abs(found - true) < 0.5
    grid = torch.arange(0.5, 3.5, 0.05, dtype=F64)
    values = [R.log_evidence(y, physics.bind(width=w[None])) for w in grid]
    assert abs(found - float(grid[int(torch.stack(values).argmax())])) <= 0.05
    torch.testing.assert_close(solution.value, R(y, solution.physics), rtol=1e-8, atol=1e-8)


def test_what_marginal_likelihood_refuses():
    R = GaussianRestorer(mean=torch.zeros(1, 8, dtype=F64), spectrum=torch.ones(1, 1, dtype=F64))
    with pytest.raises(invcore.ParameterError, match="fidelity"):
        MarginalLikelihood(restorer=R, parameter_solver=ConjugateGradient())
    with pytest.raises(invcore.ParameterError, match="draws"):
        MarginalLikelihood(restorer=R, parameter_solver=LBFGS(), draws=0)
    A = Convolution(kernel=torch.ones(1, 1, dtype=F64), domain=Space((1, 8)))
    with pytest.raises(invcore.ParameterError, match="Gaussian"):
        solver = MarginalLikelihood(restorer=R, parameter_solver=LBFGS(max_steps=15))
        solver.solve(torch.ones(1, 8, dtype=F64), Physics(A, PoissonNoise(gain=1.0)))


def test_the_physics_of_a_solution_is_that_of_the_problem_for_other_solvers():
    physics = Physics(Mask(torch.ones(3), (3,)), GaussianNoise(sigma=1.0))
    solution = FISTA(prior=NonNegative()).solve(torch.ones(3), physics)
    assert solution.physics.operator is physics.operator
