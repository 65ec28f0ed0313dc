"""Douglas–Rachford splitting."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._problem import Problem
from ..spaces import norm, per_sample, vdot
from ._base import Regularized
from ._splitting import curvature, data_prox, inner_tolerance, minimizer_map, ones, ratio, settled

_FARTHEST = 16.0
"""By what factor one move may ask for another step."""
_ALIGNED = 0.2
"""Cosine beyond which a change of slope follows the move."""


class _State(NamedTuple):
    x: Tensor
    z: Tensor
    a: Tensor
    b: Tensor
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

    where a tends to the gradient of f(A·) and b = (z - t a - x)/t is a slope of λg. ‖Δz‖/‖Δa‖ and ‖Δx‖/‖Δb‖
    are one over the curvatures of both terms along the last move, which is where the iteration is slow: t
    goes to the first, or where Δb is along Δx to their geometric mean [3]_, per sample, in factors that die
    out [2]_. It starts from a certified norm and any value converges. The proximal operator of f(A·) is a
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
    .. [3] Z. Xu, M. Figueiredo, T. Goldstein, "Adaptive ADMM with spectral penalty parameter selection",
       AISTATS (2017).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Identity
    >>> from invcore.priors import L1
    >>> physics = Physics(Identity((2,)))
    >>> DouglasRachford(prior=L1(), weight=1.0)(torch.tensor([3.0, 0.5]), physics).round(decimals=3)
    tensor([2., 0.])
    """

    prior_by = "prox"
    max_steps: int = 500
    rtol: float = 1e-4
    per_step = ("weight",)
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
            b=-a,
            t=one / curvature(problem),
            k=0,
            size=norm(x, problem.space).detach(),
            dual_size=norm(a, problem.space).detach(),
            solved=one > 0,
            change=one * torch.inf,
        )

    def step(self, problem: Problem, state: _State) -> _State:
        x, space, k, t = state.x, problem.space, state.k, state.t
        t_ = per_sample(t, space)
        tolerance = inner_tolerance(state.change, x.dtype)
        z, solved = data_prox(self, problem, x + t_ * state.a, t, state.z, tolerance, self.inner_steps)
        a = state.a + (x - z) / t_
        x_new = w = z - t_ * a
        if problem.prior is not None:
            x_new = problem.prior.at(k).prox(w, problem.weight * t, space)
        with torch.no_grad():
            size = torch.maximum(state.size, torch.maximum(norm(x_new, space), norm(z, space)))
            dual_size = torch.maximum(state.dual_size, norm(a, space))
            primal = ratio(norm(z - x_new, space), size)
            dual = ratio(norm(x_new - x, space) / t, dual_size)
            solved = solved & settled(tolerance, self.rtol, x.dtype)
        new = _State(
            x_new, z, a, (w - x_new) / t_, t, k + 1, size, dual_size, solved, torch.maximum(primal, dual)
        )
        return new._replace(t=self._length(problem, state, new)) if self.adaptive else new

    def _length(self, problem: Problem, old: _State, new: _State) -> Tensor:
        """t ← t^(1-ω) s^ω with the secant step s, and ω = 2^(-k/100)/2, a summable sequence."""
        space = problem.space

        def secant(moved: Tensor, bent: Tensor) -> tuple[Tensor, Tensor]:
            """‖moved‖/‖bent‖ in units of t, and the cosine of the two; 1 and 0 where that is rounding."""
            n, m = norm(moved, space), norm(bent, space)
            rounding = 100 * torch.finfo(n.dtype).eps
            seen = (n > rounding * new.size) & (m > rounding * new.dual_size)
            step = torch.where(seen, n, new.t) / torch.where(seen, m, 1) / new.t
            return step, torch.where(seen, vdot(moved, bent, space) / torch.where(seen, n * m, 1), 0)

        wish, _ = secant(new.z - old.z, new.a - old.a)
        if problem.prior is not None:
            of_g, cosine = secant(new.x - old.x, new.b - old.b)
            wish = torch.where(cosine > _ALIGNED, (wish * of_g).sqrt(), wish)
        return new.t * wish.clamp(1 / _FARTHEST, _FARTHEST) ** (0.5 * 2.0 ** (-old.k / 100))

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return (state.change <= self.rtol) & state.solved

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        return minimizer_map(self, problem, x)
