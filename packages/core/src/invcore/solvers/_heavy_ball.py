"""Polyak's heavy ball for quadratic problems."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._problem import Problem
from ..fidelities import LeastSquares
from ..priors import Tikhonov
from ..spaces import per_sample
from ._base import Regularized
from ._splitting import minimizer_map, ones


class _State(NamedTuple):
    x: Tensor
    moved: Tensor
    step: Tensor
    momentum: Tensor
    change: Tensor


class HeavyBall(Regularized):
    r"""Minimize ‖Ax - y‖²/2σ² + λ‖x‖²/2 by gradient steps of a ball with mass [1]_.

    .. math::
        x_{k+1} = x_k - \frac{4}{(\sqrt L + \sqrt μ)^2} ∇F(x_k)
            + \left(\frac{1 - \sqrt κ}{1 + \sqrt κ}\right)^2 (x_k - x_{k-1}), \qquad κ = μ/L

    with L and μ the largest and the least curvature of F. Each step brings the error closer by (1 - √κ)/(1 +
    √κ) in the long run, the best rate of any method of fixed steps, and takes no inner product, so that
    unrolled it is a linear recurrence. `ConjugateGradient` needs no μ and no more steps. The rate holds for
    quadratic F alone, and others are refused: for them such steps may run in a cycle.

    Parameters
    ----------
    prior : Tikhonov, optional
        ‖x‖²/2: μ is then at least λ.
    fidelity : LeastSquares, optional
        By default the likelihood of the noise, which must be Gaussian.
    strong_convexity : float or Tensor, shape (batch...)
        μ/L of the data term alone, from 0 (the default: not known) to 1: the square of the least singular
        value of A over the largest. Too large a value diverges.

    References
    ----------
    .. [1] B. Polyak, "Some methods of speeding up the convergence of iteration methods", USSR Comput. Math.
       Math. Phys. 4 (1964).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix
    >>> physics = Physics(Matrix(torch.diag(torch.tensor([1.0, 2.0]))))
    >>> HeavyBall(strong_convexity=0.25)(torch.tensor([1.0, 4.0]), physics).round(decimals=3)
    tensor([1., 2.])
    """

    strong_convexity: float | Tensor = 0.0
    params = ("weight", "strong_convexity")

    def __post_init__(self) -> None:
        kappa = torch.as_tensor(self.strong_convexity).detach()
        if not bool(((kappa >= 0) & (kappa <= 1)).all()):
            raise ParameterError(
                f"HeavyBall: strong_convexity is μ/L, from 0 to 1, got {self.strong_convexity}"
            )
        if self.prior is not None and not isinstance(self.prior, Tikhonov):
            raise ParameterError(
                f"HeavyBall is for quadratic problems, and {type(self.prior).__name__} is no squared norm: "
                "use FISTA(strong_convexity=...)"
            )

    def init(self, problem: Problem) -> _State:
        if not isinstance(problem.fidelity, LeastSquares):
            raise ParameterError(
                f"HeavyBall is for least squares, not {type(problem.fidelity).__name__}: use 'fista' or "
                "'lbfgs'"
            )
        x, space = problem.start(), problem.image_space
        one = ones(x, space)
        ridge = one * (0.0 if problem.prior is None else problem.weight)
        most, least = one * problem.lipschitz + ridge, self.strong_convexity * problem.lipschitz + ridge
        if not bool(((least > 0) | (most == 0)).all()):
            raise ParameterError(
                "HeavyBall needs the least curvature: give strong_convexity > 0, or a Tikhonov prior with a "
                "weight > 0; 'fista' and 'cgls' do without"
            )
        a, b = most.sqrt(), least.sqrt()
        total = torch.where(most > 0, a + b, 1)
        change = one * torch.inf
        return _State(x, torch.zeros_like(x), 4 * (most > 0) / total**2, ((a - b) / total) ** 2, change)

    def step(self, problem: Problem, state: _State) -> _State:
        x, space = state.x, problem.space
        slope = problem.gradient(x)
        if problem.prior is not None:
            slope = slope + per_sample(problem.weight, space) * x
        moved = per_sample(state.momentum, space) * state.moved - per_sample(state.step, space) * slope
        x = x + moved
        return state._replace(x=x, moved=moved, change=problem.change(moved, x, state.change))

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        return minimizer_map(self, problem, x)
