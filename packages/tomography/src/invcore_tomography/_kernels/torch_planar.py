"""`parallel` and `rays` in plain torch: the same sums, differentiable twice in every float argument.

They are the kernels' oracle, the path for devices without a compiled kernel, and the source of gradients with
respect to the geometry. Work is done in chunks of views (or rays) of about `CHUNK` entries.
"""

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["parallel_adjoint", "parallel_forward", "rays_adjoint", "rays_forward"]

CHUNK = 1 << 24
MARGIN = 4


def _padded(image: Tensor) -> Tensor:
    """``(n, rows * (cols + 1))``: every row followed by a zero, which stands for everything outside."""
    return torch.nn.functional.pad(image, (0, 1)).flatten(1)


def _places(column: Tensor, cols: int) -> Tensor:
    """Indices into `_padded` of columns ``(..., rows, k)``."""
    inside = (column >= 0) & (column < cols)
    rows = torch.arange(column.shape[-2], device=column.device)[:, None]
    return torch.where(inside, column, cols) + rows * (cols + 1)


def _centered(rows: int, like: Tensor) -> Tensor:
    return torch.arange(rows, dtype=like.dtype, device=like.device) - (rows - 1) / 2


def _by_axis(
    function: Callable[[Tensor, int], Tensor], axis: Tensor, dim: int, empty: Callable[[], Tensor]
) -> Tensor:
    """Join ``function(indices, main)`` of both main axes, each along ``dim``, in the order of ``axis``."""
    parts, order = [], []
    for main in (0, 1):
        chosen = torch.nonzero(axis == main).flatten()
        if len(chosen):
            parts.append(function(chosen, main))
            order.append(chosen)
    if not parts:
        return empty()
    return torch.cat(parts, dim).index_select(dim, torch.cat(order).argsort())


def _turned(image: Tensor, main: int) -> Tensor:
    return image.transpose(1, 2) if main else image


