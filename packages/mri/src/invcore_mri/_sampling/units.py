"""Units of k-space."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from invcore import DtypeError, ParameterError, ShapeError


def to_cycles(
    trajectory: Tensor,
    *,
    unit: Literal["1/m", "radians", "cycles/pixel"],
    shape: tuple[int, ...] | None = None,
    fov: tuple[float, ...] | None = None,
) -> Tensor:
    r"""Return a trajectory in cycles per field of view, the unit of this package.

    The unit is said, not guessed: :math:`k \cdot \text{FOV}` of k in 1/m; :math:`k n / 2 \pi` of radians per
    pixel, from -π to π; :math:`k n` of cycles per pixel, from -1/2 to 1/2, with n pixels along an axis.

    Parameters
    ----------
    trajectory : Tensor, shape (..., d)
        Axes in the order of the image.
    unit : {"1/m", "radians", "cycles/pixel"}
    shape : tuple of int, optional
        Pixels along each axis, for the units per pixel.
    fov : tuple of float, optional
        Field of view along each axis in meters, for 1/m.

    Returns
    -------
    Tensor, shape (..., d)

    Raises
    ------
    DtypeError, ShapeError, ParameterError

    Examples
    --------
    >>> k = torch.tensor([[250.0, -125.0]])  # 1/m
    >>> to_cycles(k, unit="1/m", fov=(0.256, 0.256))
    tensor([[ 64., -32.]])
    """
    if not trajectory.is_floating_point():
        raise DtypeError(f"to_cycles: the trajectory must be real and floating, got {trajectory.dtype}")
    if unit not in ("1/m", "radians", "cycles/pixel"):
        raise ParameterError(f"to_cycles: unit must be '1/m', 'radians' or 'cycles/pixel', got {unit!r}")
    needed, name = (fov, "fov") if unit == "1/m" else (shape, "shape")
    if needed is None:
        raise ParameterError(f"to_cycles: a trajectory in {unit} needs {name}=, one value an axis")
    if trajectory.ndim < 1 or trajectory.shape[-1] != len(needed):
        raise ShapeError(
            f"to_cycles: the trajectory must be (..., {len(needed)}) for {name}={needed}, got "
            f"{tuple(trajectory.shape)}"
        )
    if unit == "1/m":
        for length in needed:
            check_fov(length)
    elif not all(math.isfinite(v) and v > 0 for v in needed):
        raise ParameterError(f"to_cycles: {name} must be positive, got {needed}")
    factor = torch.tensor(needed, dtype=trajectory.dtype, device=trajectory.device)
    return trajectory * (factor / (2 * math.pi) if unit == "radians" else factor)


def check_fov(fov: float | None) -> None:
    """Raise unless a field of view is a length in meters that a scanner has."""
    if fov is None:
        return
    if not isinstance(fov, int | float) or not (math.isfinite(fov) and fov > 0):
        raise ParameterError(f"fov must be a positive length in meters, got {fov!r}")
    if fov > 5:
        raise ParameterError(f"a field of view of {fov:g} m: give meters, not millimeters")
