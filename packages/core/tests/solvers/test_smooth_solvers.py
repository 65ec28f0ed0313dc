"""Gradient descent, L-BFGS, Gauss-Newton, Levenberg-Marquardt and CGLS against dense solves and scipy."""

import numpy as np
import pytest
import scipy.optimize
import torch

from invcore import ParameterError, Physics
from invcore.fidelities import Fidelity
from invcore.noises import GaussianNoise
from invcore.operators import Matrix, Operator, Space
from invcore.priors import L1, Tikhonov
from invcore.solvers import CGLS, LBFGS, GaussNewton, GradientDescent, LevenbergMarquardt, Status
from invcore_testsupport import error, normal, rng

F64, C128 = torch.float64, torch.complex128


def ill_conditioned(seed):
    """Ten operators of condition 100, with norms from 1e-4 to 1e4, and data for each."""
    n = 12
    dtype = (F64, C128)[seed % 2]
    left = torch.linalg.qr(normal(n + 3, n, dtype=dtype, seed=2 * seed)).Q
    right = torch.linalg.qr(normal(n, n, dtype=dtype, seed=2 * seed + 1)).Q
    norm = 10 ** (-4 + 8 * seed / 9)
    matrix = left * (norm * torch.logspace(0, -2, n, dtype=F64)) @ right.mH
    return matrix, matrix @ normal(n, dtype=dtype, seed=50) + norm * 0.01 * normal(
        n + 3, dtype=dtype, seed=51
    )


class Exponential(Operator):
    """x ↦ (exp(-a t) b) at given times, for x = (a, b)."""

    times: torch.Tensor
    domain: Space = Space((2,))

    @property
    def range(self):
        return Space(tuple(self.times.shape))

    def forward(self, x):
        return x[..., 1:] * torch.exp(-x[..., :1] * self.times)


class LogCosh(Fidelity):
    """A smooth fidelity that is not least squares: Σ log cosh(u - y)."""

    def value(self, u, y, space=None):
        r = (u - y).abs()
        return (r + torch.log1p(torch.exp(-2 * r)) - np.log(2)).sum(-1)

    def grad(self, u, y, space=None):
        return torch.tanh(u - y)

    def prox(self, u, y, step, space=None):
        raise ParameterError("none")


SMOOTH = [
    GradientDescent(rtol=1e-8),
    GradientDescent(line_search="armijo", rtol=1e-8),
    LBFGS(rtol=1e-8),
]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("solver", [SMOOTH[0], SMOOTH[2]], ids=["barzilai_borwein", "lbfgs"])
def test_ill_conditioned_operators_of_any_norm(solver, seed):
    matrix, y = ill_conditioned(seed)
    solution = solver.solve(y, Physics(Matrix(matrix)))
    assert solution.status is Status.CONVERGED
    assert error(solution.value, torch.linalg.lstsq(matrix, y.unsqueeze(-1)).solution[..., 0]) < 1e-3


@pytest.mark.parametrize(
    "solver, seed",
    [
        *((solver, seed) for solver in (GradientDescent(), LBFGS()) for seed in (0, 3, 9)),
        (GradientDescent(line_search="armijo"), 3),  # takes 100 times as long
    ],
)
def test_defaults_reach_the_minimum(solver, seed):
    matrix, y = ill_conditioned(seed)
    physics = Physics(Matrix(matrix))
    solution = solver.solve(y, physics, record_objective=True)
    assert solution.status is Status.CONVERGED
    best = float(solution.problem.objective(torch.linalg.lstsq(matrix, y.unsqueeze(-1)).solution[..., 0]))
    zero = float(solution.problem.objective(torch.zeros_like(solution.value)))
    assert float(solution.stats["objective"][-1]) - best < 1e-3 * (zero - best)


