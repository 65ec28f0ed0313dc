"""Proximal gradient."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError, SolverError
from .._problem import Problem, tolerance
from ..fidelities import LeastSquares
from ..spaces import tree_map, vdot
from ._base import Regularized
from ._per_step import one_value
from ._splitting import (
    averaged,
    check_step_size,
    curvature,
    forward_backward,
    longest_step,
    minimizer_map,
    ones,
)

_GROWTH, _HALVINGS = 1.5, 100


class _State(NamedTuple):
    x: Tensor
    step: Tensor
    k: int
    mean: Tensor
    change: Tensor


class ProximalGradient(Regularized):
    """Minimize f(Ax; y) + λ g(x) by a gradient step on f and a proximal step on g.

    .. math::
        x_{k+1} = \\operatorname{prox}_{t λ g}(x_k - t ∇f(x_k))

    with t = 1/L from a certified bound of the Lipschitz constant of ∇f, so there is no step size to choose
    (but ``step_size`` may learn one). The objective never rises (for a convex prior without random shifts).
    With ``backtracking`` each sample tries a longer step first and halves it until f(x_{k+1}) ≤ f(x_k) +
    ⟨∇f(x_k), d⟩ + ‖d‖²/(2t), d = x_{k+1} - x_k; that also serves fidelities whose gradient has no Lipschitz
    constant. (Long steps amplify rounding: a sample solved alone and in a batch then agree to the tolerance,
    not to the last digit.) With a stochastic prior (random shifts) the result is an average of the iterates,
    as in `FISTA`.

    Parameters
    ----------
    prior : Prior, optional
        g, with a proximal operator. None: gradient descent.
    rtol : float
        Stop, per sample, when ‖x_{k+1} - x_k‖ ≤ rtol ‖x_{k+1}‖ (with random shifts 100 rtol, as in `FISTA`).
    backtracking : bool
        Search for longer steps than 1/L.
    step_size : float, Tensor of shape (batch...), or tuple of them
        t L, below 2; a tuple has one for each step. A tensor that needs gradients is learned with
        ``differentiate="unroll"``. With backtracking that of the first trial.

    References
    ----------
    P.-L. Lions and B. Mercier, "Splitting algorithms for the sum of two nonlinear operators", SIAM J. Numer.
    Anal. 16 (1979). A. Beck and M. Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear
    inverse problems", SIAM J. Imaging Sci. 2 (2009), for the backtracking rule.

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Identity
    >>> from invcore.priors import L1
    >>> physics = Physics(Identity((2,)))
    >>> ProximalGradient(prior=L1(), weight=1.0)(torch.tensor([3.0, 0.5]), physics)
    tensor([2., 0.])
    """

    prior_by = "prox"
    backtracking: bool = False
    step_size: float | Tensor | tuple[float | Tensor, ...] = 1.0
    params = ("weight", "step_size")
    per_step = ("weight", "step_size")
    bounds = {"step_size": (0.0, 2.0)}

    def __post_init__(self) -> None:
        if self.backtracking and isinstance(self.step_size, tuple):
            raise ParameterError("ProximalGradient: backtracking finds the steps; give it one step_size")
        check_step_size(self)

    @property
    def fidelity_by(self) -> Literal["lipschitz", "smooth"]:  # type: ignore[override]
        """What is asked of the gradient: with ``backtracking`` that it is continuous."""
        return "smooth" if self.backtracking else "lipschitz"

    @property
    def monotone(self) -> bool:
        """True if the objective never rises."""
        return self.prior is None or not self.prior.stochastic

    def init(self, problem: Problem) -> _State:
        x = problem.start()
        one = ones(x, problem.image_space)
        step = (
            one_value(self.step_size) * one / curvature(problem)
            if self.backtracking
            else one * longest_step(problem)
        )
        return _State(x=x, step=step, k=0, mean=x, change=one * torch.inf)

    def step(self, problem: Problem, state: _State) -> _State:
        x, step, k, mean, _ = state
        if self.backtracking:
            x_new, step = self._search(problem, x, _GROWTH * step, k)
        else:
            t = one_value(self.step_size) * step
            x_new = forward_backward(problem, x, t, problem.weight * t, k)
        mean, moved = averaged(problem, mean, x_new, x_new - x, k)
        return _State(x_new, step, k + 1, mean, problem.change(moved, mean, step))

    def _search(self, problem: Problem, x: Tensor, step: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The first of step, step/2, step/4, … that decreases the objective sufficiently; 1/L always does."""
        least = torch.zeros_like(step)
        if problem.fidelity.lipschitz() is not None:
            least = longest_step(problem) * torch.ones_like(step)
        for _ in range(_HALVINGS):
            step = torch.maximum(step, least)
            x_new = forward_backward(problem, x, step, problem.weight * step, k)
            with torch.no_grad():
                d2 = vdot(x_new - x, x_new - x, problem.space)
                long = ~(_bregman(problem, x_new, x) <= d2 / (2 * step)) & (step > least)
            if not bool(long.any()):
                return x_new, step
            step = torch.where(long, step / 2, step)
        raise SolverError(
            f"ProximalGradient found no step that lowers the objective in {_HALVINGS} halvings: is the "
            f"gradient of {type(problem.fidelity).__name__} finite at the starting point, and the adjoint of "
            f"{type(problem.A).__name__} exact?"
        )

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= tolerance(problem, self.rtol)

    def value(self, problem: Problem, state: _State) -> Any:
        return state.mean

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        return minimizer_map(self, problem, x)


def _bregman(problem: Problem, new: Tensor, old: Tensor) -> Tensor:
    """f(A new) - f(A old) - ⟨∇f(A old), A(new - old)⟩, up to rounding."""
    f, y, space = problem.fidelity, problem.y, problem.A.range
    moved = problem.linear._apply(new - old)
    if isinstance(f, LeastSquares):
        return 0.5 * f.precision() * vdot(moved, moved, space)
    u = problem.linear._apply(old)
    before, after = f.value(u, y, space), f.value(tree_map(torch.add, u, moved), y, space)
    slack = 4 * torch.finfo(before.dtype).eps * (before.abs() + after.abs())
    return after - before - vdot(f.grad(u, y, space), moved, space) - slack
