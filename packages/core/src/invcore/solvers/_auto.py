"""A solver that chooses one by what the problem is made of."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._problem import Problem
from .._value import full_precision
from ..fidelities import LeastSquares
from ..operators import LinearOperator
from ..priors import Tikhonov
from ._admm import ADMM
from ._base import Regularized, Solver
from ._cgls import CGLS
from ._chambolle_pock import ChambollePock
from ._condat_vu import CondatVu
from ._conjugate_gradient import ConjugateGradient
from ._driver import check_inputs
from ._fista import FISTA
from ._gradient_descent import GradientDescent
from ._hqs import HalfQuadraticSplitting
from ._lbfgs import LBFGS
from ._scaled_proximal_gradient import ScaledProximalGradient
from ._solution import Solution


class Choice(NamedTuple):
    """The solver that `Auto` takes, and why."""

    solver: Solver
    why: str


class Auto(Regularized):
    """The solver that suits operator, noise and prior: the first of a list that can solve the problem.

    Least squares without a prior or with a squared norm are a linear solve ('cgls', 'cg'). A prior with an
    exact proximal operator and a smooth fidelity is for 'fista', two smooth ones for 'lbfgs', and terms
    behind operators for 'condat_vu' (smooth fidelity) or 'chambolle_pock' (any); 'admm', 'hqs' and 'gd' take
    what is left. Each candidate is asked with `Solver.supports`. `choose` tells which and why; so does the
    solution (`Solution.choice`).

    Parameters
    ----------
    prior : Prior, optional
        g. None: no prior.

    Raises
    ------
    ParameterError
        If none can; the message has the reason of each.

    Examples
    --------
    >>> import torch
    >>> from invcore.operators import Identity
    >>> from invcore.priors import L1, TV
    >>> physics = Physics(Identity((1, 4, 4)))
    >>> print(Auto(prior=TV() + L1(), weight=0.1).choose(physics).why)
    condat_vu: the fidelity is smooth, and the prior has terms behind operators
    >>> Auto(prior=L1(), weight=0.1).solve(torch.ones(1, 4, 4), physics).choice
    'fista: the fidelity is smooth, and the prior has an exact proximal operator'
    """

    max_steps: int | None = None  # type: ignore[assignment]
    rtol: float | None = None  # type: ignore[assignment]

    def choose(self, physics: Physics) -> Choice:
        """The solver for this physics, with the options of this one, and the reason in a sentence."""
        reasons = []
        for kind, why in self._candidates(physics):
            fields = {f.name for f in dataclasses.fields(kind)}
            options = {
                f.name: getattr(self, f.name)
                for f in dataclasses.fields(self)
                if f.name in fields and getattr(self, f.name) is not None
            }
            try:
                solver = kind(**options)
            except ParameterError as error:
                reasons.append(str(error))
                continue
            support = solver.supports(physics)
            if support:
                return Choice(solver, why)
            reasons.append(f"{kind.__name__}: {support.why}")
        raise ParameterError("no solver can solve this problem. " + "; ".join(reasons))

    def _candidates(self, physics: Physics) -> list[tuple[type[Solver], str]]:
        prior, fidelity = self.prior, self.fidelity or physics.likelihood()
        quadratic = isinstance(fidelity, LeastSquares) and isinstance(physics.operator, LinearOperator)
        apart = ChambollePock, "chambolle_pock: each term has a proximal operator, and there is no smoothness"
        if prior is None:
            linear = [(CGLS, "cgls: least squares without a prior are a linear solve")] if quadratic else []
            smooth = (
                [(LBFGS, "lbfgs: the fidelity is smooth, and there is no prior")] if fidelity.smooth else []
            )
            return [*linear, *smooth, apart]
        if quadratic and self.fidelity is None and isinstance(prior, Tikhonov):
            return [(ConjugateGradient, "cg: least squares with a squared norm are a linear solve")]
        found: list[tuple[type[Solver], str]] = []
        if prior.tolerance == 0:
            found.append(
                (FISTA, "fista: the fidelity is smooth, and the prior has an exact proximal operator")
            )
        if prior.settles and fidelity.smooth:
            found.append((LBFGS, "lbfgs: fidelity and prior are smooth"))
        return [
            *found,
            (CondatVu, "condat_vu: the fidelity is smooth, and the prior has terms behind operators"),
            apart,
            (ADMM, "admm: the fidelity has a proximal operator"),
            (HalfQuadraticSplitting, "hqs: the prior has a proximal operator"),
            (ScaledProximalGradient, "scaled_pgd: the prior has a gradient, and bounds its curvature"),
            (GradientDescent, "gd: the prior has a gradient"),
        ]

    @full_precision
    def solve(self, y: Any, physics: Physics, **options: Any) -> Solution:
        """Reconstruct with the solver of `choose`; the options are those of `Solver.solve`."""
        if not isinstance(physics, Physics):
            return super().solve(y, physics, **options)
        check_inputs(self, y, physics, options.get("x0"))
        chosen = self.choose(physics)
        return dataclasses.replace(chosen.solver.solve(y, physics, **options), choice=chosen.why)

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        return self.choose(physics).solver.problem(y, physics, x0)

    def _of(self, problem: Problem) -> Solver:
        kept: Any = problem.__dict__
        if "_chosen" not in kept:
            kept["_chosen"] = self.choose(problem.physics).solver
        return kept["_chosen"]

    def init(self, problem: Problem) -> Any:
        return self._of(problem).init(problem)

    def step(self, problem: Problem, state: Any) -> Any:
        return self._of(problem).step(problem, state)

    def converged(self, problem: Problem, state: Any) -> Tensor | bool:
        return self._of(problem).converged(problem, state)

    def value(self, problem: Problem, state: Any) -> Any:
        return self._of(problem).value(problem, state)

    def change(self, problem: Problem, state: Any) -> Any:
        return self._of(problem).change(problem, state)

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        return self._of(problem).fixed_point(problem, x)

    def implicit(self, problem: Problem, x: Any) -> Any:
        return self._of(problem).implicit(problem, x)
