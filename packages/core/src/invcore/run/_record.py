"""The record of a reconstruction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..io import provenance
from ._measure import measured
from ._problem import text_of
from ._solve import Reconstruction


def record(result: Reconstruction, command: str | None = None) -> dict[str, Any]:
    """Describe how a reconstruction was made, as plain JSON types; with the problem, if TOML can hold it."""
    problem, acquisition = result.problem, result.acquisition
    tables = {key: problem.get(key) for key in ("operator", "noise", "solver")}
    tables["prior"] = problem["solver"].get("prior")
    names = {
        key: table["name"] for key, table in tables.items() if isinstance(table, Mapping) and "name" in table
    }
    parameters: dict[str, Any] = {"device": problem["device"]}
    if "data" in problem:
        names["reader"] = str(acquisition.metadata.get("format", problem["data"].get("format", "")))
        parameters["reader"] = problem["data"]["options"]
    weight = result.solution.problem.weight
    made = provenance(
        command=command,
        seed=problem["seed"],
        components=names,
        parameters={
            "solver": result.solver,
            "weight": weight.tolist() if isinstance(weight, Tensor) else weight,
            "operator": acquisition.physics.operator,
            "noise": acquisition.physics.noise,
            "status": result.solution.status.name,
            "steps": result.steps,
            **parameters,
        },
        data={"file": measured(problem).name, **acquisition.metadata},
    )
    text = text_of(problem)
    return made if text is None else {**made, "problem": text}
