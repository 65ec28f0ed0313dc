"""Checks for priors g(x)."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import ConvergenceWarning, InvcoreError, ParameterError
from ..priors import Prior
from ..spaces import Space
from . import _functions, _values
from ._checks import fail, skip
from ._functions import Function
from ._operator_inputs import require_device, require_no_global_randomness
from ._probes import distance, item, probe, require_same, same_fields

_SHAPES = ((1, 8, 8), (3, 8, 8), (1, 8, 8, 8), (1, 16), (4,))


@functools.lru_cache(maxsize=4)  # asked by every check, and a prior may iterate
def _space(prior: Prior) -> Space:
    """The first image space that a prior accepts."""
    reasons = []
    for shape in _SHAPES:
        for kind in ("real", "complex"):
            space = Space(shape, kind)
            try:
                _evaluate(prior, space)
                return space
            except (InvcoreError, RuntimeError, ValueError, IndexError) as error:
                reasons.append(f"{space}: {error}")
    fail(f"{type(prior).__name__} accepts an image of none of the usual shapes: {reasons[0]}")


def _evaluate(prior: Prior, space: Space) -> None:
    """Raise unless the prior offers its value, or else its proximal operator or gradient, in a space."""
    x = probe(space, dtype=prior.dtype)
    try:
        prior.at(0).value(x, space)
        return
    except ParameterError as error:  # implicit: defined by its proximal operator or its gradient
        reason = error
    for call in (lambda: prior.at(0).prox(x, 0.5, space), lambda: prior.at(0).grad(x, space)):
        try:
            call()
            return
        except ParameterError:
            continue
    raise reason


@functools.lru_cache(maxsize=4)
def _spaces(prior: Prior) -> list[Space]:
    first = _space(prior)
    other = Space(first.shape, "complex")
    try:
        _evaluate(prior, other)
    except InvcoreError:
        return [first]
    return [first] if other == first else [first, other]


def _functions_of(prior: Prior, batch: tuple[int, ...] = ()) -> list[Function]:
    g = prior.at(0).to(torch.float64)
    return [
        Function(
            f"{type(g).__name__}, {space.kind} image",
            space,
            probe(space, batch, seed=61),
            lambda x, s=space: g.value(x, s),  # type: ignore[misc]
            lambda x, s=space: g.grad(x, s),  # type: ignore[misc]
            lambda x, step, s=space: g.prox(x, step, s),  # type: ignore[misc]
        )
        for space in _spaces(prior)
    ]


def _brief(prior: Prior) -> Prior:
    """The prior with few iterations, for checks that look at what it does and not at where it ends."""
    iterates = any(f.name == "max_steps" for f in dataclasses.fields(prior))
    return dataclasses.replace(prior, max_steps=20) if iterates else prior  # type: ignore[call-arg]


def _unfinished(check: Callable[[Prior], None]) -> Callable[[Prior], None]:
    """A check whose iterations are meant to stop before they converge."""

    @functools.wraps(check)
    def quiet(prior: Prior) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            check(prior)

    return quiet


@functools.lru_cache(maxsize=16)
def _offers(prior: Prior, name: str) -> bool:
    space = _space(prior)
    x = probe(space, dtype=prior.dtype)
    try:
        getattr(prior.at(0), name)(x, *((0.5,) if name == "prox" else ()), space)
    except ParameterError:
        return False
    return True


def check_value_per_sample(prior: Prior) -> None:
    """The value is real, one number per sample."""
    if not _offers(prior, "value"):
        skip("no value")
    for function in _functions_of(prior, (3,)):
        _functions.require_value_per_sample(function, (3,))


def check_grad(prior: Prior) -> None:
    """``grad``, where there is one, is the derivative of ``value``, by finite differences."""
    if not _offers(prior, "grad"):
        skip("no gradient")
    if not _offers(prior, "value"):
        skip("no value that the gradient would be of")
    for function in _functions_of(prior):
        if not bool(
            torch.isfinite(function.value(function.at))
        ):  # a function of images that are not negative
            function = dataclasses.replace(function, at=function.at.abs() + 0.1)
        _functions.require_gradient(function)


def check_curvature(prior: Prior) -> None:
    """``curvature`` bounds how fast the gradient grows along a line."""
    if not _offers(prior, "grad"):
        skip("no gradient")
    for function in _functions_of(prior):
        bound = prior.curvature(function.space)
        if bound is None:
            skip("no bound of the curvature is known")
        assert function.grad is not None
        most = float(torch.as_tensor(bound).max())
        for seed, size in enumerate((1e-3, 0.1, 1.0, 10.0)):
            moved = size * probe(function.space, seed=70 + seed)
            change = function.grad(function.at + moved) - function.grad(function.at)
            slope = float((change.conj() * moved).real.sum()) / float(moved.abs().square().sum())
            if slope > most * (1 + 1e-9) + 1e-9:
                fail(
                    f"{function.label}: curvature() is {most:.4g}, but along a line the gradient grows at a "
                    f"rate of {slope:.4g}"
                )


def check_prox(prior: Prior) -> None:
    """``prox`` minimizes g(z) + ‖z - x‖²/(2 step): no search finds a better point, up to its tolerance."""
    if not _offers(prior, "prox"):
        skip("no proximal operator")
    if not _offers(prior, "value"):
        skip("no value that the proximal operator would minimize")
    for function in _functions_of(prior):
        _functions.require_prox(function, (0.3, 1.0), prior.tolerance)


def check_prox_step_per_sample(prior: Prior) -> None:
    """``prox`` takes one step per sample."""
    if not _offers(prior, "prox"):
        skip("no proximal operator")
    steps = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)
    for function in _functions_of(prior, (3,)):
        assert function.prox is not None
        together = function.prox(function.at, steps)
        for i, step in enumerate(steps):
            alone = function.prox(item(function.at, i), float(step))
            require_same(item(together, i), alone, 1e-12, f"{function.label}: prox with a step per sample")


def check_batch_equals_loop(prior: Prior) -> None:
    """Value, grad and prox treat samples one by one."""
    for function in _functions_of(prior, (3,)):
        calls: dict[str, Callable[[Tensor], Any]] = {}
        if _offers(prior, "value"):
            calls["value"] = function.value
        if _offers(prior, "grad"):
            assert function.grad is not None
            calls["grad"] = function.grad
        if _offers(prior, "prox"):
            calls["prox"] = lambda x, f=function: f.prox(x, 0.5)  # type: ignore[misc]
        for name, call in calls.items():
            _functions.require_batch_equals_loop(f"{function.label}: {name}", call, function.at)


def check_misfitting_parameters_raise(prior: Prior) -> None:
    """A parameter whose shape fits neither image nor batch raises an error with its name and shape."""
    space = _space(prior)
    x = probe(space, (3,), dtype=prior.dtype)
    offered = [n for n in ("value", "grad", "prox") if _offers(prior, n)]
    for name in offered:
        step = (0.5,) if name == "prox" else ()
        _values.require_misfits_refused(
            prior,
            lambda g, n=name, s=step: getattr(g.at(0), n)(x, *s, space),  # type: ignore[misc]
        )


@_unfinished
def check_at_is_reproducible(prior: Prior) -> None:
    """``at(k)`` depends on k and the prior's own seed only, and leaves the prior as it is."""
    for k in (0, 7):
        first = prior.at(k)
        prior.at(k + 1)
        field = same_fields(first, prior.at(k))
        if field:
            fail(f"at({k}) gives another prior the second time (field {field.lstrip('.')!r})")
    brief = _brief(prior)
    require_no_global_randomness(lambda: _used(brief), type(prior).__name__)


