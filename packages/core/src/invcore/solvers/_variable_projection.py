"""Variable projection: the image solved for, a minimization over a parameter of the operator alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError, SolverError
from .._krylov.base import dot
from .._krylov.cg import cg
from .._physics import Physics
from .._problem import Problem
from ..fidelities import LeastSquares
from ..operators import least_squares
from ..priors import Prior, Tikhonov
from ..spaces import Space, flatten, norm, unflatten
from ._blind import BlindWithSolver, own_space


class _State(NamedTuple):
    x: Any
    parameter: Tensor
    objective: Tensor
    damping: Tensor
    change: Tensor


class VariableProjection(BlindWithSolver):  # type: ignore[misc]
    r"""Minimize φ(ξ) = min_x ½‖A_ξ x - y‖²/σ² + λ g(x), the image solved for in each evaluation [1]_.

    The gradient is that at the x found, ∇φ(ξ) = Dᴴ(A_ξ x - y)/σ² with D the Jacobian of ξ ↦ A_ξ x. Steps are
    those of Levenberg and Marquardt,

    .. math::

        (D^{\mathsf H} P D + μ) d = D^{\mathsf H} (y - A_ξ x), \qquad
        P = 1 - A (A^{\mathsf H} A + λσ²)^{-1} A^{\mathsf H},

    where P takes out what a change of x would make up for: the approximation of Kaufman [2]_, for a Tikhonov
    prior or none. With another prior P = 1, which is safe and slower. It takes a few steps where alternating
    minimization takes hundreds, as x and ξ explain each other's data. With a constraint d lies in the face of
    the set that a gradient step leads to, ξ + d is projected onto it, and the step taken if φ falls [3]_.

    For few parameters, linear or not: a width, a shift, angles, a kernel. Each step solves linear systems
    with A inside conjugate gradient over ξ; a circular convolution has a closed form for them. As every joint
    estimate it may return a kernel that does not blur; see `BlindAlternating`. It has no derivatives.

    Parameters
    ----------
    solver : Solver
        For the image; to a small tolerance, as ∇φ is as exact as x. Linear operators, least squares.
    constraint : Prior, optional
        A set with a projection, that ξ lies in, such as `invcore.priors.Simplex` or `invcore.priors.Box`.
    inner_rtol : float
        Relative residual at which conjugate gradient over ξ stops.
    rtol : float
        Stop, per sample, when a step is expected to lower φ by less than rtol² φ.

    References
    ----------
    .. [1] G. Golub and V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares
       problems whose variables separate", SIAM J. Numer. Anal. 10 (1973).
    .. [2] L. Kaufman, "A variable projection method for solving separable nonlinear least squares problems",
       BIT 15 (1975).
    .. [3] C. Kanzow, N. Yamashita, M. Fukushima, "Levenberg–Marquardt methods with strong local convergence
       properties for solving nonlinear equations with convex constraints", J. Comput. Appl. Math. 172 (2004).

    Examples
    --------
    >>> from invcore.operators import LinearOperator
    >>> from invcore.solvers import ConjugateGradient
    >>> t = torch.arange(4.0)
    >>> class Decay(LinearOperator):  # y(t) = x exp(-ξ t), the rate ξ unknown
    ...     rate: Tensor
    ...     domain = Space((1,))
    ...     range = Space((4,))
    ...     params = ("rate",)
    ...     def forward(self, x): return x * torch.exp(-self.rate * t)
    >>> solver = VariableProjection(solver=ConjugateGradient(weight=0.0))
    >>> solution = solver.solve(3 * torch.exp(-0.5 * t), Physics(Decay(torch.tensor([2.0]))))
    >>> solution.value.round(decimals=2), solution.physics.operator.rate.round(decimals=2)
    (tensor([3.]), tensor([0.5000]))
    """

    constraint: Prior | None = None
    inner_rtol: float = 1e-3
    max_steps: int = 100
    rtol: float = 1e-5

    def __post_init__(self) -> None:
        if self.constraint is not None and self.constraint.power != 0:
            raise ParameterError(
                f"VariableProjection: the constraint is a set, such as Simplex() or Box(), not "
                f"{type(self.constraint).__name__}; for another prior of the parameter use "
                "'blind_alternating'"
            )

    @property
    def parameter_prior(self) -> Prior | None:
        """The constraint."""
        return self.constraint

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        posed = super().problem(y, physics, x0)
        if not isinstance(posed.fidelity, LeastSquares):
            raise ParameterError(
                f"VariableProjection solves least squares, not {type(posed.fidelity).__name__}: use "
                "'blind_alternating'"
            )
        self.name(posed.linear)
        return posed

    def init(self, problem: Problem) -> _State:
        if torch.is_grad_enabled():
            raise SolverError(
                "VariableProjection has no derivative through its steps: use differentiate='none', or "
                "'blind_alternating'"
            )
        parameter, x = self.first(problem), problem.start()
        change = torch.full_like(norm(x, problem.space), torch.inf)
        if not change.numel():
            return _State(x, parameter, change, change, change)
        x = self.image(problem, parameter, x)
        gram, g, _ = self._model(problem, parameter, x)
        objective = self.bound(problem, parameter).objective(x)
        return _State(x, parameter, objective, 1e-3 * _bend(gram, g), change)

    def step(self, problem: Problem, state: _State) -> _State:
        x, parameter, objective, mu, _ = state
        gram, g, space = self._model(problem, parameter, x)
        d = self._direction(gram, g, mu, flatten(parameter, space), space)
        tried = unflatten(flatten(parameter, space) + d, space)
        if self.constraint is not None:
            tried = self.constraint.prox(tried, 1.0, space)
            d = flatten(tried - parameter, space)
        x_tried = self.image(problem, tried, x)
        value = self.bound(problem, tried).objective(x_tried)
        predicted = -dot(g, d) - dot(d, gram(d)) / 2  # none of some projected steps, which damping cures
        ratio = torch.where(predicted > 0, objective - value, 0) / torch.where(predicted > 0, predicted, 1)
        level = (value - objective).abs() <= 100 * torch.finfo(value.dtype).eps * objective.abs()
        taken = (predicted > 0) & (level | (ratio > 0))  # differences drowned in rounding: trust the model
        good = taken & (level | (ratio > 3 / 4))
        share = (predicted.clamp_min(0) / torch.where(objective > 0, objective, 1)).sqrt()
        still = norm(d) <= 10 * torch.finfo(d.dtype).eps * norm(flatten(parameter, space))
        x, parameter = (_chosen(taken, *pair) for pair in ((x_tried, x), (tried, parameter)))
        return _State(
            x,
            parameter,
            torch.where(taken, value, objective),
            mu * torch.where(good, 1 / 4, torch.where(taken & (ratio > 1 / 4), 1, 4)),
            torch.where(still, 0, torch.where(taken, share, torch.inf)).detach(),
        )

    def _direction(
        self, gram: Callable[[Tensor], Tensor], g: Tensor, mu: Tensor, at: Tensor, space: Space
    ) -> Tensor:
        """The step; with a constraint within the face of the set that a gradient step leads to."""
        prox, face, rest = self.constraint, lambda v: v, torch.zeros_like(g)
        if prox is not None:
            bend = _bend(gram, g)
            onto = lambda v: flatten(prox.prox(unflatten(v, space), 1.0, space), space)
            ahead, pull, *_ = torch.func.vjp(onto, at - g / torch.where(bend > 0, bend, 1).unsqueeze(-1))
            face = lambda v: pull(v)[
                0
            ]  # the projection is piecewise linear: its Jacobian is that of the face
            rest = (ahead - at) - face(ahead - at)
        b = -face(g + gram(rest))
        reduced = lambda v: torch.addcmul(face(gram(v)), mu.unsqueeze(-1), v)
        return rest + cg(reduced, b, rtol=self.inner_rtol, max_steps=4 * space.real_size).x

    def converged(self, problem: Problem, state: _State) -> Tensor:
        floor = (10 * torch.finfo(state.change.dtype).eps) ** 0.5  # of differences of φ
        return state.change <= max(self.rtol, floor)

    def _model(
        self, problem: Problem, parameter: Tensor, x: Any
    ) -> tuple[Callable[[Tensor], Tensor], Tensor, Space]:
        """The map DᴴPD/σ², the gradient of φ, in real coordinates, and the space of ξ."""
        posed, space = self.bound(problem, parameter), own_space(problem, parameter, x)
        A, D = posed.linear, self.map(problem, parameter, x).linearize(parameter)
        precision = torch.as_tensor(posed.fidelity.precision()).to(parameter.real).unsqueeze(-1)  # type: ignore[attr-defined]
        residual = posed.fidelity.grad(A._apply(x), posed.y, A.range)
        shift = None
        if posed.prior is None or isinstance(posed.prior, Tikhonov):
            shift = posed.normal_equations[2] if posed.prior is not None else 0.0

        def gram(v: Tensor) -> Tensor:
            w = D._apply(unflatten(v, space))
            if shift is not None:
                w = unflatten(
                    flatten(w, A.range)
                    - flatten(
                        A._apply(least_squares(A, w, shift=shift, rtol=1e-3 * self.inner_rtol)), A.range
                    ),
                    A.range,
                )
            return precision * flatten(D._apply_adjoint(w), space)

        return gram, flatten(D._apply_adjoint(residual), space), space


def _bend(gram: Callable[[Tensor], Tensor], g: Tensor) -> Tensor:
    """The curvature along the gradient."""
    gg = dot(g, g)
    return dot(g, gram(g)) / torch.where(gg > 0, gg, 1)


def _chosen(taken: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(taken.reshape((*taken.shape, *(1,) * (new.ndim - taken.ndim))), new, old)
