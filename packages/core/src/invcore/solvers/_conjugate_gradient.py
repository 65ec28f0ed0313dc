"""Conjugate gradient; with coil maps, CG-SENSE."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._krylov.base import dot, unit
from .._krylov.cg import cg_init, cg_step
from .._krylov.scalars import Scalar, are_numbers, where
from .._problem import Problem
from ..fidelities import LeastSquares
from ..operators import least_squares
from ..priors import Prior, Tikhonov
from ..spaces import flatten, unflatten
from ._base import Solver


class _State(NamedTuple):
    """Vectors are (batch..., n); for a single sample on a CPU scalars are numbers and vectors (n,)."""

    x: Tensor
    r: Tensor
    p: Tensor
    rr: Scalar
    scale: Tensor
    floor: Scalar
    size: Scalar


class ConjugateGradient(Solver):
    """Tikhonov-regularized least squares by conjugate gradient: min ‖Ax - y‖²/(2σ²) + λ‖x‖²/2.

    Solves the normal equations (AᴴA + λσ²) x = Aᴴy [1]_. For multi-coil MRI this is CG-SENSE [2]_. The
    residual stops at ‖r‖ ≤ rtol ‖Aᴴy‖, per sample.

    Parameters
    ----------
    weight : "auto", float or Tensor, shape (batch...)
        λ; ``"auto"`` minimizes an unbiased estimate of the risk (`ridge_weight`).
    rtol : float
        Stop, per sample, when ‖r‖ ≤ rtol ‖Aᴴy‖.
    prior : Tikhonov
        ‖x‖²/2.

    References
    ----------
    .. [1] M. Hestenes and E. Stiefel, "Methods of conjugate gradients for solving linear systems" (1952).
    .. [2] K. Pruessmann et al., "Advances in sensitivity encoding with arbitrary k-space trajectories",
       Magn. Reson. Med. 46 (2001).

    Examples
    --------
    >>> import torch
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix
    >>> physics = Physics(Matrix(torch.diag(torch.tensor([1.0, 2.0]))))
    >>> ConjugateGradient(weight=0.0)(torch.tensor([1.0, 4.0]), physics).round(decimals=3)
    tensor([1., 2.])
    """

    weight: Literal["auto"] | float | Tensor = "auto"
    max_steps: int = 1000
    rtol: float = 1e-5
    prior: Prior = Tikhonov()
    params = ("weight",)

    def __post_init__(self) -> None:
        if not isinstance(self.prior, Tikhonov):
            raise ParameterError(
                "ConjugateGradient solves quadratic problems: its prior is Tikhonov(), not "
                f"{type(self.prior).__name__}. "
                "Use 'fista' for a sparse prior."
            )

    def init(self, problem: Problem) -> _State:
        _, b, shift = problem.normal_equations
        scale = unit(b)
        b = b / scale
        x0 = None if problem.x0 is None else flatten(problem.x0, problem.space) / scale
        bb: Any = dot(b, b)
        if x0 is not None:  # zero solves a zero right-hand side, which no relative residual would tell
            x0 = torch.where((bb > 0).unsqueeze(-1), x0, 0)
        if are_numbers(bb, shift) and (x0 is None or x0.shape == b.shape):
            b, x0, bb = b.reshape(-1), None if x0 is None else x0.reshape(-1), bb.item()
        first = cg_init(problem.normal_map(bb), b, x0, bb)
        return _State(*first, scale, self.rtol**2 * bb, where(bb > 0, bb, 1.0))

    def step(self, problem: Problem, state: _State) -> _State:
        x, r, p, rr, scale, floor, size = state
        return _State(*cg_step(problem.normal_map(floor), (x, r, p, rr), floor), scale, floor, size)

    def change(self, problem: Problem, state: _State) -> Scalar:
        """The relative residual."""
        return (state.rr / state.size) ** 0.5

    def converged(self, problem: Problem, state: _State) -> Tensor | bool:
        return state.rr <= state.floor

    def value(self, problem: Problem, state: _State) -> Any:
        return unflatten(state.scale * state.x, problem.space)

    def implicit(self, problem: Problem, x: Any) -> Any:
        assert isinstance(problem.fidelity, LeastSquares)
        shift = problem.weight / problem.fidelity.precision()
        return least_squares(
            problem.linear, problem.y, shift=shift, x0=x.detach(), rtol=self.rtol, max_steps=self.max_steps
        )
