"""`Grid`: the pixels or voxels of an image in the world."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError, Value


class _PerAxis:
    """A field with one number for each axis; a single number stands for all axes."""

    def __init__(self, default: float) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, held: Any, owner: type | None = None) -> tuple[float, ...]:
        return self.default if held is None else vars(held)[self.name]  # type: ignore[return-value]

    def __set__(self, held: Any, value: float | Sequence[float]) -> None:
        axes = len(held.shape) if isinstance(held.shape, tuple) else 0
        single = isinstance(value, int | float) or getattr(value, "ndim", 1) == 0
        vars(held)[self.name] = (float(value),) * axes if single else tuple(map(float, value))  # type: ignore[arg-type]


class Grid(Value):
    """The pixels (y, x) or voxels (z, y, x) of an image: shape, spacing and position.

    Every world axis grows with its index: the center of voxel (k, j, i) has

    .. math:: x = x_c + (i - (n_x - 1)/2) Δ_x, \\quad y = y_c + (j - (n_y - 1)/2) Δ_y, \\quad
              z = z_c + (k - (n_z - 1)/2) Δ_z.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)`` or ``(z, y, x)``.
    spacing : float or tuple of float
        Distance between centers in meters, in the order of ``shape``; one number for all axes. Any other unit
        works if all lengths share it: the image is then attenuation per that unit.
    center : float or tuple of float
        World position of the middle of the grid, in meters, in the order of ``shape``.

    Raises
    ------
    ShapeError, ParameterError
        If the shape is not two or three positive numbers, or spacing or center does not match it.

    Examples
    --------
    >>> grid = Grid(shape=(3, 4), spacing=0.5)
    >>> grid
    Grid(3 x 4 pixels of 0.5 x 0.5 m, center (0, 0))
    >>> grid.coordinates(-1)
    tensor([-0.7500, -0.2500,  0.2500,  0.7500], dtype=torch.float64)
    """

    shape: tuple[int, ...]
    spacing: _PerAxis = _PerAxis(1.0)
    center: _PerAxis = _PerAxis(0.0)

    def __post_init__(self) -> None:
        if not isinstance(self.shape, tuple) or not all(isinstance(n, int) and n > 0 for n in self.shape):
            raise ShapeError(f"Grid: shape must be a tuple of positive ints, got {self.shape!r}")
        if len(self.shape) not in (2, 3):
            raise ShapeError(f"Grid: shape must be (y, x) or (z, y, x), got {self.shape}")
        for name, numbers in (("spacing", self.spacing), ("center", self.center)):
            if len(numbers) != len(self.shape):
                raise ShapeError(
                    f"Grid: {name} must be one number or one for each axis of shape {self.shape}, "
                    f"got {numbers}"
                )
            if not all(map(math.isfinite, numbers)):
                raise ParameterError(f"Grid: {name} must be finite, got {numbers}")
        if min(self.spacing) <= 0:
            raise ParameterError(f"Grid: spacing must be positive, got {self.spacing}")

    def __repr__(self) -> str:
        size, step = " x ".join(map(str, self.shape)), " x ".join(f"{s:.4g}" for s in self.spacing)
        kind = "pixels" if self.ndim == 2 else "voxels"
        return f"Grid({size} {kind} of {step} m, center ({', '.join(f'{c:.4g}' for c in self.center)}))"

    @property
    def ndim(self) -> int:
        """Number of dimensions, 2 or 3."""
        return len(self.shape)

    @property
    def extent(self) -> tuple[float, ...]:
        """Length of each side, from border to border, in the order of ``shape``."""
        return tuple(n * s for n, s in zip(self.shape, self.spacing))

    @property
    def radius(self) -> float:
        """Distance from the center to a corner in the xy-plane."""
        return math.hypot(*self.extent[-2:]) / 2

    def coordinates(
        self, axis: int, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None
    ) -> Tensor:
        """World coordinates of the voxel centers along one axis of ``shape``.

        Parameters
        ----------
        axis : int
            -1 is x, -2 is y, -3 is z.
        dtype : torch.dtype
        device : torch.device, optional

        Returns
        -------
        Tensor, shape (shape[axis],)
        """
        n = self.shape[axis]
        index = torch.arange(n, dtype=torch.float64, device=device) - (n - 1) / 2
        return (self.center[axis] + index * self.spacing[axis]).to(dtype)

    def to_index(self, points: Tensor) -> Tensor:
        """World points (x, y[, z]) as voxel indices in the same order: 0 is the center of the first voxel.

        Parameters
        ----------
        points : Tensor, shape (..., ndim)
        """
        parts = [
            (p - center) / step + (n - 1) / 2
            for p, n, step, center in zip(points.unbind(-1), *self._reversed(points))
        ]
        return torch.stack(parts, dim=-1)

    def to_world(self, index: Tensor) -> Tensor:
        """World points of voxel indices, the inverse of `to_index`.

        Parameters
        ----------
        index : Tensor, shape (..., ndim)
        """
        parts = [
            center + (i - (n - 1) / 2) * step
            for i, n, step, center in zip(index.unbind(-1), *self._reversed(index))
        ]
        return torch.stack(parts, dim=-1)

    def _reversed(self, vectors: Tensor) -> tuple[tuple[float, ...], ...]:
        """Shape, spacing and center in the order of world vectors."""
        if vectors.shape[-1:] != (self.ndim,):
            raise ShapeError(f"Grid: expected vectors (..., {self.ndim}), got {tuple(vectors.shape)}")
        return self.shape[::-1], self.spacing[::-1], self.center[::-1]
