"""Checks for losses on the problem of a `LossExample`: random ones, those that wrap the model."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import DataError, DtypeError, ParameterError, ShapeError
from .._value import Value
from . import _functions, _values
from ._checks import fail, require_refused, skip
from ._example import LossExample
from ._operator_inputs import require_device, require_no_global_randomness
from ._probes import cast, distance, item, mapped, require_same, seeded

_DRAWS = 8


def _data(example: LossExample, batch: tuple[int, ...]) -> tuple[Any, Any]:
    x = example.x.expand(*batch, *example.x.shape)
    if batch:
        scale = torch.linspace(1, 1.5, batch[0], dtype=torch.float64) if batch[0] else torch.ones(0)
        x = x * scale.reshape(*batch, *(1,) * example.x.ndim)
    return x, example.physics(x, generator=seeded(93))


def _model(example: LossExample, loss: Any) -> tuple[Any, Any]:
    """A copy of the model, and what is trained: it, or what the loss makes of it, in training mode."""
    model = copy.deepcopy(example.model).to(torch.float64)
    return model, (loss.wrap(model) if hasattr(loss, "wrap") else model).train()


def _value(loss: Any, model: Any, x: Any, y: Any, physics: Any) -> Tensor:
    return loss(model(y, physics), x, y, physics, model)


def check_one_value_per_sample(example: LossExample) -> None:
    """The result is real, finite, and has the batch shape."""
    loss, physics = example.loss, example.physics
    _, model = _model(example, loss)
    for batch in ((), (1,), (3,)):
        x, y = _data(example, batch)
        out = _value(loss, model, x, y, physics)
        if not isinstance(out, Tensor) or tuple(out.shape) != batch or not out.is_floating_point():
            got = f"{out.dtype} {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
            fail(f"images of batch {batch} give {got}; expected one real value per sample")
        if not bool(torch.isfinite(out).all()):
            fail(f"the value is not finite: {out}")


def check_gradient(example: LossExample) -> None:
    """Derivatives reach weights; they match finite differences unless the loss ``stops_gradients``."""
    loss, physics = example.loss, example.physics
    inner, model = _model(example, loss)
    held = list(loss.networks().values()) if isinstance(loss, Value) else []
    weights = [p for m in (inner, *held) for p in m.parameters() if p.requires_grad]
    x, y = _data(example, (2,))
    out = _value(loss, model, x, y, physics)
    if not out.requires_grad:
        fail("the loss does not require grad although the model has weights: nothing is trained")
    gradients = torch.autograd.grad(out.sum(), weights, allow_unused=True)
    pairs = [(p, g) for p, g in zip(weights, gradients) if g is not None]
    size = sum(float(g.square().sum()) for _, g in pairs)
    if not 0 < size < float("inf"):
        fail("the gradient to the weights is zero or not finite")
    if getattr(loss, "stops_gradients", False):
        return
    scale = sum(float(p.detach().square().sum()) for p, _ in pairs)
    h = 1e-4 * (max(scale, 1e-6) / size) ** 0.5

    def moved(k: int) -> float:
        with torch.no_grad():
            for p, g in pairs:
                p += k * h * g
        value = float(_value(loss, model, x, y, physics).detach().sum())
        with torch.no_grad():
            for p, g in pairs:
                p -= k * h * g
        return value

    values = [moved(k) for k in (-2, -1, 1, 2)]
    numeric = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
    if not abs(numeric - size) <= 1e-3 * size:
        fail(f"the gradient to the weights is {size / numeric:.6g} x what finite differences give")


def check_batch_equals_loop(example: LossExample) -> None:
    """A batch gives what its samples give one by one, whatever their mates.

    A random loss draws for a sample by its position in the step, which ``of_samples`` says; without that
    method the first one is compared.
    """
    loss, physics = example.loss, example.physics
    _, model = _model(example, loss)
    x, y = _data(example, (3,))
    together = _value(loss, model, x, y, physics)
    placed = getattr(loss, "of_samples", lambda positions: loss)
    by_position = hasattr(loss, "of_samples") or not getattr(loss, "stochastic", False)
    for i in range(3 if by_position else 1):
        own = placed((i,))
        alone = _value(own, _model(example, own)[1], x[i], item(y, i), physics)
        require_same(together[i], alone, 1e-8, f"a batch differs from its item {i} alone")
    order = [0, 2, 2]
    mates = _value(loss, model, x[order], mapped(lambda t: t[order], y), physics)
    require_same(mates[0], together[0], 1e-8, "the value of a sample changes with its batch-mates")
    require_same(mates[2], together[2], 1e-8, "the draws of a sample change with its batch-mates")


def check_pure(example: LossExample) -> None:
    """The arguments are not changed; results repeat, and depend on no global random state."""
    loss, physics = example.loss, example.physics
    _, model = _model(example, loss)
    x, y = _data(example, (2,))
    x_hat = model(y, physics).detach()
    use = lambda a, b, c: loss(a, b, c, physics, model).detach()
    _functions.require_pure("the loss", use, x_hat, x, y)
    require_no_global_randomness(lambda: _value(loss, model, x, y, physics).detach(), type(loss).__name__)


def check_steps(example: LossExample) -> None:
    """``at(k)`` repeats for the same step, and draws anew for others; the loss itself keeps its step."""
    loss = example.loss
    if not getattr(loss, "stochastic", False):
        skip("not random")
    x, y = _data(example, (2,))

    def value(k: int) -> Tensor:
        own = loss.at(k)
        return _value(own, _model(example, own)[1], x, y, example.physics).detach()

    before = _value(loss, _model(example, loss)[1], x, y, example.physics).detach()
    values = [value(k) for k in range(_DRAWS)]
    if distance(value(3), values[3]) > 0:
        fail("at(3) gives another value the second time")
    if all(distance(v, values[0]) == 0 for v in values):
        fail(f"at(0) to at({_DRAWS - 1}) give the same value: the step is ignored")
    if distance(_value(loss, _model(example, loss)[1], x, y, example.physics).detach(), before) > 0:
        fail("at(k) changes the loss that it is called on")


def check_reference(example: LossExample) -> None:
    """Without a reference the value is the same, or the loss says that it needs one, as DataError."""
    loss, physics = example.loss, example.physics
    _, model = _model(example, loss)
    x, y = _data(example, (2,))
    if getattr(loss, "needs_reference", True):
        require_refused("x=None", (DataError,), lambda: _value(loss, model, None, y, physics))
        return
    require_same(
        _value(loss, model, None, y, physics),
        _value(loss, model, x, y, physics),
        0.0,
        "the value depends on the reference, which the loss says it does not need",
    )


def check_unwrapped_model_raises(example: LossExample) -> None:
    """A loss that wraps the model refuses one that is not wrapped, and wraps once."""
    loss, physics = example.loss, example.physics
    inner, model = _model(example, loss)
    if model is inner:
        skip("the loss does not wrap the model")
    x, y = _data(example, (2,))
    x_hat = model(y, physics).detach()
    use = lambda: loss(x_hat, x, y, physics, inner)
    require_refused("a model that is not wrapped", (ParameterError,), use)
    again = loss.wrap(model)
    if len(list(again.modules())) != len(list(model.modules())):
        fail("wrap() wraps a wrapped model again")


def check_wrong_input_raises(example: LossExample) -> None:
    """Data of another shape, or that are no tensors, raise the error for it."""
    loss, physics = example.loss, example.physics
    _, model = _model(example, loss)
    x, y = _data(example, (2,))
    x_hat = model(y, physics).detach()
    longer = mapped(lambda t: torch.cat([t, t], dim=-1), y)
    require_refused("data twice as long", (ShapeError,), lambda: loss(x_hat, x, longer, physics, model))
    wide = torch.cat([x_hat, x_hat], dim=-1)
    require_refused("a reconstruction twice as wide", (ShapeError,), lambda: loss(wide, x, y, physics, model))
    if isinstance(y, Tensor):
        require_refused("a numpy array", (DtypeError,), lambda: loss(x_hat, x, y.numpy(), physics, model))


def check_device(example: LossExample) -> None:
    """The value is computed on the device of the data."""
    x, y = _data(example, (2,))
    x, y = cast(x, torch.float32), cast(y, torch.float32)
    loss = example.loss

    def use(device: torch.device) -> Any:
        model = copy.deepcopy(example.model).to(torch.float32).to(device)
        own = loss.to(torch.float32).to(device) if isinstance(loss, Value) else loss
        wrapped = (own.wrap(model) if hasattr(own, "wrap") else model).train()
        moved = mapped(lambda t: t.to(device), y)
        return _value(own, wrapped, x.to(device), moved, example.physics.to(torch.float32).to(device))

    require_device(use, type(loss).__name__)


def checks(example: LossExample) -> list[Callable[[Any], None]]:
    """The checks for a loss with a training problem of its own."""
    own = [
        check_one_value_per_sample,
        check_gradient,
        check_batch_equals_loop,
        check_pure,
        check_steps,
        check_reference,
        check_unwrapped_model_raises,
        check_wrong_input_raises,
        check_device,
    ]
    return [*own, *map(_of_the_loss, _values.CHECKS if isinstance(example.loss, Value) else ())]


def _of_the_loss(clause: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(clause)
    def run(example: LossExample) -> None:
        clause(example.loss)

    return run
