"""How long a solve takes, from its first steps."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .._problem import tolerance
from ..io import Acquisition
from ..solvers import Status
from ._build import build


@dataclass(frozen=True)
class Estimate:
    """Time of a solve.

    Attributes
    ----------
    setup, step : float
        Seconds before the first step (norm, weight, first application), and of a step.
    steps : int
        Number of steps until it stops: counted if it did, else extrapolated.
    counted : bool
        True if the solve came to its end while it was timed.
    """

    setup: float
    step: float
    steps: int
    counted: bool

    @property
    def seconds(self) -> float:
        """Time of the whole solve."""
        return self.setup + self.steps * self.step


def estimate(problem: Mapping[str, Any], acquisition: Acquisition, *, budget: float = 3.0) -> Estimate:
    """Run the solver of a completed problem for some seconds, and extrapolate.

    The relative change of the image falls like a power of the number of steps; its exponent is fitted to the
    second half of the steps that ran. Right to a factor of two or three at best.
    """
    solver = build("solver", problem["solver"], torch.Generator().manual_seed(problem["seed"]))
    begun, times = time.perf_counter(), []

    def stop(k: int, posed: Any, state: Any) -> bool:
        times.append(time.perf_counter())
        return len(times) > 3 and times[-1] - begun > budget

    solution = solver.solve(acquisition.y, acquisition.physics, callback=stop, throw=False)
    step = float(np.median(np.diff(times))) if len(times) > 1 else times[-1] - begun
    setup = max(times[0] - begun - step, 0.0) if times else 0.0
    if solution.status is not Status.STOPPED or "change" not in solution.stats:
        return Estimate(setup, step, len(times), solution.status is not Status.STOPPED)
    changes = solution.stats["change"].reshape(len(times), -1).amax(1).tolist()
    wanted = tolerance(solution.problem, solver.rtol) if hasattr(solver, "rtol") else 0.0
    return Estimate(setup, step, _steps(changes, wanted, getattr(solver, "max_steps", len(times))), False)


def _steps(changes: Sequence[float], wanted: float, limit: int) -> int:
    """Return the step at which c k^-p reaches ``wanted``, fitted to the second half of ``changes``."""
    k = np.arange(1, len(changes) + 1)
    late = (k > len(changes) // 2) & (np.asarray(changes) > 0)
    if late.sum() < 2 or wanted <= 0:
        return limit
    slope = np.polyfit(np.log(k[late]), np.log(np.asarray(changes)[late]), 1)[0]
    slope = min(slope, -0.5)  # flatter is noise of the first steps
    level = float(np.mean(np.log(np.asarray(changes)[late]) - slope * np.log(k[late])))
    return int(min(max(np.exp((np.log(wanted) - level) / slope), len(changes)), limit))
