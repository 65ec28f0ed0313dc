"""Iteratively reweighted least squares."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._krylov.base import default_rtol
from .._krylov.cg import cg
from .._problem import Problem
from ..fidelities import LeastSquares
from ..operators import Mask, Space
from ..operators._least_squares import default_steps
from ..operators._spectrum import flat_gram
from ..priors import L1, Lp, Prior
from ..spaces import flatten, norm, per_sample, unflatten, vdot
from ._base import Solver
from ._splitting import forward_backward, longest_step


class _State(NamedTuple):
    x: Tensor
    epsilon: Tensor
    scale: Tensor
    change: Tensor


class IRLS(Solver):
    """Minimize ‖Ax - y‖²/(2σ²) + λ Σ|xᵢ|ᵖ by a sequence of weighted Tikhonov problems.

    .. math::
        x_{k+1} = \\operatorname{argmin}_x \\;
        \\tfrac{1}{2σ²}‖Ax - y‖² + \\tfrac{λ}{2} \\sum_i w_i |x_i|², \\quad
        w_i = p\\,(|x_{k,i}|² + ε_k²)^{p/2 - 1},

    each a majorant of the objective, smoothed by ε_k, which halves in each step, for p < 1 in each that moves
    little [1]_, [2]_. The unknown of the inner conjugate gradient is √w ⊙ x, in which the equations stay well
    conditioned as entries vanish. For p < 1 the objective is not convex, and a local minimum is found.

    Parameters
    ----------
    prior : L1 or Lp
        Which p.
    weight : "auto", float or Tensor, shape (batch...)
        λ > 0.
    rtol : float
        Stop, per sample, when ‖x_{k+1} - x_k‖ ≤ rtol ‖x_{k+1}‖ and ε_k is as small against the data;
        conjugate gradient is a hundred times as exact.

    References
    ----------
    .. [1] I. Daubechies, R. DeVore, M. Fornasier, C. S. Güntürk, "Iteratively reweighted least squares
       minimization for sparse recovery", Commun. Pure Appl. Math. 63 (2010).
    .. [2] R. Chartrand and W. Yin, "Iteratively reweighted algorithms for compressive sensing", ICASSP
       (2008).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Identity
    >>> physics = Physics(Identity((2,)))
    >>> IRLS(weight=1.0)(torch.tensor([3.0, 0.5]), physics).round(decimals=2).abs()
    tensor([2., 0.])
    """

    prior: Prior = L1()
    weight: Literal["auto"] | float | Tensor = "auto"
    max_steps: int = 500
    rtol: float = 1e-4
    params = ("weight",)

    def __post_init__(self) -> None:
        if not isinstance(self.prior, L1 | Lp):
            raise ParameterError(f"IRLS: the prior is L1() or Lp(p=...), not {type(self.prior).__name__}")

    @property
    def _p(self) -> float:
        return self.prior.p if isinstance(self.prior, Lp) else 1.0

    def init(self, problem: Problem) -> _State:
        space, b = problem.image_space, problem.backprojection
        if not isinstance(problem.fidelity, LeastSquares):
            raise ParameterError(
                f"IRLS solves least squares with a prior, not {type(problem.fidelity).__name__}"
            )
        curved = norm(problem.linear._apply(b), problem.A.range) ** 2
        length = vdot(b, b, space) / torch.where(curved > 0, curved, 1)
        x = per_sample(length, space) * b  # a step of steepest descent from zero: the right units
        scale = flatten(x, space).abs().amax(-1)
        epsilon = scale
        if problem.x0 is not None:
            x = problem.start()
            epsilon = self.rtol * scale
        scale, epsilon = (s.expand(norm(x, space).shape) for s in (scale, epsilon))
        return _State(x, epsilon, scale, torch.full_like(scale, torch.inf))

    def step(self, problem: Problem, state: _State) -> _State:
        x, epsilon, scale, _ = state
        space = problem.space
        assert isinstance(space, Space) and isinstance(problem.fidelity, LeastSquares)
        magnitude = x.real**2 + x.imag**2 if x.is_complex() else x**2
        root = self._p**-0.5 * (magnitude + per_sample(epsilon, space) ** 2) ** (
            (2 - self._p) / 4
        )  # w^(-1/2)
        A = problem.linear @ Mask(mask=root, domain=space)
        b = flatten(root * problem.backprojection, space)
        shift = torch.as_tensor(problem.weight / problem.fidelity.precision(), dtype=b.dtype, device=b.device)
        z = self._solved(A, b, shift, flatten(x / torch.where(root > 0, root, 1), space))
        x_new = root * unflatten(z, space)
        change = problem.change(x_new - x, x_new, epsilon)
        settled = change <= 0.1 * (epsilon / torch.where(scale > 0, scale, 1)).detach().sqrt()
        smaller = torch.maximum(epsilon / 2, _resolution(epsilon) * scale)
        return _State(x_new, torch.where(settled | (self._p >= 1), smaller, epsilon), scale, change)

    def _solved(self, A: Any, b: Tensor, shift: Tensor, start: Tensor) -> Tensor:
        """z with (AᴴA + shift) z = b."""
        gram = flat_gram(A)
        return cg(
            lambda v: torch.addcmul(gram(v), shift.unsqueeze(-1), v),
            b,
            x0=start,
            rtol=max(0.01 * self.rtol, default_rtol(b.dtype)),
            max_steps=default_steps(A),
        ).x

    def converged(self, problem: Problem, state: _State) -> Tensor:
        sharp = state.epsilon <= max(self.rtol, 1.01 * _resolution(state.epsilon)) * state.scale
        return (state.change <= self.rtol) & sharp

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        step = longest_step(problem)
        return forward_backward(problem, x, step, problem.weight * step)


def _resolution(t: Tensor) -> float:
    """The smallest ε, against the size of the image."""
    return torch.finfo(t.dtype).eps ** 0.6
