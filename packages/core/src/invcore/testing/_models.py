"""Checks for models ``R(y, physics)``, on the problem of a `ModelExample`."""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .._errors import DtypeError, MissingDependencyError, ParameterError, ShapeError
from .._value import Value
from ..models._file import component_of, load, save
from ..operators import LinearOperator
from ..spaces import batch_shape, check, dtype_of, flatten, randn, spaces_of, unflatten, vdot
from . import _functions, _values
from ._checks import fail, require_refused, skip
from ._example import ModelExample
from ._operator_inputs import require_device, require_no_global_randomness
from ._probes import cast, distance, item, mapped, require_same, seeded

_TRAINING = 200
"""Steps in which a network must learn to restore one image."""


def _model(example: ModelExample, dtype: torch.dtype = torch.float64) -> Any:
    """The model in a precision; modules change in place, so a copy of them."""
    held = example.model
    if isinstance(held, torch.nn.Module):
        held = copy.deepcopy(held)
    return held.to(dtype) if hasattr(held, "to") else held


def _physics(example: ModelExample, dtype: torch.dtype = torch.float64) -> Any:
    return example.physics.to(dtype)


def _data(example: ModelExample, batch: tuple[int, ...] = (), dtype: torch.dtype = torch.float64) -> Any:
    """Data of the example's image, of a batch each with its own noise."""
    physics = _physics(example)
    y = physics(example.x.expand(*batch, *example.x.shape), generator=seeded(95))
    return cast(y, dtype)


def check_result_is_an_image(example: ModelExample) -> None:
    """The result lies in the domain of the operator, in the precision of the data, one for each sample."""
    for dtype in (torch.float32, torch.float64):
        for batch in ((), (1,), (3,), (0,)):
            y, physics = _data(example, batch, dtype), _physics(example, dtype)
            out = _model(example, dtype)(y, physics)
            check(out, physics.domain, "the reconstruction")
            found = tuple(batch_shape(out, physics.domain))
            if found != batch or dtype_of(out) != cast(example.x, dtype).dtype:
                fail(f"data {dtype} of batch {batch} give {dtype_of(out)} of batch {found}")


def check_batch_equals_loop(example: ModelExample) -> None:
    """A batch gives what its data give one by one, whatever their batch-mates are."""
    R, physics, y = _model(example), _physics(example), _data(example, (3,))
    together = R(y, physics)
    for i in range(3):
        alone = R(item(y, i), physics)
        require_same(item(together, i), alone, 1e-8, f"a batch differs from its item {i} alone")
    mates = mapped(lambda t: torch.cat([t[:1], 1e3 * t[1:]]), y)
    require_same(
        item(R(mates, physics), 0),
        item(together, 0),
        1e-8,
        "the result of a sample changes with its batch-mates",
    )


def check_pure(example: ModelExample) -> None:
    """Data and physics are not changed; results repeat, and depend on no global random state."""
    R, physics, y = _model(example), _physics(example), _data(example, (2,))
    _functions.require_pure("the model", R, y, physics)
    require_no_global_randomness(lambda: R(y, physics), type(example.model).__name__)


def check_it_restores(example: ModelExample) -> None:
    """The result is nearer to the image than any multiple of the adjoint; a network trains on it first."""
    physics, x = _physics(example), example.x
    A = physics.operator
    if not isinstance(A, LinearOperator):
        skip("the operator is not linear")
    y = _data(example)
    back = A.H(y)
    best = vdot(back, x) / vdot(back, back)
    R = _model(example)
    before, after = distance(best * back, x), distance(R(y, physics), x)
    weights = [p for p in R.parameters() if p.requires_grad] if isinstance(R, torch.nn.Module) else []
    if weights:
        optimizer = torch.optim.Adam(weights, lr=1e-2)
        for _ in range(_TRAINING):
            if after < before:
                return
            optimizer.zero_grad()
            (R(y, physics) - x).abs().square().sum().backward()
            optimizer.step()
            after = distance(R(y, physics).detach(), x)
    if not after < before:
        trained = f" after {_TRAINING} training steps on this image" if weights else ""
        fail(f"the error is {after:.3g}{trained}, that of the scaled adjoint {before:.3g}")


