"""CGLS with the discrepancy principle as stopping rule."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._krylov.base import dot, unit
from .._problem import Problem
from .._weights import noise_variance
from ..fidelities import LeastSquares
from ..operators import least_squares
from ..spaces import flatten, unflatten
from ._base import Solver


class _State(NamedTuple):
    x: Tensor
    r: Tensor
    p: Tensor
    ss: Tensor
    scale: Tensor
    size: Tensor
    floor: Tensor


class CGLS(Solver):
    """Least squares min ‖Ax - y‖² by conjugate gradient, stopped when it fits the data to the noise level.

    The residual r = y - Ax falls in each step, and the noise enters x late; the discrepancy principle [2]_
    stops at

    .. math:: ‖Ax - y‖ ≤ τ σ √m

    with σ the standard deviation of each real component of the noise, which the physics states, and m the
    number of real components of the data (exact zeros are not measured). Where the noise level is not known
    it runs to ``rtol``. The recurrence is the one of Björck [1]_, which keeps the residual of the data
    itself.

    Parameters
    ----------
    discrepancy : float, optional
        τ ≥ 1; None: run to ``rtol``.
    rtol : float
        Stop, per sample, when ‖Aᴴr‖ ≤ rtol ‖Aᴴy‖.

    References
    ----------
    .. [1] Å. Björck, "Numerical methods for least squares problems", Algorithm 7.4.1 (1996).
    .. [2] V. Morozov, "On the solution of functional equations by the method of regularization", Soviet Math.
       Dokl. 7 (1966); P. Hansen, "Discrete inverse problems", Section 6.3 (2010).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Matrix
    >>> A, y = Matrix(torch.diag(torch.tensor([1.0, 0.01]))), torch.tensor([1.0, 0.02])
    >>> CGLS()(y, Physics(A)).round(decimals=2)
    tensor([1., 2.])
    >>> CGLS()(y, Physics(A, GaussianNoise(sigma=0.02))).round(decimals=2)
    tensor([1., 0.])
    """

    discrepancy: float | None = 1.01
    max_steps: int = 1000
    rtol: float = 1e-6

    def init(self, problem: Problem) -> _State:
        if not isinstance(problem.fidelity, LeastSquares):
            raise ParameterError(f"CGLS solves least squares, not {type(problem.fidelity).__name__}")
        b = flatten(problem.backprojection, problem.space)
        scale = unit(b)
        y = flatten(problem.y, problem.A.range).expand(*b.shape[:-1], -1) / scale
        x = flatten(problem.start(), problem.space) / scale
        if problem.x0 is not None:  # zero solves Aᴴy = 0, which no relative residual would tell
            x = torch.where(b.any(-1, keepdim=True), x, 0)
        r = y if problem.x0 is None else y - _forward(problem, x)
        s = b / scale if problem.x0 is None else _adjoint(problem, r)
        floor = noise_floor(problem, self.discrepancy).to(b) / scale.squeeze(-1)
        size = torch.linalg.vector_norm(b / scale, dim=-1).expand(s.shape[:-1])
        return _State(x.expand(s.shape), r, s, dot(s, s), scale, size, floor)

    def step(self, problem: Problem, state: _State) -> _State:
        x, r, p, ss, *rest = state
        q = _forward(problem, p)
        qq = dot(q, q)
        active = qq > 0
        alpha = (torch.where(active, ss, 0) / torch.where(active, qq, 1)).unsqueeze(-1)
        x = x + alpha * p
        r = r - alpha * q
        s = _adjoint(problem, r)
        ss_new = dot(s, s)
        p = s + (torch.where(active, ss_new, 0) / torch.where(active & (ss > 0), ss, 1)).unsqueeze(-1) * p
        return _State(x, r, p, ss_new, *rest)

    def change(self, problem: Problem, state: _State) -> Tensor:
        """The relative residual of the normal equations."""
        return state.ss.sqrt() / torch.where(state.size > 0, state.size, 1)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        fits = torch.linalg.vector_norm(state.r, dim=-1) <= state.floor
        return fits | (state.ss.sqrt() <= self.rtol * state.size)

    def value(self, problem: Problem, state: _State) -> Any:
        return unflatten(state.scale * state.x, problem.space)

    def implicit(self, problem: Problem, x: Any) -> Any:
        if bool((noise_floor(problem, self.discrepancy) > 0).any()):
            raise ParameterError(
                "CGLS that stops at the noise level is no minimizer, so it has no implicit derivative: use "
                "differentiate='unroll', or discrepancy=None"
            )
        return least_squares(
            problem.linear, problem.y, x0=x.detach(), rtol=self.rtol, max_steps=self.max_steps
        )


def _forward(problem: Problem, v: Tensor) -> Tensor:
    return flatten(problem.linear._apply(unflatten(v, problem.space)), problem.A.range)


def _adjoint(problem: Problem, u: Tensor) -> Tensor:
    return flatten(problem.linear._apply_adjoint(unflatten(u, problem.A.range)), problem.space)


@torch.no_grad()
def noise_floor(problem: Problem, discrepancy: float | None) -> Tensor:
    """τ σ √m, the residual norm that noise explains, (batch...); 0 where σ is unknown or τ is None."""
    y = flatten(problem.y, problem.A.range)
    if discrepancy is None:
        return y.new_zeros(y.shape[:-1])
    if not 0 < discrepancy < math.inf:
        raise ParameterError(f"discrepancy must be a positive number or None, got {discrepancy!r}")
    measured = (y != 0).sum(-1)
    return discrepancy * (noise_variance(problem.physics).to(y.device) * measured).sqrt().to(y.dtype)
