"""SIRT, and SART: SIRT with ordered subsets."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._problem import Problem, inverse_sums
from ..operators import LinearOperator
from ..spaces import norm, tree_map
from ._base import Solver
from ._blocks import blocks
from ._cgls import noise_floor
from ._nonnegative import require_nonnegative
from ._splitting import ones


class _State(NamedTuple):
    x: Tensor
    residual: Any
    C: Tensor
    R: Any
    change: Tensor


class SIRT(Solver):
    """Simultaneous iterative reconstruction [1]_ for a nonnegative operator.

    .. math:: x_{k+1} = P(x_k + C Aᴴ R (y - A x_k)), \\quad C = 1/(Aᴴ1),\\ R = 1/(A1)

    Converges, without a step size [2]_, to the minimizer of Σ R_i (Ax - y)_i²: each step is a gradient step
    in the norm of 1/C. P is the identity, or with ``nonnegative_image`` the projection on x ≥ 0.

    Parameters
    ----------
    nonnegative_image : bool
        Project on x ≥ 0.
    discrepancy : float, optional
        Stop, per sample, when ‖Ax - y‖ ≤ discrepancy σ√m, for a noise level σ that the physics states: the
        discrepancy principle. None: run to ``rtol``.

    References
    ----------
    .. [1] P. Gilbert, "Iterative methods for the three-dimensional reconstruction of an object from
       projections", J. Theor. Biol. 36 (1972).
    .. [2] J. Gregor and T. Benson, "Computational analysis and improvement of SIRT", IEEE Trans. Med. Imaging
       27 (2008).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix
    >>> physics = Physics(Matrix(torch.tensor([[2.0, 1.0], [1.0, 2.0]])))
    >>> SIRT()(torch.tensor([5.0, 7.0]), physics).round(decimals=2)
    tensor([1., 3.])
    """

    nonnegative_image: bool = False
    discrepancy: float | None = None
    max_steps: int = 20_000
    rtol: float = 1e-5

    @property
    def requires_nonnegative(self) -> bool:
        return True

    def init(self, problem: Problem) -> _State:
        require_nonnegative("SIRT", problem)
        x, y = problem.start(), problem.y
        C, R = _weights(problem.linear, x)
        return _State(x, _residual(problem.linear, x, y), C, R, torch.inf * ones(x, problem.space))

    def step(self, problem: Problem, state: _State) -> _State:
        A, x, residual, C, R = problem.linear, state.x, state.residual, state.C, state.R
        x_new = _corrected(A, x, residual, C, R, self.nonnegative_image)
        change = problem.change(x_new - x, x_new, state.change)
        return _State(x_new, _residual(A, x_new, problem.y), C, R, change)

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        C, R = _weights(problem.linear, x)
        residual = _residual(problem.linear, x, problem.y)
        return _corrected(problem.linear, x, residual, C, R, self.nonnegative_image)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        fits = norm(state.residual, problem.A.range) <= noise_floor(problem, self.discrepancy)
        return (state.change <= self.rtol) | fits


class _SweepState(NamedTuple):
    x: Tensor
    C: Tensor
    R: tuple[Any, ...]
    change: Tensor


class SART(Solver):
    """Simultaneous algebraic reconstruction: SIRT steps with one block of data after the other [1]_.

    .. math::
        x ← P(x + ω C A_iᴴ R_i (y_i - A_i x)), \\quad i = 1, …, n, \\qquad
        C = 1/\\max_i(A_iᴴ1),\\ R_i = 1/(A_i 1)

    One step goes through all blocks of a stacked operator. With one view in each block this is SART, with a
    few it is ordered-subsets SIRT (OS-SIRT); an operator that is not stacked is a single block: SIRT. The
    original has a C for each block; with the largest sum for all of them every step is a gradient step in one
    norm, and for consistent data the iterates converge to a solution. With noise they end in a cycle about
    the minimizer of Σ R_i (Ax - y)_i², the smaller the relaxation ω the closer [2]_.

    Parameters
    ----------
    relaxation : float
        ω in (0, 2).
    nonnegative_image : bool
        Project on x ≥ 0; else P is the identity.
    rtol : float
        Stop, per sample, when a pass through all blocks changes x by at most rtol ‖x‖.

    References
    ----------
    .. [1] A. H. Andersen and A. C. Kak, "Simultaneous algebraic reconstruction technique (SART): a superior
       implementation of the ART algorithm", Ultrason. Imaging 6 (1984).
    .. [2] M. Jiang and G. Wang, "Convergence studies on iterative algorithms for image reconstruction", IEEE
       Trans. Med. Imaging 22 (2003).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix, stack
    >>> rows = [Matrix(torch.tensor([[2.0, 1.0]])), Matrix(torch.tensor([[1.0, 2.0]]))]
    >>> y = (torch.tensor([5.0]), torch.tensor([7.0]))
    >>> SART()(y, Physics(stack(rows))).round(decimals=2)
    tensor([1., 3.])
    """

    relaxation: float = 1.0
    nonnegative_image: bool = False
    max_steps: int = 20_000
    rtol: float = 1e-5

    def __post_init__(self) -> None:
        if not 0 < self.relaxation < 2:
            raise ParameterError(f"SART: relaxation must be between 0 and 2, got {self.relaxation!r}")

    @property
    def requires_nonnegative(self) -> bool:
        return True

    def init(self, problem: Problem) -> _SweepState:
        require_nonnegative("SART", problem)
        x = problem.start()
        return _SweepState(x, *self._weights(problem, x), torch.inf * ones(x, problem.space))

    def step(self, problem: Problem, state: _SweepState) -> _SweepState:
        x = self._sweep(problem, state.x, state.C, state.R)
        change = problem.change(x - state.x, x, state.change)
        return _SweepState(x, state.C, state.R, change)

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        return self._sweep(problem, x, *self._weights(problem, x))

    def _weights(self, problem: Problem, like: Tensor) -> tuple[Tensor, tuple[Any, ...]]:
        """ω C with C = 1/max_i(A_iᴴ1), and R_i = 1/(A_i 1) of each block; 0 where a sum is 0."""
        found = [_weights(A, like) for A, _ in blocks(problem)]
        seen = torch.stack([torch.where(C > 0, C, torch.inf) for C, _ in found]).amin(0)
        C = torch.where(torch.isinf(seen), 0.0, seen)
        return self.relaxation * C, tuple(R for _, R in found)

    def _sweep(self, problem: Problem, x: Tensor, C: Tensor, R: tuple[Any, ...]) -> Tensor:
        for (A, y), R_i in zip(blocks(problem), R):
            x = _corrected(A, x, _residual(A, x, y), C, R_i, self.nonnegative_image)
        return x

    def converged(self, problem: Problem, state: _SweepState) -> Tensor:
        return state.change <= self.rtol


def _residual(A: LinearOperator, x: Tensor, y: Any) -> Any:
    return tree_map(torch.sub, y, A._apply(x))


def _corrected(
    A: LinearOperator, x: Tensor, residual: Any, C: Tensor, R: Any, nonnegative_image: bool
) -> Tensor:
    """P(x + C Aᴴ R residual)."""
    x = x + C * A._apply_adjoint(tree_map(torch.mul, R, residual))
    return x.clamp_min(0) if nonnegative_image else x


def _weights(A: LinearOperator, like: Tensor) -> tuple[Tensor, Any]:
    """C = 1/(Aᴴ1) and R = 1/(A1), and 0 where a sum is 0."""
    rows = A._apply(torch.ones_like(like))
    columns = A._apply_adjoint(tree_map(torch.ones_like, rows))
    return inverse_sums(columns, A.domain), inverse_sums(rows, A.range)
