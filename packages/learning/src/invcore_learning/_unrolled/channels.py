"""Networks on the images of any space: any batch, complex images as two channels."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import Module

import invcore
from invcore import Space
from invcore.spaces import SpaceLike, batch_shape


def image_space(space: SpaceLike, what: str) -> Space:
    """The space, which must be that of one image, (channel, *spatial)."""
    if not isinstance(space, Space) or len(space.shape) < 2:
        raise invcore.ParameterError(
            f"{what}: the networks take images (channel, *spatial), and these are in {space}"
        )
    return space


def to_channels(x: Tensor, space: Space) -> Tensor:
    """Real images (batch..., channel, *spatial); real and imaginary parts become channels."""
    if space.kind == "real":
        return x
    pair = torch.view_as_real(x).movedim(-1, -len(space.shape) - 1)
    return pair.flatten(-len(space.shape) - 1, -len(space.shape))


def from_channels(x: Tensor, space: Space) -> Tensor:
    """The images that `to_channels` was given."""
    if space.kind == "real":
        return x
    real, imaginary = x.split(space.shape[0], dim=-len(space.shape))
    return torch.complex(real, imaginary)


def none_done(x: Tensor, space: Space) -> Tensor:
    """False for each sample: learned steps are taken as many as they were trained for."""
    return torch.zeros(batch_shape(x, space), dtype=torch.bool, device=x.device)


def applied(network: Module, x: Tensor, dims: int) -> Tensor:
    """The network on real images with any batch dimensions and ``dims`` spatial ones."""
    batch = x.shape[: -dims - 1]
    y = network(x.reshape(math.prod(batch), *x.shape[-dims - 1 :]))
    return y.reshape(*batch, *y.shape[1:])
