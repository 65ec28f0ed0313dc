"""Whether a solver can solve a problem, and if not why: by its terms, and by a rehearsal of a step."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from .._errors import InvcoreError, ParameterError
from .._physics import Physics
from .._problem import Problem
from ..fidelities import Fidelity
from ..priors import Prior
from ..spaces import tree_map, zeros
from ._per_step import at_step

if TYPE_CHECKING:
    from ._base import Solver


_GENERAL = {
    "FISTA": "fista",
    "CondatVu": "condat_vu",
    "ChambollePock": "chambolle_pock",
    "ADMM": "admm",
    "LBFGS": "lbfgs",
    "GradientDescent": "gd",
    "ScaledProximalGradient": "scaled_pgd",
}
"""The solvers for problems of any kind, with their names."""


class Support(NamedTuple):
    """Whether a solver can solve a problem, true or false as it says, and ``why`` not."""

    possible: bool
    why: str = ""

    def __bool__(self) -> bool:
        return self.possible


def check_terms(solver: Solver, kinds: Iterable[type[Solver]]) -> None:
    """Raise a `ParameterError` if the solver cannot take its prior or fidelity, whatever the physics.

    It names those of the ``kinds`` that can.
    """
    fields = {f.name for f in dataclasses.fields(solver)}
    prior, fidelity = (getattr(solver, n) if n in fields else None for n in ("prior", "fidelity"))
    why = _objection(solver, prior, fidelity)
    if why:
        able = {kind.__name__ for kind in kinds if not _objection(kind, prior, fidelity)}
        others = [repr(name) for kind, name in _GENERAL.items() if kind in able]
        instead = f": use {', '.join(others)}" if others else ""
        raise ParameterError(f"{type(solver).__name__} {why}{instead}")


def _objection(solver: Any, prior: Any, fidelity: Any) -> str:
    """Why a solver, or a class of them, cannot take a prior and a fidelity; empty if it can."""
    if isinstance(prior, Prior):
        name, smoothing = type(prior).__name__, hasattr(prior, "smoothing")
        if solver.prior_by == "grad" and not prior.has_grad:
            only = " without smoothing > 0" if smoothing else ""
            return f"takes the gradient of the prior, and {name} has no gradient{only}"
        if solver.prior_by == "grad" and prior.stochastic and not solver.stochastic_prior:
            return f"takes one and the same prior in all steps, and {name} draws another one in each"
        if solver.prior_by == "prox" and not prior.has_prox:
            return f"takes the proximal operator of the prior, and {name} has no proximal operator"
    if isinstance(fidelity, Fidelity):
        name = type(fidelity).__name__
        if solver.fidelity_by == "lipschitz" and fidelity.lipschitz() is None:
            return f"takes gradient steps of the fidelity, and {name} has no Lipschitz gradient"
        if solver.fidelity_by == "smooth" and not fidelity.smooth:
            return f"takes the gradient of the fidelity, and {name} is not smooth"
    return ""


@torch.no_grad()
def rehearsed(solver: Solver, physics: Physics, prior: Prior | None, fidelity: Fidelity | None) -> Support:
    """Build the problem for the data of a constant image, and take the first step."""
    name = type(solver).__name__
    given: dict[str, Any] = {"prior": prior, "fidelity": fidelity}
    fields = {f.name for f in dataclasses.fields(solver)}
    own: dict[str, Any] = {}
    for field, value in given.items():
        if value is None:
            continue
        if field in fields:
            own[field] = value
        elif getattr(solver, field, None) is not value:
            return Support(False, f"{name} takes no {field}")
    if isinstance(getattr(solver, "weight", None), str):
        own["weight"] = 1.0
    try:
        ready = at_step(dataclasses.replace(solver, **own) if own else solver, 0)
        likelihood = getattr(ready, "fidelity", None) or physics.likelihood()
        x = tree_map(lambda t: t + 0.5, zeros(physics.domain, dtype=physics.dtype, device=physics.device))
        problem = Problem(
            physics=physics,
            y=physics.operator(x),
            fidelity=likelihood,
            prior=getattr(ready, "prior", None),
            weight=getattr(ready, "weight", 1.0),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ready.step(problem, ready.init(problem))
    except (InvcoreError, NotImplementedError) as error:
        return Support(False, str(error))
    return Support(True)
