"""Kaczmarz's method: algebraic reconstruction, one equation or one block of them at a time."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError, SolverError
from .._krylov.base import dot
from .._problem import Problem
from ..spaces import flatten, real_size_of, unflatten
from ._base import Solver
from ._blocks import blocks

_LARGEST = 2**24
"""Entries of the matrix of an operator that is not stacked."""


class Equations(NamedTuple):
    """The rows of a matrix, or None for the blocks of a stacked operator, and ‖a‖² of each, (..., count)."""

    rows: Tensor | None
    sizes: Tensor


class _State(NamedTuple):
    x: Tensor
    equations: Equations
    k: int
    change: Tensor


class Kaczmarz(Solver):
    """Algebraic reconstruction (ART): project on the solutions of one equation after the other [1]_.

    .. math:: x ← P(x + ω \\, a_i \\frac{y_i - ⟨a_i, x⟩}{‖a_i‖^2})

    A step of the solver takes as many equations as there are, in turn, or at random with probabilities
    ‖aᵢ‖²/‖A‖_F², for which E‖x_k - x*‖² falls by 1 - σ_min²/‖A‖_F² or more an equation [2]_. The blocks of
    a stacked operator (views, say) are taken as a whole: x + ω Aᵢᴴ(yᵢ - Aᵢx)/‖Aᵢ‖², which for a block of one
    row is the above; an operator that is not stacked is taken row by row, if its matrix is small.

    From zero it ends at the solution of least norm of consistent data. With noise it goes around the
    least-squares solution, in a cycle the smaller the smaller ω is: stop early, or see `SVRG`, `CGLS`.

    Parameters
    ----------
    relaxation : float
        ω in (0, 2).
    order : {"cyclic", "random"}
    seed : int
        Of the random order, which is the same for all samples of a batch.
    nonnegative_image : bool
        Project on x ≥ 0 after each equation; else P is the identity.
    max_steps : int
        Passes through the data.
    rtol : float
        Stop, per sample, when a pass changes x by at most rtol ‖x‖, and in random order the last ones by
        little more.

    References
    ----------
    .. [1] S. Kaczmarz, "Angenäherte Auflösung von Systemen linearer Gleichungen", Bull. Int. Acad. Polon.
       Sci. A 35 (1937); R. Gordon, R. Bender, G. Herman, "Algebraic reconstruction techniques (ART) for
       three-dimensional electron microscopy and X-ray photography", J. Theor. Biol. 29 (1970).
    .. [2] T. Strohmer and R. Vershynin, "A randomized Kaczmarz algorithm with exponential convergence", J.
       Fourier Anal. Appl. 15 (2009).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix
    >>> physics = Physics(Matrix(torch.tensor([[2.0, 1.0], [1.0, 2.0]])))
    >>> Kaczmarz()(torch.tensor([5.0, 7.0]), physics).round(decimals=2)
    tensor([1., 3.])
    """

    exact: ClassVar[bool] = False
    relaxation: float = 1.0
    order: Literal["cyclic", "random"] = "cyclic"
    seed: int = 0
    nonnegative_image: bool = False
    max_steps: int = 20_000
    rtol: float = 1e-5

    def __post_init__(self) -> None:
        if not 0 < self.relaxation < 2:
            raise ParameterError(f"Kaczmarz: relaxation must be between 0 and 2, got {self.relaxation!r}")
        if self.order not in ("cyclic", "random"):
            raise ParameterError(f"Kaczmarz: order must be 'cyclic' or 'random', got {self.order!r}")

    def init(self, problem: Problem) -> _State:
        x = flatten(problem.start(), problem.space)
        return _State(x, equations(self, problem), 0, torch.full_like(x[..., 0], torch.inf))

    def step(self, problem: Problem, state: _State) -> _State:
        x = self._pass(problem, state.x, state.equations, state.k)
        size = torch.linalg.vector_norm(x.detach(), dim=-1)
        moved = torch.linalg.vector_norm((x - state.x).detach(), dim=-1)
        change = moved / torch.where(size > 0, size, 1)
        if self.order == "random":  # a pass may draw what is solved already
            change = torch.where(state.change.isinf(), change, torch.maximum(change, state.change / 2))
        return _State(x, state.equations, state.k + 1, change)

    def _pass(self, problem: Problem, x: Tensor, equations: Equations, k: int) -> Tensor:
        for i in self._indices(equations.sizes, k):
            x = x + self.relaxation * correction(problem, equations, x, i)
            if self.nonnegative_image:
                x = x.clamp_min(0)
        return x

    def _indices(self, sizes: Tensor, k: int) -> list[int]:
        """The equations of pass k, whatever was drawn before."""
        count = sizes.shape[-1]
        if self.order == "cyclic":
            return list(range(count))
        if sizes.ndim > 1:
            raise ParameterError(
                "Kaczmarz: the operator differs from sample to sample, and so do the probabilities of its "
                "equations: use order='cyclic', or solve the samples apart"
            )
        generator = torch.Generator().manual_seed((self.seed * 0x9E3779B1 + k) % 2**32)
        weights = sizes.detach().double().cpu()
        return torch.multinomial(weights, count, replacement=True, generator=generator).tolist()

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def value(self, problem: Problem, state: _State) -> Any:
        return unflatten(state.x, problem.space)

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        if self.order == "random":
            raise SolverError("Kaczmarz in random order has no fixed point to differentiate: use 'cyclic'")
        v = self._pass(problem, flatten(x, problem.space), equations(self, problem), 0)
        return unflatten(v, problem.space)


def equations(solver: Solver, problem: Problem) -> Equations:
    """The rows or blocks of the operator, and their squared norms."""
    A, parts = problem.linear, blocks(problem)
    if len(parts) > 1:
        norms = torch.broadcast_tensors(*(torch.as_tensor(part.norm()) for part, _ in parts))
        return Equations(None, (torch.stack(norms, -1) ** 2).to(flatten(problem.y, A.range)))
    n, m = real_size_of(A.domain), real_size_of(A.range)
    if n * m > _LARGEST:
        raise ParameterError(
            f"{type(solver).__name__} takes an operator that is not stacked row by row, and the matrix of "
            f"{type(A).__name__} would have {n * m} entries: give a stack of blocks, such as views "
            "(invcore.operators.stack)"
        )
    like = flatten(problem.start(), problem.space)
    eye = torch.eye(n, dtype=like.dtype, device=like.device)
    eye = eye.reshape(n, *(1,) * (like.ndim - 1), n)
    rows = flatten(A._apply(unflatten(eye, A.domain)), A.range).movedim(0, -1)
    while rows.ndim > 2 and rows.shape[0] == 1:
        rows = rows.squeeze(0)
    return Equations(rows, dot(rows, rows))


def correction(problem: Problem, equations: Equations, x: Tensor, i: int) -> Tensor:
    """aᵢ(yᵢ - ⟨aᵢ, x⟩)/‖aᵢ‖², and zero for an equation without unknowns."""
    size = equations.sizes[..., i, None]
    if equations.rows is None:
        A, y = blocks(problem)[i]
        left = flatten(y, A.range) - flatten(A._apply(unflatten(x, A.domain)), A.range)
        pull = flatten(A._apply_adjoint(unflatten(left, A.range)), A.domain)
    else:
        row = equations.rows[..., i, :]
        pull = (flatten(problem.y, problem.A.range)[..., i, None] - dot(row, x).unsqueeze(-1)) * row
    return torch.where(size > 0, pull, 0) / torch.where(size > 0, size, 1)
