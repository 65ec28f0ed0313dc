"""Checks of inputs, fields, devices, memory layouts and random state of an operator."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._errors import DtypeError, ShapeError
from .._value import real_dtype
from ..operators import LinearOperator, Operator
from ..spaces import Space
from ._checks import fail, require_refused, skip
from ._device import NotSimulated, runs_elsewhere
from ._probes import (
    PRECISIONS,
    cast,
    distance,
    item,
    mapped,
    maps_of,
    parameter_batch,
    probe,
    require_same,
    snapshot,
    tensors_in,
    varied,
)


def check_nothing_is_mutated(A: Operator) -> None:
    """Neither the input nor a field is changed by A, A.H, A.gram or their backward passes."""
    B = A.to(torch.float64)
    for m in maps_of(B):
        x = probe(m.domain, (2, *parameter_batch(B)), seed=31)
        before, fields = snapshot(x, "input"), snapshot(B)
        m.apply(x)
        if before.changed():
            fail(f"{m.label} changes its input in place")
        changed = fields.changed()
        if changed:
            fail(
                f"{m.label} changes the field {changed!r} of the operator; operators are values and stay as "
                "they are"
            )
        leaf = mapped(lambda t: t.clone().requires_grad_(), x)
        total = sum(_energy(t) for t in tensors_in(m.apply(leaf)))
        if isinstance(total, Tensor) and total.requires_grad:
            total.backward()
        if before.changed() or fields.changed():
            fail(f"the backward pass of {m.label} changes its input or a field of the operator")


def _energy(t: Tensor) -> Tensor:
    return (t.conj() * t).real.sum()


def check_repeats(A: Operator) -> None:
    """The same input gives exactly the same output again, whatever was computed in between."""
    B = A.to(torch.float64)
    own = parameter_batch(B)
    for m in maps_of(B):
        x = probe(m.domain, own, seed=32)
        first = mapped(lambda t: t.clone(), m.apply(x))
        m.apply(probe(m.domain, (2, *own), seed=33))
        for name in B.parameters():
            other = varied(B, name)
            if other is not None:
                other(probe(B.domain, own, seed=34))
        again = m.apply(x)
        if distance(again, first) > 0:
            fail(
                f"{m.label} gives another result the second time (relative difference "
                f"{distance(again, first):.2g}): it keeps state between calls, or it is random"
            )


def check_no_global_randomness(A: Operator) -> None:
    """Neither construction nor use reads or advances the random state of torch, numpy or Python."""
    B = A.to(torch.float64)
    x = probe(B.domain, parameter_batch(B), seed=35)
    y = probe(B.range, parameter_batch(B), seed=36)

    def use() -> Any:
        return (B(x), B.H(y), B.gram(x)) if isinstance(B, LinearOperator) else B(x)

    require_no_global_randomness(use, type(B).__name__)


def check_mixed_precision(A: Operator) -> None:
    """Images and parameters of two precisions give the wider; half is refused, autocast changes nothing."""
    single, double = A.to(torch.float32), A.to(torch.float64)
    pairs: list[tuple[str, Any, Any]] = [("A", single, double)]
    if isinstance(single, LinearOperator) and isinstance(double, LinearOperator):
        pairs.append(("A.H", single.H, double.H))
    for label, low, high in pairs:
        x = probe(low.domain, parameter_batch(low), seed=37)
        expected = high(x)
        got = low(x)
        if any(real_dtype(t.dtype) is not torch.float64 for t in tensors_in(got)):
            fail(f"{label} of a double input is {tensors_in(got)[0].dtype}: it loses precision in silence")
        if not distance(got, expected) < 1e-3:
            fail(f"{label} of a double input differs from double precision by {distance(got, expected):.2g}")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            halved = low(cast(x, torch.float32))
        if not distance(halved, cast(expected, torch.float32)) < 1e-3:
            off = distance(halved, cast(expected, torch.float32))
            fail(f"{label} under torch.autocast is off by {off:.2g}: it computes in half precision")
        if all(not t.is_complex() for t in tensors_in(x)):
            require_refused(
                "an image in half precision",
                (DtypeError,),
                lambda: low(mapped(lambda t: t.to(torch.bfloat16), x)),  # noqa: B023
            )


def require_no_global_randomness(use: Callable[[], Any], what: str) -> None:
    """Fail if ``use()`` touches a global random state or depends on one."""
    results = []
    for seed in (0, 1):
        saved = torch.get_rng_state(), np.random.get_state(), random.getstate()
        try:
            torch.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
            before = _random_states()
            results.append(use())
            for name, a, b in zip(("torch", "numpy", "Python"), before, _random_states()):
                if a != b:
                    fail(
                        f"{what} draws from the global random state of {name}; take a torch.Generator instead"
                    )
        finally:
            torch.set_rng_state(saved[0])
            np.random.set_state(saved[1])
            random.setstate(saved[2])
    if distance(results[1], results[0]) > 0:
        fail(f"{what} depends on the global seed; take a torch.Generator instead")


def _random_states() -> tuple[Any, ...]:
    state: Any = np.random.get_state()
    return torch.get_rng_state().tolist(), (state[0], state[1].tolist(), *state[2:]), random.getstate()


def check_memory_layouts(A: Operator) -> None:
    """Non-contiguous inputs and parameters, conjugate and negative views give what contiguous ones give."""
    B = A.to(torch.float64)
    own = parameter_batch(B)
    for m in maps_of(B):
        x = probe(m.domain, (2, *own), seed=37)
        expected = m.apply(x)
        for label, function in _LAYOUTS.items():
            require_same(
                m.apply(mapped(function, x)), expected, 1e-12, f"{m.label} of a {label} input is wrong"
            )
    for name, p in B.parameters().items():
        for label, function in _LAYOUTS.items():
            other = B.bind(**{name: function(p)})
            for m, n in zip(maps_of(B), maps_of(other)):
                x = probe(m.domain, own, seed=38)
                require_same(
                    n.apply(x), m.apply(x), 1e-12, f"{m.label} with a {label} parameter {name!r} is wrong"
                )


def _strided(t: Tensor) -> Tensor:
    if t.ndim == 0:
        return t
    wide = torch.zeros(*t.shape[:-1], 2 * t.shape[-1], dtype=t.dtype)
    wide[..., ::2] = t
    return wide[..., ::2]


def _transposed(t: Tensor) -> Tensor:
    return t.movedim(-1, 0).contiguous().movedim(0, -1) if t.ndim > 1 else t


def _conjugate_view(t: Tensor) -> Tensor:
    return t.conj().resolve_conj().conj() if t.is_complex() else t


def _negative_view(t: Tensor) -> Tensor:
    """A real tensor that is the lazily negated imaginary part of a complex one."""
    return torch.complex(torch.zeros_like(t), -t).conj().imag if t.is_floating_point() else t


_LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "strided": _strided,
    "transposed in memory": _transposed,
    "conjugate-view": _conjugate_view,
    "negative-view": _negative_view,
}


def check_precisions_agree(A: Operator) -> None:
    """float32 gives the result of float64 to single precision."""
    for m64, m32 in zip(*(maps_of(A.to(dtype)) for dtype in PRECISIONS)):
        x = probe(m64.domain, parameter_batch(A), seed=39)
        got = cast(m32.apply(cast(x, torch.float32)), torch.float64)
        require_same(got, m64.apply(x), 1e-4, f"{m64.label} in float32 is not {m64.label} in float64")


def check_device(A: Operator) -> None:
    """On another device all results stay there, and no tensor is made on the CPU on the way.

    Uses each CUDA device, and on any machine a pretended device on which mixing with CPU tensors shows.
    """
    require_device(lambda device: _use_on(A, device), type(A).__name__)
    for k in range(torch.cuda.device_count()):
        device = torch.device("cuda", k)
        moved = A.to(device)
        for m, n in zip(maps_of(A), maps_of(moved)):
            x = probe(m.domain, parameter_batch(A), dtype=A.dtype, seed=40)
            got = n.apply(mapped(lambda t, d=device: t.to(d), x))  # type: ignore[misc]
            away = [t.device for t in tensors_in(got) if t.device != device]
            if away:
                fail(f"{m.label} on {device} returns a tensor on {away[0]}")
            require_same(
                mapped(Tensor.cpu, got),
                m.apply(x),
                1e-4,
                f"{m.label} on {device} is not {m.label} on the CPU",
            )


def require_device(use: Callable[[torch.device], Any], what: str) -> None:
    """Fail if ``use(device)`` leaks off a pretended device; skip what cannot be pretended."""
    try:
        leak = runs_elsewhere(use)
    except NotSimulated as reason:
        if not torch.cuda.is_available():
            skip(f"no second device on this machine, and the code cannot run on a pretended one: {reason}")
        return
    if leak:
        fail(
            f"device leak in {what}: {leak}, while the operator and its input are on another device. "
            "Create tensors with device=x.device (x.new_zeros, torch.zeros_like...)"
        )


def _use_on(A: Operator, device: torch.device) -> Any:
    moved = A.to(device)
    results = []
    for m in maps_of(moved):
        x = mapped(lambda t: t.to(device), probe(m.domain, parameter_batch(A), dtype=A.dtype, seed=40))
        out = m.apply(x)
        results.append(out)
        if all(t.is_leaf for t in tensors_in(x)):
            leaf = mapped(lambda t: t.detach().requires_grad_(), x)
            total = sum(_energy(t) for t in tensors_in(m.apply(leaf)))
            if isinstance(total, Tensor) and total.requires_grad:
                results.extend(torch.autograd.grad(total, tensors_in(leaf)))
    return results


def check_every_parameter_matters(A: Operator) -> None:
    """Binding another value to a declared parameter changes the output: none is ignored in silence."""
    B = A.to(torch.float64)
    numbers = {
        n: v for n in B.params if isinstance(v := getattr(B, n), int | float) and not isinstance(v, bool)
    }
    if not B.parameters() and not numbers:
        skip("no parameters")
    x = probe(B.domain, parameter_batch(B), seed=41)
    reference = B(x)
    for name in B.parameters():
        others = [varied(B, name, seed) for seed in range(1, 4)]
        _require_influence(name, [o for o in others if o is not None], x, reference)
    for name, number in numbers.items():
        _require_influence(name, [B.bind(**{name: 0.9 * number if number else 0.1})], x, reference)


def _require_influence(name: str, others: list[Operator], x: Any, reference: Any) -> None:
    if others and all(distance(other(x), reference) == 0 for other in others):
        fail(f"parameter {name!r} is ignored: another value of it gives the same output")


def check_bound_operator_is_fresh(A: Operator) -> None:
    """After use, an operator with a parameter bound equals one built from scratch: no cache leaks through."""
    B = A.to(torch.float64)
    if not B.parameters():
        skip("no parameters")
    own = parameter_batch(B)
    for m in maps_of(B):
        m.apply(probe(m.domain, own, seed=42))
    for name in B.parameters():
        other = varied(B, name)
        fresh = varied(A.to(torch.float64), name)
        if other is None or fresh is None:
            continue
        for m, n in zip(maps_of(other), maps_of(fresh)):
            x = probe(m.domain, own, seed=43)
            require_same(
                m.apply(x),
                n.apply(x),
                0.0,
                f"{m.label} after bind({name}=...) uses something of the old operator",
            )


def check_wrong_input_raises(A: Operator) -> None:
    """A wrong shape, kind, dtype or type raises a ShapeError or DtypeError that states the expected space."""
    for m in maps_of(A)[:2]:
        if not isinstance(m.domain, Space):
            _require_error(
                m.label, m.apply, torch.zeros(3), (ShapeError, DtypeError), ["tuple"], "a tensor for a tuple"
            )
            continue
        x = probe(m.domain, dtype=A.dtype)
        numbers = [str(n) for n in m.domain.shape]
        if m.domain.shape:
            longer = torch.cat([x, x[..., :1]], dim=-1)
            _require_error(m.label, m.apply, longer, (ShapeError,), numbers, "an input one entry too long")
            _require_error(
                m.label, m.apply, item(x, 0), (ShapeError,), numbers, "an input without its first dimension"
            )
        other = x.real.clone() if m.domain.kind == "complex" else torch.complex(x, x)
        _require_error(
            m.label, m.apply, other, (DtypeError,), [m.domain.kind], f"an input that is not {m.domain.kind}"
        )
        whole = torch.zeros(m.domain.shape, dtype=torch.int64)
        _require_error(m.label, m.apply, whole, (DtypeError,), [m.domain.kind], "an integer input")
        _require_error(m.label, m.apply, x.numpy(), (DtypeError,), ["Tensor"], "a numpy array")
        _require_error(m.label, m.apply, None, (DtypeError,), ["Tensor"], "None")


def _require_error(
    label: str,
    call: Callable[[Any], Any],
    x: Any,
    kinds: tuple[type[Exception], ...],
    words: list[str],
    what: str,
) -> None:
    error = require_refused(f"{label}: {what}", kinds, lambda: call(x))
    missing = [w for w in words if w not in str(error)]
    if missing:
        fail(f"{label}: the error for {what} does not say what was expected ({', '.join(missing)}): {error}")


CHECKS = (
    check_nothing_is_mutated,
    check_repeats,
    check_no_global_randomness,
    check_memory_layouts,
    check_precisions_agree,
    check_mixed_precision,
    check_device,
    check_every_parameter_matters,
    check_bound_operator_is_fresh,
    check_wrong_input_raises,
)
