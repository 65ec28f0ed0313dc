"""Checks for data fidelities f(u; y)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import InvcoreError, ParameterError
from ..fidelities import Fidelity
from ..spaces import Space
from . import _functions, _values
from ._blocks import BlockedFidelity, in_blocks
from ._checks import fail, skip
from ._functions import Function
from ._operator_inputs import require_device, require_no_global_randomness
from ._probes import distance, item, mapped, require_same, seeded

_SPACES = (Space((2, 3)), Space((2, 3), "complex"))


def positive(
    space: Space, batch: tuple[int, ...] = (), *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Values in [0.5, 2], which every likelihood accepts; complex ones get a phase."""
    g = seeded(seed)
    size = 0.5 + 1.5 * torch.rand((*batch, *space.shape), generator=g, dtype=torch.float64)
    if space.kind == "real":
        return size.to(dtype)
    phase = torch.rand((*batch, *space.shape), generator=g, dtype=torch.float64)
    return torch.polar(size, 6 * phase).to(torch.complex128 if dtype == torch.float64 else torch.complex64)


def has_grad(f: Fidelity) -> bool:
    """True if a fidelity offers a gradient; indicator functions do not."""
    u = positive(_SPACES[0], dtype=f.dtype).to(f.device)
    try:
        f.grad(u, u, _SPACES[0])
    except ParameterError:
        return False
    return True


def _functions_of(f: Fidelity, batch: tuple[int, ...] = ()) -> list[Function]:
    f = f.to(torch.float64)
    found = []
    for space in _SPACES:
        u, y = positive(space, batch, seed=1), positive(space, batch, seed=2)
        try:
            f.value(u, y, space)
        except InvcoreError:  # a likelihood of real data only
            continue
        found.append(_function(f, space, u, y))
    if not found:
        fail(f"{type(f).__name__} accepts neither real nor complex data of shape {_SPACES[0].shape}")
    return found


def _function(f: Fidelity, space: Space, u: Tensor, y: Tensor) -> Function:
    return Function(
        f"{type(f).__name__}, {space.kind} data",
        space,
        u,
        lambda v: f.value(v, y, space),
        (lambda v: f.grad(v, y, space)) if has_grad(f) else None,
        lambda v, step: f.prox(v, y, step, space),
    )


def _parameter_batch(f: Fidelity) -> tuple[int, ...]:
    space = _SPACES[0]
    return tuple(f.value(positive(space), positive(space, seed=1), space).shape)


def check_value_per_sample(f: Fidelity) -> None:
    """The value is real, one number per sample; without ``space`` the whole is one sample."""
    own = _parameter_batch(f)
    for function in _functions_of(f, (3, *own)):
        _functions.require_value_per_sample(function, (3, *own))
    if not own:
        u, y = positive(_SPACES[0]), positive(_SPACES[0], seed=1)
        require_same(
            f.value(u, y), f.value(u, y, _SPACES[0]), 1e-12, "value without space differs from value with it"
        )


def check_grad(f: Fidelity) -> None:
    """``grad`` is the derivative of ``value`` in u, by finite differences."""
    _need_plain(f)
    if not has_grad(f):
        skip("no gradient")
    for function in _functions_of(f):
        _functions.require_gradient(function)


def check_prox(f: Fidelity) -> None:
    """``prox`` minimizes f(z; y) + ‖z - u‖²/(2 step): no search finds a better point."""
    _need_plain(f)
    for function in _functions_of(f):
        _functions.require_prox(function)


def check_prox_step_per_sample(f: Fidelity) -> None:
    """``prox`` takes one step per sample."""
    _need_plain(f)
    for function in _functions_of(f, (3,)):
        assert function.prox is not None
        steps = torch.tensor([0.1, 1.0, 3.0], dtype=torch.float64)
        together = function.prox(function.at, steps)
        for i, step in enumerate(steps):
            alone = function.prox(function.at, float(step))
            require_same(
                item(together, i), item(alone, i), 1e-12, f"{function.label}: prox with a step per sample"
            )


def check_batch_equals_loop(f: Fidelity) -> None:
    """Value, grad and prox treat samples one by one."""
    _need_plain(f)
    g = f.to(torch.float64)
    for function in _functions_of(f, (3,)):
        space = function.space
        pair = torch.stack([function.at, positive(space, (3,), seed=2)], dim=1)
        calls: dict[str, Callable[[Tensor], Any]] = {
            "value": lambda v, s=space: g.value(*_split(v, s), s),  # type: ignore[misc]
            "grad": lambda v, s=space: g.grad(*_split(v, s), s),  # type: ignore[misc]
            "prox": lambda v, s=space: g.prox(*_split(v, s), 0.5, s),  # type: ignore[misc]
        }
        if function.grad is None:
            del calls["grad"]
        for name, call in calls.items():
            _functions.require_batch_equals_loop(f"{function.label}: {name}", call, pair)


