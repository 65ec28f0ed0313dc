"""Gradient descent with a line search."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._krylov.base import dot
from .._problem import Problem
from ..spaces import flatten, unflatten
from ._base import Regularized
from ._smooth import (
    along,
    attach_stationary,
    finite_start,
    first_step,
    gradient,
    line_search,
    reference_gradient,
)

_MEMORY = 10


class _State(NamedTuple):
    x: Tensor
    g: Tensor
    t: Tensor
    k: int
    recent: Tensor
    size: Tensor


class GradientDescent(Regularized):
    """Minimize F(x) = f(Ax; y) + λ g(x), both smooth, by gradient steps whose length is found along the way.

    .. math:: x_{k+1} = x_k - t_k ∇F(x_k)

    The first trial is the minimizer of the quadratic model; later ones are the Barzilai–Borwein lengths [1]_

    .. math::
        t_k = ⟨s, s⟩/⟨s, z⟩ \\text{ and } ⟨s, z⟩/⟨z, z⟩ \\text{ in turn, with }
        s = x_k - x_{k-1},\\ z = ∇F(x_k) - ∇F(x_{k-1}),

    shortened until F falls below the largest of its last ten values [2]_, or (``line_search="armijo"``) twice
    the last length, adapted until F decreases in each step. With a linear operator trials cost no application
    of it. The operator may be nonlinear, which deserves a starting point ``x0``.

    Parameters
    ----------
    prior : Prior, optional
        g, with a gradient.
    line_search : {"barzilai_borwein", "armijo"}
    rtol : float
        Stop, per sample, when ‖∇F‖ has fallen by this factor from its size at zero or at the start.

    References
    ----------
    .. [1] J. Barzilai and J. Borwein, "Two-point step size gradient methods", IMA J. Numer. Anal. 8 (1988).
    .. [2] M. Raydan, "The Barzilai and Borwein gradient method for the large scale unconstrained minimization
       problem", SIAM J. Optim. 7 (1997).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix
    >>> physics = Physics(Matrix(torch.diag(torch.tensor([1.0, 2.0]))))
    >>> GradientDescent()(torch.tensor([1.0, 4.0]), physics).round(decimals=2)
    tensor([1., 2.])
    """

    prior_by = "grad"
    fidelity_by = "smooth"
    line_search: Literal["barzilai_borwein", "armijo"] = "barzilai_borwein"

    def __post_init__(self) -> None:
        if self.line_search not in ("barzilai_borwein", "armijo"):
            raise ParameterError(
                "GradientDescent: line_search must be 'barzilai_borwein' or 'armijo', got "
                f"{self.line_search!r}"
            )

    def init(self, problem: Problem) -> _State:
        x = flatten(problem.start(), problem.space)
        g = gradient(problem, x)
        value = finite_start(self, problem, x, g)
        unseen = torch.full((*value.shape, _MEMORY - 1), -torch.inf, dtype=value.dtype, device=value.device)
        recent = torch.cat([value.unsqueeze(-1), unseen], -1)
        return _State(
            x, g, first_step(problem, x, g, g), 0, recent, reference_gradient(problem, x, g).detach()
        )

    def step(self, problem: Problem, state: _State) -> _State:
        x, g, t, k, recent, size = state
        line = along(problem, x, -g)
        value, slope = recent[..., k % _MEMORY], -dot(g, g)
        if self.line_search == "armijo":
            t = line_search(line, t, value, slope)
        else:
            t = line_search(line, t, value, slope, reference=recent.amax(-1), flattening=None)
        x_new = x - t.unsqueeze(-1) * g
        g_new = gradient(problem, x_new)
        row = torch.arange(_MEMORY, device=t.device) == (k + 1) % _MEMORY
        recent = torch.where(row, line(t)[0].unsqueeze(-1), recent)
        return _State(x_new, g_new, self._trial(t, x_new - x, g_new - g, k), k + 1, recent, size)

    def _trial(self, t: Tensor, s: Tensor, z: Tensor, k: int) -> Tensor:
        """The first length to try in the next step."""
        if self.line_search == "armijo":
            return 2 * t
        above, below = (dot(s, s), dot(s, z)) if k % 2 else (dot(s, z), dot(z, z))
        convex = (dot(s, z) > 0) & (below > 0)
        return torch.where(convex, above / torch.where(convex, below, 1), 2 * t)

    def change(self, problem: Problem, state: _State) -> Tensor:
        """The relative gradient."""
        return torch.linalg.vector_norm(state.g, dim=-1) / torch.where(state.size > 0, state.size, 1)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return torch.linalg.vector_norm(state.g, dim=-1) <= self.rtol * state.size

    def value(self, problem: Problem, state: _State) -> Any:
        return unflatten(state.x, problem.space)

    def implicit(self, problem: Problem, x: Any) -> Any:
        return attach_stationary(self, problem, x)
