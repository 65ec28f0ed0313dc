"""Douglas–Rachford splitting."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._problem import Problem
from ..spaces import norm, per_sample
from ._base import Regularized
from ._splitting import curvature, data_prox, inner_tolerance, minimizer_map, ones, ratio, settled


class _State(NamedTuple):
    x: Tensor
    z: Tensor
    a: Tensor
    t: Tensor
    k: int
    size: Tensor
    dual_size: Tensor
    solved: Tensor
    change: Tensor


class DouglasRachford(Regularized):
    """Minimize f(Ax; y) + λ g(x) with the proximal operators of both terms [1]_.

    .. math::
        z_{k+1} = \\operatorname{prox}_{t f∘A}(x_k + t a_k), \\quad a_{k+1} = a_k + (x_k - z_{k+1})/t, \\quad
        x_{k+1} = \\operatorname{prox}_{t λ g}(z_{k+1} - t a_{k+1})

    where a tends to the gradient of f(A·). The step t is adapted to ‖z‖/‖a‖, per sample, in changes that die
    out [2]_; it starts from a certified norm and any value converges. The proximal operator of f(A·) is a
    conjugate gradient solve (least squares), started where the last one ended, or that of f where A is the
    identity.

    Parameters
    ----------
    rtol : float
        Stop, per sample, when ‖z - x‖ and ‖Δx‖/t are below rtol times the largest ‖x‖ and ‖a‖ so far.
    adaptive : bool
        Adapt t; else it stays 1/L.

    References
    ----------
    .. [1] P.-L. Lions and B. Mercier, "Splitting algorithms for the sum of two nonlinear operators", SIAM J.
       Numer. Anal. 16 (1979).
    .. [2] D. Lorenz and Q. Tran-Dinh, "Non-stationary Douglas–Rachford and alternating direction method of
       multipliers: adaptive step-sizes and convergence", Comput. Optim. Appl. 74 (2019).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Identity
    >>> from invcore.priors import L1
    >>> physics = Physics(Identity((2,)))
    >>> DouglasRachford(prior=L1(), weight=1.0)(torch.tensor([3.0, 0.5]), physics).round(decimals=3)
    tensor([2., 0.])
    """

    max_steps: int = 500
    rtol: float = 1e-4
    adaptive: bool = True
    inner_steps: int = 200

    def init(self, problem: Problem) -> _State:
        x = problem.start()
        one = ones(x, problem.image_space)
        slope = problem.gradient(x)
        a = torch.where(torch.isfinite(slope), slope, 0)
        return _State(
            x=x,
            z=x,
            a=a,
            t=one / curvature(problem),
            k=0,
            size=norm(x, problem.space).detach(),
            dual_size=norm(a, problem.space).detach(),
            solved=one > 0,
            change=one * torch.inf,
        )

    def step(self, problem: Problem, state: _State) -> _State:
        x, space, k = state.x, problem.space, state.k
        t = self._length(problem, state)
        t_ = per_sample(t, space)
        tolerance = inner_tolerance(state.change, x.dtype)
        z, solved = data_prox(self, problem, x + t_ * state.a, t, state.z, tolerance, self.inner_steps)
        a = state.a + (x - z) / t_
        x_new = z - t_ * a
        if problem.prior is not None:
            x_new = problem.prior.at(k).prox(x_new, problem.weight * t, space)
        with torch.no_grad():
            size = torch.maximum(state.size, torch.maximum(norm(x_new, space), norm(z, space)))
            dual_size = torch.maximum(state.dual_size, norm(a, space))
            primal = ratio(norm(z - x_new, space), size)
            dual = ratio(norm(x_new - x, space) / t, dual_size)
            solved = solved & settled(tolerance, self.rtol, x.dtype)
        return _State(x_new, z, a, t, k + 1, size, dual_size, solved, torch.maximum(primal, dual))

    def _length(self, problem: Problem, state: _State) -> Tensor:
        """t ← (1 - ω) t + ω ‖z‖/‖a‖, with ω = 2^(-k/100), a summable sequence."""
        if not self.adaptive or state.k == 0:
            return state.t
        unit = 1 / curvature(problem)
        n_z, n_a = norm(state.z, problem.space), norm(state.a, problem.space)
        wish = torch.where((n_z > 0) & (n_a > 0), n_z / torch.where(n_a > 0, n_a, 1), state.t)
        wish = wish.clamp(1e-4 * unit, 1e6 * unit)
        omega = 2.0 ** (-state.k / 100)
        return (1 - omega) * state.t + omega * wish

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return (state.change <= self.rtol) & state.solved

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        return minimizer_map(self, problem, x)
