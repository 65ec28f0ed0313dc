"""SENSE on a CPU, a few coils at a time, in two work arrays that stay in the cache.

The images of all coils exceed the cache, and the allocator returns arrays of that size to the system after
each use; both cost more than the arithmetic. `Sense` uses these loops if no derivative is recorded. Shapes:
``maps`` ``(batch..., set, coil, *spatial)``, ``weight`` ``(batch..., *spatial)`` or size 1 along spatial
axes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_BYTES = 7 << 18


class Workspace:
    """Two work arrays, kept between calls, since fresh ones cost a page fault per page.

    A thread removes them while it uses them; a concurrent thread allocates its own.
    """

    def __init__(self, maps: Tensor, ndim: int) -> None:
        coils, spatial = maps.shape[-ndim - 1], maps.shape[-ndim:]
        self.length = min(coils, max(1, _BYTES // max(1, spatial.numel() * maps.element_size())))
        self._like, self._shape = maps, (2, self.length, *spatial)
        self._free: list[Tensor] = []

    @contextmanager
    def arrays(self) -> Iterator[Tensor]:
        """Yield the arrays, shape (2, length, *spatial), with arbitrary contents."""
        try:
            arrays = self._free.pop()
        except IndexError:
            arrays = self._like.new_empty(self._shape)
        try:
            yield arrays
        finally:
            self._free.append(arrays)


def gram(
    work: Workspace, maps: Tensor, weight: Tensor, axes: tuple[int, ...], x: Tensor, ndim: int
) -> Tensor:
    """Σ_c S̄_c F⁻¹ W F S_c x, with the plain FFT over ``axes``."""
    batch = torch.broadcast_shapes(maps.shape[: -ndim - 2], weight.shape[:-ndim], x.shape[: -ndim - 1])
    out = x.new_zeros((*batch, *x.shape[-ndim - 1 :]))
    items = _items(batch, (maps, ndim + 2), (weight, ndim), (x, ndim + 1), (out, ndim + 1))
    with work.arrays() as arrays:
        for m, w, image, total in items:
            for coils, a, b in _groups(m, arrays):
                _spread(m[:, coils], image, a)
                if axes:
                    torch.fft.fftn(a, dim=axes, out=b)
                    b.mul_(w)
                    torch.fft.ifftn(b, dim=axes, out=a)
                else:
                    a.mul_(w)
                _gather(m[:, coils], a, total)
    return out.conj_physical_()


def forward(
    work: Workspace, maps: Tensor, weight: Tensor, axes: tuple[int, ...], x: Tensor, ndim: int
) -> Tensor:
    """y_c = W F S_c x."""
    batch = torch.broadcast_shapes(maps.shape[: -ndim - 2], weight.shape[:-ndim], x.shape[: -ndim - 1])
    y = x.new_empty((*batch, *maps.shape[-ndim - 1 :]))
    items = _items(batch, (maps, ndim + 2), (weight, ndim), (x, ndim + 1), (y, ndim + 1))
    with work.arrays() as arrays:
        for m, w, image, data in items:
            for coils, a, _ in _groups(m, arrays):
                _spread(m[:, coils], image, a)
                part = data[coils]
                torch.fft.fftn(a, dim=axes, norm="ortho", out=part)
                part.mul_(w)
    return y


def adjoint(
    work: Workspace, maps: Tensor, weight: Tensor, axes: tuple[int, ...], y: Tensor, ndim: int
) -> Tensor:
    """Σ_c S̄_c F⁻¹ W̄ y_c."""
    batch = torch.broadcast_shapes(maps.shape[: -ndim - 2], weight.shape[:-ndim], y.shape[: -ndim - 1])
    out = y.new_zeros((*batch, maps.shape[-ndim - 2], *y.shape[-ndim:]))
    weight = weight.conj_physical()
    items = _items(batch, (maps, ndim + 2), (weight, ndim), (y, ndim + 1), (out, ndim + 1))
    with work.arrays() as arrays:
        for m, w, data, total in items:
            for coils, a, b in _groups(m, arrays):
                torch.mul(data[coils], w, out=b)
                torch.fft.ifftn(b, dim=axes, norm="ortho", out=a)
                _gather(m[:, coils], a, total)
    return out.conj_physical_()


def _items(batch: torch.Size, *tensors: tuple[Tensor, int]) -> Iterator[list[Tensor]]:
    """Yield views of the batch items; each tensor comes with its number of non-batch dimensions."""
    expanded = [t.expand(*batch, *t.shape[t.ndim - n :]) for t, n in tensors]
    for index in itertools.product(*map(range, batch)):
        yield [t[index] for t in expanded]


def _groups(maps: Tensor, arrays: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield slices of coils, with the two work arrays cut to their number."""
    coils, length = maps.shape[1], arrays.shape[1]
    for start in range(0, coils, length):
        n = min(length, coils - start)
        yield slice(start, start + n), arrays[0, :n], arrays[1, :n]


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
