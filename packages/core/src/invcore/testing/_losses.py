"""Checks for losses ``loss(x_hat, x, y, physics, model)``, on a problem of the kit's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._physics import Physics
from ..noises import GaussianNoise
from ..operators import Mask
from ..spaces import Space
from . import _functions, _training_losses
from ._checks import fail
from ._example import LossExample
from ._operator_inputs import require_device, require_no_global_randomness
from ._probes import item, probe, require_same, seeded

_SPACE = Space((1, 16, 16))


def _problem(
    batch: tuple[int, ...], dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor, Physics]:
    mask = (torch.rand(_SPACE.shape, generator=seeded(91)) > 0.3).to(dtype)
    physics = Physics(operator=Mask(mask=mask, domain=_SPACE), noise=GaussianNoise(sigma=0.05))
    x = 0.5 + 0.1 * probe(_SPACE, batch, dtype=dtype, seed=92)
    y = physics(x, generator=seeded(93))
    return _model(y, physics), x, y, physics


def _model(y: Tensor, physics: Physics) -> Tensor:
    """A reconstructor that depends on its data, and differs from the truth."""
    return 0.9 * physics.operator.H(y) + 0.05  # type: ignore[attr-defined]


def check_one_value_per_sample(loss: Any) -> None:
    """The result is real, finite, and has the batch shape."""
    for batch in ((), (1,), (3,)):
        x_hat, x, y, physics = _problem(batch)
        out = loss(x_hat, x, y, physics, _model)
        if not isinstance(out, Tensor) or tuple(out.shape) != batch or not out.is_floating_point():
            got = f"{out.dtype} {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
            fail(f"images of batch {batch} give {got}; expected one real value per sample")
        if not bool(torch.isfinite(out).all()):
            fail(f"the value is not finite: {out}")


def check_gradient(loss: Any) -> None:
    """Derivatives reach the reconstruction, match finite differences, and going down them lowers the loss."""
    x_hat, x, y, physics = _problem((2,))
    leaf = x_hat.clone().requires_grad_()
    out = loss(leaf, x, y, physics, _model)
    if not out.requires_grad:
        fail(
            "the loss does not require grad although the reconstruction does: nothing could be trained with "
            "it"
        )
    (g,) = torch.autograd.grad(out.sum(), [leaf])
    size = float(g.norm())
    if not bool(torch.isfinite(g).all()) or size == 0:
        fail("the gradient to the reconstruction is zero or not finite")
    h = 1e-4 * float(x_hat.norm()) / size
    values = [float(loss(x_hat + k * h * g, x, y, physics, _model).sum()) for k in (-2, -1, 1, 2)]
    numeric = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
    if not abs(numeric - size**2) <= 1e-4 * size**2:
        fail(f"the gradient to the reconstruction is {size**2 / numeric:.6g} x what finite differences give")


def check_batch_equals_loop(loss: Any) -> None:
    """A batch gives what its samples give one by one."""
    x_hat, x, y, physics = _problem((3,))
    together = loss(x_hat, x, y, physics, _model)
    for i in range(3):
        alone = loss(x_hat[i], x[i], y[i], physics, _model)
        require_same(item(together, i), alone, 1e-10, f"a batch differs from its item {i} alone")


def check_pure(loss: Any) -> None:
    """The arguments are not changed; results repeat, and depend on no global random state."""
    x_hat, x, y, physics = _problem((2,))
    _functions.require_pure("the loss", lambda a, b, c: loss(a, b, c, physics, _model), x_hat, x, y)
    require_no_global_randomness(lambda: loss(x_hat, x, y, physics, _model), type(loss).__name__)


def check_device(loss: Any) -> None:
    """The value is computed on the device of the images."""
    x_hat, x, y, physics = _problem((2,), torch.float32)

    def use(device: torch.device) -> Any:
        return loss(x_hat.to(device), x.to(device), y.to(device), physics.to(device), _model)

    require_device(use, type(loss).__name__)


def checks(loss: Any) -> list[Callable[[Any], None]]:
    """The checks for a loss, or for a `LossExample`."""
    if isinstance(loss, LossExample):
        return _training_losses.checks(loss)
    return [check_one_value_per_sample, check_gradient, check_batch_equals_loop, check_pure, check_device]