def _used(prior: Prior) -> Any:
    function = _functions_of(prior)[0]
    values: list[Any] = [function.value(function.at)] if _offers(prior, "value") else []
    if _offers(prior, "prox"):
        assert function.prox is not None
        values.append(function.prox(function.at, 0.5))
    return tuple(values)


@_unfinished
def check_pure(prior: Prior) -> None:
    """Inputs are not changed, and results repeat."""
    prior = _brief(prior)
    for function in _functions_of(prior):
        for name in ("value", "grad", "prox"):
            if _offers(prior, name):
                call: Any = getattr(function, name)
                arguments = (function.at, 0.5) if name == "prox" else (function.at,)
                _functions.require_pure(f"{function.label}: {name}", call, *arguments)


def check_precision(prior: Prior) -> None:
    """float32 images give float32 results that agree with float64."""
    for space in _spaces(prior):
        x = probe(space, seed=62)
        narrow = x.to(torch.complex64 if x.is_complex() else torch.float32)
        for name in ("value", "grad", "prox"):
            if not _offers(prior, name):
                continue
            step = (0.5,) if name == "prox" else ()
            got = getattr(prior.at(0).to(torch.float32), name)(narrow, *step, space)
            expected = getattr(prior.at(0).to(torch.float64), name)(x, *step, space)
            if got.dtype not in (torch.float32, torch.complex64):
                fail(f"{name} of a float32 image is {got.dtype}")
            gap = max(prior.tolerance, torch.finfo(torch.float32).eps) if prior.tolerance else 0.0
            allowed = max(1e-4, (2 * gap) ** 0.5) if name == "prox" else 1e-4  # what a gap certifies
            if distance(got, expected) > allowed:
                fail(f"{name} in float32 differs from float64 by {distance(got, expected):.2g}")


@_unfinished
def check_device(prior: Prior) -> None:
    """Everything works, and stays, on another device."""
    space = _space(prior)
    x = probe(space, dtype=prior.dtype)
    names = [n for n in ("value", "grad", "prox") if _offers(prior, n)]

    def use(device: torch.device) -> Any:
        g, there = _brief(prior).to(device).at(0), x.to(device)
        results = []
        for name in names:
            results.append(getattr(g, name)(there, *((0.5,) if name == "prox" else ()), space))
        return tuple(results)

    require_device(use, type(prior).__name__)


def checks(prior: Prior) -> list[Callable[[Any], None]]:
    """The checks for a prior."""
    own = (
        check_value_per_sample,
        check_grad,
        check_curvature,
        check_prox,
        check_prox_step_per_sample,
        check_batch_equals_loop,
        check_misfitting_parameters_raise,
        check_at_is_reproducible,
        check_pure,
        check_precision,
        check_device,
    )
    return [*own, *_values.CHECKS]