@pytest.mark.parametrize("solver", SMOOTH)
def test_other_fidelities_agree_with_scipy(solver):
    """Robust regression with a Tikhonov prior: the same minimum as scipy's L-BFGS-B."""
    A, y, weight = normal(20, 8), 3 * normal(20, seed=1), 0.3
    y[::5] += 20
    solution = type(solver)(
        prior=Tikhonov(), weight=weight, fidelity=LogCosh(), rtol=1e-9, max_steps=5000
    ).solve(y, Physics(Matrix(A)))

    def objective(x):
        r = A.numpy() @ x - y.numpy()
        value = np.logaddexp(r, -r).sum() + weight * x @ x / 2
        return value, A.numpy().T @ np.tanh(r) + weight * x

    found = scipy.optimize.minimize(
        objective, np.zeros(8), jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10}
    )
    assert solution.status is Status.CONVERGED
    assert error(solution.value, torch.from_numpy(found.x)) < 1e-6


@pytest.mark.parametrize("solver", [LBFGS(rtol=1e-8), GradientDescent(rtol=1e-8, max_steps=5000)])
def test_nonlinear_operators_agree_with_scipy(solver):
    times = torch.linspace(0, 3, 15, dtype=F64)
    y = 2 * torch.exp(-1.3 * times) + 0.05 * normal(15)
    x0 = torch.tensor([0.5, 1.0], dtype=F64)
    x = solver.solve(y, Physics(Exponential(times=times)), x0=x0).value
    fit = scipy.optimize.least_squares(
        lambda p: p[1] * np.exp(-p[0] * times.numpy()) - y.numpy(), x0.numpy(), xtol=1e-14, gtol=1e-14
    )
    assert error(x, torch.from_numpy(fit.x)) < 1e-6


def test_armijo_is_monotone_and_rosenbrock_is_solved():
    class Rosenbrock(Operator):
        domain: Space = Space((2,))
        range: Space = Space((2,))

        def forward(self, x):
            return torch.stack([10 * (x[..., 1] - x[..., 0] ** 2), 1 - x[..., 0]], dim=-1)

    physics = Physics(Rosenbrock())
    x0 = torch.tensor([[-1.2, 1.0], [2.0, -3.0]], dtype=F64)
    y = torch.zeros(2, 2, dtype=F64)
    solution = LBFGS(rtol=1e-10).solve(y, physics, x0=x0, record_objective=True)
    assert error(solution.value, torch.ones(2, 2, dtype=F64)) < 1e-7
    assert bool((solution.stats["objective"].diff(dim=0) <= 1e-12).all())
    armijo = GradientDescent(line_search="armijo", max_steps=50).solve(
        y, physics, x0=x0, record_objective=True
    )
    assert bool((armijo.stats["objective"].diff(dim=0) <= 1e-12).all())


def test_lbfgs_has_a_history_for_each_sample():
    matrices = torch.stack([ill_conditioned(s)[0] for s in (0, 4, 8)])
    data = torch.stack([ill_conditioned(s)[1] for s in (0, 4, 8)])
    together = LBFGS().solve(data, Physics(Matrix(matrices)))
    for i in range(3):
        alone = LBFGS().solve(data[i], Physics(Matrix(matrices[i])))
        assert error(together.value[i], alone.value) < 1e-2  # both stop at a relative gradient of 1e-4
        assert int(together.stats["steps"][i]) == pytest.approx(int(alone.stats["steps"]), rel=0.2)
        early = [
            LBFGS(max_steps=5).solve(data[i], Physics(Matrix(matrices[i]))).value,
            LBFGS(max_steps=5).solve(data, Physics(Matrix(matrices))).value[i],
        ]
        assert error(*early) < 1e-9


def test_options_are_checked():
    with pytest.raises(ParameterError, match="line_search must be"):
        GradientDescent(line_search="exact")
    with pytest.raises(ParameterError, match="memory must be"):
        LBFGS(memory=0)


def test_single_precision_and_noise_level():
    A, y = normal(9, 5, dtype=torch.float32), normal(9, dtype=torch.float32, seed=1)
    physics = Physics(Matrix(A), GaussianNoise(sigma=0.01))
    expected = torch.linalg.lstsq(A.double(), y.double().unsqueeze(-1)).solution[..., 0]
    for solver in (GradientDescent(rtol=1e-5), LBFGS(rtol=1e-5)):
        assert error(solver(y, physics).double(), expected) < 1e-4


