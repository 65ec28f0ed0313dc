"""Transforms that permute pixels: shifts, reflections, shifts in time."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

import invcore

from .base import Transform

_MANY = 2**24
"""Shifts are drawn below it and taken modulo the size: uniform to 1e-4, and whole in float32."""


def at_index(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """``x`` at one index (n, size) per image along a dimension counted from the end."""
    shape = [len(x)] + [1] * (x.ndim - 1)
    shape[x.ndim + dim] = index.shape[-1]
    return x.gather(
        x.ndim + dim,
        index.to(x.device).reshape(shape).expand(*x.shape[: x.ndim + dim], -1, *x.shape[x.ndim + dim + 1 :]),
    )


def rolled(x: Tensor, dim: int, shift: Tensor) -> Tensor:
    """Roll each image by its own number of pixels."""
    n = x.shape[dim]
    return at_index(x, dim, (torch.arange(n) - shift.long().cpu()[:, None]) % n)


class Shift(Transform):
    """Circular shifts by whole pixels along each spatial dimension.

    Parameters
    ----------
    limit : int, optional
        Largest shift in pixels; by default any.

    References
    ----------
    D. Chen, J. Tachella, M. E. Davies, Equivariant imaging: learning beyond the range space, ICCV 2021.

    Examples
    --------
    >>> x = torch.arange(4.0).reshape(1, 1, 4)
    >>> Shift().apply(x, torch.tensor([0.0, 1.0]))
    tensor([[[3., 0., 1., 2.]]])
    """

    limit: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 0:
            raise invcore.ParameterError(f"Shift: limit must be >= 0, got {self.limit!r}")

    def _draw(self, generator: torch.Generator) -> Tensor:
        low, high = (0, _MANY) if self.limit is None else (-self.limit, self.limit + 1)
        return torch.randint(low, high, (self.spatial_dims,), generator=generator).double()

    def _apply(self, x: Tensor, g: Tensor) -> Tensor:
        for i in range(self.spatial_dims):
            x = rolled(x, i - self.spatial_dims, g[:, i])
        return x

    def _undo(self, x: Tensor, g: Tensor) -> Tensor:
        return self._apply(x, -g)

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """The sum of the shifts."""
        return a + b

    def elements(self, shape: tuple[int, ...]) -> Tensor:
        """All shifts of an image."""
        if self.limit is not None:
            raise invcore.ParameterError("Shift: shifts up to a limit are no group")
        axes = [torch.arange(n, dtype=torch.float64) for n in shape]
        return torch.cartesian_prod(*axes).reshape(-1, len(shape))


class Reflect(Transform):
    """Reflections along some spatial dimensions.

    Parameters
    ----------
    axes : tuple of int
        Negative, -1 the last dimension.

    Examples
    --------
    >>> x = torch.arange(4.0).reshape(1, 1, 4)
    >>> Reflect().apply(x, torch.tensor([0.0, 1.0]))
    tensor([[[3., 2., 1., 0.]]])
    """

    axes: tuple[int, ...] = (-2, -1)

    def __post_init__(self) -> None:
        if not self.axes or any(not -self.spatial_dims <= a < 0 for a in self.axes):
            raise invcore.ParameterError(
                f"Reflect: axes must lie between -{self.spatial_dims} and -1, got {self.axes}"
            )

    def _draw(self, generator: torch.Generator) -> Tensor:
        return torch.randint(2, (len(self.axes),), generator=generator).double()

    def _apply(self, x: Tensor, g: Tensor) -> Tensor:
        for i, axis in enumerate(self.axes):
            flipped = (g[:, i] != 0).to(x.device).reshape(-1, *(1,) * (x.ndim - 1))
            x = torch.where(flipped, x.flip(axis), x)
        return x

    def _undo(self, x: Tensor, g: Tensor) -> Tensor:
        return self._apply(x, g)

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """Each axis is reflected if one of both does."""
        return (a + b) % 2

    def elements(self, shape: tuple[int, ...]) -> Tensor:
        """All 2ⁿ combinations."""
        bits = [torch.tensor([0.0, 1.0], dtype=torch.float64)] * len(self.axes)
        return torch.cartesian_prod(*bits).reshape(-1, len(self.axes))


class TimeShift(Transform):
    """Shifts in time, the first of the spatial dimensions: (channel, t, y, x).

    Parameters
    ----------
    limit : int, optional
        Largest shift in frames; by default any.
    padding : {"wrap", "reflect"}
        What comes in: the other end, or the same frames in reverse. The latter cannot be undone.

    References
    ----------
    A. Wang, M. Davies, Fully unsupervised dynamic MRI reconstruction via diffeo-temporal equivariance, ISBI
    2025.

    Examples
    --------
    >>> x = torch.arange(3.0).reshape(1, 3, 1, 1)
    >>> TimeShift(padding="reflect").apply(x, torch.tensor([1.0])).flatten()
    tensor([1., 0., 1.])
    """

    limit: int | None = None
    padding: Literal["wrap", "reflect"] = "wrap"
    spatial_dims: int = 3

    def __post_init__(self) -> None:
        if self.padding not in ("wrap", "reflect"):
            raise invcore.ParameterError(
                f"TimeShift: padding must be 'wrap' or 'reflect', got {self.padding!r}"
            )

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """True if it wraps."""
        return self.padding == "wrap"

    def _draw(self, generator: torch.Generator) -> Tensor:
        low, high = (0, _MANY) if self.limit is None else (-self.limit, self.limit + 1)
        return torch.randint(low, high, (1,), generator=generator).double()

    def _apply(self, x: Tensor, g: Tensor) -> Tensor:
        dim = -self.spatial_dims
        if self.padding == "wrap":
            return rolled(x, dim, g[:, 0])
        n = x.shape[dim]
        period = max(2 * n - 2, 1)
        index = (torch.arange(n) - g.long().cpu()) % period
        return at_index(x, dim, torch.where(index < n, index, period - index))

    def _undo(self, x: Tensor, g: Tensor) -> Tensor:
        return self._apply(x, -g)

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """The sum of the shifts, where they wrap."""
        return a + b if self.padding == "wrap" else super().compose(a, b)

    def elements(self, shape: tuple[int, ...]) -> Tensor:
        """All shifts that wrap."""
        if self.limit is not None or self.padding != "wrap":
            raise invcore.ParameterError("TimeShift: only all shifts that wrap are a group")
        return torch.arange(shape[0], dtype=torch.float64)[:, None]
