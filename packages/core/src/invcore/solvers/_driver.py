"""The one loop that runs every solver."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .._errors import (
    ConvergenceWarning,
    DataError,
    DtypeError,
    InvcoreError,
    ParameterError,
    ShapeError,
    SolverError,
)
from .._physics import Physics
from .._value import real_dtype
from ..operators._base import _BROADCASTING as BROADCASTING
from ..operators._space import batch_shape, device_of, dtype_of
from ._base import Solution, Solver, Status
from ._problem import Problem

_CHECK_EVERY = 16
"""Steps between looks at whether the iterate is finite (each look waits for the device)."""


def drive(
    solver: Solver,
    y: Any,
    physics: Physics,
    *,
    x0: Any,
    callback: Callable[[int, Problem, Any], Any] | None,
    progress: bool,
    record_objective: bool,
    differentiate: str,
    throw: bool,
) -> Solution:
    """See `Solver.solve`."""
    if differentiate not in ("none", "unroll", "implicit"):
        raise ParameterError(f"differentiate must be 'none', 'unroll' or 'implicit', got {differentiate!r}")
    check_finite(y)
    _check_device(y, physics)
    with _fitting(solver, y, physics, x0):
        problem = solver.problem(y, physics, x0)
    max_steps: int = getattr(solver, "max_steps", 1000)
    changes: list[Tensor] = []
    objectives: list[Tensor] = []
    steps: Tensor | None = None
    status = Status.MAX_STEPS
    with (
        torch.set_grad_enabled(differentiate == "unroll"),
        _bar(progress, type(solver).__name__, max_steps) as advance,
    ):
        with _fitting(solver, y, physics, x0):
            state = solver.init(problem)
            done = solver.converged(problem, state)
        for k in range(max_steps):
            if bool(done.all()):
                status = Status.CONVERGED
                break
            with _fitting(solver, y, physics, x0) if k == 0 else contextlib.nullcontext():
                new = solver.step(problem, state)
            state = _frozen(done, state, new) if done.ndim and bool(done.any()) else new
            steps = (~done).int() if steps is None else steps + ~done
            done = done | solver.converged(problem, state)
            change = solver.change(problem, state)
            if change is not None:
                changes.append(change.detach())
            if record_objective:
                with torch.no_grad():
                    objectives.append(problem.objective(solver.value(problem, state)))
            advance(None if change is None else change.detach())
            if k % _CHECK_EVERY == _CHECK_EVERY - 1 and not _finite(solver.value(problem, state)):
                status = Status.NONFINITE
                break
            if callback is not None and callback(k, problem, state):
                status = Status.STOPPED
                break
        else:
            status = Status.CONVERGED if bool(done.all()) else Status.MAX_STEPS
        value = solver.value(problem, state)
    if not _finite(value):
        status = Status.NONFINITE
    stats = {"steps": steps if steps is not None else torch.zeros_like(done, dtype=torch.int32)}
    if changes:
        stats["change"] = torch.stack(changes)
    if objectives:
        stats["objective"] = torch.stack(objectives)
    if status is Status.NONFINITE and throw:
        raise SolverError(
            f"{type(solver).__name__} failed after {int(stats['steps'].max())} steps. {status.value}"
        )
    if differentiate == "implicit":
        if status is not Status.CONVERGED and type(solver).implicit is Solver.implicit:
            warnings.warn(
                f"{type(solver).__name__} did not converge, so the implicit derivative is not that of its result. {status.value}",
                ConvergenceWarning,
                stacklevel=3,
            )
        value = solver.implicit(problem, value)
    return Solution(value=value, status=status, stats=stats, state=state, problem=problem)


_PRECISION = ("expected scalar type", "same dtype", "have the same type")


@contextlib.contextmanager
def _fitting(solver: Solver, y: Any, physics: Physics, x0: Any) -> Iterator[None]:
    """Turn torch's complaints about shapes that do not broadcast, or mixed precision, into ones about the problem."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, InvcoreError):
            raise
        if any(words in str(error) for words in _PRECISION):
            raise DtypeError(
                f"{type(solver).__name__}: the data is {dtype_of(y)}, the physics {physics.dtype}. Bring both to one "
                f"precision: physics.to({real_dtype(dtype_of(y))}) or y.to(...)."
            ) from error
        if not any(words in str(error) for words in BROADCASTING):
            raise
        shapes: dict[str, Any] = {"y": tuple(batch_shape(y, physics.range))}
        if x0 is not None:
            shapes["x0"] = tuple(batch_shape(x0, physics.domain))
        parameters = {**physics.parameters(), **solver.parameters()}
        whole = ", ".join(f"{n} {tuple(p.shape)}" for n, p in parameters.items())
        raise ShapeError(
            f"{type(solver).__name__}: the batch dimensions do not broadcast: "
            + ", ".join(f"{n} {s}" for n, s in shapes.items())
            + (f"; parameters (batch..., and their own dimensions): {whole}" if whole else "")
        ) from error


def _check_device(y: Any, physics: Physics) -> None:
    """Raise a `DataError` if data and physics are on different devices (numbers may be anywhere)."""
    for t in physics._tensors():
        if t.ndim and t.device != device_of(y):
            raise DataError(
                f"The data is on {device_of(y)}, the physics on {t.device}. Move one of them: "
                f"physics.to({str(device_of(y))!r}) or y.to({str(t.device)!r})."
            )


def check_finite(y: Any) -> None:
    """Raise a `DataError` that counts and locates what is not finite."""
    for block in y if isinstance(y, tuple) else (y,):
        if isinstance(block, tuple):
            check_finite(block)
            continue
        bad = ~torch.isfinite(block)
        count = int(bad.sum())
        if count:
            first = tuple(bad.nonzero()[0].tolist())
            raise DataError(
                f"The data has {count} values that are NaN or infinite, of {block.numel()}; the first is at index {first}. "
                "Repair them, or set them to zero and take them out of the sampling mask."
            )


def _finite(x: Any) -> bool:
    return all(_finite(part) for part in x) if isinstance(x, tuple) else bool(torch.isfinite(x).all())


def _frozen(done: Tensor, old: Any, new: Any) -> Any:
    """The new state, with the samples that are done as they were."""
    if isinstance(new, Tensor):
        if new.shape[: done.ndim] != done.shape:
            return new
        return torch.where(done.reshape(*done.shape, *(1,) * (new.ndim - done.ndim)), old, new)
    if isinstance(new, tuple):
        merged = [_frozen(done, a, b) for a, b in zip(old, new)]
        return type(new)(*merged) if hasattr(new, "_fields") else tuple(merged)
    if dataclasses.is_dataclass(new) and not isinstance(new, type):
        names = [f.name for f in dataclasses.fields(new)]
        return dataclasses.replace(new, **{n: _frozen(done, getattr(old, n), getattr(new, n)) for n in names})
    return new


@contextlib.contextmanager
def _bar(show: bool, name: str, total: int) -> Iterator[Callable[[Tensor | None], None]]:
    """A progress bar on standard error, or nothing."""
    if not show:
        yield lambda change: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[change]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total, change="")

        def advance(change: Tensor | None) -> None:
            text = "" if change is None else f"change {float(change.max()):.1e}"
            bar.update(task, advance=1, change=text)

        yield advance
        bar.update(task, total=bar.tasks[0].completed)