# -- CGLS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("shape", [(9, 6), (5, 8)])
def test_cgls_is_the_dense_solution(dtype, shape):
    A, y = normal(*shape, dtype=dtype), normal(3, shape[0], dtype=dtype, seed=1)
    x = CGLS(rtol=1e-13)(y, Physics(Matrix(A)))
    assert error(x, (torch.linalg.pinv(A) @ y.mT).mT) < 1e-10


@pytest.mark.parametrize("seed", range(10))
def test_cgls_on_ill_conditioned_operators_of_any_norm(seed):
    matrix, y = ill_conditioned(seed)
    solution = CGLS().solve(y, Physics(Matrix(matrix)))
    residual = matrix.mH @ (matrix @ solution.value - y)
    assert solution.status is Status.CONVERGED
    assert float(torch.linalg.vector_norm(residual) / torch.linalg.vector_norm(matrix.mH @ y)) < 1.1e-4


@pytest.mark.parametrize("dtype", [F64, C128])
def test_cgls_stops_at_the_noise_level_of_each_sample(dtype):
    n = 60
    u, v = (torch.linalg.qr(normal(n, n, dtype=dtype, seed=s)).Q for s in (1, 2))
    A = u @ torch.diag(torch.logspace(0, -4, n, dtype=F64).to(dtype)) @ v.mH
    truth = v @ (torch.linspace(2, 0.1, n, dtype=F64) ** 3 * normal(n, dtype=dtype, seed=3))
    sigma = torch.tensor([0.1, 0.01], dtype=F64)
    physics = Physics(Matrix(A), GaussianNoise(sigma=sigma))
    y = physics(truth.expand(2, n), generator=rng(4))
    solution = CGLS().solve(y, physics)
    components = 2 * n if dtype.is_complex else n
    for i, s in enumerate(sigma.tolist()):
        steps = int(solution.stats["steps"][i])
        bound = 1.01 * s * components**0.5
        assert float(torch.linalg.vector_norm(A @ solution.value[i] - y[i])) <= bound * (1 + 1e-9)
        before = CGLS(discrepancy=None, max_steps=steps - 1, rtol=0.0)(y[i], Physics(Matrix(A)))
        assert float(torch.linalg.vector_norm(A @ before - y[i])) > bound
        far = CGLS(discrepancy=None, rtol=1e-10)(y[i], Physics(Matrix(A)))
        assert error(solution.value[i], truth) < 0.5 * error(far, truth)


def test_cgls_that_stops_early_has_no_implicit_derivative():
    physics = Physics(Matrix(normal(5, 3)), GaussianNoise(sigma=0.1))
    with pytest.raises(ParameterError, match="no implicit derivative"):
        CGLS().solve(normal(5).requires_grad_(), physics, differentiate="implicit")
    with pytest.raises(ParameterError, match="discrepancy must be a positive number"):
        CGLS(discrepancy=-1.0)(normal(5), physics)


# -- Gauss-Newton and Levenberg-Marquardt ----------------------------------------------------------

NEWTON = [GaussNewton(rtol=1e-10), LevenbergMarquardt(rtol=1e-10)]


