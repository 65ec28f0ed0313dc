"""Conjugate gradient; with coil maps, CG-SENSE."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from ..fidelities import LeastSquares
from ..operators import least_squares
from ..operators._krylov import CGState, cg_init, cg_step, dot, unit
from ..operators._space import flatten, unflatten
from ..priors import Prior, Tikhonov
from ._base import Solver
from ._problem import Problem


class _State(NamedTuple):
    cg: CGState
    scale: Tensor
    floor: Tensor
    size: Tensor


class ConjugateGradient(Solver):
    """Tikhonov-regularised least squares by conjugate gradient: min ‖Ax - y‖²/(2σ²) + λ‖x‖²/2.

    Solves the normal equations (AᴴA + λσ²) x = Aᴴy [1]_. For multi-coil MRI this is CG-SENSE [2]_. The residual stops
    at ‖r‖ ≤ rtol ‖Aᴴy‖, per sample.

    Parameters
    ----------
    weight : "auto", float or Tensor, shape (batch...)
        λ; ``"auto"`` minimises an unbiased estimate of the risk (`ridge_weight`).
    max_steps : int
    rtol : float

    References
    ----------
    .. [1] M. Hestenes and E. Stiefel, "Methods of conjugate gradients for solving linear systems" (1952).
    .. [2] K. Pruessmann et al., "Advances in sensitivity encoding with arbitrary k-space trajectories",
       Magn. Reson. Med. 46 (2001).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix
    >>> physics = Physics(operator=Matrix(matrix=torch.diag(torch.tensor([1.0, 2.0]))))
    >>> ConjugateGradient(weight=0.0)(torch.tensor([1.0, 4.0]), physics).round(decimals=3)
    tensor([1., 2.])
    """

    weight: Literal["auto"] | float | Tensor = "auto"
    max_steps: int = 100
    rtol: float = 1e-4
    prior: Prior = Tikhonov()
    params = ("weight",)

    def __post_init__(self) -> None:
        if not isinstance(self.prior, Tikhonov):
            raise ParameterError(
                f"ConjugateGradient solves quadratic problems: its prior is Tikhonov(), not {type(self.prior).__name__}. "
                "Use 'fista' for a sparse prior."
            )

    def init(self, problem: Problem) -> _State:
        apply, b, _ = problem.normal_equations
        scale = unit(b)
        b = b / scale
        start = None if problem.x0 is None else flatten(problem.x0, problem.space) / scale
        bb = dot(b, b)
        return _State(cg_init(apply, b, start), scale, self.rtol**2 * bb, torch.where(bb > 0, bb, 1))

    def step(self, problem: Problem, state: _State) -> _State:
        return state._replace(cg=cg_step(problem.normal_equations[0], state.cg, state.floor))

    def change(self, problem: Problem, state: _State) -> Tensor:
        """The relative residual."""
        return (state.cg.rr / state.size).sqrt()

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.cg.rr <= state.floor

    def value(self, problem: Problem, state: _State) -> Any:
        return unflatten(state.scale * state.cg.x, problem.space)

    def implicit(self, problem: Problem, x: Any) -> Any:
        assert isinstance(problem.fidelity, LeastSquares)
        shift = problem.weight / problem.fidelity.precision()
        return least_squares(
            problem.linear, problem.y, shift=shift, x0=x.detach(), rtol=self.rtol, max_steps=self.max_steps
        )
