"""SENSE on a CPU, a few coils at a time, in arrays that stay in the cache.

The images of all coils exceed the cache, and the allocator returns arrays of that size to the system after
each use; both cost more than the arithmetic. Transforms are not normalized, the weights are: that saves a
pass over the images, and ``out=`` of a transform would cost one, as it copies. `Sense` uses these loops if no
derivative is recorded. Shapes: ``maps`` ``(batch..., set, coil, *spatial)``, ``weight`` ``(batch...,
*spatial)`` or size 1 along spatial axes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from invcore.spaces import broadcast_shapes

_BYTES = 7 << 18


class Workspace:
    """A work array, kept between calls, since a fresh one costs a page fault per page.

    A thread removes it while it uses it; a concurrent thread allocates its own.
    """

    def __init__(self, maps: Tensor, ndim: int) -> None:
        coils, spatial = maps.shape[-ndim - 1], maps.shape[-ndim:]
        self.length = min(coils, max(1, _BYTES // max(1, spatial.numel() * maps.element_size())))
        self._like, self._shape = maps, (self.length, *spatial)
        self._free: list[Tensor] = []

    @contextmanager
    def array(self) -> Iterator[Tensor]:
        """Yield the array, shape (length, *spatial), with arbitrary contents."""
        try:
            array = self._free.pop()
        except IndexError:
            array = self._like.new_empty(self._shape)
        try:
            yield array
        finally:
            self._free.append(array)


def gram(
    work: Workspace, maps: Tensor, weight: Tensor, axes: tuple[int, ...], x: Tensor, ndim: int
) -> Tensor:
    """Σ_c S̄_c F⁻¹ W F S_c x, with the plain FFT over ``axes``."""
    batch = broadcast_shapes(maps.shape[: -ndim - 2], weight.shape[:-ndim], x.shape[: -ndim - 1])
    out = x.new_zeros((*batch, *x.shape[-ndim - 1 :]))
    weight = weight / math.prod(x.shape[axis] for axis in axes)
    items = _items(batch, (maps, ndim + 2), (weight, ndim), (x, ndim + 1), (out, ndim + 1))
    with work.array() as array:
        for m, w, image, total in items:
            for coils, a in _groups(m, array):
                _spread(m[:, coils], image, a)
                if axes:
                    b = torch.fft.fftn(a, dim=axes).mul_(w)
                    _gather(m[:, coils], torch.fft.ifftn(b, dim=axes, norm="forward"), total)
                else:
                    _gather(m[:, coils], a.mul_(w), total)
    return out.conj_physical_()


def forward(
    work: Workspace, maps: Tensor, weight: Tensor, axes: tuple[int, ...], x: Tensor, ndim: int
) -> Tensor:
    """y_c = W F S_c x."""
    batch = broadcast_shapes(maps.shape[: -ndim - 2], weight.shape[:-ndim], x.shape[: -ndim - 1])
    y = x.new_empty((*batch, *maps.shape[-ndim - 1 :]))
    weight = weight / math.sqrt(math.prod(x.shape[axis] for axis in axes))
    items = _items(batch, (maps, ndim + 2), (weight, ndim), (x, ndim + 1), (y, ndim + 1))
    with work.array() as array:
        for m, w, image, data in items:
            for coils, a in _groups(m, array):
                _spread(m[:, coils], image, a)
                torch.mul(torch.fft.fftn(a, dim=axes), w, out=data[coils])
    return y


def adjoint(
    work: Workspace, maps: Tensor, weight: Tensor, axes: tuple[int, ...], y: Tensor, ndim: int
) -> Tensor:
    """Σ_c S̄_c F⁻¹ W̄ y_c."""
    batch = broadcast_shapes(maps.shape[: -ndim - 2], weight.shape[:-ndim], y.shape[: -ndim - 1])
    out = y.new_zeros((*batch, maps.shape[-ndim - 2], *y.shape[-ndim:]))
    weight = weight.conj_physical() / math.sqrt(math.prod(y.shape[axis] for axis in axes))
    items = _items(batch, (maps, ndim + 2), (weight, ndim), (y, ndim + 1), (out, ndim + 1))
    with work.array() as array:
        for m, w, data, total in items:
            for coils, a in _groups(m, array):
                torch.mul(data[coils], w, out=a)
                _gather(m[:, coils], torch.fft.ifftn(a, dim=axes, norm="forward"), total)
    return out.conj_physical_()


def _items(batch: torch.Size, *tensors: tuple[Tensor, int]) -> Iterator[list[Tensor]]:
    """Yield views of the batch items; each tensor comes with its number of non-batch dimensions."""
    expanded = [t.expand(*batch, *t.shape[t.ndim - n :]) for t, n in tensors]
    for index in itertools.product(*map(range, batch)):
        yield [t[index] for t in expanded]


def _groups(maps: Tensor, array: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield slices of coils, with the work array cut to their number."""
    coils, length = maps.shape[1], len(array)
    for start in range(0, coils, length):
        n = min(length, coils - start)
        yield slice(start, start + n), array[:n]


def _spread(maps: Tensor, x: Tensor, out: Tensor) -> None:
    """out = Σ_set S x."""
    torch.mul(maps[0], x[0], out=out)
    for s in range(1, len(maps)):
        out.addcmul_(maps[s], x[s])


def _gather(maps: Tensor, images: Tensor, total: Tensor) -> None:
    """Add the complex conjugate of Sᴴ(images) to ``total``; ``images`` is overwritten."""
    images.conj_physical_()
    for s, coils in enumerate(maps):
        for image, one in zip(images, coils):
            total[s].addcmul_(image, one)
