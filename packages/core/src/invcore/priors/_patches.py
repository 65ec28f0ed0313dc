"""Overlapping patches of images, and the cosine basis of patches without their mean."""

from __future__ import annotations

import math
from itertools import product

import torch
from torch import Tensor


def extract(x: Tensor, size: int, dims: int) -> Tensor:
    """All patches of ``x`` (n, *spatial): shape (n, *place, size**dims)."""
    for axis in range(1, dims + 1):
        x = x.unfold(axis, size, 1)
    return x.flatten(-dims)


def assemble(patches: Tensor, size: int, dims: int) -> Tensor:
    """The adjoint of `extract`: patches added up where they lie."""
    places = patches.shape[1 : dims + 1]
    out = patches.new_zeros(patches.shape[0], *(n + size - 1 for n in places))
    for i, offset in enumerate(product(range(size), repeat=dims)):
        spot = (slice(None), *(slice(o, o + n) for o, n in zip(offset, places)))
        out[spot] += patches[..., i]
    return out


def counts(spatial: tuple[int, ...], size: int, like: Tensor) -> Tensor:
    """Count the patches that each pixel lies in."""
    out = like.new_ones(spatial)
    for axis, n in enumerate(spatial):
        at = torch.arange(n, device=like.device)
        cover = torch.minimum(torch.minimum(at + 1, n - at), like.new_full((), min(size, n - size + 1)))
        out = out * cover.to(like.dtype).reshape(-1, *(1,) * (len(spatial) - axis - 1))
    return out


def cosines(size: int, dims: int, like: Tensor) -> Tensor:
    """Orthonormal basis, products of cosines, of patches of mean zero: (size**dims - 1, size**dims)."""
    k = torch.arange(size, dtype=torch.float64)
    one = torch.cos(math.pi / size * k[:, None] * (k + 0.5)) * math.sqrt(2 / size)
    one[0] /= math.sqrt(2)
    basis = one
    for _ in range(dims - 1):
        basis = torch.kron(basis, one)
    return basis[1:].to(like)
