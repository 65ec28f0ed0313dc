"""Alternating minimization over the image and a parameter of the operator."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._problem import Problem
from ..priors import Prior
from ..spaces import norm
from ._base import Solver
from ._blind import BlindWithSolver, moved, own_space, solved


class _State(NamedTuple):
    x: Any
    parameter: Tensor
    change: Tensor


class BlindAlternating(BlindWithSolver):  # type: ignore[misc]
    r"""Minimize J(x, ξ) = f(A_ξ x; y) + λ g(x) + R(ξ) by turns: over x with one solver, over ξ with another.

    The joint maximum a posteriori estimate, if f, g and R are negative log densities; a single one of many
    for other starts, as J is not convex. The step in ξ is an ordinary inverse problem with the same data, for
    the operator ξ ↦ A_ξ x: linear where A is linear in ξ (a convolution in its kernel), so that any solver
    serves; else one for nonlinear operators, such as ``mirror_descent``, ``lbfgs`` or ``gauss_newton``. Both
    solvers start from the last iterate; J falls in each step if both lower their objective, as those do that
    are ``monotone``, and any that runs to its tolerance.

    **It may return no blur.** For a convolution, a kernel of sum one and a prior of Gaussian images with the
    spectrum S, minimizing over x leaves ½ Σ |ŷ|²/(|k̂|² S + σ²), which is least where |k̂| is largest: for
    a point, always [1]_. So it is for most priors in use; sharp images are then local minima, to be
    reached from a good start (a wide kernel) and by stopping early [2]_. A kernel that has collapsed is
    reported by a warning. `MarginalLikelihood` does not have this failure.

    Parameters
    ----------
    parameter_solver : Solver
        For ξ: its prior is R, such as `invcore.priors.Simplex` for a kernel (without it, x and ξ may trade a
        factor), its ``max_steps`` the number of steps in a turn. Give R that is no constraint a weight that
        is a number.
    rtol : float
        Stop, per sample, when neither x nor ξ moves by more than rtol of its size in a turn.

    References
    ----------
    .. [1] A. Levin, Y. Weiss, F. Durand, W. Freeman, "Understanding and evaluating blind deconvolution
       algorithms", CVPR (2009).
    .. [2] M.-H. Nguyen, E. Pauwels, P. Weiss, "How diffusion prior landscapes shape the posterior in blind
       deconvolution", arXiv:2508.02923 (2025).

    Examples
    --------
    >>> from invcore.operators import Mask
    >>> from invcore.priors import Box
    >>> from invcore.solvers import ConjugateGradient, MirrorDescent
    >>> gains = Mask(torch.tensor([1.0, 1.0]), (2,))  # y = ξ x, gains between 0 and 2
    >>> bounded = MirrorDescent(prior=Box(upper=2.0))
    >>> solver = BlindAlternating(solver=ConjugateGradient(weight=1.0), parameter_solver=bounded)
    >>> solution = solver.solve(torch.tensor([4.0, 6.0]), Physics(gains))
    >>> solution.value.round(decimals=2), solution.physics.operator.mask.round(decimals=2)
    (tensor([1.6000, 2.4000]), tensor([2., 2.]))
    """

    parameter_solver: Solver  # type: ignore[misc]
    max_steps: int = 200
    rtol: float = 1e-4

    def _in_unit(self, unit: float) -> Self | None:
        """Itself: ξ is the same in any unit of the data, unless R is weighed against f."""
        return self if self._constrained else None

    @property
    def _constrained(self) -> bool:
        prior = self.parameter_prior
        return prior is None or prior.power == 0

    @property
    def parameter_prior(self) -> Prior | None:
        """R."""
        return getattr(self.parameter_solver, "prior", None)

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        if not self._constrained and isinstance(getattr(self.parameter_solver, "weight", 1.0), str):
            raise ParameterError(
                "BlindAlternating: give the solver of the parameter a weight that is a number; 'auto' "
                "would be another one in each turn"
            )
        self.name(physics.operator)
        return super().problem(y, physics, x0)

    def init(self, problem: Problem) -> _State:
        x, parameter = problem.start(), self.first(problem)
        return _State(x, parameter, torch.full_like(norm(x, problem.space), torch.inf))

    def step(self, problem: Problem, state: _State) -> _State:
        x = self.image(problem, state.parameter, state.x)
        physics = Physics(self.map(problem, state.parameter, x), problem.physics.noise)
        turn = self.parameter_solver
        if isinstance(getattr(turn, "weight", 1.0), str):  # of a constraint
            turn = dataclasses.replace(turn, weight=1.0)  # type: ignore[call-arg]
        parameter = solved(turn, problem.y, physics, state.parameter)
        change = torch.maximum(
            moved(x, state.x, problem.space),
            moved(parameter, state.parameter, own_space(problem, parameter, x)),
        )
        return _State(x, parameter, change)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def objective(self, problem: Problem, state: _State) -> Tensor:
        total, prior = super().objective(problem, state), self.parameter_prior
        if prior is None or self._constrained:
            return total
        weight = getattr(self.parameter_solver, "weight", 1.0)
        return total + weight * prior.value(state.parameter, own_space(problem, state.parameter, state.x))
