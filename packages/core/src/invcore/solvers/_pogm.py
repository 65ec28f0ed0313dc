"""POGM: the proximal optimized gradient method with adaptive restart."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._problem import Problem, tolerance
from ..spaces import per_sample, vdot
from ._base import Regularized
from ._multiresolution import coarse_start
from ._splitting import averaged, first_memory, longest_step, minimizer_map, ones


class _State(NamedTuple):
    x: Tensor
    u: Tensor
    z: Tensor
    y: Tensor
    theta: Tensor
    gamma: Tensor
    length: Tensor
    k: int
    mean: Tensor
    memory: tuple[Tensor, ...]
    change: Tensor
    peak: Tensor


class POGM(Regularized):
    """Minimize f(Ax; y) + λ g(x) by the proximal optimized gradient method [1]_ with adaptive restart [2]_.

    .. math::
        u_k &= x_{k-1} - ∇f(x_{k-1})/L, \\qquad θ_k = \\tfrac12 (1 + \\sqrt{4θ_{k-1}^2 + 1}), \\qquad
            γ_k = \\tfrac1L \\, (2θ_{k-1} + θ_k - 1)/θ_k \\\\
        z_k &= u_k + \\tfrac{θ_{k-1} - 1}{θ_k} (u_k - u_{k-1}) + \\tfrac{θ_{k-1}}{θ_k} (u_k - x_{k-1})
            + \\tfrac{θ_{k-1} - 1}{Lγ_{k-1}θ_k} (z_{k-1} - x_{k-1}) \\\\
        x_k &= \\operatorname{prox}_{γ_k λ g}(z_k)

    with L a certified bound of the Lipschitz constant of ∇f: as simple as `FISTA`, half its worst-case bound,
    and in practice about two thirds of its steps. θ starts again at 1 for every sample whose composite
    gradient points against the last move, as in Section 5 of [2]_. A proximal operator that is an iteration
    starts where the last one ended.

    Parameters
    ----------
    prior : Prior, optional
        g, with a proximal operator. None: the optimized gradient method.
    rtol : float
        Stop, per sample, when ‖x_k - x_{k-1}‖ ≤ rtol ‖x_k‖ (with random shifts 100 rtol, as in `FISTA`), and
        θ is half of what it was at the last restarts: the steps just after one are short wherever they are.
    restart : bool
        Restart θ. Without it the last digits come slowly, but no momentum is lost by chance where the
        objective is flat, as in tomography with a missing wedge.
    coarse_levels : int
        Number of coarser grids, each half as fine as the next, on which the problem is solved first
        (multiresolution, coarse-to-fine): each solution is where the next solve starts, and the last one is
        the start of what is counted and reported. The operator must say what it is there
        (`LinearOperator.coarser`).

    References
    ----------
    .. [1] A. Taylor, J. Hendrickx and F. Glineur, "Exact worst-case performance of first-order methods for
       composite convex optimization", SIAM J. Optim. 27 (2017), Section 4.3.
    .. [2] D. Kim and J. Fessler, "Adaptive restart of the optimized gradient method for convex optimization",
       J. Optim. Theory Appl. 178 (2018).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Identity
    >>> from invcore.priors import L1
    >>> physics = Physics(Identity((2,)))
    >>> POGM(prior=L1(), weight=1.0)(torch.tensor([3.0, 0.5]), physics).round(decimals=3)
    tensor([2., 0.])
    """

    prior_by = "prox"
    fidelity_by = "lipschitz"
    max_steps: int = 10_000
    restart: bool = True
    coarse_levels: int = 0

    def __post_init__(self) -> None:
        if not (isinstance(self.coarse_levels, int) and self.coarse_levels >= 0):
            raise ParameterError(
                f"POGM: coarse_levels must be a whole number >= 0, got {self.coarse_levels!r}"
            )

    def init(self, problem: Problem) -> _State:
        x = coarse_start(self, problem, self.coarse_levels)
        one = ones(x, problem.image_space)
        length = longest_step(problem) * one
        memory = first_memory(problem, x)
        return _State(
            x, x, x, x, one, one, length, 0, mean=x, memory=memory, change=one * torch.inf, peak=0 * one
        )

    def step(self, problem: Problem, state: _State) -> _State:
        x, u, z, y, theta, gamma, length, k, mean, memory, _, peak = state
        space = problem.space

        def times(a: Tensor, v: Tensor) -> Tensor:
            return per_sample(a, space) * v

        u_new = x - times(length, problem.gradient(x))
        theta_new = (1 + (4 * theta**2 + 1).sqrt()) / 2
        gamma_new = (2 * theta + theta_new - 1) / theta_new  # in units of 1/L
        z_new = (
            u_new
            + times((theta - 1) / theta_new, u_new - u)
            + times(theta / theta_new, u_new - x)
            + times((theta - 1) / (gamma * theta_new), z - x)
        )
        x_new = z_new
        if problem.prior is not None:
            threshold = problem.weight * gamma_new * length
            x_new, memory = problem.prior.at(k).warm_prox(z_new, threshold, space, memory)
        y_new = u_new - times(1 / gamma_new, z_new - x_new)  # a step along the composite gradient
        if self.restart:
            uphill = vdot(x - y_new, y_new - y, space) > 0
            peak = torch.where(uphill, torch.maximum(theta_new, 0.8 * peak), peak)  # several come in a row
            theta_new = torch.where(uphill, 1.0, theta_new)
        mean, moved = averaged(problem, mean, x_new, x_new - x, k)
        change = problem.change(moved, mean, theta)
        moved_to = (x_new, u_new, z_new, y_new, theta_new, gamma_new)
        return _State(*moved_to, length, k + 1, mean, memory, change, peak)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        moving = state.theta >= state.peak / 2
        return (state.change <= tolerance(problem, self.rtol)) & moving

    def value(self, problem: Problem, state: _State) -> Any:
        return state.mean

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        return minimizer_map(self, problem, x)
