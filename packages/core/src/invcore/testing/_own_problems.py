"""Checks for solvers that are made for certain operators: on the problem that they bring along."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from .._errors import DataError, ParameterError, ShapeError, SolverError
from .._physics import Physics
from .._value import real_dtype
from ..noises import GaussianNoise
from ..operators import Matrix
from ..solvers import Solver, Status
from ..spaces import check
from . import _functions
from ._checks import fail
from ._operator_inputs import require_device, require_no_global_randomness
from ._probes import cast, distance, item, mapped, snapshot, tensors_in


def _problem(solver: Solver) -> tuple[Physics, Any]:
    found = solver.sample_problem()
    assert found is not None
    return found


def _batch(y: Any, size: int) -> Any:
    """Data that differ from sample to sample."""
    return mapped(lambda t: torch.stack([t.roll(k, -1) for k in range(size)]) if size else t[None][:0], y)


def check_result_is_an_image(solver: Solver) -> None:
    """The result is finite, in the domain of the operator, in the precision of the data, with their batch dimensions."""
    physics, y = _problem(solver)
    for dtype in (torch.float32, torch.float64):
        for batch in ((), (1,), (2,), (0,)):
            data = cast(_batch(y, batch[0]) if batch else y, dtype)
            x = solver(data, physics.to(dtype))
            check(x, physics.domain, "the result")
            for t in tensors_in(x):
                if real_dtype(t.dtype) != dtype or t.shape[: len(batch)] != batch:
                    fail(f"data of batch {batch} in {dtype} give {t.dtype} {tuple(t.shape)}")
                if not bool(torch.isfinite(t).all()):
                    fail("the result is not finite")
                if t.requires_grad:
                    fail("the result carries a graph although no derivative was asked for")


def check_batch_equals_loop(solver: Solver) -> None:
    """Samples of a batch are solved as if alone, each in its own number of steps."""
    physics, y = _problem(solver)
    data = _batch(y, 3)
    together = solver.solve(data, physics)
    for i in range(3):
        alone = solver.solve(item(data, i), physics)
        if distance(item(together.value, i), alone.value) > 1e-9:
            fail(
                f"sample {i} of a batch differs from the same sample alone by "
                f"{distance(item(together.value, i), alone.value):.2g}: samples are not stopped, or scaled, one by one"
            )
        counts = int(together.stats["steps"][i]), int(alone.stats["steps"])
        if counts[0] != counts[1]:
            fail(f"sample {i} takes {counts[0]} steps in a batch and {counts[1]} alone")


def check_pure(solver: Solver) -> None:
    """The data are not changed; results repeat, and depend on no global random state."""
    physics, y = _problem(solver)
    kept = snapshot(physics)
    _functions.require_pure("solving", lambda v: solver(v, physics), y)
    if kept.changed():
        fail(f"solving changes the physics ({kept.changed()})")
    require_no_global_randomness(lambda: solver(y, physics), type(solver).__name__)


def check_bad_data_raises(solver: Solver) -> None:
    """NaN raises a DataError or SolverError, a wrong shape a ShapeError, an operator of another kind a ParameterError."""
    physics, y = _problem(solver)
    broken = mapped(lambda t: torch.full_like(t, float("nan")), y)
    longer = mapped(lambda t: torch.cat([t, t[..., :1]], -1), y)
    matrix = Matrix(matrix=torch.eye(3, dtype=torch.float64))
    other = Physics(operator=matrix, noise=GaussianNoise(sigma=1.0))
    for what, data, model, kinds in (
        ("NaN in the data", broken, physics, (DataError, SolverError)),
        ("data one entry too long", longer, physics, (ShapeError,)),
        ("a matrix", torch.ones(3, dtype=torch.float64), other, (ParameterError,)),
    ):
        names = " or ".join(k.__name__ for k in kinds)
        try:
            solver(data, model)
        except kinds:
            continue
        except Exception as error:
            fail(f"{what} raises {type(error).__name__} instead of {names}: {error}")
        fail(f"{what} is accepted in silence; it should raise {names}")


def check_step_limit(solver: Solver) -> None:
    """``max_steps`` limits the steps, and the status then says so."""
    if "max_steps" not in {f.name for f in dataclasses.fields(solver)}:
        fail("a solver has a field max_steps")
    physics, y = _problem(solver)
    names = {f.name for f in dataclasses.fields(solver)}
    options: dict[str, Any] = {"max_steps": 1, **({"rtol": 0.0} if "rtol" in names else {})}
    solution = dataclasses.replace(solver, **options).solve(y, physics)
    if int(solution.stats["steps"]) > 1:
        fail(f"with max_steps=1 it takes {int(solution.stats['steps'])} steps")
    if solution.status not in (Status.MAX_STEPS, Status.CONVERGED):
        fail(f"with max_steps=1 it ends with {solution.status.name}")


def check_device(solver: Solver) -> None:
    """Data and result stay on their device."""
    physics, y = _problem(solver)
    small = physics.to(torch.float32)

    def use(device: torch.device) -> Any:
        return solver.to(device)(mapped(lambda t: t.float().to(device), y), small.to(device))

    require_device(use, type(solver).__name__)


CHECKS = (
    check_result_is_an_image,
    check_batch_equals_loop,
    check_pure,
    check_bad_data_raises,
    check_step_limit,
    check_device,
)
