"""What the priors of this package share: sums over an item, steps per sample, and penalties on a few linear functionals."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore import DtypeError, ParameterError, ShapeError
from invcore.operators import Space, SpaceLike


def real_image(x: Tensor, name: str) -> None:
    """Raise a `DtypeError` unless x is real."""
    if x.is_complex():
        raise DtypeError(f"{name}: images of intensities are real, got {x.dtype}")


def item_sum(x: Tensor, space: SpaceLike | None) -> Tensor:
    """The sum over each item."""
    if not isinstance(space, Space):
        return x.sum()
    return x.flatten(x.ndim - len(space.shape)).sum(-1)


def steps_of(step: float | Tensor, x: Tensor, space: SpaceLike | None) -> Tensor:
    """One step, or one per sample, with the trailing dimensions that broadcast against images."""
    t = torch.as_tensor(step, dtype=x.dtype, device=x.device)
    if not bool((t >= 0).all()):
        raise ParameterError(f"prox: step must not be negative, got {float(t.min()):g}")
    if t.ndim and isinstance(space, Space):
        t = t.reshape(*t.shape, *(1,) * len(space.shape))
    return t


def image_shape(x: Tensor, space: SpaceLike | None, name: str) -> tuple[int, int]:
    """(y, x) of the image that is one item."""
    shape = space.shape if isinstance(space, Space) else tuple(x.shape)
    if len(shape) < 2:
        raise ShapeError(f"{name} needs images (channel, y, x), got {tuple(shape)}")
    return shape[-2], shape[-1]


def offsets(shape: tuple[int, int], pixel: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """How far each pixel lies to the east, (1, x), and to the north, (y, 1), of the phase center, at (ny//2, nx//2)."""
    ny, nx = shape
    row = torch.arange(ny, dtype=like.dtype, device=like.device)
    column = torch.arange(nx, dtype=like.dtype, device=like.device)
    return (nx // 2 - column)[None, :] * pixel, (ny // 2 - row)[:, None] * pixel


def fold(x: Tensor, space: SpaceLike | None) -> Tensor:
    """The sum over channels: (batch..., y, x)."""
    count = len(space.shape) if isinstance(space, Space) else x.ndim
    return x.flatten(x.ndim - count, -3).sum(-3) if count > 2 else x


def misfit(x: Tensor, functionals: Tensor, target: Tensor, space: SpaceLike | None) -> Tensor:
    """⟨a_k, x⟩ - c_k, (batch..., k), functionals being (k, y, x)."""
    return torch.einsum("kyx,...yx->...k", functionals, fold(x, space)) - target


def unfold(coefficients: Tensor, functionals: Tensor, x: Tensor, space: SpaceLike | None) -> Tensor:
    """Σ_k b_k a_k in the shape of x."""
    image = torch.einsum("...k,kyx->...yx", coefficients, functionals)
    count = len(space.shape) if isinstance(space, Space) else x.ndim
    for _ in range(count - 2):
        image = image.unsqueeze(-3)
    return image.expand(torch.broadcast_shapes(x.shape, image.shape))


def pulled(
    x: Tensor, functionals: Tensor, target: Tensor, step: float | Tensor, space: SpaceLike | None
) -> Tensor:
    """The proximal operator of ½ Σ_k (⟨a_k, x⟩ - c_k)²: x - t Aᵀ(1 + t A Aᵀ)⁻¹(A x - c)."""
    count = len(space.shape) if isinstance(space, Space) else x.ndim
    channels = math.prod(x.shape[x.ndim - count : -2])
    t = steps_of(step, x, None)[..., None]
    gram = channels * torch.einsum("kyx,lyx->kl", functionals, functionals)
    eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    r = misfit(x, functionals, target, space)
    inner = torch.linalg.solve(eye + t[..., None] * gram, r.unsqueeze(-1)).squeeze(-1)
    return x - unfold(t * inner, functionals, x, space)
