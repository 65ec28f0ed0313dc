"""A reconstruction, and the record of how it was made."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..io import Acquisition, provenance
from ..solvers import Status
from ._measure import measured
from ._problem import text_of
from ._verdict import Fit, outcome

if TYPE_CHECKING:
    from ..solvers import Solution, Solver


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """An image, how it was made, and where it was written.

    Attributes
    ----------
    x : Tensor, shape (batch..., channel, *spatial)
        The image.
    problem : dict
        The completed problem: `invcore.run.run` repeats it.
    acquisition : Acquisition
    solver : Solver
    solution : Solution
    seconds : float
        Time the solver took.
    pictures : dict of str to Tensor
        What is shown, by caption; without ``[metrics]`` the first one is compared with the reference.
    remarks : tuple of str
        What is doubtful in the image.
    fit : Fit, optional
        χ²/N of the data, or deviance/N of counts; None where the noise is unknown or of another kind.
    reference, compared : Tensor, optional
        The reference, and the image that was compared with it.
    metrics : dict of str to Tensor
        One value per sample.
    provenance : dict
        How it was made, as `invcore.io.provenance` gives it.
    files : dict of str to Path
        What was written, by role: ``image``, ``report``, ``magnitude``, ``phase``, …
    """

    x: Tensor
    problem: dict[str, Any]
    acquisition: Acquisition
    solver: Solver
    solution: Solution
    seconds: float
    pictures: dict[str, Tensor]
    remarks: tuple[str, ...] = ()
    fit: Fit | None = None
    reference: Tensor | None = None
    compared: Tensor | None = None
    metrics: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
    files: dict[str, Path] = dataclasses.field(default_factory=dict)

    @property
    def spatial_dims(self) -> int:
        """Number of spatial dimensions of the image."""
        return len(self.acquisition.physics.domain.shape) - 1  # type: ignore[union-attr]

    @property
    def voxel_size(self) -> tuple[float, ...] | None:
        """Size of a voxel in meters along each spatial dimension, where the reader knows it."""
        return self.acquisition.voxel_size

    @property
    def steps(self) -> int:
        """Number of steps, of the slowest sample."""
        return int(self.solution.stats["steps"].max())

    @property
    def weight(self) -> float:
        """Regularization weight, the mean over the samples."""
        return float(torch.as_tensor(self.solution.problem.weight, dtype=torch.float64).mean())

    @property
    def interrupted(self) -> bool:
        """True if Ctrl-C ended the solver early."""
        return self.solution.status is Status.STOPPED

    def __repr__(self) -> str:
        return outcome(self)


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
            **({"choice": result.solution.choice} if result.solution.choice else {}),
            "status": "INTERRUPTED" if result.interrupted else result.solution.status.name,
            "fit": None if result.fit is None else result.fit._asdict(),
            "steps": result.steps,
            **parameters,
        },
        data={"file": measured(problem).name, **facts(result)},
    )
    text = text_of(problem)
    return made if text is None else {**made, "problem": text}


def facts(result: Reconstruction) -> dict[str, Any]:
    """Return the facts of the file, what of it is not used, and what is doubtful in the image."""
    acquisition = result.acquisition
    sentences = {"left_out": acquisition.left_out, "remarks": result.remarks}
    return {**acquisition.metadata, **{key: value for key, value in sentences.items() if value}}
