"""The one loop that runs every solver."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint as recomputed

from .._errors import (
    ConvergenceWarning,
    DataError,
    DtypeError,
    InvcoreError,
    ParameterError,
    ShapeError,
    SolverError,
)
from .._finite import check_fields_finite, check_finite, is_finite
from .._fit import fitted
from .._physics import Physics
from .._problem import Problem, tolerance, warn_of_unit
from .._value import Value, real_dtype
from ..fidelities import Fidelity
from ..operators import LinearOperator
from ..operators._failures import BROADCASTING, PRECISION
from ..spaces import batch_shape, device_of, dtype_of, one_per_sample, size_of, tree_map
from ._checkpoint import Checkpoint, Run
from ._implicit import attach_fixed_point
from ._per_step import stages
from ._progress import watching
from ._solution import Solution, Status
from ._units import posed, restored, weight_factor

if TYPE_CHECKING:
    from ._base import Solver

_CHECK_EVERY = 16
"""Steps between looks at whether the iterate is finite (each look waits for the device)."""


MODES = ("none", "unroll", "unroll_checkpointed", "implicit", "jacobian_free")


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
    checkpoint: str | os.PathLike[str] | None,
    checkpoint_every: float,
    throw: bool,
    steps: int | None,
) -> Solution:
    """See `Solver.solve`."""
    unrolled, graded = differentiate in ("unroll", "unroll_checkpointed"), torch.is_grad_enabled()
    _check_mode(solver, differentiate, checkpoint is not None)
    if steps is not None and not (isinstance(steps, int) and steps >= 0):
        raise ParameterError(f"steps must be a whole number >= 0, or None, got {steps!r}")
    check_inputs(solver, y, physics, x0)
    if unrolled or differentiate == "implicit":
        _check_weight(solver, [y, *physics._tensors()])
    solver, physics = _samplewise(solver, y, physics)
    saver = None
    if checkpoint is not None:
        inputs = {
            "solver": solver,
            "physics": physics,
            "y": y,
            "x0": x0,
            "record_objective": record_objective,
        }
        saver = Checkpoint(checkpoint, checkpoint_every, inputs)
    given = solver
    max_steps: int = getattr(solver, "max_steps", 1000) if steps is None else steps
    with (
        torch.set_grad_enabled(unrolled),
        watching(progress, type(solver).__name__, max_steps) as watch,
    ):
        with _fitting(solver, y, physics, x0):
            automatic = isinstance(getattr(solver, "weight", None), str)
            watch.phase("regularization weight" if automatic else "first application")
            with torch.set_grad_enabled(graded):
                solver, problem, units = posed(solver, y, physics, x0, graph=unrolled)
                factor = weight_factor(problem.prior, units)
                each = stages(solver, problem, getattr(given, "weight", None), factor, graph=unrolled)
            last = len(each) - 1
            solver, problem = each[last]
            converged, change_of = solver.converged, solver.change
            status: Status | None = None
            watch.phase("norm of the operator and starting point")
            warn_of_unit(problem, getattr(problem.prior, "denoiser", None))
            state = each[0][0].init(each[0][1])
            run = Run(state, torch.as_tensor(converged(problem, state)) & (last == 0 and steps is None))
        if saver is not None:
            run = saver.load(run, solver)
        random = bool(solver.networks())  # dropout draws from the global state
        first, number, samples = run.k, _done(run.done), run.done.numel()
        watch.start(tolerance(problem, getattr(solver, "rtol", 0.0)))
        for k in range(first, max_steps):
            if number == samples:
                break
            one, its = each[min(k, last)]
            if k == first:
                with _fitting(solver, y, physics, x0):
                    new = one.step(its, run.state)
            if differentiate == "unroll_checkpointed":
                new = None  # the plain first step has filled what the problem caches; its graph goes
                with _fitting(solver, y, physics, x0):
                    new = recomputed(one.step, its, run.state, use_reentrant=False, preserve_rng_state=random)
            elif k > first:
                new = one.step(its, run.state)
            run.state = _frozen(run.done, run.state, new) if number and run.done.ndim else new
            done = converged(problem, run.state) & (k >= last and steps is None)
            run.k = k + 1
            if isinstance(done, bool):
                run.steps += 1
                if done:
                    run.done, number = torch.ones_like(run.done), 1
            else:
                run.steps, run.done = run.steps + (~run.done).int(), run.done | done
                number, samples = _done(run.done), run.done.numel()  # the first step may bring more samples
            change = change_of(problem, run.state)
            if change is not None:
                change = change.detach() if isinstance(change, Tensor) else change
                run.changes.append(change)
            if record_objective:
                with torch.no_grad():
                    run.objectives.append(units.energy * solver.objective(problem, run.state))
            if progress:
                watch.advance(change)
            if k % _CHECK_EVERY == _CHECK_EVERY - 1 and not _sound(solver.value(problem, run.state), change):
                status = Status.NONFINITE
                break
            if callback is not None and callback(k, problem, run.state):
                status = Status.STOPPED
                break
            if saver is not None and saver.due():
                saver.save(run)
        if status is None:
            status = Status.CONVERGED if number == samples else Status.MAX_STEPS
        value = solver.value(problem, run.state)
    if unrolled and run.k > 0 and samples:
        _require_graph(solver, value, [y, x0, *physics._tensors(), *solver._tensors()])
    if not _sound(value, run.changes[-1] if run.changes else None):
        status = Status.NONFINITE
    elif saver is not None and run.k > first:
        saver.save(run)
    stats = {"steps": torch.zeros_like(run.done, dtype=torch.int32) + run.steps}
    if run.changes:
        stats["change"] = _stacked(run.changes, run.done, real_dtype(dtype_of(value)))
    if run.objectives:
        stats["objective"] = torch.stack(run.objectives)
    if status is Status.NONFINITE and throw:
        raise SolverError(
            f"{type(solver).__name__} failed after {int(stats['steps'].max())} steps. {status.value} "
            f"{_cause(problem)}"
        )
    if differentiate == "implicit":
        if status is not Status.CONVERGED and not solver._overrides("implicit"):
            warnings.warn(
                f"{type(solver).__name__} did not converge, so the implicit derivative is not that of its "
                f"result. {status.value}",
                ConvergenceWarning,
                stacklevel=3,
            )
        value = solver.implicit(problem, value)
    elif differentiate == "jacobian_free":
        value = attach_fixed_point(solver.fixed_point, problem, value, jacobian_free=True)
    if units.image != 1:
        value = tree_map(lambda x: units.image * x, value)
    problem = given.found(restored(problem, y, physics, x0, given, units), run.state)
    return Solution(value=value, status=status, stats=stats, state=run.state, problem=problem)


def _check_mode(solver: Solver, differentiate: str, checkpoint: bool) -> None:
    if differentiate not in MODES:
        raise ParameterError(
            f"differentiate must be one of {', '.join(map(repr, MODES))}, got {differentiate!r}"
        )
    if checkpoint and differentiate.startswith("unroll"):
        raise ParameterError(
            f"checkpoint: a graph through all steps (differentiate={differentiate!r}) cannot be stored: "
            "use 'none', 'implicit' or 'jacobian_free'"
        )
    if differentiate == "implicit" and not (
        solver._overrides("fixed_point") or solver._overrides("implicit")
    ):
        raise SolverError(f"{type(solver).__name__} has no implicit derivative: use differentiate='unroll'")
    if differentiate == "jacobian_free" and not solver._overrides("fixed_point"):
        raise SolverError(
            f"{type(solver).__name__} has no fixed point to differentiate: use differentiate='implicit' or "
            "'unroll'"
        )


def _check_weight(solver: Solver, given: list[Any]) -> None:
    """Raise a `ParameterError` if the weight would be chosen from what a gradient is wanted to."""
    automatic = (
        isinstance(getattr(solver, "weight", None), str) and getattr(solver, "prior", None) is not None
    )
    if automatic and any(map(_requires_grad, given)):
        raise ParameterError(
            f"{type(solver).__name__}: weight='auto' is chosen from the data and the physics, and has no "
            "derivative to them: pass its value, weight=solver.problem(y, physics).weight, which then counts "
            "as a constant"
        )


def _requires_grad(x: Any) -> bool:
    return any(map(_requires_grad, x)) if isinstance(x, tuple) else isinstance(x, Tensor) and x.requires_grad


def _require_graph(solver: Solver, value: Any, given: list[Any]) -> None:
    """Raise a `SolverError` if something given requires a gradient and the result does not."""
    if any(map(_requires_grad, given)) and not _requires_grad(value):
        raise SolverError(
            f"{type(solver).__name__}: no derivative passes through its steps: use differentiate='none'"
        )


def _stacked(values: list[Tensor | float], done: Tensor, dtype: torch.dtype) -> Tensor:
    """Stack the statistics of all steps, (steps, batch...)."""
    if isinstance(values[0], Tensor):
        return torch.stack(values)  # type: ignore[arg-type]
    return torch.tensor(values, dtype=dtype).reshape(-1, *(1,) * done.ndim)


def _done(done: Tensor) -> int:
    """Count the samples that are done."""
    return int(done) if done.numel() == 1 else int(done.sum())


@contextlib.contextmanager
def _fitting(solver: Solver, y: Any, physics: Physics, x0: Any) -> Iterator[None]:
    """Translate torch's errors about broadcasting and mixed precision into errors about the problem."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, InvcoreError):
            raise
        if "saved tensor hooks" in str(error):
            raise SolverError(
                f"{type(solver).__name__}: the derivative of {type(physics.operator).__name__} is found by "
                "torch.func, which cannot run in steps that are computed again: give the operator an "
                "adjoint, or take differentiate='unroll'"
            ) from error
        if any(words in str(error) for words in PRECISION):
            raise DtypeError(
                f"{type(solver).__name__}: the data is {dtype_of(y)}, the physics {physics.dtype}. Bring "
                f"both to one precision: physics.to({real_dtype(dtype_of(y))}) or y.to(...)."
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


def check_inputs(solver: Value, y: Any, physics: Physics, x0: Any) -> None:
    """Raise a `DataError` if something is NaN or infinite, or on another device than the data."""
    if 0 in (size_of(physics.domain), size_of(physics.range)):
        raise ShapeError(
            f"{type(solver).__name__}: the operator maps {physics.domain} to {physics.range}; without pixels "
            "or without data there is nothing to solve"
        )
    check_finite(y, "The data", "Repair them, or set them to zero and take them out of the sampling mask.")
    if x0 is not None:
        check_finite(x0, "The starting point x0", "Start from other values, or from zero.")
    _check_device(y, physics)
    check_fields_finite(physics.operator, "physics.operator")
    check_fields_finite(physics.noise, "physics.noise", nan_only=True)
    check_fields_finite(solver, "solver", nan_only=True)


def _samplewise(solver: Solver, y: Any, physics: Physics) -> tuple[Solver, Physics]:
    """Solver and physics whose weight, noise level … have shape (batch...), not (batch..., 1, 1, 1)."""
    batch = batch_shape(y, physics.range)
    noise = physics.noise.per_sample(physics.range, batch)
    if noise is not physics.noise:
        physics = Physics(operator=physics.operator, noise=noise)
    own: dict[str, Any] = {}
    for name in (f.name for f in dataclasses.fields(solver)):
        held = getattr(solver, name)
        new = held
        if name == "weight" and isinstance(held, tuple):
            new = tuple(one_per_sample(w, physics.domain, batch) for w in held)
        elif name == "weight":
            new = one_per_sample(held, physics.domain, batch)
        elif isinstance(held, Fidelity):
            new = fitted(held, physics.range, batch)
        elif name == "solver":
            new = _samplewise(held, y, physics)[0]
        if new is not held:
            own[name] = new
    return (dataclasses.replace(solver, **own) if own else solver), physics


def _sound(value: Any, change: Tensor | float | None) -> bool:
    """True if the image is finite and its change a number; of Krylov methods only the change may not be."""
    if isinstance(change, Tensor):
        number = not bool(torch.isnan(change).any())
    else:
        number = change is None or not math.isnan(change)
    return number and is_finite(value)


@torch.no_grad()
def _cause(problem: Problem) -> str:
    """What made the iterates infinite, as far as one application of the operator tells."""
    if isinstance(problem.A, LinearOperator):
        y = problem.backprojection
        if not is_finite(y) or not is_finite(problem.A._apply(y)):
            return (
                f"{type(problem.A).__name__} gives NaN or infinity for finite data: it overflows, or its "
                "numbers are not finite."
            )
    return (
        "The steps are too long for this operator (is its norm_bound an upper bound? is its adjoint exact? "
        "run invcore.testing.check(operator)), or its numbers are too large for its precision."
    )


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
