"""Whether a solver can solve a problem, and if not why: by a rehearsal of its first step."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from .._errors import InvcoreError
from .._physics import Physics
from .._problem import Problem
from ..fidelities import Fidelity
from ..priors import Prior
from ..spaces import tree_map, zeros

if TYPE_CHECKING:
    from ._base import Solver


class Support(NamedTuple):
    """Whether a solver can solve a problem, true or false as it says, and ``why`` not."""

    possible: bool
    why: str = ""

    def __bool__(self) -> bool:
        return self.possible


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
        ready = dataclasses.replace(solver, **own) if own else solver
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
