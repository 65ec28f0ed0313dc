"""Blurs with a kernel for each tile of the image, blended between the centers of the tiles."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from invcore import DtypeError, ShapeError
from invcore.operators import LinearOperator, Space

from .space_varying import ORDERS, Order, check_choice, check_fits
from .spectra import axes, good_size, image, spectrum, transfer

Blend = Literal["linear", "smooth"]


class TiledBlur(LinearOperator):
    r"""Blur by kernels known at the centers of equal tiles, blended in between.

    A product-convolution expansion, see `SpaceVaryingBlur`, with one kernel for each tile and windows as
    maps: they overlap, are 1 at the center of their tile and 0 from the centers of its neighbors on, and sum
    to 1. As a pixel lies in four windows at most, the cost does not grow with their number: each window is
    blurred alone, by an FFT of its own size.

    Parameters
    ----------
    kernels : Tensor, shape (..., *tiles, *k)
        For ``d`` spatial dimensions, two or three, ``d`` numbers of tiles and ``d`` sides of the kernel.
    domain : Space
        ``(channel, *spatial)``, real.
    order : {"product_convolution", "convolution_product"}
        Whether the windows lie on the image, before the blur, or on the data, after it.
    boundary : {"valid", "zero"}
        With "valid" (default) the boundary is unknown: data are where the kernel sees the image alone.
    blend : {"linear", "smooth"}
        Windows of triangles, or of a cosine: no kink at the centers.

    Raises
    ------
    ShapeError, DtypeError, ParameterError

    References
    ----------
    .. [1] J. G. Nagy and D. P. O'Leary, "Restoring images degraded by spatially variant blur", SIAM J. Sci.
       Comput. 19 (1998).
    .. [2] M. Hirsch, S. Sra, B. Schölkopf, S. Harmeling, "Efficient filter flow for space-variant multiframe
       blind deconvolution", CVPR (2010).

    Examples
    --------
    >>> kernels = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0, 1.0]).reshape(1, 2, 1, 3)  # two tiles side by side
    >>> A = TiledBlur(kernels, domain=(1, 1, 8), boundary="zero")
    >>> A(torch.tensor([[[1.0, 0, 0, 0, 0, 0, 0, 1]]])).abs().round(decimals=4)
    tensor([[[1., 0., 0., 0., 0., 0., 1., 1.]]])
    """

    kernels: Tensor
    domain: Space
    order: Order = "product_convolution"
    boundary: Literal["valid", "zero"] = "valid"
    blend: Blend = "linear"
    params = ("kernels",)

    def __post_init__(self) -> None:
        d = self._d
        if d not in (2, 3) or 0 in self.domain.shape or self.domain.kind != "real":
            raise ShapeError(
                "TiledBlur: the image must be real and (channel, y, x) or (channel, z, y, x), got "
                f"{self.domain}"
            )
        check_choice("TiledBlur", "order", self.order, ORDERS)
        check_choice("TiledBlur", "boundary", self.boundary, ("valid", "zero"))
        check_choice("TiledBlur", "blend", self.blend, ("linear", "smooth"))
        if not self.kernels.is_floating_point():
            raise DtypeError(f"TiledBlur: kernels must be real floating point, got {self.kernels.dtype}")
        if self.kernels.ndim < 2 * d or 0 in self.kernels.shape[-2 * d :]:
            raise ShapeError(
                f"TiledBlur: kernels must be (..., *tiles, *k) with {d} numbers of tiles and {d} sides, got "
                f"{tuple(self.kernels.shape)}"
            )
        check_fits("TiledBlur", self._taps, self.domain.shape[1:])
        if any(t > n for t, n in zip(self._tiles, self._grid)):
            raise ShapeError(f"TiledBlur: {self._tiles} tiles are more than the pixels {self._grid}")

    @property
    def _d(self) -> int:
        return len(self.domain.shape) - 1

    @property
    def _taps(self) -> tuple[int, ...]:
        return tuple(self.kernels.shape[-self._d :])

    @property
    def _tiles(self) -> tuple[int, ...]:
        return tuple(self.kernels.shape[-2 * self._d : -self._d])

    @property
    def range(self) -> Space:
        return Space((self.domain.shape[0], *self._out))

    @property
    def _out(self) -> tuple[int, ...]:
        lost = [k - 1 if self.boundary == "valid" else 0 for k in self._taps]
        return tuple(n - k for n, k in zip(self.domain.shape[1:], lost))

    @property
    def _grid(self) -> tuple[int, ...]:
        """The grid of the windows."""
        return self.domain.shape[1:] if self.order == "product_convolution" else self._out

    @cached_property
    def _windows(self) -> list[tuple[Tensor, Tensor]]:
        """Of each axis: the starts of the windows (tile,), and their values (tile, length)."""
        return [windows(n, t, self.blend) for n, t in zip(self._grid, self._tiles)]

    def _transfers(self, sizes: tuple[int, ...]) -> Tensor:
        kernels = self.kernels
        if self.order == "convolution_product":
            kernels = kernels.flip(axes(self._d))
        return transfer(kernels, sizes, (0,) * self._d)

    def _widened(self, x: Tensor) -> Tensor:
        """Return Σ_t h_t * (w_t ⊙ x), all of it: k − 1 entries longer than the grid of the windows."""
        lengths = tuple(w.shape[1] for _, w in self._windows)
        wide = tuple(n + k - 1 for n, k in zip(lengths, self._taps))
        sizes = tuple(map(good_size, wide))
        pieces = self._windowed(_pieces(x, [s for s, _ in self._windows], lengths))
        pieces = image(
            spectrum(pieces, sizes) * self._transfers(sizes).unsqueeze(-2 * self._d - 1), sizes, wide
        )
        whole = tuple(n + k - 1 for n, k in zip(self._grid, self._taps))
        return _overlapped(pieces, [s for s, _ in self._windows], whole)

    def _narrowed(self, y: Tensor) -> Tensor:
        """The adjoint of `_widened`."""
        lengths = tuple(w.shape[1] for _, w in self._windows)
        wide = tuple(n + k - 1 for n, k in zip(lengths, self._taps))
        sizes = tuple(map(good_size, wide))
        pieces = _pieces(y, [s for s, _ in self._windows], wide)
        turned = self._transfers(sizes).conj().unsqueeze(-2 * self._d - 1)
        pieces = self._windowed(image(spectrum(pieces, sizes) * turned, sizes, lengths))
        return _overlapped(pieces, [s for s, _ in self._windows], self._grid)

    def _windowed(self, pieces: Tensor) -> Tensor:
        d = self._d
        for i, (_, w) in enumerate(self._windows):
            shape = [1] * (2 * d)
            shape[i], shape[d + i] = w.shape
            pieces = pieces * w.to(pieces).reshape(shape)
        return pieces

    def _margins(self) -> list[int]:
        """What the blur adds before and after each axis, as `torch.nn.functional.pad` takes it."""
        found = []
        for k in reversed(self._taps):
            before = k // 2 if self.order == "product_convolution" else k - 1 - k // 2
            found += [k - 1, k - 1] if self.boundary == "valid" else [before, k - 1 - before]
        return found

    def forward(self, x: Tensor) -> Tensor:
        if self.order == "product_convolution":
            return torch.nn.functional.pad(self._widened(x), [-m for m in self._margins()])
        if self.boundary == "zero":
            x = torch.nn.functional.pad(x, self._margins())
        return self._narrowed(x)

    def adjoint(self, y: Tensor) -> Tensor:
        if self.order == "product_convolution":
            return self._narrowed(torch.nn.functional.pad(y, self._margins()))
        x = self._widened(y)
        return torch.nn.functional.pad(x, [-m for m in self._margins()]) if self.boundary == "zero" else x


def windows(n: int, tiles: int, blend: Blend) -> tuple[Tensor, Tensor]:
    """Return starts (tile,) and values (tile, length) of windows that sum to 1 on ``n`` pixels.

    Examples
    --------
    >>> windows(4, 2, "linear")
    (tensor([0, 1]), tensor([[1.0000, 0.7500, 0.2500],
            [0.2500, 0.7500, 1.0000]], dtype=torch.float64))
    """
    centers = (torch.arange(tiles, dtype=torch.float64) + 0.5) * n / tiles - 0.5
    positions = torch.arange(n, dtype=torch.float64)
    fine = ((positions - centers[:, None]) * tiles / n).clamp(-1, 1)
    fine[0, positions < centers[0]] = 0
    fine[-1, positions > centers[-1]] = 0
    values = 1 - fine.abs() if blend == "linear" else 0.5 + 0.5 * torch.cos(torch.pi * fine)
    there = values > 1e-12
    first = there.double().argmax(1)
    length = int((n - there.flip(1).double().argmax(1) - first).max())
    starts = first.clamp_max(n - length)
    return starts, values.gather(1, starts[:, None] + torch.arange(length))


def _pieces(x: Tensor, starts: list[Tensor], lengths: tuple[int, ...]) -> Tensor:
    """Return windows of an image, (..., channel, *tiles, *lengths)."""
    d = len(lengths)
    for i, (s, n) in enumerate(zip(starts, lengths)):
        dim = x.ndim - (d - i)
        index = (s[:, None] + torch.arange(n)).to(x.device)
        x = x.index_select(dim, index.flatten()).unflatten(dim, tuple(index.shape))
    base = x.ndim - 2 * d
    return x.permute(*range(base), *(base + 2 * i for i in range(d)), *(base + 2 * i + 1 for i in range(d)))


def _overlapped(pieces: Tensor, starts: list[Tensor], whole: tuple[int, ...]) -> Tensor:
    """The adjoint of `_pieces`."""
    d = len(whole)
    base = pieces.ndim - 2 * d
    x = pieces.permute(*range(base), *(base + j for i in range(d) for j in (i, d + i)))
    for i, (s, n) in enumerate(zip(starts, whole)):
        dim = x.ndim - 2 * (d - i)
        index = (s[:, None] + torch.arange(x.shape[dim + 1])).flatten().to(x.device)
        out = x.new_zeros((*x.shape[:dim], n, *x.shape[dim + 2 :]))
        x = out.index_add(dim, index, x.flatten(dim, dim + 1))
    return x
