"""Richardson–Lucy on independent parts of the photons, whose images must agree."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError, Physics, Solver, Space
from invcore.fidelities import PoissonKL
from invcore.solvers import Problem
from invcore.spaces import norm, per_sample


class _State(NamedTuple):
    x: Tensor  # (batch..., part, *image)
    change: Tensor


class IndependentRichardsonLucy(Solver):
    r"""Maximum likelihood from independent parts of the counts, each with an image of its own.

    .. math:: \min_{x_k \ge 0} \sum_k \left[ \mathbf 1^T A_k x_k - y_k^T \log(A_k x_k + b) \right]
        + \frac{λ}{2} \sum_k \|x_k - \bar x\|^2

    The result is the mean x̄. What the parts do not share is noise, so that λ, and not the number of steps,
    limits its amplification, without a model of the sample. For counts y and operator A: split y with
    `invcore.noises.Thinning`, and solve ``((y1, y2), Physics(stack([A / 2, A / 2])))``. Each step is one of
    expectation maximization, with a separable bound of the quadratic term [1]_: the positive root of
    c x² + (s - d) x - e = 0 with K parts, s = Aₖᴴ1, e = xₖ ⊙ Aₖᴴ(yₖ/(Aₖxₖ + b)), c = 2λ(K - 1)/K and
    d = c xₖ + λ(x̄ - xₖ). With λ = 0 that is Richardson–Lucy on each part.

    Parameters
    ----------
    weight : float or Tensor, shape (batch...)
        λ, in the inverse of the unit of x.
    fidelity : PoissonKL, optional
        Holds the background b of each part, a number for all, and the gain γ, data units per count: the sum
        in brackets is divided by it. By default the likelihood of the noise if that is Poisson, else
        ``PoissonKL()``.
    rtol : float
        Stop, per sample, when a step changes the images by at most rtol times their norm.

    References
    ----------
    .. [1] A. R. De Pierro, "A modified expectation maximization algorithm for penalized likelihood estimation
       in emission tomography", IEEE Trans. Med. Imaging 14 (1995).

    Examples
    --------
    >>> from invcore import stack
    >>> from invcore.operators import Matrix
    >>> half = Matrix(torch.tensor([[1.0, 0.5], [0.5, 1.0]]))
    >>> counts = (torch.tensor([2.0, 4.0]), torch.tensor([3.0, 3.0]))
    >>> solver = IndependentRichardsonLucy(weight=0.1)
    >>> solver(counts, Physics(stack([half, half]))).round(decimals=2)
    tensor([0.9800, 2.9900])
    """

    fidelity: PoissonKL | None = None
    weight: float | Tensor = 1e-3
    max_steps: int = 1000
    rtol: float = 1e-5
    params = ("weight",)
    units = None  # λ belongs to counts

    @property
    def requires_nonnegative(self) -> bool:
        return True

    @property
    def monotone(self) -> bool:
        """True: the objective falls in each step."""
        return True

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        problem = super().problem(y, physics, x0)
        if not isinstance(y, tuple) or len(y) < 2 or not hasattr(physics.operator, "operators"):
            raise ParameterError(
                "IndependentRichardsonLucy: expected two or more independent parts of the counts, as "
                "y = Thinning()(counts, generator=g) and Physics(stack([A / 2, A / 2])) are; got data of "
                f"{type(physics.operator).__name__}"
            )
        if isinstance(problem.fidelity, PoissonKL):
            return problem
        return problem.replace(fidelity=PoissonKL())

    def init(self, problem: Problem) -> _State:
        whole, space = problem.start() if problem.x0 is not None else None, problem.image_space
        b = problem.backprojection
        if whole is None:
            ones = torch.ones_like(b)
            size = norm(problem.A(ones), problem.A.range) ** 2
            whole = per_sample((b * 1.0).flatten(-len(space.shape)).sum(-1) / size, space) * ones
        x = whole.unsqueeze(-len(space.shape) - 1)
        x = x.expand(*x.shape[: -len(space.shape) - 1], len(problem.y), *space.shape)
        return _State(x, torch.full_like(norm(whole, space), torch.inf))

    def step(self, problem: Problem, state: _State) -> _State:
        space = problem.image_space
        at = -len(space.shape) - 1
        count, x = len(problem.y), state.x
        weight = per_sample(problem.fidelity.gain * problem.weight, space)  # type: ignore[attr-defined]
        mean = x.mean(at)
        c = 2 * weight * (count - 1) / count
        moved = []
        for A, y, part in zip(problem.A.operators, problem.y, x.unbind(at)):  # type: ignore[attr-defined]
            expected = A(part) + _background(problem)
            ratio = torch.where(expected > 0, y, 0) / torch.where(expected > 0, expected, 1)
            e = (part * A.H(ratio)).clamp(min=0)
            s = A.H(torch.ones_like(expected)).clamp(min=0)
            moved.append(_root(c, s - c * part - weight * (mean - part), e))
        found = torch.stack(moved, at)
        return _State(found, _relative(found - x, found, space))

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def value(self, problem: Problem, state: _State) -> Tensor:
        return state.x.mean(-len(problem.image_space.shape) - 1)

    def objective(self, problem: Problem, state: _State) -> Tensor:
        space = problem.image_space
        at = -len(space.shape) - 1
        parts = state.x.unbind(at)
        fits = tuple(A(x) for A, x in zip(problem.A.operators, parts))  # type: ignore[attr-defined]
        apart = state.x - state.x.mean(at, keepdim=True)
        spread = apart.square().flatten(at).sum(-1)
        return problem.fidelity.value(fits, problem.y, problem.A.range) + 0.5 * problem.weight * spread


def _background(problem: Problem) -> Any:
    return problem.fidelity.background  # type: ignore[attr-defined]


def _root(c: Any, b: Tensor, e: Tensor) -> Tensor:
    """The positive root of c x² + b x - e = 0, without cancellation, also for c = 0."""
    root = torch.sqrt(b * b + 4 * c * e)
    away = b + root
    small = torch.where(b > 0, 2 * e / torch.where(b > 0, away, 1), 0)
    size = torch.as_tensor(2 * c, dtype=b.dtype, device=b.device)
    large = (root - b) / torch.where(size > 0, size, 1)
    return torch.where(b > 0, small, large)


def _relative(moved: Tensor, x: Tensor, space: Space) -> Tensor:
    at = -len(space.shape) - 1
    size = torch.linalg.vector_norm(x.flatten(at), dim=-1)
    return torch.linalg.vector_norm(moved.flatten(at), dim=-1) / torch.where(size > 0, size, 1)
