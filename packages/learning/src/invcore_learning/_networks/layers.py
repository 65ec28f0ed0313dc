"""Layers that several networks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import invcore

CONVOLUTION: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
UPWARDS: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "elu": nn.functional.elu,
    "softplus": nn.functional.softplus,
}


class ResidualBlock(nn.Module):
    """x + conv(activation(conv(x))).

    What a convolution gives is changed in place: no derivative needs it, and on a CPU each new tensor costs
    time.
    """

    def __init__(self, features: int, conv: Any, bias: bool, activation: str = "relu") -> None:
        super().__init__()
        self.first = conv(features, features, 3, padding=1, bias=bias)
        self.second = conv(features, features, 3, padding=1, bias=bias)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        h = self.first(x)
        h = h.relu_() if self.activation is torch.relu else self.activation(h)
        return self.second(h).add_(x)


def with_level(x: Tensor, sigma: Tensor | None) -> Tensor:
    """The image with the noise level as one more channel."""
    return x if sigma is None else torch.cat([x, sigma.expand(-1, 1, *x.shape[2:])], dim=1)


def chosen(name: str, what: str, choice: Any, choices: Any) -> Any:
    """The entry of ``choices``, or a `ParameterError` that lists them."""
    if choice not in choices:
        wanted = ", ".join(map(repr, choices))
        raise invcore.ParameterError(f"{name}: {what} must be one of {wanted}, got {choice!r}")
    return choices[choice]


def require_counts(name: str, **counts: int) -> None:
    """Raise a `ParameterError` unless all are whole numbers of at least 1."""
    for what, n in counts.items():
        if not isinstance(n, int) or n < 1:
            raise invcore.ParameterError(f"{name}: {what} must be a whole number >= 1, got {n!r}")
