"""Names and numbers of a problem, checked before a large file is read for nothing."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import torch

from .._errors import ParameterError
from .._registry.lookup import check_parameters, get
from ..io._read import is_there
from ._build import build


def check_early(problem: Mapping[str, Any]) -> None:
    """Refuse what cannot work whatever the data are: names, parameters, numbers, a reference that is missing.

    Solver and prior are made as they will be, but for what only the data can tell.
    """
    generator = torch.Generator().manual_seed(problem["seed"])
    wanted = dict(problem.get("solver", {}))
    _check_numbers(wanted)
    prior = wanted.pop("prior", None)
    prior = {"name": prior} if isinstance(prior, str) else prior
    if isinstance(prior, Mapping) and "name" in prior:
        prior = build("prior", prior, generator) if _known(prior) else get("prior", prior["name"])
    if "name" in wanted:
        name = wanted.pop("name")
        given = wanted if prior is None else {**wanted, "prior": prior}
        check_parameters("solver", name, get("solver", name), given)
    for kind in ("operator", "noise"):
        if kind in problem and "name" in problem[kind]:
            get(kind, problem[kind]["name"])
    for name in problem.get("metrics", {}):
        get("metric", name)
    data = problem.get("data", {})
    if "format" in data:
        get("reader", data["format"])
    if "data" in problem and "reference" in problem:
        path = Path(problem["reference"]).expanduser()
        if not is_there(path):
            raise FileNotFoundError(2, "No such reference file", str(path))


def _known(table: Mapping[str, Any]) -> bool:
    """True if a table gives all parameters that its class needs; the data may bring the rest."""
    parameters = inspect.signature(get("prior", table["name"])).parameters.values()
    return {p.name for p in parameters if p.default is p.empty} <= set(table)


def _check_numbers(solver: Mapping[str, Any]) -> None:
    """Check those numbers of the solver that mean the same to all solvers."""
    values: list[Any] = [solver.get(key) for key in ("weight", "max_steps", "rtol")]
    weight, steps, rtol = values
    if not 0 <= weight < math.inf if _number(weight) else isinstance(weight, str) and weight != "auto":
        raise ParameterError(f"weight must be a number from 0 on, or 'auto' (from the noise), got {weight!r}")
    if _number(steps) and not (isinstance(steps, int) and steps > 0):
        raise ParameterError(f"max_steps must be a whole number from 1 on, got {steps!r}")
    if _number(rtol) and not 0 <= rtol < 1:
        raise ParameterError(
            f"rtol is the relative change of the image at which the solver stops, from 0 to below 1, such as "
            f"1e-3; got {rtol!r}"
        )


def _number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
