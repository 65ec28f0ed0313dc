"""Gauss–Newton and Levenberg–Marquardt."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._krylov.base import dot
from .._krylov.cg import cg
from .._problem import Problem
from ..fidelities import LeastSquares
from ..operators._least_squares import default_steps
from ..operators._spectrum import flat_gram
from ..priors import Prior, Tikhonov
from ..spaces import flatten, unflatten
from ._base import Solver
from ._smooth import along, attach_stationary, gradient, line_search, reference_gradient


class _State(NamedTuple):
    x: Tensor
    g: Tensor
    size: Tensor


class GaussNewton(Solver):
    """Nonlinear least squares min ‖A(x) - y‖²/(2σ²) + λ‖x‖²/2 by Gauss–Newton steps.

    With J the Jacobian of A at x_k, from ``A.linearize(x_k)``,

    .. math::
        (JᴴJ + λσ²) d_k = Jᴴ(y - A(x_k)) - λσ² x_k, \\qquad x_{k+1} = x_k + t_k d_k

    solved by conjugate gradient, and t_k = 1 halved or interpolated until the objective decreases enough
    [1]_. It converges to a stationary point, which one depends on ``x0``; where the residual is small, fast.
    With a linear operator a step or two solve the problem.

    Parameters
    ----------
    prior : Tikhonov, optional
        None: no regularization.
    weight : float or Tensor, shape (batch...)
        λ.
    inner_rtol : float
        Relative residual of the linear system at which conjugate gradient stops.
    rtol : float
        Stop, per sample, when the gradient has fallen by this factor from its size at zero or at the start.

    References
    ----------
    .. [1] Å. Björck, "Numerical methods for least squares problems", Section 9.2 (1996).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Operator, Space
    >>> A = Operator.from_function(lambda x: x**2, Space((2,)))
    >>> GaussNewton().solve(torch.tensor([4.0, 9.0]), Physics(A), x0=torch.ones(2)).value.round(decimals=2)
    tensor([2., 3.])
    """

    prior: Prior | None = None
    weight: float | Tensor = 1.0
    inner_rtol: float = 1e-3
    max_steps: int = 100
    rtol: float = 1e-5
    params = ("weight",)

    def __post_init__(self) -> None:
        _require_ridge(self)

    def init(self, problem: Problem) -> _State:
        _require_squares("GaussNewton", problem)
        x = flatten(problem.start(), problem.space)
        g = gradient(problem, x)
        return _State(x, g, reference_gradient(problem, x, g).detach())

    def step(self, problem: Problem, state: _State) -> _State:
        x, g, size = state
        d = _newton_step(problem, x, g, torch.zeros_like(size), self.inner_rtol)
        line = along(problem, x, d)
        value = problem.objective(unflatten(x, problem.space))
        t = line_search(line, torch.ones_like(value), value, dot(g, d), flattening=None)
        x = x + t.unsqueeze(-1) * d
        return _State(x, gradient(problem, x), size)

    def change(self, problem: Problem, state: _State) -> Tensor:
        """The relative gradient."""
        return torch.linalg.vector_norm(state.g, dim=-1) / torch.where(state.size > 0, state.size, 1)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return torch.linalg.vector_norm(state.g, dim=-1) <= self.rtol * state.size

    def value(self, problem: Problem, state: _State) -> Any:
        return unflatten(state.x, problem.space)

    def implicit(self, problem: Problem, x: Any) -> Any:
        return attach_stationary(self, problem, x)


class _DampedState(NamedTuple):
    x: Tensor
    g: Tensor
    objective: Tensor
    mu: Tensor
    growth: Tensor
    size: Tensor


class LevenbergMarquardt(Solver):
    """Nonlinear least squares min ‖A(x) - y‖²/(2σ²) + λ‖x‖²/2 by damped Gauss–Newton steps.

    .. math:: (JᴴJ + λσ² + μ_k) d_k = Jᴴ(y - A(x_k)) - λσ² x_k, \\qquad x_{k+1} = x_k + d_k

    The step is taken if the objective falls. Then the damping μ becomes μ max(1/3, 1 - (2ρ - 1)³) with ρ the
    ratio of the true to the predicted decrease; else it grows by 2, 4, 8, … [1]_. It starts at a thousandth
    of the curvature along the gradient. Robust where the Jacobian is singular or the start far away.

    Parameters
    ----------
    prior : Tikhonov, optional
        None: no regularization.
    weight : float or Tensor, shape (batch...)
        λ.
    inner_rtol : float
        Relative residual of the linear system at which conjugate gradient stops.
    rtol : float
        Stop, per sample, when the gradient has fallen by this factor from its size at zero or at the start.

    References
    ----------
    .. [1] D. Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", J. SIAM 11
       (1963); H. Nielsen, "Damping parameter in Marquardt's method", report IMM-REP-1999-05, DTU (1999).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Operator, Space
    >>> A = Operator.from_function(lambda x: x**2, Space((2,)))
    >>> solver = LevenbergMarquardt()
    >>> solver.solve(torch.tensor([4.0, 9.0]), Physics(A), x0=torch.ones(2)).value.round(decimals=2)
    tensor([2., 3.])
    """

    prior: Prior | None = None
    weight: float | Tensor = 1.0
    inner_rtol: float = 1e-3
    max_steps: int = 200
    rtol: float = 1e-5
    params = ("weight",)

    def __post_init__(self) -> None:
        _require_ridge(self)

    def init(self, problem: Problem) -> _DampedState:
        _require_squares("LevenbergMarquardt", problem)
        x = flatten(problem.start(), problem.space)
        g = gradient(problem, x)
        bend = dot(g, _gram(problem, x)(g))
        gg = dot(g, g)
        mu = torch.where(gg > 0, 1e-3 * bend / torch.where(gg > 0, gg, 1), 0)
        objective = problem.objective(unflatten(x, problem.space))
        size = reference_gradient(problem, x, g).detach()
        return _DampedState(x, g, objective, mu, torch.full_like(mu, 2), size)

    def step(self, problem: Problem, state: _DampedState) -> _DampedState:
        x, g, objective, mu, growth, size = state
        d = _newton_step(problem, x, g, mu, self.inner_rtol)
        x_new = x + d
        g_new = gradient(problem, x_new)
        new = problem.objective(unflatten(x_new, problem.space))
        # half of -⟨g, d⟩ + μ‖d‖²/σ² is the decrease of the quadratic model, since (H + μ/σ²) d = -g
        predicted = (mu * _precision(problem) * dot(d, d) - dot(g, d)) / 2
        ratio = torch.where(predicted > 0, objective - new, 0) / torch.where(predicted > 0, predicted, 1)
        level = (new - objective).abs() <= 100 * torch.finfo(new.dtype).eps * objective.abs()
        shrinks = dot(g_new, g_new) < dot(g, g)
        taken = torch.where(
            level, shrinks, ratio > 0
        )  # differences drowned in rounding: the gradient decides
        factor = (1 - (2 * torch.where(level, 1, ratio) - 1) ** 3).clamp_min(1 / 3)
        mu = mu * torch.where(taken, factor, growth)
        growth = torch.where(taken, 2, 2 * growth)
        new = torch.where(taken, new, objective)
        moved = taken.unsqueeze(-1)
        return _DampedState(torch.where(moved, x_new, x), torch.where(moved, g_new, g), new, mu, growth, size)

    def change(self, problem: Problem, state: _DampedState) -> Tensor:
        """The relative gradient."""
        return torch.linalg.vector_norm(state.g, dim=-1) / torch.where(state.size > 0, state.size, 1)

    def converged(self, problem: Problem, state: _DampedState) -> Tensor:
        return torch.linalg.vector_norm(state.g, dim=-1) <= self.rtol * state.size

    def value(self, problem: Problem, state: _DampedState) -> Any:
        return unflatten(state.x, problem.space)

    def implicit(self, problem: Problem, x: Any) -> Any:
        return attach_stationary(self, problem, x)


def _newton_step(problem: Problem, x: Tensor, g: Tensor, mu: Tensor, rtol: float) -> Tensor:
    """d with (JᴴJ + λσ² + μ) d = -σ² ∇F(x)."""
    J = problem.A.linearize(unflatten(x, problem.space))
    precision = _precision(problem)
    damping = mu if problem.prior is None else mu + problem.weight / precision
    shift = torch.as_tensor(damping, dtype=g.dtype, device=g.device)
    b = -g / _column(precision)
    gram = flat_gram(J)

    def damped(v: Tensor) -> Tensor:
        return torch.addcmul(gram(v), shift.unsqueeze(-1), v)

    return cg(damped, b, rtol=rtol, max_steps=default_steps(J)).x


def _gram(problem: Problem, x: Tensor) -> Any:
    return flat_gram(problem.A.linearize(unflatten(x, problem.space)))


def _precision(problem: Problem) -> Any:
    assert isinstance(problem.fidelity, LeastSquares)
    return problem.fidelity.precision()


def _column(s: Any) -> Any:
    return s.unsqueeze(-1) if isinstance(s, Tensor) else s


def _require_squares(name: str, problem: Problem) -> None:
    if not isinstance(problem.fidelity, LeastSquares):
        raise ParameterError(
            f"{name} solves least squares, not {type(problem.fidelity).__name__}: use 'lbfgs'"
        )


def _require_ridge(solver: GaussNewton | LevenbergMarquardt) -> None:
    if not (solver.prior is None or isinstance(solver.prior, Tikhonov)):
        raise ParameterError(
            f"{type(solver).__name__}: the prior is None or Tikhonov(), not {type(solver.prior).__name__}; "
            "for another smooth prior use 'lbfgs'"
        )
