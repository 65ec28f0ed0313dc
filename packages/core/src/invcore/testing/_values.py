"""Checks that hold for every frozen value: operators, noises, fidelities, priors, solvers, denoisers."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import InvcoreError, ParameterError
from .._value import Value, real_dtype
from ._checks import fail, require_refused, skip
from ._probes import same_fields, snapshot, varied


def check_frozen(value: Value) -> None:
    """Assigning to a field, or to a new attribute, raises."""
    names = [f.name for f in dataclasses.fields(value)]  # type: ignore[arg-type]
    for name in [*names, "an_attribute_that_does_not_exist"]:
        try:
            setattr(value, name, getattr(value, name, None))
        except (AttributeError, TypeError):
            continue
        fail(f"{type(value).__name__}.{name} can be assigned to; values are frozen, bind() makes a copy")


def check_pickle(value: Value) -> None:
    """A pickled copy has the same fields."""
    _require_equal(value, pickled(value), "the pickled copy")


def check_copy(value: Value) -> None:
    """copy.copy and copy.deepcopy give a value with the same fields."""
    need_importable(value)
    for name, function in (("copy.copy", copy.copy), ("copy.deepcopy", copy.deepcopy)):
        try:
            other = function(value)
        except Exception as error:
            fail(f"{name} of {type(value).__name__} raises {type(error).__name__}: {error}")
        _require_equal(value, other, name)


def check_rebuilt_from_fields(value: Value) -> None:
    """Calling the class with the fields of a value gives the same value."""
    fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}  # type: ignore[arg-type]
    hidden = [f.name for f in dataclasses.fields(value) if not f.init]  # type: ignore[arg-type]
    if hidden:
        fail(f"{type(value).__name__} has fields {hidden} that its constructor does not take (init=False)")
    _require_equal(value, type(value)(**fields), "the value rebuilt from its fields")


def check_repr(value: Value) -> None:
    """The repr is short, names the class, and prints no tensor entries."""
    text = repr(value)
    held = sum(1 for _ in _descendants(value))
    if "tensor(" in text or "array(" in text:
        fail(f"repr prints the entries of a tensor; shape and dtype are enough: {text[:120]}...")
    if len(text) > 400 * held:
        fail(f"repr has {len(text)} characters; it should fit on a few lines: {text[:120]}...")
    if " object at 0x" in text:
        fail(f"repr shows a memory address, which says nothing: {text[:200]}")


def check_unknown_parameter_raises(value: Value) -> None:
    """Binding a name that is not a parameter raises a ParameterError which lists those that are."""
    what = "bind() with an unknown name"
    error = require_refused(what, (ParameterError,), lambda: value.bind(no_such_parameter_=1.0))
    missing = [n for n in value.parameters() if n not in str(error)]
    if missing:
        fail(f"the error of {what} does not list the parameters {missing}: {error}")


def check_bind_leaves_the_original_alone(value: Value) -> None:
    """``bind`` gives a new value with the parameter replaced; the old one keeps its own."""
    names = list(value.parameters())
    if not names:
        skip("no parameters")
    for name in names:
        before = snapshot(value)
        other = varied(value, name)
        if other is None:
            continue
        changed = before.changed()
        if changed:
            fail(f"bind({name}=...) changed the field {changed!r} of the original")
        if type(other) is not type(value):
            fail(f"bind({name}=...) returns a {type(other).__name__} instead of a {type(value).__name__}")
        back = other.bind(**{name: value.parameters()[name]})
        _require_equal(value, back, f"the value after binding {name!r} to something else and back")


def check_to_precision(value: Value) -> None:
    """``to(dtype)`` converts every tensor, and leaves the original alone."""
    before = snapshot(value)
    for dtype in (torch.float64, torch.float32):
        for t in value.to(dtype)._tensors():
            if (t.is_floating_point() or t.is_complex()) and real_dtype(t.dtype) != dtype:
                fail(f"after to({dtype}) a tensor of shape {tuple(t.shape)} is {t.dtype}")
    changed = before.changed()
    if changed:
        fail(f"to(dtype) changed the field {changed!r} of the original")


CHECKS = (
    check_frozen,
    check_pickle,
    check_copy,
    check_rebuilt_from_fields,
    check_repr,
    check_unknown_parameter_raises,
    check_bind_leaves_the_original_alone,
    check_to_precision,
)


def require_misfits_refused(value: Any, use: Callable[[Any], Any]) -> None:
    """Fail unless a parameter of shape (5, 7) is refused by name, when it is bound or by ``use``.

    ``use`` applies the value to a batch of three items, none of 5 x 7 entries.
    """
    if not value.params:
        skip("no parameters")
    for name in value.params:
        held = getattr(value, name)
        first = held.flatten()[:1] if isinstance(held, Tensor) else torch.ones(1) if held is None else held
        if isinstance(first, tuple):
            continue
        wrong = torch.as_tensor(first).expand(5, 7).clone()
        what, given = f"{name} of shape (5, 7)", {name: wrong}
        error = require_refused(what, (InvcoreError,), lambda g=given: use(value.bind(**g)))  # type: ignore[misc]
        if name not in str(error) or "(5, 7)" not in str(error):
            fail(f"the error about {what} names not both: {error}")


def pickled(value: Any) -> Any:
    """A pickled copy."""
    need_importable(value)
    try:
        return pickle.loads(pickle.dumps(value))
    except Exception as error:
        fail(
            f"{type(value).__name__} cannot be pickled, so it cannot be sent to another process: "
            f"{type(error).__name__}: {error}"
        )


def need_importable(value: Any) -> None:
    """Skip where a class lives in a function or a script that no other process could import."""
    for held in _descendants(value):
        cls = type(held)
        found: Any = sys.modules.get(cls.__module__)
        for part in cls.__qualname__.split("."):
            found = getattr(found, part, None)
        if found is not cls:
            skip(f"{cls.__qualname__} is defined where no import can find it, so pickle has no name for it")


def _descendants(value: Any) -> Any:
    yield value
    if isinstance(value, Value):
        for _, child in value._children():
            yield from _descendants(child)


def _require_equal(value: Value, other: Any, what: str) -> None:
    if type(other) is not type(value):
        fail(f"{what} is a {type(other).__name__}, not a {type(value).__name__}")
    field = same_fields(value, other)
    if field:
        fail(f"{what} differs in {field.lstrip('.')!r}")
