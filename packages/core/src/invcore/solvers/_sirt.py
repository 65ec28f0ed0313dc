"""SIRT."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._problem import Problem
from ..operators import LinearOperator
from ..spaces import norm, tree_map
from ._base import Solver
from ._cgls import noise_floor
from ._nonnegative import inverse_sums, require_nonnegative


class _State(NamedTuple):
    x: Tensor
    residual: Any
    C: Tensor
    R: Any
    change: Tensor


class SIRT(Solver):
    """Simultaneous iterative reconstruction [1]_ for an operator with entries that are not negative.

    .. math:: x_{k+1} = P(x_k + C Aᴴ R (y - A x_k)), \\quad C = 1/(Aᴴ1),\\ R = 1/(A1)

    Converges, without a step size [2]_, to the minimizer of Σ R_i (Ax - y)_i², of which it is a gradient step in the norm of
    1/C. P is the identity, or with ``nonnegative_image`` the projection on x ≥ 0.

    Parameters
    ----------
    nonnegative_image : bool
        Whether to project on x ≥ 0.
    discrepancy : float, optional
        Stop, per sample, when ‖Ax - y‖ ≤ discrepancy σ√m, for a noise level σ that the physics states: the discrepancy
        principle. None: run to ``rtol``.

    References
    ----------
    .. [1] P. Gilbert, "Iterative methods for the three-dimensional reconstruction of an object from projections", J. Theor.
       Biol. 36 (1972).
    .. [2] J. Gregor and T. Benson, "Computational analysis and improvement of SIRT", IEEE Trans. Med. Imaging 27 (2008).

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
    def nonnegative(self) -> bool:
        return True

    def init(self, problem: Problem) -> _State:
        require_nonnegative(type(self).__name__, problem)
        b = problem.backprojection
        x = torch.zeros_like(b) if problem.x0 is None else problem.x0.to(b.dtype).expand_as(b)
        residual = tree_map(torch.sub, problem.y, problem.linear._apply(x))
        return _State(
            x,
            residual,
            *weights(problem.linear, problem.backprojection),
            torch.full_like(norm(x, problem.space), torch.inf),
        )

    def step(self, problem: Problem, state: _State) -> _State:
        x, residual, C, R, _ = state
        x_new = self._projected(x + C * problem.linear._apply_adjoint(tree_map(torch.mul, R, residual)))
        residual = tree_map(torch.sub, problem.y, problem.linear._apply(x_new))
        size = norm(x_new, problem.space)
        change = norm(x_new - x, problem.space) / torch.where(size > 0, size, 1)
        return _State(x_new, residual, C, R, change.detach())

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        C, R = weights(problem.linear, problem.backprojection)
        residual = tree_map(torch.sub, problem.y, problem.linear._apply(x))
        return self._projected(x + C * problem.linear._apply_adjoint(tree_map(torch.mul, R, residual)))

    def _projected(self, x: Tensor) -> Tensor:
        return x.clamp_min(0) if self.nonnegative_image else x

    def converged(self, problem: Problem, state: _State) -> Tensor:
        fits = norm(state.residual, problem.A.range) <= noise_floor(problem, self.discrepancy)
        return (state.change <= self.rtol) | fits


def weights(A: LinearOperator, like: Tensor) -> tuple[Tensor, Any]:
    """C = 1/(Aᴴ1) and R = 1/(A1), and 0 where a sum is 0."""
    rows = A._apply(torch.ones_like(like))
    columns = A._apply_adjoint(tree_map(torch.ones_like, rows))
    return inverse_sums(columns, A.domain), inverse_sums(rows, A.range)
