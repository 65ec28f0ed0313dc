"""The unit in which a solve runs: data, noise and operator of any size, brought near one by powers of two.

Squares of numbers beyond 1e±19 leave single precision, and products of squares do so long before. With y = a
ŷ, A = c Â and x = (a/c) x̂ the problem in ŷ, x̂ is the same one, and dividing by powers of two is exact: the
result is to the bit what it would be if exponents had no end. Everything that a solver is given takes part:
what states how it depends on the unit (`Value.units`, `Prior.degree`), the weight included.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from .._errors import DataError
from .._physics import Physics
from .._problem import Problem
from .._value import in_unit, real_dtype
from ..fidelities import LeastSquares
from ..operators import LinearOperator, stack
from ..operators._algebra import LinearStack
from ..priors import Prior
from ..spaces import dtype_of, flatten, size_of, tree_map

if TYPE_CHECKING:
    from ._base import Solver

_NEAR = 20
"""Data, operators and noise levels from 2^-this to 2^this are solved as they are."""
_FAR = {torch.float32: 50, torch.float64: 400}
"""Beyond, a problem that cannot be scaled is refused."""
_ENERGY = 32
"""Objectives whose front factor is from 2^-this to 2^this are left as they are."""


class Units(NamedTuple):
    """What the numbers of a solve are multiplied by to be those of the user."""

    image: float = 1.0
    energy: float = 1.0


def posed(solver: Solver, y: Any, physics: Physics, x0: Any, *, graph: bool) -> tuple[Solver, Problem, Units]:
    """The solver and its problem in the unit of the solve: as they are, unless numbers are large or small.

    With ``graph`` nothing is cached that needs a derivative.
    """
    a, c, backprojection = _sizes(y, physics)
    if max(abs(a), abs(c)) <= _NEAR:
        problem = solver.problem(y, physics, x0)
        if backprojection is not None and not graph and problem.y is y and problem.physics is physics:
            problem.__dict__.setdefault("backprojection", backprojection)
        return solver, *_balanced(problem, 1.0)
    a, c = (0 if abs(e) <= _NEAR else e for e in (a, c))
    data, image = 2.0**a, 2.0 ** (a - c)
    noise = in_unit(physics.noise, data)
    energy = 1.0 if noise is None else _energy(solver, physics, noise, data)
    here = _solver_here(solver, data, image, energy)
    if isinstance(here, str) or noise is None or not isinstance(physics.operator, LinearOperator):
        what = here if isinstance(here, str) else type(physics.operator if noise else physics.noise).__name__
        if max(abs(a), abs(a - c)) > _FAR[real_dtype(dtype_of(y))]:
            size = f"data are about {2.0**a:.0e}" if a else f"operator is about {2.0**c:.0e}"
            raise DataError(
                f"{type(solver).__name__}: the {size}, too far from one for its squares, and {what} does not "
                "say how it scales with the data. Give data, noise level and operator in a unit near their "
                "size."
            )
        return solver, solver.problem(y, physics, x0), Units()
    scaled = Physics(operator=_divided(physics.operator, 2.0**c), noise=noise)
    start = None if x0 is None else tree_map(lambda t: t * (1 / image), x0)
    problem = here.problem(tree_map(lambda t: t * (1 / data), y), scaled, start)
    problem, units = _balanced(problem.replace(unit=image), energy)
    return here, problem, units._replace(image=image)


@torch.no_grad()
def _sizes(y: Any, physics: Physics) -> tuple[int, int, Any]:
    """Exponents of the size of the data and of a linear operator, and Aᴴy if the data are as they are."""
    a = _exponent(y, physics.range)
    A = physics.operator
    if a is None or not isinstance(A, LinearOperator) or size_of(A.domain) == 0:
        return a or 0, 0, None
    scaled = abs(a) > _NEAR
    back = A._apply_adjoint(tree_map(lambda t: t * 2.0**-a, y) if scaled else y)
    b = _exponent(back, A.domain)
    return a, 0 if b is None else b - (0 if scaled else a), None if scaled else back


def _exponent(x: Any, space: Any) -> int | None:
    """log₂ of the largest entry, midway between the largest and the smallest sample; None for zero."""
    flat = flatten(x, space).abs()
    if not flat.numel():
        return None
    exponents = [math.frexp(peak)[1] for peak in flat.amax(-1).flatten().tolist() if 0 < peak < math.inf]
    if not exponents:
        return None
    low, high = min(exponents), max(exponents)
    if high - low > 100:
        raise DataError(
            f"The samples of the batch differ in size by a factor of {2.0 ** (high - low):.0e}: solve them "
            "apart, or in units of their own."
        )
    return (low + high) // 2


def _energy(solver: Solver, physics: Physics, scaled: Any, data: float) -> float:
    """The fidelity of the user over the same one in the unit of the solve.

    One, but for least squares without a noise level, whose σ = 1 has no unit.
    """
    inner = getattr(solver, "solver", None)
    if inner is not None:
        return _energy(inner, physics, scaled, data)
    if getattr(solver, "fidelity", None) is not None:
        return 1.0
    given, there = physics.likelihood(), scaled.likelihood()
    if not (isinstance(given, LeastSquares) and isinstance(there, LeastSquares)):
        return 1.0
    own, other = (torch.as_tensor(f.precision(), dtype=torch.float64).max() for f in (given, there))
    return float(own * data**2 / other)


def _solver_here(solver: Solver, data: float, image: float, energy: float) -> Solver | str:
    """The solver with all that it holds in the unit, or the name of what does not say how it scales."""
    names = {f.name for f in dataclasses.fields(solver)}
    own: dict[str, Any] = {}
    found = in_unit(solver, image)
    if found is None:
        return type(solver).__name__
    inner = getattr(solver, "solver", None)
    if "solver" in names and inner is not None:
        here = _solver_here(inner, data, image, energy)
        if isinstance(here, str):
            return here
        own["solver"] = here
    for name, unit in (("fidelity", data), ("prior", image)):
        held = getattr(solver, name, None)
        if name in names and held is not None and not isinstance(held, str):
            own[name] = in_unit(held, unit)
            if own[name] is None or (isinstance(held, Prior) and _power(held) is None):
                return type(held).__name__
    weight, prior = getattr(solver, "weight", None), getattr(solver, "prior", None)
    if "weight" in names and weight is not None and not isinstance(weight, str):
        own["weight"] = _times(weight, image ** (_power(prior) or 0) / energy)
    return dataclasses.replace(found, **own)


def _power(prior: Any) -> float | None:
    """The power of the unit of the image by which a prior scales."""
    if not isinstance(prior, Prior):
        return None
    return prior.degree if prior.power is None else prior.power


def _balanced(problem: Problem, energy: float) -> tuple[Problem, Units]:
    """The problem with an objective of moderate size: f and λ over the power of two in front of f."""
    if problem.fidelity.factor is not None:
        name, power = problem.fidelity.factor
        held = torch.as_tensor(getattr(problem.fidelity, name))
        largest = float(held.amax()) if held.numel() else 0.0
        unit = math.ldexp(1.0, math.frexp(largest)[1] - 1) if 0 < largest < math.inf else 1.0
        if _ENERGY < abs(math.log2(unit) * power) < math.inf:
            fidelity = in_unit(problem.fidelity, unit, {name: 1})
            weight = _times(problem.weight, unit**-power)
            problem, energy = problem.replace(fidelity=fidelity, weight=weight), energy * unit**power
    if isinstance(problem.weight, Tensor):
        problem = problem.replace(weight=problem.weight.to(real_dtype(dtype_of(problem.y))))
    return problem, Units(energy=energy)


def weight_factor(prior: Prior | None, units: Units) -> float:
    """What a weight of the user is multiplied by to be that of the solve."""
    return units.image ** (_power(prior) or 0) / units.energy


def _times(held: Any, factor: float) -> Any:
    """A number or tensor, or several, times a factor that single precision may not hold."""
    if isinstance(held, tuple):
        return tuple(_times(each, factor) for each in held)
    return held.double() * factor if isinstance(held, Tensor) else held * factor


def _divided(operator: Any, unit: float) -> Any:
    """A/c; that of a stack is a stack, which solvers of blocks ask for."""
    if unit == 1:
        return operator
    if isinstance(operator, LinearStack):
        return stack([_divided(part, unit) for part in operator.operators])
    return (1 / unit) * operator


def restored(problem: Problem, y: Any, physics: Physics, x0: Any, solver: Solver, units: Units) -> Problem:
    """The problem that was solved, in the units of the user."""
    if units == Units():
        return problem
    prior, fidelity = problem.prior, getattr(solver, "fidelity", None) or physics.likelihood()
    return problem.replace(
        physics=physics,
        y=y,
        x0=x0,
        fidelity=fidelity,
        prior=None if prior is None else in_unit(prior, 1 / units.image),
        weight=_times(problem.weight, units.energy / units.image ** (_power(prior) or 0)),
        unit=1.0,
    )
