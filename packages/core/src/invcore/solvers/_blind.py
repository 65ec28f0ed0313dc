"""`Blind`: the base class of solvers that estimate a parameter ξ of the operator along with the image."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._problem import Problem
from ..operators import Operator, Space
from ..operators._parameter_map import parameter_map, parameter_name, per_sample_parameter
from ..priors import Prior, Simplex, SumPrior
from ..spaces import batch_shape, norm, space_of, tree_map
from ._base import Around, Solver

COLLAPSED = 0.9
"""Share of the largest entry beyond which a kernel counts as a point."""


class Blind(Solver, abstract=True, fields=True):
    """Base class of blind solvers: y = A_ξ(x) + noise, both x and ξ unknown.

    ξ starts from the value that the operator has, and is estimated for each sample. What was found is in the
    solution: ``solution.value`` is the image, ``solution.physics`` the physics with the ξ that was found, as
    in ``solution.physics.operator.kernel``; during a solve it is ``state.parameter``.

    Parameters
    ----------
    parameter : str, optional
        ξ, by the name that `bind` takes. It may be left out where the operator has one parameter.
    """

    parameter: str | None = None
    params: ClassVar[tuple[str, ...]] = ()

    def name(self, A: Operator) -> str:
        """The name of ξ."""
        return parameter_name(A, self.parameter)

    def first(self, problem: Problem) -> Tensor:
        """ξ at the start, one for each sample of the batch of x; of an empty batch the only one."""
        batch = tuple(batch_shape(problem.start(), problem.space))
        if 0 in batch:
            return problem.A.parameters()[self.name(problem.A)]
        return per_sample_parameter(problem.A, self.name(problem.A), batch)

    def bound(self, problem: Problem, parameter: Tensor) -> Problem:
        """The problem for a ξ."""
        A = problem.A.bind(**{self.name(problem.A): parameter})
        return problem.replace(physics=Physics(operator=A, noise=problem.physics.noise))

    def map(self, problem: Problem, parameter: Tensor, x: Any) -> Operator:
        """ξ ↦ A_ξ x."""
        A = self.bound(problem, parameter).A
        return parameter_map(A, self.name(A), own_space(problem, parameter, x), x)

    @property
    def parameter_prior(self) -> Prior | None:
        """The prior of ξ."""
        return None

    def found(self, problem: Problem, state: Any) -> Problem:
        _warn_if_collapsed(self, state.parameter, own_space(problem, state.parameter, state.x))
        return self.bound(problem, state.parameter)

    def objective(self, problem: Problem, state: Any) -> Tensor:
        return self.bound(problem, state.parameter).objective(self.value(problem, state))


class BlindWithSolver(Around, Blind, abstract=True, fields=True):
    """Base class of blind solvers that leave the image to another solver.

    Parameters
    ----------
    solver : Solver
        For the image: it states the prior, its weight and the fidelity.
    """

    solver: Solver  # type: ignore[misc]
    positional: ClassVar[int | None] = 0

    @property
    def requires_nonnegative(self) -> bool:
        return self.solver.requires_nonnegative

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        if isinstance(self.solver, Blind):
            raise ParameterError(f"{type(self).__name__}: the solver for the image is itself blind")
        return self.solver.problem(y, physics, x0)

    def image(self, problem: Problem, parameter: Tensor, x: Any) -> Any:
        """The image for a ξ, found by the solver from ``x`` on."""
        posed = self.bound(problem, parameter)
        names = {f.name for f in dataclasses.fields(self.solver)}
        own = {n: getattr(posed, n) for n in ("weight", "fidelity") if n in names}
        ready = dataclasses.replace(self.solver, **own)
        return solved(ready, posed.y, posed.physics, x)


def own_space(problem: Problem, parameter: Tensor, x: Any) -> Space:
    """The space of the ξ of one sample."""
    found = space_of(parameter, parameter.ndim - len(batch_shape(x, problem.space)))
    assert isinstance(found, Space)
    return found


def solved(solver: Solver, y: Any, physics: Physics, x0: Any) -> Any:
    """The value of an inner solve, with derivatives while a graph is recorded."""
    mode: Any = "unroll" if torch.is_grad_enabled() else "none"
    return solver.solve(y, physics, x0=x0, differentiate=mode).value


def moved(new: Any, old: Any, space: Any) -> Tensor:
    """‖new - old‖/‖new‖ of each sample, without derivatives."""
    with torch.no_grad():
        size = norm(new, space)
        return norm(tree_map(torch.sub, new, old), space) / torch.where(size > 0, size, 1)


def _warn_if_collapsed(solver: Blind, parameter: Tensor, space: Space) -> None:
    """Warn where a kernel (what is in a simplex) has become a point."""
    simplex = _simplex_in(solver.parameter_prior)
    if simplex is None or parameter.is_complex() or not parameter.numel():
        return
    dims = simplex.dims or tuple(range(-len(space.shape), 0))
    kernel = parameter.detach()
    if all(space.shape[d] == 1 for d in dims):
        return
    total = kernel.sum(dims)
    share = kernel.amax(dims) / torch.where(total > 0, total, 1)
    if bool((share > COLLAPSED).any()):
        size = torch.linalg.vector_norm(kernel, dim=dims) / torch.where(total > 0, total, 1)
        warnings.warn(
            f"{type(solver).__name__}: the kernel collapsed to a point, with {float(share.max()):.0%} of "
            f"its sum in one entry (its 2-norm is {float(size.max()):.3f}, of a point 1): the image is "
            "the data, not deblurred. The most likely pair of image and kernel often is that one. Start "
            "from a wide kernel, take fewer steps or a prior that knows edges, or use 'marginal_likelihood', "
            "which averages over images.",
            stacklevel=6,
        )


def _simplex_in(prior: Prior | None) -> Simplex | None:
    parts = prior.priors if isinstance(prior, SumPrior) else (prior,)
    return next((p for p in parts if isinstance(p, Simplex)), None)
