"""Anderson acceleration of any solver that states a fixed point."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._problem import Problem
from ..spaces import flatten, unflatten
from ._base import Around, Solver, _check_options
from ._fista import FISTA
from ._per_step import listed


class _State(NamedTuple):
    """All vectors in real coordinates (batch..., n)."""

    x: Tensor
    image: Tensor
    residual: Tensor
    size: Tensor
    plain: Tensor
    images: Tensor
    residuals: Tensor
    k: int
    change: Tensor


class Anderson(Around, Solver):
    """Anderson acceleration of the fixed-point iteration x = T(x) of another solver.

    .. math::
        x_{k+1} = T(x_k) - \\sum_i γ_i (T(x_{i+1}) - T(x_i)), \\quad
        γ = \\arg\\min \\| f_k - \\sum_i γ_i (f_{i+1} - f_i) \\|, \\quad f_i = T(x_i) - x_i

    over the last ``memory`` differences, for each sample. An extrapolation whose residual ‖f‖ is larger than
    that of the point it started from is dropped: the sample takes the plain step T(x) from there and forgets
    its history. So for a nonexpansive T, as that of every convex problem, the residual never ends above that
    of the plain iteration's start.

    Parameters
    ----------
    solver : Solver
        States T (`Solver.fixed_point`), the prior, the weight and the fidelity. By default `FISTA`, whose T
        is a proximal gradient step.
    memory : int
        Differences to combine.
    rtol : float
        Stop, per sample, when ‖T(x) - x‖ ≤ rtol ‖T(x)‖.

    References
    ----------
    H. Walker and P. Ni, "Anderson acceleration for fixed-point iterations", SIAM J. Numer. Anal. 49 (2011).
    A. Fu, J. Zhang and S. Boyd, "Anderson accelerated Douglas-Rachford splitting", SIAM J. Sci. Comput. 42
    (2020), for safeguarding.

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix
    >>> physics = Physics(Matrix(torch.diag(torch.tensor([1.0, 2.0]))))
    >>> Anderson(solver=FISTA())(torch.tensor([1.0, 4.0]), physics).round(decimals=3)
    tensor([1., 2.])
    """

    solver: Solver = FISTA()
    memory: int = 5
    max_steps: int = 2000
    rtol: float = 1e-6

    def __post_init__(self) -> None:
        if type(self.solver).fixed_point is Solver.fixed_point:
            raise ParameterError(
                f"Anderson accelerates a fixed-point iteration; {type(self.solver).__name__} has none: "
                "use a proximal solver, such as FISTA"
            )
        if listed(self.solver):
            raise ParameterError(
                f"Anderson accelerates one map, and {type(self.solver).__name__} has another in each step "
                f"({', '.join(listed(self.solver))}): give it one value"
            )
        if not (isinstance(self.memory, int) and self.memory >= 1):
            raise ParameterError(f"Anderson: memory must be a whole number >= 1, got {self.memory!r}")

    def problem(self, y: Any, physics: Any, x0: Any = None) -> Problem:
        _check_options(self, self.weight)
        return self.solver.problem(y, physics, x0)

    def init(self, problem: Problem) -> _State:
        start = self.solver.value(problem, self.solver.init(problem))
        x = flatten(start, problem.space)
        size = torch.full_like(x[..., 0], torch.inf)
        history = x.new_zeros(*x.shape[:-1], self.memory, x.shape[-1])
        plain = torch.ones_like(size, dtype=torch.bool)
        return _State(x, x, torch.zeros_like(x), size, plain, history, history, 0, size)

    def step(self, problem: Problem, state: _State) -> _State:
        x, image, residual, size, plain, images, residuals, k, _ = state
        new_image = flatten(self.fixed_point(problem, unflatten(x, problem.space)), problem.space)
        new_residual = new_image - x
        new_size = torch.linalg.vector_norm(new_residual.detach(), dim=-1)
        good = plain | (new_size <= size)
        kept = good.unsqueeze(-1)
        if k > 0:
            images = _pushed(images, new_image - image, kept, k - 1)
            residuals = _pushed(residuals, new_residual - residual, kept, k - 1)
        image = torch.where(kept, new_image, image)
        residual = torch.where(kept, new_residual, residual)
        size = torch.where(good, new_size, size)
        mixed = image - _combination(residuals, images, residual)
        x = torch.where(kept, mixed, image)
        length = torch.linalg.vector_norm(image.detach(), dim=-1)
        return _State(
            x=x,
            image=image,
            residual=residual,
            size=size,
            plain=~good,
            images=images,
            residuals=residuals,
            k=k + 1,
            change=size / torch.where(length > 0, length, 1),
        )

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def value(self, problem: Problem, state: _State) -> Any:
        return unflatten(state.image, problem.space)

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        return self.solver.fixed_point(problem, x)


def _pushed(history: Tensor, new: Tensor, kept: Tensor, k: int) -> Tensor:
    """The history with its oldest row replaced; that of a sample whose point was dropped is forgotten."""
    row = torch.arange(history.shape[-2], device=history.device).unsqueeze(-1) == k % history.shape[-2]
    return torch.where(kept.unsqueeze(-1), torch.where(row, new.unsqueeze(-2), history), 0)


def _combination(residuals: Tensor, images: Tensor, f: Tensor) -> Tensor:
    """Σ γᵢ imageᵢ with γ the least-squares solution of Σ γᵢ residualᵢ = f; zero rows are left out."""
    lengths = torch.linalg.vector_norm(residuals, dim=-1, keepdim=True)
    inverse = torch.where(lengths > 0, 1 / torch.where(lengths > 0, lengths, 1), 0)
    rows = inverse * residuals
    gram = rows @ rows.mT
    shift = torch.finfo(f.dtype).eps ** 0.75 + (lengths == 0).to(f.dtype).squeeze(-1)
    gamma = torch.linalg.solve(gram + torch.diag_embed(shift), (rows @ f.unsqueeze(-1)))
    return ((inverse * images).mT @ gamma).squeeze(-1)