@pytest.mark.parametrize("solver", NEWTON, ids=["gauss_newton", "levenberg_marquardt"])
def test_nonlinear_least_squares_agree_with_scipy(solver):
    times = torch.linspace(0, 3, 15, dtype=F64)
    true = torch.tensor(
        [[1.3, 2.0], [0.4, 100.0], [2.0, 1e-3]], dtype=F64
    )  # very different amplitudes in one batch
    y = true[:, 1:] * (torch.exp(-true[:, :1] * times) + 0.03 * normal(3, 15))
    x0 = true * torch.tensor([0.6, 1.5], dtype=F64)
    solution = solver.solve(y, Physics(Exponential(times=times)), x0=x0)
    assert solution.status is Status.CONVERGED and int(solution.stats["steps"].max()) < 30
    for i in range(3):
        fit = scipy.optimize.least_squares(
            lambda p, i=i: p[1] * np.exp(-p[0] * times.numpy()) - y[i].numpy(),
            x0[i].numpy(),
            xtol=1e-15,
            gtol=1e-15,
            ftol=1e-15,
        )
        assert error(solution.value[i], torch.from_numpy(fit.x)) < 1e-6


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("solver", [GaussNewton(), LevenbergMarquardt()], ids=["gn", "lm"])
def test_newton_type_solvers_on_operators_of_any_norm(solver, seed):
    """The exponential of an ill-conditioned linear map, with Jacobians of norm from 1e-4 to 1e4."""
    matrix, _ = ill_conditioned(2 * (seed // 2))
    matrix = matrix / 10 ** (-4 + 8 * (2 * (seed // 2)) / 9)
    scale = 10 ** (-4 + 8 * seed / 9)
    A = Operator.from_function(Warped(matrix=matrix, scale=scale), Space((12,)))
    x = normal(12, seed=seed)
    solution = solver.solve(A(x), Physics(A))
    assert solution.status is Status.CONVERGED
    assert error(A(solution.value), A(x)) < 1e-2  # they stop at a relative gradient of 1e-4


class Warped:
    def __init__(self, matrix, scale):
        self.matrix, self.scale = matrix, scale

    def __call__(self, x):
        u = (self.matrix.to(x.dtype) @ x.unsqueeze(-1)).squeeze(-1)
        return self.scale * torch.sinh(u)


@pytest.mark.parametrize("solver", NEWTON, ids=["gauss_newton", "levenberg_marquardt"])
def test_tikhonov_on_a_nonlinear_operator_is_stationary(solver):
    A = Operator.from_function(Warped(matrix=normal(4, 6), scale=1.0), Space((6,)))
    y, weight = normal(4, seed=1), 0.2
    physics = Physics(A, GaussianNoise(sigma=0.5))
    tight = type(solver)(prior=Tikhonov(), weight=weight, rtol=1e-11)
    x = tight(y, physics).requires_grad_()
    value = ((A(x) - y) ** 2).sum() / (2 * 0.5**2) + weight * (x**2).sum() / 2
    assert float(torch.autograd.grad(value, x)[0].abs().max()) < 1e-8


def test_levenberg_marquardt_where_the_jacobian_is_singular():
    """Powell's singular function, and a start at which Gauss-Newton equations are singular."""

    class Powell(Operator):
        domain: Space = Space((4,))
        range: Space = Space((4,))

        def forward(self, x):
            a, b, c, d = x.unbind(-1)
            return torch.stack(
                [a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2], dim=-1
            )

    x0 = torch.tensor([3.0, -1.0, 0.0, 1.0], dtype=F64)
    y = torch.zeros(4, dtype=F64)
    solution = LevenbergMarquardt(rtol=1e-10).solve(y, Physics(Powell()), x0=x0, record_objective=True)
    assert solution.status is Status.CONVERGED and float(solution.stats["objective"][-1]) < 1e-10
    assert bool((solution.stats["objective"].diff() <= 1e-15).all())


def test_implicit_derivatives_of_a_nonlinear_fit():
    """dx/dy of the fit of an exponential, against finite differences."""
    times = torch.linspace(0, 3, 8, dtype=F64)
    physics = Physics(Exponential(times=times))
    y = (2 * torch.exp(-1.3 * times) + 0.05 * normal(8)).requires_grad_()
    x0 = torch.tensor([1.0, 1.5], dtype=F64)
    v = torch.tensor([1.0, -0.3], dtype=F64)
    for solver in (*NEWTON, LBFGS(rtol=1e-9)):
        value = solver.solve(y, physics, x0=x0, differentiate="implicit").value
        (got,) = torch.autograd.grad(value @ v, y)
        eye = 1e-5 * torch.eye(8, dtype=F64)
        ends = [NEWTON[1].solve(y.detach() + e, physics, x0=x0.expand(8, 2)).value @ v for e in (eye, -eye)]
        assert error(got, (ends[0] - ends[1]) / 2e-5) < 1e-4


def test_newton_type_solvers_say_what_they_need():
    physics = Physics(Matrix(normal(5, 3)))
    for solver in (GaussNewton, LevenbergMarquardt):
        with pytest.raises(ParameterError, match="the prior is None or Tikhonov"):
            solver(prior=L1())(normal(5), physics)
