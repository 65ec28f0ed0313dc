"""Checks for solvers, on problems with a known solution or on that of a `SolverExample`."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import DataError, ParameterError, ShapeError, SolverError
from .._physics import Physics
from .._value import in_unit, real_dtype
from ..noises import GaussianNoise
from ..operators import LinearOperator, Matrix
from ..priors import Prior, Tikhonov
from ..solvers import Solver, Status
from ..spaces import Space, batch_shape, check
from . import _functions, _values
from ._checks import fail, require_refused, skip
from ._example import SolverExample
from ._operator_inputs import require_device, require_no_global_randomness
from ._probes import (
    cast,
    distance,
    item,
    mapped,
    probe,
    require_same,
    seeded,
    snapshot,
    tensors_in,
)
from ._solver_derivatives import (
    check_implicit_derivatives,
    check_unrolled_derivatives,
)
from ._solver_problems import (
    SIGMA,
    DenseProblem,
    Example,
    data_of,
    dense_data,
    dense_physics,
    image_space,
    kinds_of,
    kinds_of_solver,
    need_deterministic_prior,
    need_exact,
    physics_of,
    plain_solver,
    prior_of,
    solver_of,
    tight_solver,
    weight_of,
    with_options,
)


def check_result_is_an_image(example: Example) -> None:
    """The result lies in the domain of the operator, with the precision and batch dimensions of the data."""
    to_the_end = solver_of(example)
    brief = with_options(to_the_end, max_steps=5)
    for kind in kinds_of(example):
        physics = physics_of(example, kind)
        for dtype in (torch.float32, torch.float64):
            for batch, solver in (((), brief), ((1,), brief), ((2, 2), to_the_end), ((0,), to_the_end)):
                y = cast(data_of(example, physics, batch), dtype)
                x = solver(y, physics.to(dtype))
                check(x, physics.domain, "the result")
                found = {real_dtype(t.dtype) for t in tensors_in(x)}
                if found != {dtype} or tuple(batch_shape(x, physics.domain)) != batch:
                    fail(
                        f"data {dtype} of batch {batch} give {found} of batch "
                        f"{tuple(batch_shape(x, physics.domain))}"
                    )
                if not all(bool(torch.isfinite(t).all()) for t in tensors_in(x)):
                    fail("the result is not finite")
                if any(t.requires_grad for t in tensors_in(x)):
                    fail("the result carries a graph although no derivative was asked for")


def check_known_solution(solver: Solver) -> None:
    """With a tight tolerance it reaches the minimizer: the dense formula for a quadratic, else a fixed point.

    With penalty g the minimizer is the fixed point of x ↦ prox(x - t ∇f(x), t λ g), and where the operator is
    the identity it is prox(y, λ σ² g). A solver for non-negative problems finds the image of which it has
    exact data.
    """
    need_deterministic_prior(solver)
    need_exact(solver)
    tight = tight_solver(solver)
    prior, weight = prior_of(solver), weight_of(tight)
    for kind in kinds_of_solver(solver):
        physics = dense_physics(solver, kind)
        y = dense_data(solver, physics)
        solution = tight.solve(y, physics)
        if prior is None or isinstance(prior, Tikhonov):
            expected = _ridge(physics, y, weight)
            require_same(
                solution.value,
                expected,
                1e-6,
                f"{kind} least squares: the solution differs from the dense one "
                f"(status {solution.status.name})",
            )
            continue
        _require_fixed_point(solution.value, y, physics, prior, weight, kind)
        identity = _identity(physics)
        got = tight(probe(identity.range, seed=115), identity)
        expected = prior.prox(probe(identity.range, seed=115), weight * SIGMA**2, identity.domain)
        require_same(got, expected, 1e-6, f"{kind} denoising problem: the solution is not prox(y)")


def _ridge(physics: Physics, y: Tensor, weight: float) -> Tensor:
    matrix = physics.operator.matrix  # type: ignore[attr-defined]
    normal = matrix.mH @ matrix / SIGMA**2 + weight * torch.eye(matrix.shape[-1], dtype=matrix.dtype)
    x = torch.linalg.solve(normal, matrix.mH @ y.unsqueeze(-1) / SIGMA**2).squeeze(-1)
    return x.reshape(*x.shape[:-1], *physics.domain.shape)  # type: ignore[union-attr]


def _identity(physics: Physics) -> Physics:
    space = physics.domain
    assert isinstance(space, Space)
    dtype = torch.complex128 if space.kind == "complex" else torch.float64
    eye = torch.eye(space.size, dtype=dtype)
    return Physics(operator=DenseProblem(matrix=eye, domain=space, range=space), noise=physics.noise)


def _require_fixed_point(
    x: Tensor, y: Tensor, physics: Physics, prior: Prior, weight: float, kind: str
) -> None:
    A = physics.operator
    assert isinstance(A, LinearOperator)
    step = SIGMA**2 / 4
    gradient = A.H(A(x) - y) / SIGMA**2
    moved = prior.prox(x - step * gradient, step * weight, physics.domain)
    require_same(
        moved,
        x,
        1e-6,
        f"{kind} problem with {type(prior).__name__}: the solution is not a minimizer; a proximal gradient "
        "step moves it",
    )


def check_objective_decreases(solver: Solver) -> None:
    """The objective ends below where it began; if the class states ``monotone = True``, no step raises it."""
    physics = dense_physics(solver)
    y = dense_data(solver, physics)
    plain = with_options(plain_solver(solver), rtol=0.0, max_steps=30)
    solution = plain.solve(y, physics, record_objective=True)
    values = solution.stats["objective"].double()
    start = float(solution.problem.objective(torch.zeros_like(solution.value)))
    if not float(values[-1]) < start:
        fail(f"the objective is {float(values[-1]):.6g} after {len(values)} steps and {start:.6g} at zero")
    rises = (values[1:] - values[:-1]) > 1e-10 * start
    if getattr(solver, "monotone", False) and bool(rises.any()):
        fail(f"it promises a monotone objective, but step {int(rises.nonzero()[0, 0]) + 2} raises it")


def check_batch_equals_loop(example: Example) -> None:
    """Samples of a batch are solved as if alone, each in its own number of steps.

    On the kit's own problems they are of very different size, and one is zero.
    """
    solver, physics = solver_of(example), physics_of(example)
    y = data_of(example, physics, (4,))
    slack = 0
    if not isinstance(example, SolverExample):
        y = torch.tensor([1.0, 1e4, 0.0, 1e-4], dtype=torch.float64).unsqueeze(-1) * y
        slack = 1
    together = solver.solve(y, physics)
    for i in range(4):
        alone = solver.solve(item(y, i), physics)
        if distance(item(together.value, i), alone.value) > 1e-9:
            fail(
                f"sample {i} of a batch differs from the same sample alone by "
                f"{distance(item(together.value, i), alone.value):.2g}: samples are not stopped, or scaled, "
                "one by one"
            )
        counts = int(together.stats["steps"][i]), int(alone.stats["steps"])
        if abs(counts[0] - counts[1]) > slack:
            fail(f"sample {i} takes {counts[0]} steps in a batch and {counts[1]} alone")


def check_scale_invariance(solver: Solver) -> None:
    """Scaling the data or the operator by 1e-6 or 1e6 scales the solution: no constant is absolute."""
    plain = plain_solver(solver)
    degree = _degree(solver)
    reference = plain(dense_data(solver, dense_physics(solver)), dense_physics(solver))
    y = dense_data(solver, dense_physics(solver))
    for exponent in (-20, 20):
        s = 2.0**exponent
        weight = weight_of(plain)
        got = with_options(plain, weight=weight * s ** (2 - degree))(s * y, dense_physics(solver)) / s
        require_same(
            got,
            reference,
            1e-8,
            f"data {s:.3g} times as large do not give a solution {s:.3g} times as large "
            "(an absolute tolerance?)",
        )
        got = with_options(plain, weight=weight * s**2)(s * y, dense_physics(solver, scale=s))
        require_same(
            got,
            reference,
            1e-8,
            f"an operator and data {s:.3g} times as large do not give the same solution "
            "(an absolute tolerance?)",
        )


def _degree(solver: Solver) -> float:
    """The degree of homogeneity of the prior: 1 for l1, 2 for a square."""
    prior = prior_of(solver)
    if prior is None:
        return 2.0
    space = image_space(solver, "real")
    x = probe(space, seed=116)
    ratio = float(prior.at(0).value(2 * x, space) / prior.at(0).value(x, space))
    degree = round(float(torch.log2(torch.tensor(ratio, dtype=torch.float64))), 6)
    if not float(degree).is_integer():
        skip("the prior is not homogeneous, so there is no scaling rule")
    return degree


def check_units(example: Example) -> None:
    """In other units, from 2^-90 to 2^90, the image is the same in them, to the bit.

    Data, starting point and the numbers of noise and solver (`Value.units`) are multiplied by the unit, and
    the weight divided by its power in the prior. A solver or prior that does not say how it scales
    (`Value.units`, `Prior.power`) is left out. A solver that states ``exact = False``, and a prior of a power
    that is no whole number, are compared to 1e-4.
    """
    physics = physics_of(example)
    y = cast(data_of(example, physics, (2,)), torch.float32)
    physics, solver = physics.to(torch.float32), with_options(solver_of(example), max_steps=20)
    if not isinstance(physics.operator, LinearOperator) or physics.noise.units is None:
        skip("the operator is not linear, or the noise has no unit")
    reference = solver.solve(y, physics)
    for exponent in (-90, -30, 30, 90):
        s = 2.0**exponent
        noise = in_unit(physics.noise, 1 / s)
        other = Physics(operator=physics.operator, noise=noise)
        weight, whole = _weight_there(solver, physics.domain, s)
        there = in_unit(with_options(solver, weight=weight), 1 / s)
        if there is None:
            skip("the solver does not say how it scales")
        allowed = 0.0 if whole and getattr(solver, "exact", True) else 1e-4
        found = there.solve(mapped(lambda t: s * t, y), other)  # noqa: B023
        for got, expected in zip(tensors_in(found.value), tensors_in(reference.value)):
            off = distance(got / s, expected)
            if not off <= allowed:
                fail(f"data 2^{exponent} times as large give an image that is {off:.2g} off, relatively")


def _weight_there(solver: Solver, space: Any, s: float) -> tuple[Any, bool]:
    """The weight that fits data s times as large, and whether the power of s is a whole number."""
    weight, prior = getattr(solver, "weight", "auto"), prior_of(solver)
    if isinstance(weight, str) or prior is None:
        return weight, True
    if not isinstance(prior, Prior):
        skip("the prior is made by the solver")
    x = probe(space, seed=116).abs() + 0.1
    values = [float(prior.at(0).value(k * x, space)) for k in (1, 2, 4)]
    powers = [math.log2(b / a) for a, b in itertools.pairwise(values)]
    if not math.isclose(*powers, abs_tol=1e-6):
        skip("the prior is not homogeneous")
    power = round(powers[0], 5)
    return weight * s**-power, float(power).is_integer()


def check_automatic_weight(solver: Solver) -> None:
    """``weight="auto"`` works on data of any scale, with a known and with an unknown noise level."""
    if getattr(solver, "weight", None) != "auto":
        skip("the weight is given")
    results = []
    for s in (1.0, 2.0**20):
        physics = dense_physics(solver, sigma=s * 0.1)
        y = s * Physics(operator=physics.operator, noise=GaussianNoise(sigma=0.1))(
            probe(physics.domain, (2,), seed=117), generator=seeded(118)
        )
        results.append(solver(y, physics) / s)
        unknown = solver(y, Physics(operator=physics.operator))
        if not bool(torch.isfinite(unknown).all()):
            fail("without a noise level the result is not finite")
    require_same(results[1], results[0], 1e-4, "the automatic weight does not follow the scale of the data")


def check_pure(example: Example) -> None:
    """The data are not changed; results repeat, and depend on no global random state."""
    solver, physics = with_options(solver_of(example), max_steps=20), physics_of(example)
    y = data_of(example, physics, (2,))
    kept = snapshot(physics)
    _functions.require_pure("solving", lambda v: solver(v, physics), y)
    if kept.changed():
        fail(f"solving changes the physics ({kept.changed()})")
    require_no_global_randomness(lambda: solver(y, physics), type(solver).__name__)


def check_bad_data_raises(example: Example) -> None:
    """NaN raises DataError or SolverError, a wrong shape ShapeError, a wrong operator ParameterError."""
    solver, physics = solver_of(example), physics_of(example)
    y = data_of(example, physics)
    values, shapes = (DataError, SolverError), (ShapeError,)
    trials: list[tuple[str, Any, Physics, tuple[type[Exception], ...]]] = [
        ("NaN in the data", mapped(lambda t: _with_first(t, math.nan), y), physics, values),
        ("infinity in the data", mapped(lambda t: _with_first(t, math.inf), y), physics, values),
        ("data one entry too long", mapped(lambda t: torch.cat([t, t[..., :1]], -1), y), physics, shapes),
    ]
    if isinstance(example, SolverExample):
        matrix = Matrix(matrix=torch.eye(3, dtype=torch.float64))
        other = Physics(operator=matrix, noise=GaussianNoise(sigma=1.0))
        trials.append(("a matrix", torch.ones(3, dtype=torch.float64), other, (ParameterError,)))
    for what, value, model, kinds in trials:
        require_refused(what, kinds, functools.partial(solver, value, model))


def _with_first(t: Tensor, value: float) -> Tensor:
    """A copy with another first entry."""
    return torch.cat([torch.full_like(t.reshape(-1)[:1], value), t.reshape(-1)[1:]]).reshape(t.shape)


def check_step_limit(example: Example) -> None:
    """``max_steps`` limits the steps, and the status then says so."""
    solver, physics = solver_of(example), physics_of(example)
    if "max_steps" not in {f.name for f in dataclasses.fields(solver)}:
        fail("a solver has a field max_steps")
    solution = with_options(solver, max_steps=1, rtol=0.0).solve(data_of(example, physics), physics)
    steps, solved = int(solution.stats["steps"]), solution.status is Status.CONVERGED
    at_once = isinstance(example, SolverExample) and solved  # it may need no second step
    if steps > 1 or not (at_once or (steps == 1 and solution.status is Status.MAX_STEPS)):
        fail(f"with max_steps=1 it takes {steps} steps and ends with {solution.status.name}")


def check_starting_point(solver: Solver) -> None:
    """Started at the solution, it stays there."""
    need_deterministic_prior(solver)
    need_exact(solver)
    tight = tight_solver(solver)
    physics = dense_physics(solver)
    y = dense_data(solver, physics)
    x = tight(y, physics)
    again = tight.solve(y, physics, x0=x)
    require_same(again.value, x, 1e-6, "started at its own solution it goes elsewhere")


def check_device(example: Example) -> None:
    """Everything works, and stays, on another device."""
    physics = physics_of(example)
    y, small = cast(data_of(example, physics, (2,)), torch.float32), physics.to(torch.float32)
    solver = with_options(solver_of(example), max_steps=5)

    def use(device: torch.device) -> Any:
        return solver.to(device)(mapped(lambda t: t.to(device), y), small.to(device))

    require_device(use, type(solver).__name__)


ANYWHERE = (
    check_result_is_an_image,
    check_batch_equals_loop,
    check_pure,
    check_bad_data_raises,
    check_step_limit,
    check_units,
    check_unrolled_derivatives,
    check_device,
)
"""Checks on any problem."""

WITH_KNOWN_SOLUTION = (
    check_known_solution,
    check_objective_decreases,
    check_scale_invariance,
    check_automatic_weight,
    check_starting_point,
    check_implicit_derivatives,
)
"""Checks on linear problems of the kit's own."""


def checks(example: Example) -> list[Callable[[Any], None]]:
    """The checks for a solver."""
    if isinstance(example, SolverExample):
        return [*ANYWHERE, *map(_of_solver, _values.CHECKS)]
    return [*ANYWHERE, *WITH_KNOWN_SOLUTION, *_values.CHECKS]


def _of_solver(check_value: Callable[[Any], None]) -> Callable[[Any], None]:
    """A check of a value as one of the solver of an example."""
    return functools.wraps(check_value)(lambda example: check_value(example.solver))
