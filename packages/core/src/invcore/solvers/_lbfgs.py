"""L-BFGS."""

from __future__ import annotations

from typing import Any, NamedTuple

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


class _State(NamedTuple):
    x: Tensor
    g: Tensor
    value: Tensor
    s: Tensor
    z: Tensor
    rho: Tensor
    gamma: Tensor
    size: Tensor


class LBFGS(Regularized):
    """Minimize F(x) = f(Ax; y) + λ g(x), both smooth, by the limited-memory BFGS method [1]_.

    .. math:: x_{k+1} = x_k - t_k H_k ∇F(x_k)

    where H_k is the inverse Hessian that the last few pairs s = x_{k+1} - x_k and z = ∇F(x_{k+1}) - ∇F(x_k)
    imply, applied by the two-loop recursion, and t_k satisfies the weak Wolfe conditions, which keeps ⟨s, z⟩
    > 0. Every sample of a batch has its own pairs and its own t_k. With a linear operator the line search
    costs no application of it. The operator may be nonlinear, which deserves a starting point ``x0``.

    Parameters
    ----------
    prior : Prior, optional
        g, with a gradient.
    memory : int
        Number of pairs that are kept.
    rtol : float
        Stop, per sample, when ‖∇F‖ has fallen by this factor from its size at zero or at the start.

    References
    ----------
    .. [1] J. Nocedal, "Updating quasi-Newton matrices with limited storage", Math. Comput. 35 (1980); J.
       Nocedal and S. Wright, "Numerical optimization", 2nd ed., Algorithm 7.4 (2006).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix
    >>> physics = Physics(Matrix(torch.diag(torch.tensor([1.0, 2.0]))))
    >>> LBFGS()(torch.tensor([1.0, 4.0]), physics).round(decimals=2)
    tensor([1., 2.])
    """

    prior_by = "grad"
    fidelity_by = "smooth"
    memory: int = 10
    max_steps: int = 5000

    def __post_init__(self) -> None:
        if not (isinstance(self.memory, int) and self.memory >= 1):
            raise ParameterError(f"LBFGS: memory must be a whole number >= 1, got {self.memory!r}")

    def init(self, problem: Problem) -> _State:
        x = flatten(problem.start(), problem.space)
        g = gradient(problem, x)
        pairs = x.new_zeros((*x.shape[:-1], self.memory, x.shape[-1]))
        value = finite_start(self, problem, x, g)
        gamma = first_step(problem, x, g, g)
        size = reference_gradient(problem, x, g).detach()
        return _State(x, g, value, pairs, pairs, pairs[..., 0], gamma, size)

    def step(self, problem: Problem, state: _State) -> _State:
        x, g, value, *_ = state
        d = -self._two_loops(state)
        line = along(problem, x, d)
        t = line_search(line, torch.ones_like(value), value, dot(g, d))
        x_new = x + t.unsqueeze(-1) * d
        g_new = gradient(problem, x_new)
        return self._remembered(state, x_new, g_new, line(t)[0])

    def _two_loops(self, state: _State) -> Tensor:
        """H ∇F: Nocedal's recursion; pairs that are not there yet have ρ = 0."""
        _, q, _, s, z, rho, gamma, _ = state
        alphas = []
        for i in range(self.memory):  # from the newest pair to the oldest
            alphas.append((rho[..., i] * dot(s[..., i, :], q)).unsqueeze(-1))
            q = q - alphas[-1] * z[..., i, :]
        r = gamma.unsqueeze(-1) * q
        for i in reversed(range(self.memory)):
            beta = (rho[..., i] * dot(z[..., i, :], r)).unsqueeze(-1)
            r = r + (alphas[i] - beta) * s[..., i, :]
        return r

    def _remembered(self, state: _State, x: Tensor, g: Tensor, value: Tensor) -> _State:
        """State at x, with the newest pair in front.

        A pair without curvature is left out; a step of zero length forgets all pairs.
        """
        s, z = x - state.x, g - state.g
        sz, zz = dot(s, z), dot(z, z)
        still = (dot(s, s) == 0).unsqueeze(-1)
        bent = sz > torch.finfo(x.dtype).eps * zz * state.gamma
        inverse = torch.where(bent, 1, 0) / torch.where(bent, sz, 1)
        keep = ~bent.unsqueeze(-1)

        pairs_s = torch.cat([s.unsqueeze(-2), state.s[..., :-1, :]], dim=-2)
        pairs_z = torch.cat([z.unsqueeze(-2), state.z[..., :-1, :]], dim=-2)
        rho = torch.cat([inverse.unsqueeze(-1), state.rho[..., :-1]], dim=-1)
        pairs_s = torch.where(keep.unsqueeze(-1), state.s, pairs_s)
        pairs_z = torch.where(keep.unsqueeze(-1), state.z, pairs_z)
        rho = torch.where(still, 0, torch.where(keep, state.rho, rho))
        gamma = torch.where(bent, sz / torch.where(bent, zz, 1), state.gamma)
        return _State(x, g, value, pairs_s, pairs_z, rho, gamma, state.size)

    def change(self, problem: Problem, state: _State) -> Tensor:
        """The relative gradient."""
        return torch.linalg.vector_norm(state.g, dim=-1) / torch.where(state.size > 0, state.size, 1)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return torch.linalg.vector_norm(state.g, dim=-1) <= self.rtol * state.size

    def value(self, problem: Problem, state: _State) -> Any:
        return unflatten(state.x, problem.space)

    def implicit(self, problem: Problem, x: Any) -> Any:
        return attach_stationary(self, problem, x)
