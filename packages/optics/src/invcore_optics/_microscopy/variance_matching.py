"""Variance matching: the sample whose speckled images have the variance that was measured."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from invcore import Operator, ParameterError, Physics, Prior, Solver, Space
from invcore.noises import GaussianNoise
from invcore.solvers import LBFGS, Problem
from invcore.spaces import SpaceLike, per_sample, unflatten

from .speckle import SpeckleVariance


class _State(NamedTuple):
    roots: Any
    level: Tensor

    @property
    def x(self) -> Tensor:
        """z, flat."""
        return self.roots.x


class VarianceMatching(Solver):
    r"""The positive image whose variance under speckles is the measured one [1]_,

    .. math:: \min_{x \ge 0} \frac{\sum (V(x) - \hat V)^2}{2 \sum \hat V^2} + λ \, g(x)

    with x = z² by the L-BFGS method on z, from a constant image. Without a prior, noise is amplified with the
    number of steps. The physics is that of `SpeckleVariance` (its noise is not used), the data those of
    `SpeckleStatistics`.

    Parameters
    ----------
    prior : Prior, optional
        g, with a gradient, of an image divided by its starting constant.
    weight : float or Tensor, shape (batch...)
        λ.
    memory : int
        Pairs that L-BFGS remembers.
    rtol : float
        Stop, per sample, when the gradient has fallen by this factor.

    Raises
    ------
    ParameterError
        If the operator is no `SpeckleVariance`.

    References
    ----------
    .. [1] T. Mangeat et al., "Super-resolved live-cell imaging using random illumination microscopy", Cell
       Reports Methods 1 (2021).

    Examples
    --------
    >>> from invcore_optics import SpeckleVariance
    >>> A = SpeckleVariance.of(psf=torch.ones(1, 1), cutoff=0.5, shape=(4, 4))
    >>> x = 1 + torch.arange(16.0).reshape(1, 4, 4)
    >>> found = VarianceMatching()(A(x), Physics(A))
    >>> bool((found - x).norm() < 1e-2 * x.norm())
    True
    """

    prior_by = "grad"
    prior: Prior | None = None
    weight: float | Tensor = 1.0
    memory: int = 10
    max_steps: int = 120
    rtol: float = 1e-6
    params = ("weight",)

    @property
    def requires_nonnegative(self) -> bool:
        return True

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        if not isinstance(physics.operator, SpeckleVariance):
            raise ParameterError(
                "VarianceMatching: expected the physics of a SpeckleVariance, got "
                f"{type(physics.operator).__name__}; for another operator use 'lbfgs'"
            )
        return super().problem(y, physics, x0)

    def init(self, problem: Problem) -> _State:
        flat = torch.ones(problem.image_space.shape, dtype=problem.y.dtype, device=problem.y.device)
        bright = problem.A(flat).flatten(-3).mean(-1)
        level = (problem.y.flatten(-3).mean(-1).clamp(min=0) / bright).sqrt()
        level = torch.where(level > 0, level, 1)
        matched = self._matched(problem, level)
        return _State(self._smooth.init(matched), level)

    def step(self, problem: Problem, state: _State) -> _State:
        return _State(self._smooth.step(self._matched(problem, state.level), state.roots), state.level)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return self._smooth.converged(self._matched(problem, state.level), state.roots)

    def change(self, problem: Problem, state: _State) -> Tensor:
        """The relative gradient."""
        return self._smooth.change(self._matched(problem, state.level), state.roots)

    def value(self, problem: Problem, state: _State) -> Tensor:
        z = unflatten(state.roots.x, problem.image_space)
        return per_sample(state.level, problem.image_space) * z.square()

    def objective(self, problem: Problem, state: _State) -> Tensor:
        return self._smooth.objective(self._matched(problem, state.level), state.roots)

    @property
    def _smooth(self) -> LBFGS:
        return LBFGS(memory=self.memory, rtol=self.rtol)

    def _matched(self, problem: Problem, level: Tensor) -> Problem:
        """The problem for z, with x = level z²: data of size 1."""
        space = problem.image_space
        y = problem.y / per_sample(level**2, space)
        size = torch.linalg.vector_norm(y.flatten(-3), dim=-1)
        x0 = torch.ones_like(y)
        if problem.x0 is not None:
            x0 = (problem.x0 / per_sample(level, space)).clamp(min=0).sqrt()
        noise = GaussianNoise(sigma=torch.where(size > 0, size, 1))
        physics = Physics(problem.A @ Square(space), noise)
        prior = None if self.prior is None else OfSquare(self.prior)
        fit = physics.likelihood()
        return Problem(physics=physics, y=y, fidelity=fit, prior=prior, weight=self.weight, x0=x0)


class Square(Operator):
    """The square of each pixel."""

    domain: Space

    @property
    def range(self) -> Space:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        return x.square()


class OfSquare(Prior):
    """A prior of the square of an image."""

    prior: Prior

    def _value(self, x: Tensor, space: SpaceLike) -> Tensor:
        return self.prior.value(x.square(), space)

    def _grad(self, x: Tensor, space: SpaceLike) -> Any:
        return 2 * x * self.prior.grad(x.square(), space)
