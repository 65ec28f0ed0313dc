"""SART: SIRT with ordered subsets."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._problem import Problem
from ..spaces import norm, tree_map
from ._base import Solver
from ._blocks import blocks
from ._nonnegative import require_nonnegative
from ._sirt import weights


class _State(NamedTuple):
    x: Tensor
    C: Tensor
    R: tuple[Any, ...]
    change: Tensor


class SART(Solver):
    """Simultaneous algebraic reconstruction: SIRT steps with one block of a stacked operator after the other [1]_.

    .. math:: x ← P(x + ω C A_iᴴ R_i (y_i - A_i x)), \\quad i = 1, …, n, \\qquad C = 1/\\max_i(A_iᴴ1),\\ R_i = 1/(A_i 1)

    One step goes through all blocks. With one view a block this is SART, with a few it is ordered-subsets SIRT (OS-SIRT), and an operator
    that is not stacked is a single block: SIRT. The original has a C of its own for each block; with the largest sum for all of them every step
    is a gradient step in one norm, and for consistent data the iterates converge to a solution. With noise they end in a cycle about the
    minimizer of Σ R_i (Ax - y)_i², the smaller the relaxation ω the closer [2]_.

    Parameters
    ----------
    relaxation : float
        ω in (0, 2).
    nonnegative_image : bool
        Whether P projects on x ≥ 0; else it is the identity.
    rtol : float
        Stop, per sample, when a pass through all blocks changes x by at most rtol ‖x‖.

    References
    ----------
    .. [1] A. H. Andersen and A. C. Kak, "Simultaneous algebraic reconstruction technique (SART): a superior implementation of the ART
       algorithm", Ultrason. Imaging 6 (1984).
    .. [2] M. Jiang and G. Wang, "Convergence studies on iterative algorithms for image reconstruction", IEEE Trans. Med. Imaging 22
       (2003).

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
    def nonnegative(self) -> bool:
        return True

    def init(self, problem: Problem) -> _State:
        require_nonnegative(type(self).__name__, problem)
        b = problem.backprojection
        x = torch.zeros_like(b) if problem.x0 is None else problem.x0.to(b.dtype).expand_as(b)
        return _State(x, *_weights(problem), torch.full_like(norm(x, problem.space), torch.inf))

    def step(self, problem: Problem, state: _State) -> _State:
        x = self._pass(problem, state.x, state.C, state.R)
        size = norm(x, problem.space)
        change = norm(x - state.x, problem.space) / torch.where(size > 0, size, 1)
        return _State(x, state.C, state.R, change.detach())

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        return self._pass(problem, x, *_weights(problem))

    def _pass(self, problem: Problem, x: Tensor, C: Tensor, R: tuple[Any, ...]) -> Tensor:
        for (A, y), R_i in zip(blocks(problem), R):
            residual = tree_map(torch.sub, y, A._apply(x))
            x = x + self.relaxation * C * A._apply_adjoint(tree_map(torch.mul, R_i, residual))
            x = x.clamp_min(0) if self.nonnegative_image else x
        return x

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol


def _weights(problem: Problem) -> tuple[Tensor, tuple[Any, ...]]:
    """C = 1/max_i(A_iᴴ1), and R_i = 1/(A_i 1) of each block; 0 where a sum is 0."""
    found = [weights(A, problem.backprojection) for A, _ in blocks(problem)]
    seen = torch.stack([torch.where(C > 0, C, torch.inf) for C, _ in found]).amin(0)
    return torch.where(torch.isinf(seen), 0.0, seen), tuple(R for _, R in found)