def check_misfitting_parameters_raise(f: Fidelity) -> None:
    """A parameter whose shape fits neither data nor batch raises an error with its name and shape."""
    function = _functions_of(f, (3, *_parameter_batch(f)))[0]
    f, u, space = f.to(torch.float64), function.at, function.space
    _values.require_misfits_refused(f, lambda g: g.value(u, u, space))
    _values.require_misfits_refused(f, lambda g: g.prox(u, u, 0.5, space))
    if has_grad(f):
        _values.require_misfits_refused(f, lambda g: g.grad(u, u, space))


def _everything(f: Fidelity, u: Tensor, y: Tensor, space: Space) -> dict[str, Tensor]:
    """Value, gradient (where there is one) and proximal point."""
    found = {"value": f.value(u, y, space), "prox": f.prox(u, y, 0.5, space)}
    return {**found, "grad": f.grad(u, y, space)} if has_grad(f) else found


def _split(pair: Tensor, space: Space) -> tuple[Tensor, Tensor]:
    axis = pair.ndim - len(space.shape) - 1
    return pair.select(axis, 0), pair.select(axis, 1)


def check_lipschitz(f: Fidelity) -> None:
    """``lipschitz()`` bounds how fast the gradient changes."""
    _need_plain(f)
    constant = f.lipschitz()
    if constant is None:
        skip("the gradient has no Lipschitz constant")
    for function in _functions_of(f):
        assert function.grad is not None
        for seed in range(3, 8):
            other = positive(function.space, seed=seed)
            slope = float(
                (function.grad(other) - function.grad(function.at)).norm() / (other - function.at).norm()
            )
            if slope > float(constant) * (1 + 1e-9):
                fail(
                    f"{function.label}: lipschitz() is {float(constant):.4g}, but the gradient changes at a "
                    f"rate of {slope:.4g}"
                )


def check_pure(f: Fidelity) -> None:
    """Inputs are not changed; results repeat, and depend on no global random state."""
    own = _parameter_batch(f)
    for function in _functions_of(f, own):
        y = positive(function.space, own, seed=2)
        g, space = f.to(torch.float64), function.space

        def use(u: Tensor, y: Tensor, g: Fidelity = g, space: Space = space) -> Any:
            return tuple(_everything(g, u, y, space).values())

        _functions.require_pure(function.label, use, function.at, y)
        require_no_global_randomness(lambda u=function.at, y=y, use=use: use(u, y), function.label)  # type: ignore[misc]


def check_precision(f: Fidelity) -> None:
    """float32 data gives float32 results that agree with float64."""
    own = _parameter_batch(f)
    for function in _functions_of(f, own):
        space = function.space
        wide, narrow = (
            [positive(space, own, seed=s) for s in (1, 2)],
            [positive(space, own, seed=s, dtype=torch.float32) for s in (1, 2)],
        )
        results = _everything(f.to(torch.float32), narrow[0], narrow[1], space)
        for name, expected in _everything(f.to(torch.float64), wide[0], wide[1], space).items():
            got = results[name]
            if got.dtype not in (torch.float32, torch.complex64):
                fail(f"{function.label}: {name} of float32 data is {got.dtype}")
            if distance(got, expected) > 1e-4:
                fail(
                    f"{function.label}: {name} in float32 differs from float64 by "
                    f"{distance(got, expected):.2g}"
                )


def check_device(f: Fidelity) -> None:
    """Everything works, and stays, on another device."""
    own = _parameter_batch(f)
    u, y = positive(_SPACES[0], own), positive(_SPACES[0], own, seed=1)

    def use(device: torch.device) -> Any:
        g, a, b = f.to(device), u.to(device), y.to(device)
        return mapped(lambda t: t, tuple(_everything(g, a, b, _SPACES[0]).values()))

    require_device(use, type(f).__name__)


def _need_plain(f: Fidelity) -> None:
    if _parameter_batch(f):
        skip("the parameters of this example carry a batch")


def checks(f: Fidelity) -> list[Callable[[Any], None]]:
    """The checks for a fidelity."""
    own = (
        check_value_per_sample,
        check_grad,
        check_prox,
        check_prox_step_per_sample,
        check_batch_equals_loop,
        check_misfitting_parameters_raise,
        check_lipschitz,
        check_pure,
        check_precision,
        check_device,
    )
    space = _SPACES[0]
    return [
        *in_blocks(f, own, BlockedFidelity, lambda g: g.value(positive(space), positive(space), space)),
        *_values.CHECKS,
    ]
