"""How the weights of a network lie in memory while it works."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


@contextlib.contextmanager
def channels_last(model: Any, device: torch.device) -> Iterator[None]:
    """Keep the weights of 2-D convolutions with their channels last while on a CPU, then as they were.

    Images follow the weights, and are faster that way: the kernels of a CPU take the channels of a pixel
    together. Nothing but rounding depends on it. In float64 there are no such kernels.
    """
    moved: dict[int, nn.Parameter] = {}
    modules = model.modules() if isinstance(model, nn.Module) and device.type == "cpu" else ()
    for module in modules:
        weight = module._parameters.get("weight") if isinstance(module, _CONVOLUTIONS) else None
        if weight is not None and weight.dtype == torch.float32 and weight.is_contiguous():
            moved[id(weight)] = weight
    for weight in moved.values():
        weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for weight in moved.values():
            weight.data = weight.data.contiguous()
