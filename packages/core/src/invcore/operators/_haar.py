"""The Haar transform: sums and differences of neighbors, in place of the matrix products of longer filters.

A last sample without a neighbor, where a length is odd, is its own approximation coefficient. That is what
the embedding of `invcore.operators._filterbank` comes to for two taps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def haar_analyze(x: Tensor, axes: Sequence[int], levels: int) -> Tensor:
    """``levels`` levels along ``axes``, in the layout of `dwt`; a new, contiguous tensor."""
    out = block = x
    for level in range(levels):
        done = block
        for axis in axes:
            done = _split(done, axis)
        done.mul_(math.sqrt(0.5) ** len(axes))
        if level == 0:
            out = done
        else:
            block.copy_(done)
        block = _coarse(done if level == 0 else block, axes)
    return out


def haar_synthesize(c: Tensor, axes: Sequence[int], levels: int) -> Tensor:
    """Inverse, and adjoint, of `haar_analyze`."""
    out = torch.empty_like(c, memory_format=torch.contiguous_format).copy_(c)
    blocks = [out]
    for _ in range(levels - 1):
        blocks.append(_coarse(blocks[-1], axes))
    for block in reversed(blocks):
        done = block
        for axis in reversed(axes):
            done = _merge(done, axis)
        torch.mul(done, math.sqrt(0.5) ** len(axes), out=block)
    return out


def _split(v: Tensor, axis: int) -> Tensor:
    """Sums, then differences, of neighbors along an axis: √2 times the orthonormal coefficients."""
    out = torch.empty_like(v, memory_format=torch.contiguous_format)
    even, odd, alone = _neighbors(v, axis)
    low, high, only = _bands(out, axis)
    torch.add(even, odd, out=low)
    torch.sub(even, odd, out=high)
    if alone is not None:
        torch.mul(alone, math.sqrt(2), out=only)
    return out


def _merge(v: Tensor, axis: int) -> Tensor:
    """The adjoint of `_split`."""
    out = torch.empty_like(v, memory_format=torch.contiguous_format)
    even, odd, alone = _neighbors(out, axis)
    low, high, only = _bands(v, axis)
    torch.add(low, high, out=even)
    torch.sub(low, high, out=odd)
    if only is not None:
        torch.mul(only, math.sqrt(2), out=alone)
    return out


def _neighbors(v: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """The first and the second of each pair, and a last sample without a neighbor."""
    n = v.shape[axis]
    even, odd = v.unfold(axis, 2, 2).unbind(-1) if n > 1 else (v.narrow(axis, 0, 0),) * 2
    return even, odd, v.narrow(axis, n - 1, 1) if n % 2 else None


def _bands(v: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """Approximation and detail coefficients, and that of a sample without a neighbor."""
    half, alone = divmod(v.shape[axis], 2)
    if not alone:
        low, high = v.split(half, axis)
        return low, high, None
    low, only, high = v.split((half, 1, half), axis)
    return low, high, only


def _coarse(v: Tensor, axes: Sequence[int]) -> Tensor:
    """The approximation coefficients of one level."""
    for axis in axes:
        v = v.narrow(axis, 0, (v.shape[axis] + 1) // 2)
    return v