def check_every_weight_learns(example: ModelExample) -> None:
    """The gradient of a loss reaches every weight that requires one, and is finite."""
    R, physics = _model(example), _physics(example)
    if not isinstance(R, torch.nn.Module) or not any(p.requires_grad for p in R.parameters()):
        skip("no weights")
    R.train()
    (R(_data(example, (2,)), physics) - example.x).abs().square().sum().backward()
    for name, p in R.named_parameters():
        if p.requires_grad and p.grad is None:
            fail(f"no gradient reaches {name}: use it, or hold it as a buffer")
        if p.grad is not None and not bool(torch.isfinite(p.grad).all()):
            fail(f"the gradient to {name} is not finite")


def check_saved_and_opened(example: ModelExample) -> None:
    """A model that is saved, and opened from its file by registered names, gives the same result."""
    if not isinstance(example.model, torch.nn.Module | Value):
        skip("neither a module nor a value")
    if component_of(type(example.model)) is None:
        skip("its class is not registered")
    R = _model(example)
    y, physics = _data(example), _physics(example)
    with tempfile.TemporaryDirectory() as folder:
        try:
            other = load(save(R, Path(folder) / "model.safetensors"))
        except MissingDependencyError as error:
            skip(str(error))
    require_same(other.to(torch.float64)(y, physics), R(y, physics), 1e-12, "the opened model differs")


def check_gradient(example: ModelExample) -> None:
    """Derivatives reach the data, and match finite differences."""
    R, physics, y = _model(example), _physics(example), _data(example)
    space = physics.range
    at = flatten(y, space).requires_grad_()
    weight = randn(physics.domain, generator=seeded(96), dtype=torch.float64)
    value = lambda v: vdot(weight, R(unflatten(v, space), physics))
    out = value(at)
    if not out.requires_grad:
        fail("the result does not require grad although the data do: the graph is cut")
    (g,) = torch.autograd.grad(out, [at])
    if not bool(torch.isfinite(g).all()) or not bool((g != 0).any()):
        fail("the derivative to the data is zero or not finite")
    h = 1e-3 * float(at.detach().norm() / g.norm())
    with torch.no_grad():
        values = [float(value(at + k * h * g)) for k in (-2, -1, 1, 2)]
    numeric = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
    size = float(g.square().sum())
    if not abs(numeric - size) <= 1e-4 * size:
        fail(f"the derivative to the data is {size / numeric:.6g} x what finite differences give")


def check_wrong_input_raises(example: ModelExample) -> None:
    """Data of another shape, or that are no tensors, raise the error for it."""
    R, physics, y = _model(example), _physics(example), _data(example, (2,))
    longer = mapped(lambda t: torch.cat([t, t], dim=-1), y)
    require_refused("data twice as long", (ShapeError,), lambda: R(longer, physics))
    if len(spaces_of(physics.range)) == 1:
        require_refused("a numpy array", (DtypeError,), lambda: R(y.numpy(), physics))


def check_device(example: ModelExample) -> None:
    """Everything works, and stays, on another device."""
    y, physics = _data(example, (2,), torch.float32), _physics(example, torch.float32)

    def use(device: torch.device) -> Any:
        moved = mapped(lambda t: t.to(device), y)
        R = _model(example, torch.float32)
        return (R.to(device) if hasattr(R, "to") else R)(moved, physics.to(device))

    require_device(use, type(example.model).__name__)


def _of_the_value(clause: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(clause)
    def run(example: ModelExample) -> None:
        clause(example.model)

    return run


def checks(example: ModelExample) -> list[Callable[[Any], None]]:
    """The checks for a model."""
    if not isinstance(example, ModelExample):
        raise ParameterError(
            "a model is checked on a problem that it is for: ModelExample(model, physics, x), got "
            f"{type(example).__name__}"
        )
    own = [
        check_result_is_an_image,
        check_batch_equals_loop,
        check_pure,
        check_it_restores,
        check_every_weight_learns,
        check_saved_and_opened,
        check_gradient,
        check_wrong_input_raises,
        check_device,
    ]
    return [*own, *map(_of_the_value, _values.CHECKS if isinstance(example.model, Value) else ())]
