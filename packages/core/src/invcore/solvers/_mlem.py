"""MLEM (Richardson–Lucy) and its ordered-subsets variant."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._physics import Physics
from .._problem import Problem, inverse_sums, sensitivity
from ..fidelities import PoissonKL
from ..operators import LinearOperator
from ..priors import Prior
from ..spaces import norm, per_sample, tree_map, vdot
from ._base import Solver
from ._blocks import blocks
from ._nonnegative import positive_start


class _State(NamedTuple):
    x: Tensor
    change: Tensor
    momentum: _Momentum | None = None


class _Momentum(NamedTuple):
    """The last move of x, the last EM step, and how far to go on along the move."""

    moved: Tensor
    gain: Tensor
    length: Tensor


class RichardsonLucy(Solver):
    """Maximum likelihood for Poisson counts, y ~ Poisson(Ax + b), A ≥ 0, by expectation maximization (MLEM).

    .. math:: x_{k+1} = \\frac{x_k}{Aᴴ1} ⊙ Aᴴ \\frac{y}{A x_k + b}

    in microscopy and astronomy known as Richardson–Lucy deconvolution [1]_, in emission tomography as MLEM
    [2]_. The likelihood rises in each step, x stays non-negative, and there is no step size. With a prior g
    that has a gradient, Aᴴ1 becomes Aᴴ1 + λ∇g(x_k): the one-step-late rule [3]_, good for small λ.

    An operator whose data are single events, a part of all that might be recorded, has an attribute
    ``sensitivity``, Aᴴ1 over everything, which then takes the place of Aᴴ1.

    The unit of the counts is free: scaling y and b scales x. Noise is amplified as the steps go on, so a step
    limit (or a prior) regularizes.

    With ``accelerated`` the step T starts further on along the last move [4]_:

    .. math::
        v = \\max(x_k + α_k (x_k - x_{k-1}), x_k/10), \\quad x_{k+1} = T(v), \\quad g_k = x_{k+1} - v, \\quad
        α_{k+1} = \\frac{⟨g_k, g_{k-1}⟩}{‖g_{k-1}‖²} \\text{ within } [0, 1]

    which takes no further application of A; the same likelihood is reached in a fraction of the steps (20 in
    place of some 80), though it need not rise in each. A pixel at zero would stay there, hence x_k/10.

    Parameters
    ----------
    fidelity : PoissonKL, optional
        Holds the background b ≥ 0 (dark counts, randoms, scatter) and the gain. By default the likelihood of
        the noise if that is Poisson, else ``PoissonKL()``.
    prior : Prior, optional
        g, with a gradient.
    weight : float or Tensor, shape (batch...)
        λ.
    accelerated : bool
        Extrapolate.

    References
    ----------
    .. [1] W. Richardson, "Bayesian-based iterative method of image restoration", J. Opt. Soc. Am. 62 (1972);
       L. Lucy, "An iterative technique for the rectification of observed distributions", Astron. J. 79
       (1974).
    .. [2] L. Shepp and Y. Vardi, "Maximum likelihood reconstruction for emission tomography", IEEE Trans.
       Med. Imaging 1 (1982).
    .. [3] P. Green, "Bayesian reconstructions from emission tomography data using a modified EM algorithm",
       IEEE Trans. Med. Imaging 9 (1990).
    .. [4] D. Biggs and M. Andrews, "Acceleration of iterative image restoration algorithms", Appl. Opt. 36
       (1997).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix
    >>> physics = Physics(Matrix(torch.tensor([[2.0, 1.0], [1.0, 2.0]])))
    >>> RichardsonLucy()(torch.tensor([5.0, 7.0]), physics).round(decimals=2)
    tensor([1., 3.])
    """

    prior_by = "grad"
    fidelity: PoissonKL | None = None
    prior: Prior | None = None
    weight: float | Tensor = 1.0
    accelerated: bool = False
    max_steps: int = 20_000
    rtol: float = 1e-5
    params = ("weight",)

    @property
    def requires_nonnegative(self) -> bool:
        return True

    @property
    def monotone(self) -> bool:
        """True if the objective falls in each step."""
        return self.prior is None and not self.accelerated

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        return of_counts(super().problem(y, physics, x0))

    def init(self, problem: Problem) -> _State:
        x = positive_start(self, problem)
        size = norm(x, problem.space)
        rest = _Momentum(torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(size))
        return _State(x, torch.full_like(size, torch.inf), rest if self.accelerated else None)

    def step(self, problem: Problem, state: _State) -> _State:
        if state.momentum is None:
            return _moved(problem, state.x, self.fixed_point(problem, state.x))
        x, (moved, last, length), space = state.x, state.momentum, problem.space
        further = torch.maximum(torch.addcmul(x, per_sample(length, space), moved), x / 10)
        new = self.fixed_point(problem, further)
        moved, gain = new - x, new - further
        size = norm(last, space) ** 2
        length = (vdot(last, gain, space) / torch.where(size > 0, size, 1)).clamp(0, 1)
        return _State(new, problem.change(moved, new, x), _Momentum(moved, gain, length))

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        fidelity: Any = problem.fidelity
        inverse, unseen = problem.inverse_sensitivity
        if problem.prior is not None:
            strength = per_sample(fidelity.gain * problem.weight, problem.space)
            slope = strength * problem.prior.grad(x, problem.space)
            inverse = inverse / (1 + inverse * slope).clamp_min(0.1)
        return em(problem.linear, problem.y, x, fidelity.background, inverse, unseen)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol


class OSEM(Solver):
    """Expectation maximization with ordered subsets: MLEM steps with one block of data after the other [1]_.

    .. math:: x ← \\frac{x}{A_iᴴ1} ⊙ A_iᴴ \\frac{y_i}{A_i x + b}, \\quad i = 1, …, n

    One step goes through all blocks, and gains about n times as much as one of MLEM. For consistent data and
    balanced blocks (each sees the image alike: Aᵢᴴ1 is the same for all) it converges to the solution; else
    it ends in a small cycle around the maximum of the likelihood. An operator that is not stacked is a single
    block, and OSEM is then MLEM.

    Parameters
    ----------
    fidelity : PoissonKL, optional
        Holds the background b ≥ 0, a number or one tensor for each block. By default the likelihood of the
        noise if that is Poisson, else ``PoissonKL()``.
    rtol : float
        Stop, per sample, when a pass through all blocks changes x by at most rtol ‖x‖.

    References
    ----------
    .. [1] H. Hudson and R. Larkin, "Accelerated image reconstruction using ordered subsets of projection
       data", IEEE Trans. Med. Imaging 13 (1994).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix, stack
    >>> block = Matrix(torch.tensor([[2.0, 1.0], [1.0, 2.0]]))
    >>> y = (torch.tensor([5.0, 7.0]), torch.tensor([10.0, 14.0]))
    >>> OSEM()(y, Physics(stack([block, 2 * block]))).round(decimals=2)
    tensor([1., 3.])
    """

    fidelity: PoissonKL | None = None
    max_steps: int = 20_000
    rtol: float = 1e-5

    @property
    def requires_nonnegative(self) -> bool:
        return True

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        return of_counts(super().problem(y, physics, x0))

    def init(self, problem: Problem) -> _State:
        x = positive_start(self, problem)
        return _State(x, torch.full_like(norm(x, problem.space), torch.inf))

    def step(self, problem: Problem, state: _State) -> _State:
        return _moved(problem, state.x, self.fixed_point(problem, state.x))

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        fidelity: Any = problem.fidelity
        parts = blocks(problem)
        for (A, y), block in zip(parts, fidelity.of_blocks(len(parts))):
            x = em(A, y, x, block.background, inverse_sums(sensitivity(A, y), problem.space))
        return x

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol


def of_counts(problem: Problem) -> Problem:
    """The problem with the likelihood of counts, whatever the noise of the physics says."""
    return problem if isinstance(problem.fidelity, PoissonKL) else problem.replace(fidelity=PoissonKL())


def em(
    A: LinearOperator, y: Any, x: Tensor, background: Any, inverse: Tensor, unseen: Tensor | None = None
) -> Tensor:
    """One step of expectation maximization, with 1/Aᴴ1 and, if it is known, 1 where that is zero, else 0.

    Pixels that A does not see keep their value; where nothing is expected, the ratio is 0.
    """
    expected = A._apply(x)
    if isinstance(background, tuple):
        expected = tuple(u + b for u, b in zip(expected, background, strict=True))
    elif isinstance(background, Tensor) or background != 0:
        expected = tree_map(lambda u: u + background, expected)
    back = A._apply_adjoint(tree_map(_ratio, y, expected))
    if unseen is None:
        unseen = (inverse == 0).to(inverse.dtype)
    return (x * torch.addcmul(unseen, back, inverse)).clamp_min(0)


def _ratio(y: Tensor, expected: Tensor) -> Tensor:
    return y / torch.where(expected > 0, expected, torch.inf)


def _moved(problem: Problem, x: Tensor, x_new: Tensor) -> _State:
    return _State(x_new, problem.change(x_new - x, x_new, x))
