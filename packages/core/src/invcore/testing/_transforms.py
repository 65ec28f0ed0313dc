"""Checks for transforms ``transform(x)``, or ``transform(x, generator=g)`` if they draw random numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import DataError, InvcoreError, ParameterError
from ..spaces import Space
from . import _functions, _random_transforms
from ._checks import fail, require_refused, skip
from ._operator_inputs import require_device, require_no_global_randomness
from ._probes import distance, mapped, probe, require_same, seeded, tensors_in
from ._values import pickled

_SPACES = (
    Space((1, 24, 24)),
    Space((1, 24, 24), "complex"),
    Space((4, 24, 24), "complex"),
    Space((1, 16, 16, 16)),
    Space((4, 16, 16, 16), "complex"),
    Space((3, 24, 24)),
    Space((1, 32)),
)


def _is_random(transform: Any) -> bool:
    return "generator" in inspect.signature(transform).parameters


def _use(transform: Any, seed: int = 0) -> Callable[[Any], Any]:
    """The transform, with a generator of its own in each call if it takes one."""
    if not _is_random(transform):
        return transform
    return lambda x: transform(x, generator=seeded(seed))


def _input(transform: Any, batch: tuple[int, ...] = (), dtype: torch.dtype = torch.float64) -> Tensor:
    """The first of the usual images that the transform takes: white noise, or else counts."""
    reasons = []
    for counts in (False, True):
        for space in _SPACES:
            if counts and space.kind == "complex":
                continue
            try:
                _use(transform)(_image(space, counts, (), dtype))
            except (InvcoreError, RuntimeError, ValueError, IndexError) as error:
                reasons.append(f"{space}: {type(error).__name__}: {error}")
                continue
            return _image(space, counts, batch, dtype)
    fail(f"{type(transform).__name__} accepts none of the usual images: {reasons[0]}")


def _image(space: Space, counts: bool, batch: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    x: Tensor = probe(space, batch, dtype=dtype, seed=101)
    return (10 * x.abs()).round() if counts else x


def check_batch_equals_loop(transform: Any) -> None:
    """A batch gives what its images give one by one."""
    if _is_random(transform):
        skip("it draws random numbers")
    _functions.require_batch_equals_loop("the transform", transform, _input(transform, (3,)), 1e-6, 100)


def check_precision(transform: Any) -> None:
    """The precision of the input is kept."""
    for dtype in (torch.float32, torch.float64):
        wide = dtype == torch.float64
        for t in tensors_in(_use(transform)(_input(transform, dtype=dtype))):
            if t.dtype in ((torch.float32, torch.complex64) if wide else (torch.float64, torch.complex128)):
                fail(f"an input in {dtype} gives {t.dtype}")


def check_uses_its_generator(transform: Any) -> None:
    """A random transform needs a generator, and another seed gives another result."""
    if not _is_random(transform):
        skip("not random")
    x = _input(transform)
    if distance(_use(transform, 1)(x), _use(transform, 2)(x)) == 0:
        fail("another seed gives the same result: the generator is ignored")
    error = require_refused("a call without generator", (ParameterError, TypeError), lambda: transform(x))
    if "generator" not in str(error):
        fail(f"the error without a generator does not name the argument: {error}")


def check_pure(transform: Any) -> None:
    """The input is not changed; results repeat, and depend on no global random state."""
    x = _input(transform, (2,))
    _functions.require_pure("the transform", _use(transform), x)
    require_no_global_randomness(lambda: _use(transform)(x), type(transform).__name__)


def check_memory_layouts(transform: Any) -> None:
    """Non-contiguous inputs give what contiguous ones give."""
    x = _input(transform)
    other = x.movedim(-1, 0).contiguous().movedim(0, -1)
    use = _use(transform)
    require_same(use(other), use(x), 1e-6, "an input that is transposed in memory gives another result")


def check_nan_is_not_hidden(transform: Any) -> None:
    """NaN in the input raises a DataError or shows in the output."""
    x = _input(transform).clone()
    x[(x.shape[0] // 2, *(n // 2 for n in x.shape[1:]))] = float("nan")
    try:
        out = _use(transform)(x)
    except (DataError, InvcoreError):
        return
    if all(bool(torch.isfinite(t).all()) for t in tensors_in(out)):
        fail("an input with NaN gives a finite output: it is hidden")


def check_wrong_input_raises(transform: Any) -> None:
    """Something that is not an image raises an error of invcore's, not a stray one."""
    for what, value in (
        ("a number without dimensions", torch.zeros(())),
        ("an integer image", _input(transform).real.to(torch.int64)),
    ):
        try:
            _use(transform)(value)
        except InvcoreError:
            continue
        except Exception as error:
            fail(f"{what} raises a bare {type(error).__name__}: {error}")
        if value.ndim == 0:
            fail(f"{what} is accepted in silence")


def check_device(transform: Any) -> None:
    """The result for an input on another device is computed there."""
    x = _input(transform, dtype=torch.float32)
    require_device(
        lambda device: mapped(lambda t: t, _use(transform)(x.to(device))), type(transform).__name__
    )


def check_pickle(transform: Any) -> None:
    """A pickled copy does the same."""
    other, x = pickled(transform), _input(transform)
    if distance(_use(other)(x), _use(transform)(x)) > 0:
        fail("the pickled copy gives another result")


def checks(transform: Any) -> list[Callable[[Any], None]]:
    """The checks for a transform, or for a group of them with explicit draws."""
    if hasattr(transform, "draw"):
        return _random_transforms.checks(transform)
    return [
        check_batch_equals_loop,
        check_uses_its_generator,
        check_precision,
        check_pure,
        check_memory_layouts,
        check_nan_is_not_hidden,
        check_wrong_input_raises,
        check_device,
        check_pickle,
    ]