def _chunks(chosen: Tensor, each: int) -> tuple[Tensor, ...]:
    return chosen.split(max(1, CHUNK // max(1, each)))


# -- parallel beam ---------------------------------------------------------------------------------


class _Shear:
    """Half-pixel samples of some views with one main axis, and how they are read."""

    def __init__(
        self, slope: Tensor, t0: Tensor, dt: Tensor, weight: Tensor, rows: int, cols: int, columns: int
    ) -> None:
        self.weight, self.rows, self.cols = weight, rows, cols
        self.offset = slope[:, None] * _centered(
            rows, slope
        )  # by how much each row is shifted: (views, rows)
        t = t0[:, None] + dt[:, None] * torch.arange(columns, dtype=dt.dtype, device=dt.device)
        reach = int(min(float(slope.detach().abs().max()) * (rows - 1) / 2, 2.0**52)) + 1
        low, high = (int(e) for e in t.detach().clamp(-(2.0**52), 2.0**52).floor().aminmax())
        self.first = max(low - MARGIN + 1, -reach - MARGIN)
        self.length = max(min(high + MARGIN, cols + reach + MARGIN) - self.first + 1, MARGIN)
        s = 2 * (t - self.first)
        base = s.detach().floor()
        w = s - base
        v = 1 - w
        self.keys = torch.stack(
            [-w * v * v / 2, 1 - w * w * (5 - 3 * w) / 2, 1 - v * v * (5 - 3 * v) / 2, -v * w * w / 2], -1
        )
        base = base.clamp(1, 2 * self.length - 3).long()
        self.read = base[..., None] + torch.arange(-1, 3, device=base.device)  # (views, columns, 4)

    @cached_property
    def whole(self) -> Tensor:
        return self.offset.detach().floor()

    @cached_property
    def taps(self) -> Tensor:
        """Weights of a row's entries in the sums at whole and at half pixels: (views, 5, rows)."""
        f = self.offset - self.whole
        zero, late = torch.zeros_like(f), f >= 0.5
        taps = [1 - f, f, torch.where(late, zero, 0.5 - f), torch.where(late, 1.5 - f, 0.5 + f)]
        return torch.stack([*taps, torch.where(late, f - 0.5, zero)], 1)

    @cached_property
    def places(self) -> Tensor:
        """Their places in the padded image: (views, rows, length + 2)."""
        j = self.first + torch.arange(self.length + 2, device=self.whole.device)
        return _places(self.whole.clamp(-(2.0**40), 2.0**40).long()[..., None] + j, self.cols)

    def forward(self, padded: Tensor) -> Tensor:
        n, L = len(padded), self.length
        rows = padded.index_select(1, self.places.flatten()).reshape(n, *self.places.shape)
        sums = self.taps.to(rows.dtype) @ rows  # (n, views, 5, length + 2)
        even = sums[:, :, 0, :L] + sums[:, :, 1, 1 : L + 1]
        odd = sums[:, :, 2, :L] + sums[:, :, 3, 1 : L + 1] + sums[:, :, 4, 2:]
        return self.columns(torch.stack([even, odd], -1).flatten(2))

    def columns(self, fine: Tensor) -> Tensor:
        """Read the detector's columns from sums half a pixel apart, (n, views, 2 length)."""
        read = self.read.flatten(1).expand(*fine.shape[:2], -1)
        columns = (fine.gather(2, read).reshape(len(fine), *self.read.shape) * self.keys).sum(-1)
        return (columns * self.weight[:, None]).to(fine.dtype)

    def adjoint(self, sino: Tensor) -> Tensor:
        fine = self.spread(sino)
        even, odd = fine[:, :, 0::2], fine[:, :, 1::2]
        pad = torch.nn.functional.pad
        shifted = (pad(even, (0, 2)), pad(even, (1, 1)), pad(odd, (0, 2)), pad(odd, (1, 1)), pad(odd, (2, 0)))
        rows = self.taps.to(sino.dtype).mT @ torch.stack(shifted, 2)  # (n, views, rows, length + 2)
        out = sino.new_zeros(len(sino), self.rows * (self.cols + 1))
        out = out.index_add(1, self.places.flatten(), rows.flatten(1))
        return out.reshape(len(sino), self.rows, self.cols + 1)[:, :, :-1]

    def spread(self, sino: Tensor) -> Tensor:
        """The transpose of `columns`."""
        n, views = sino.shape[:2]
        columns = ((sino * self.weight[:, None])[..., None] * self.keys).to(sino.dtype).flatten(2)
        fine = sino.new_zeros(n, views, 2 * self.length)
        return fine.scatter_add(2, self.read.flatten(1).expand(n, views, -1), columns)


def parallel_forward(
    image: Tensor, axis: Tensor, slope: Tensor, t0: Tensor, dt: Tensor, weight: Tensor, columns: int
) -> Tensor:
    """`parallel.parallel_forward` on tensors."""
    n = len(image)

    def side(chosen: Tensor, main: int) -> Tensor:
        turned = _turned(image, main)
        rows, cols = turned.shape[1:]
        padded = _padded(turned)
        parts = [
            _Shear(slope[c], t0[c], dt[c], weight[c], rows, cols, columns).forward(padded)
            for c in _chunks(chosen, max(1, n) * rows * (rows + cols))
        ]
        return torch.cat(parts, 1)

    def empty() -> Tensor:
        return image.new_zeros(n, len(axis), columns)

    if min(n, len(axis), columns) == 0 or image.numel() == 0:
        return empty()
    return _by_axis(side, axis, 1, empty)


def parallel_adjoint(
    sino: Tensor, axis: Tensor, slope: Tensor, t0: Tensor, dt: Tensor, weight: Tensor, shape: tuple[int, int]
) -> Tensor:
    """The exact adjoint of `parallel_forward`."""
    n, _, columns = sino.shape
    out = sino.new_zeros(n, *shape)
    if sino.numel() == 0 or out.numel() == 0:
        return out
    for main in (0, 1):
        rows, cols = shape[::-1] if main else shape
        for c in _chunks(torch.nonzero(axis == main).flatten(), n * rows * (rows + cols)):
            if len(c):
                shear = _Shear(slope[c], t0[c], dt[c], weight[c], rows, cols, columns)
                out = out + _turned(shear.adjoint(sino.index_select(1, c)), main)
    return out


# -- arbitrary rays --------------------------------------------------------------------------------


def _cross(c0: Tensor, slope: Tensor, rows: int, cols: int) -> tuple[Tensor, Tensor]:
    """Indices ``(rays, rows, 2)`` of the two neighbors on every row, and their weights."""
    c = c0[:, None] + slope[:, None] * _centered(rows, slope)
    whole = c.detach().floor()
    f = c - whole
    index = whole.clamp(-2, cols).long()
    return _places(torch.stack([index, index + 1], -1), cols), torch.stack([1 - f, f], -1)


def rays_forward(image: Tensor, axis: Tensor, c0: Tensor, slope: Tensor, weight: Tensor) -> Tensor:
    """`rays.rays_forward` on tensors."""
    n = len(image)
    c0, slope, weight = (p.flatten() for p in (c0, slope, weight))

    def side(chosen: Tensor, main: int) -> Tensor:
        turned = _turned(image, main)
        rows, cols = turned.shape[1:]
        padded = _padded(turned)
        parts = []
        for c in _chunks(chosen, 2 * max(1, n) * rows):
            places, taps = _cross(c0[c], slope[c], rows, cols)
            values = padded.index_select(1, places.flatten()).reshape(n, *places.shape)
            parts.append(((values * taps).sum((-2, -1)) * weight[c]).to(image.dtype))
        return torch.cat(parts, 1)

    def empty() -> Tensor:
        return image.new_zeros(n, axis.numel())

    if image.numel() == 0:
        return empty().reshape(n, *axis.shape)
    return _by_axis(side, axis.flatten(), 1, empty).reshape(n, *axis.shape)


def rays_adjoint(
    sino: Tensor, axis: Tensor, c0: Tensor, slope: Tensor, weight: Tensor, shape: tuple[int, int]
) -> Tensor:
    """The exact adjoint of `rays_forward`."""
    n = len(sino)
    sino, axis, c0, slope, weight = sino.flatten(1), *(p.flatten() for p in (axis, c0, slope, weight))
    out = sino.new_zeros(n, *shape)
    if sino.numel() == 0 or out.numel() == 0:
        return out
    for main in (0, 1):
        rows, cols = shape[::-1] if main else shape
        for c in _chunks(torch.nonzero(axis == main).flatten(), 2 * n * rows):
            if len(c) == 0:
                continue
            places, taps = _cross(c0[c], slope[c], rows, cols)
            values = ((sino.index_select(1, c) * weight[c])[..., None, None] * taps).to(sino.dtype)
            side = sino.new_zeros(n, rows * (cols + 1)).index_add(1, places.flatten(), values.flatten(1))
            out = out + _turned(side.reshape(n, rows, cols + 1)[:, :, :-1], main)
    return out
