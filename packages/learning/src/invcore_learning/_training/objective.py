"""The loss of a model on a batch, as one module: so that an engine may call it in any precision, anywhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from invcore import ParameterError
from invcore.losses import Loss
from invcore.spaces import tree_map

from .measure import Batch

_LOW = (torch.float16, torch.bfloat16)


class Objective(Module):
    """Sum of the losses of the samples of a batch, times the share of each in the step.

    A loss that is a module itself is trained, too.
    """

    def __init__(self, model: Module, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self.learned = loss if isinstance(loss, Module) else None

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sum, and the loss of each sample without its graph."""
        loss: Any = batch.loss
        needed = getattr(loss, "needs_reconstruction", True)
        x_hat = self.model(batch.y, batch.physics) if needed else None
        values = loss(x_hat, batch.x, batch.y, batch.physics, self.model)
        if not isinstance(values, Tensor) or values.shape != (len(batch.keys),):
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ParameterError(
                f"{type(loss).__name__}: a loss gives one value for each of {len(batch.keys)} samples, got "
                f"{got}"
            )
        return batch.weight * values.sum(), values.detach()


@contextlib.contextmanager
def full_precision_images(model: Module) -> Iterator[None]:
    """Give images in float32 also if the network computes in less: operators take no less."""

    def widened(module: Module, inputs: Any, output: Any) -> Any:
        return tree_map(lambda t: t.float() if t.dtype in _LOW else t, output)

    handle = model.register_forward_hook(widened)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def random_numbers(generator: torch.Generator) -> Iterator[None]:
    """Let modules that draw from torch's global state, such as dropout, draw from this one instead."""
    cuda = [generator.device] if generator.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        if cuda:
            torch.cuda.set_rng_state(generator.get_state(), generator.device)
        else:
            torch.set_rng_state(generator.get_state())
        yield
