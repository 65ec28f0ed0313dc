"""SAGA and SVRG: stochastic gradients over the blocks of a stacked operator, with vanishing variance."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._krylov.base import dot
from .._problem import Problem
from ..operators import LinearOperator
from ..spaces import flatten, unflatten
from ._base import Regularized
from ._blocks import blocks


class _State(NamedTuple):
    x: Tensor
    table: tuple[Tensor, ...]
    mean: Tensor
    tau: Tensor
    k: int
    change: Tensor


class SAGA(Regularized):
    """Minimize Σᵢ fᵢ(Aᵢx; yᵢ) + λ g(x) over the n blocks of a stacked operator, one at random at a time [1]_.

    .. math::
        x ← \\operatorname{prox}_{τλg}(x - τ[n ∇f_i(x) - n ∇f_i(φ_i) + \\sum_j ∇f_j(φ_j)]), \\quad φ_i ← x,

    where φ_i is the iterate at which block i was last seen. The gradients of the table are kept in the space
    of the data. The step is τ = 1/(3 n max Lᵢ), Lᵢ from the certified norm of each block, and one step of the
    solver is n of these updates: the cost of one gradient. The blocks are drawn from ``seed``, the same for
    all samples of a batch. An operator that is not stacked is one block, τ is 1/L, and this is the proximal
    gradient method.

    Parameters
    ----------
    fidelity : Fidelity, optional
        f, with a Lipschitz gradient and the same for all blocks; by default the likelihood of the noise.
    seed : int
    max_steps : int
        Passes through the data.
    rtol : float
        Stop, per sample, when a pass changes x by at most rtol ‖x‖.

    References
    ----------
    .. [1] A. Defazio, F. Bach, S. Lacoste-Julien, "SAGA: a fast incremental gradient method with support for
       non-strongly convex composite objectives", NeurIPS (2014).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix, stack
    >>> A = stack([Matrix(torch.tensor([[2.0, 1.0]])), Matrix(torch.tensor([[1.0, 2.0]]))])
    >>> SAGA()((torch.tensor([5.0]), torch.tensor([7.0])), Physics(A)).round(decimals=2)
    tensor([1., 3.])
    """

    prior_by = "prox"
    fidelity_by = "lipschitz"
    seed: int = 0
    per_step = ("weight",)

    def init(self, problem: Problem) -> _State:
        x = flatten(problem.start(), problem.space)
        tau = _step_size(problem, 3)
        table = tuple(_slope(problem, A, y, x) for A, y in blocks(problem))
        mean = sum((_pulled(problem, A, u) for (A, _), u in zip(blocks(problem), table)), torch.zeros_like(x))
        return _State(x, table, mean, tau.expand(x.shape[:-1]), 0, _unknown(x))

    def step(self, problem: Problem, state: _State) -> _State:
        x, table, mean, tau, k, _ = state
        parts, before = blocks(problem), x
        for i in _draws(self.seed, k, len(parts)):
            A, y = parts[i]
            u = _slope(problem, A, y, x)
            news = _pulled(problem, A, u - table[i])
            x = _forward_backward(problem, x, mean + len(parts) * news, tau, k)
            mean = mean + news
            table = (*table[:i], u, *table[i + 1 :])
        return _State(x, table, mean, tau, k + 1, _change(x, before))

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def value(self, problem: Problem, state: _State) -> Any:
        return unflatten(state.x, problem.space)

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        return _full_step(problem, x)


class _Anchored(NamedTuple):
    x: Tensor
    tau: Tensor
    k: int
    change: Tensor


class SVRG(Regularized):
    """Minimize Σᵢ fᵢ(Aᵢx; yᵢ) + λ g(x) over the n blocks of an operator by variance-reduced gradients [1]_.

    A step of the solver takes the whole gradient at an anchor x̃, the current iterate, and then 2n updates
    with random blocks

    .. math:: x ← \\operatorname{prox}_{τλg}(x - τ[n ∇f_i(x) - n ∇f_i(x̃) + ∇f(x̃)]),

    without the table of `SAGA`, at the cost of about three gradients. The step is τ = 1/(4 n max Lᵢ), Lᵢ from
    the certified norm of each block. The blocks are drawn from ``seed``, the same for all samples of a batch.
    An operator that is not stacked is one block, τ is 1/L, and this is the proximal gradient method.

    Parameters
    ----------
    fidelity : Fidelity, optional
        f, with a Lipschitz gradient and the same for all blocks; by default the likelihood of the noise.
    seed : int
    max_steps : int
        Anchors.
    rtol : float
        Stop, per sample, when a step changes x by at most rtol ‖x‖.

    References
    ----------
    .. [1] R. Johnson and T. Zhang, "Accelerating stochastic gradient descent using predictive variance
       reduction", NeurIPS (2013); L. Xiao and T. Zhang, "A proximal stochastic gradient method with
       progressive variance reduction", SIAM J. Optim. 24 (2014).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix, stack
    >>> A = stack([Matrix(torch.tensor([[2.0, 1.0]])), Matrix(torch.tensor([[1.0, 2.0]]))])
    >>> SVRG()((torch.tensor([5.0]), torch.tensor([7.0])), Physics(A)).round(decimals=2)
    tensor([1., 3.])
    """

    prior_by = "prox"
    fidelity_by = "lipschitz"
    seed: int = 0
    per_step = ("weight",)

    def init(self, problem: Problem) -> _Anchored:
        x = flatten(problem.start(), problem.space)
        return _Anchored(x, _step_size(problem, 4).expand(x.shape[:-1]), 0, _unknown(x))

    def step(self, problem: Problem, state: _Anchored) -> _Anchored:
        anchor, tau, k, _ = state
        parts, x = blocks(problem), anchor
        slopes = [_slope(problem, A, y, anchor) for A, y in parts]
        whole = sum((_pulled(problem, A, u) for (A, _), u in zip(parts, slopes)), torch.zeros_like(x))
        for i in _draws(self.seed, k, 2 * len(parts), len(parts)):
            A, y = parts[i]
            news = _pulled(problem, A, _slope(problem, A, y, x) - slopes[i])
            x = _forward_backward(problem, x, whole + len(parts) * news, tau, k)
        return _Anchored(x, tau, k + 1, _change(x, anchor))

    def converged(self, problem: Problem, state: _Anchored) -> Tensor:
        return state.change <= self.rtol

    def value(self, problem: Problem, state: _Anchored) -> Any:
        return unflatten(state.x, problem.space)

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        return _full_step(problem, x)


def _draws(seed: int, k: int, count: int, among: int | None = None) -> list[int]:
    """``count`` random blocks for step k, whatever was drawn before."""
    generator = torch.Generator().manual_seed((seed * 0x9E3779B1 + k) % 2**32)
    return torch.randint(count if among is None else among, (count,), generator=generator).tolist()


def _slope(problem: Problem, A: LinearOperator, y: Any, x: Tensor) -> Tensor:
    """∇f(Aᵢx; yᵢ), in the space of the data."""
    return flatten(problem.fidelity.grad(A._apply(unflatten(x, problem.space)), y, A.range), A.range)


def _pulled(problem: Problem, A: LinearOperator, u: Tensor) -> Tensor:
    return flatten(A._apply_adjoint(unflatten(u, A.range)), problem.space)


def _forward_backward(problem: Problem, x: Tensor, g: Tensor, tau: Tensor, k: int) -> Tensor:
    x = x - tau.unsqueeze(-1) * g
    if problem.prior is None:
        return x
    image = problem.prior.at(k).prox(unflatten(x, problem.space), problem.weight * tau, problem.space)
    return flatten(image, problem.space)


def _full_step(problem: Problem, x: Any) -> Any:
    """The proximal gradient step, which has the same fixed points."""
    v = flatten(x, problem.space)
    tau = _step_size(problem, 1)
    parts = blocks(problem)
    whole = sum((_pulled(problem, A, _slope(problem, A, y, v)) for A, y in parts), torch.zeros_like(v))
    return unflatten(_forward_backward(problem, v, whole, tau, 0), problem.space)


def _step_size(problem: Problem, factor: float) -> Tensor:
    """1/(factor · n max Lᵢ), and 1/L for a single block."""
    constant = problem.fidelity.lipschitz()
    if constant is None:
        raise ParameterError(
            f"{type(problem.fidelity).__name__} has no Lipschitz gradient: use 'mirror_descent' or 'lbfgs'"
        )
    norms = [torch.as_tensor(A.norm()) for A, _ in blocks(problem)]
    largest = torch.stack(torch.broadcast_tensors(*norms)).amax(0)
    bound = largest**2 * constant * len(norms) * (factor if len(norms) > 1 else 1)
    bound = bound.to(flatten(problem.y, problem.A.range))
    return torch.where(bound > 0, 1 / torch.where(bound > 0, bound, 1), 0)


def _unknown(x: Tensor) -> Tensor:
    return torch.full_like(dot(x, x), torch.inf)


def _change(x: Tensor, before: Tensor) -> Tensor:
    size = torch.linalg.vector_norm(x, dim=-1)
    return (torch.linalg.vector_norm(x - before, dim=-1) / torch.where(size > 0, size, 1)).detach()
