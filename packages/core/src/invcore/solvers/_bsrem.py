"""BSREM: block sequential regularized expectation maximization."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._problem import Problem, inverse_sums
from ..fidelities import PoissonKL
from ..operators import Space
from ..priors import Prior
from ..spaces import per_sample, tree_map
from ._base import Solver
from ._blocks import blocks
from ._mlem import of_counts
from ._nonnegative import positive_start

_FLOOR = 1e-6
"""Of the mean of the first image: what a pixel cannot fall below."""


class _State(NamedTuple):
    x: Tensor
    scale: Tensor
    floor: Tensor
    k: int
    change: Tensor


class BSREM(Solver):
    """Maximize the posterior of Poisson counts by relaxed EM steps, one block of data after the other [1]_.

    .. math::
        x ← P\\left(x - α_k \\frac{x}{s} ⊙ [∇f_i(A_i x; y_i) + \\tfrac{λ}{n} ∇g(x)]\\right), \\quad
        s = \\tfrac1n Aᴴ1, \\quad α_k = \\frac{1}{1 + δ k}, \\quad i = 1, …, n

    with P the projection on pixels above 1e-6 of the mean of the first image, after which the method
    converges [2]_ where `OSEM` ends in a cycle: Σ α_k is infinite and Σ α_k² is not. One step goes through
    all blocks of a stacked operator; for one block, α = 1 and no prior it is `RichardsonLucy`.

    Parameters
    ----------
    fidelity : PoissonKL, optional
        Holds the background b ≥ 0, a number or one tensor for each block. By default the likelihood of the
        noise if that is Poisson, else ``PoissonKL()``.
    prior : Prior, optional
        g, with a gradient.
    weight : float or Tensor, shape (batch...)
        λ.
    decay : float
        δ > 0: small ones are fast at first, and large ones leave the cycle soon.
    rtol : float
        Stop, per sample, when a pass through all blocks changes x by at most rtol α_k ‖x‖.

    References
    ----------
    .. [1] A. De Pierro and M. Yamagishi, "Fast EM-like methods for maximum 'a posteriori' estimates in
       emission tomography", IEEE Trans. Med. Imaging 20 (2001).
    .. [2] S. Ahn and J. Fessler, "Globally convergent image reconstruction for emission tomography using
       relaxed ordered subsets algorithms", IEEE Trans. Med. Imaging 22 (2003).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix, stack
    >>> block = Matrix(torch.tensor([[2.0, 1.0], [1.0, 2.0]]))
    >>> y = (torch.tensor([5.0, 7.0]), torch.tensor([10.0, 14.0]))
    >>> BSREM()(y, Physics(stack([block, 2 * block]))).round(decimals=2)
    tensor([1., 3.])
    """

    prior_by = "grad"
    fidelity: PoissonKL | None = None
    prior: Prior | None = None
    weight: float | Tensor = 1.0
    decay: float = 0.02
    max_steps: int = 20_000
    rtol: float = 1e-5
    params = ("weight",)

    def __post_init__(self) -> None:
        if not self.decay > 0:
            raise ParameterError(f"BSREM: decay must be positive, got {self.decay!r}")

    @property
    def requires_nonnegative(self) -> bool:
        return True

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        return of_counts(super().problem(y, physics, x0))

    def init(self, problem: Problem) -> _State:
        x = positive_start(self, problem)
        space = problem.space
        assert isinstance(space, Space)
        mean = x.mean(tuple(range(-len(space.shape), 0)), keepdim=True)
        floor = _FLOOR * mean
        size = torch.full_like(mean.reshape(mean.shape[: mean.ndim - len(space.shape)]), torch.inf)
        return _State(x.maximum(floor), _scale(problem, x), floor, 0, size)

    def step(self, problem: Problem, state: _State) -> _State:
        alpha = 1 / (1 + self.decay * state.k)
        x = _pass(problem, state.x, state.scale, alpha, state.floor)
        change = problem.change((x - state.x) / alpha, x, state.change)
        return state._replace(x=x, k=state.k + 1, change=change)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        """The step with all blocks at once, which has the minimizer as its fixed point."""
        whole = sum((_slope(problem, i, x) for i in range(len(blocks(problem)))), torch.zeros_like(x))
        return (x - x * _scale(problem, x) / len(blocks(problem)) * whole).clamp_min(0)


def _pass(problem: Problem, x: Tensor, scale: Tensor, alpha: float, floor: Tensor) -> Tensor:
    for i in range(len(blocks(problem))):
        x = (x - alpha * x * scale * _slope(problem, i, x)).maximum(floor)
    return x


def _slope(problem: Problem, i: int, x: Tensor) -> Tensor:
    """∇fᵢ(Aᵢx; yᵢ) + λ∇g(x)/n."""
    parts, fidelity = blocks(problem), problem.fidelity
    assert isinstance(fidelity, PoissonKL)
    (A, y), f = parts[i], fidelity.of_blocks(len(parts))[i]
    g = A._apply_adjoint(f.grad(A._apply(x), y, A.range))
    if problem.prior is None:
        return g
    share = per_sample(problem.weight, problem.space) / len(parts)
    return g + share * problem.prior.grad(x, problem.space)


def _scale(problem: Problem, like: Tensor) -> Tensor:
    """1/s, with s = Aᴴ1/(γn) in the units of the counts; 0 where nothing is seen."""
    A, count = problem.linear, len(blocks(problem))
    fidelity = problem.fidelity
    assert isinstance(fidelity, PoissonKL)
    sums = A._apply_adjoint(tree_map(torch.ones_like, A._apply(torch.ones_like(like))))
    return per_sample(fidelity.gain, problem.space) * count * inverse_sums(sums, A.domain)
