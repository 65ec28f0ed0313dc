"""Photons returned by surfaces in the bins of a gate: the computation shared by all models."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError
from invcore.operators import under_transform
from invcore.spaces import broadcast_shapes

from .._photons.impulse import ImpulseResponse
from .._photons.units import SPEED_OF_LIGHT


class Gate(NamedTuple):
    """Bins of a gate: bin b covers start + b bin_width to start + (b + 1) bin_width, in seconds."""

    start: float
    bin_width: float
    bins: int


def returns(
    depth: Tensor,
    photons: Tensor,
    impulse: ImpulseResponse,
    gate: Gate,
    *,
    delay: Tensor | None = None,
    base: Tensor | None = None,
    axes: int = 4,
) -> Tensor:
    """Return ``base`` + Σₖ photonsₖ ∫ over each bin of h(t - 2 depthₖ/c - delay) dt.

    Only the bins within the support of h around each return are computed, unless the support is as long as
    the gate.

    Parameters
    ----------
    depth, photons : Tensor, shape (..., surface, y, x)
        Meters; expected photons.
    impulse : ImpulseResponse
        Response, whose parameters broadcast against the batch dimensions.
    gate : Gate
    delay : Tensor, shape (..., y, x), optional
        Seconds.
    base : Tensor, shape (..., 1 or bin, y, x), optional
        Rates to add to; 0 by default.
    axes : int
        Number of axes (with the bins) that are not batch dimensions of the response.

    Returns
    -------
    Tensor, shape (..., bin, y, x)
    """
    dtype, device = photons.dtype, photons.device
    position = arrival(depth, gate, delay)
    h = aligned(impulse, dtype, axes)
    low, high = impulse.support if dtype == torch.float64 else impulse.interval(1e-9)
    taps = math.ceil((high - low) / gate.bin_width) + 1
    if taps >= gate.bins:
        edges = torch.arange(gate.bins + 1, dtype=position.dtype, device=device)
        mass = _between(h, edges[:, None, None] - position.unsqueeze(-3), gate, dtype)
        cube = (photons.unsqueeze(-3) * mass).sum(-4)
        return cube if base is None else cube + base
    first = (position.detach() + low / gate.bin_width).floor().clamp(-taps, gate.bins)
    edges = torch.arange(taps + 1, dtype=dtype, device=device)
    mass = _between(h, edges[:, None, None] - (position - first).to(dtype).unsqueeze(-3), gate, dtype)
    index = first.long().unsqueeze(-3) + torch.arange(taps, device=device)[:, None, None]
    values = photons.unsqueeze(-3) * mass
    if not _all_inside(first, taps, gate.bins):
        inside = index.clamp(0, gate.bins - 1)
        values = torch.where((index == inside) | values.isnan(), values, 0.0)
        index = inside
    if base is None:
        base = photons.new_zeros(1, 1, 1)
    batch = broadcast_shapes(values.shape[:-4], base.shape[:-3])
    values = values.expand(*batch, *values.shape[-4:])
    index = index.expand_as(values)
    cube = base.expand(*batch, gate.bins, *values.shape[-2:])
    return torch.scatter_add(cube, -3, index.flatten(-4, -3), values.flatten(-4, -3))


def _all_inside(first: Tensor, taps: int, bins: int) -> bool:
    """True if no return extends beyond the gate, as far as this is cheap to know."""
    if first.device.type != "cpu" or under_transform() or not first.numel():
        return False
    low, high = first.aminmax()
    return low.item() >= 0 and high.item() + taps <= bins


def arrival(depth: Tensor, gate: Gate, delay: Tensor | None) -> Tensor:
    """Return the arrival of depths (..., surface, y, x) in bins after the start of the gate.

    In double precision, since the time of flight of distant scenes is many bins long.
    """
    position = depth.double() * (2 / SPEED_OF_LIGHT / gate.bin_width) - gate.start / gate.bin_width
    return position if delay is None else position + delay.unsqueeze(-3).double() / gate.bin_width


def aligned(impulse: ImpulseResponse, dtype: torch.dtype, axes: int) -> ImpulseResponse:
    """Return the response in a given precision, its batch dimensions before ``axes`` further ones."""
    return (impulse if impulse.dtype == dtype else impulse.to(dtype)).unsqueezed(axes)


def _between(h: ImpulseResponse, edges: Tensor, gate: Gate, dtype: torch.dtype) -> Tensor:
    """Return the mass of h between edges (bins after the return) along axis -3, at least zero."""
    return h.cumulative((edges * gate.bin_width).to(dtype)).diff(dim=-3).clamp_min(0)


def check_gate(holder: object, bins: int, bin_width: float, start: float) -> None:
    """Raise a `ParameterError` unless these describe a gate."""
    name = type(holder).__name__
    if not isinstance(bins, int) or bins < 1:
        raise ParameterError(f"{name}: bins must be a positive int, got {bins!r}")
    if not (isinstance(bin_width, int | float) and 0 < bin_width < math.inf):
        raise ParameterError(f"{name}: bin_width must be a positive time in seconds, got {bin_width!r}")
    if not (isinstance(start, int | float) and math.isfinite(start)):
        raise ParameterError(f"{name}: start must be a time in seconds, got {start!r}")


def check_impulse(holder: object, impulse: object) -> None:
    """Raise a `ParameterError` unless ``impulse`` is an impulse response."""
    if not isinstance(impulse, ImpulseResponse):
        raise ParameterError(
            f"{type(holder).__name__}: impulse must be an ImpulseResponse, such as "
            f"ImpulseResponse.gaussian(fwhm=seconds), got {impulse!r}"
        )


def check_pixels(holder: object, shape: tuple[int, int], surfaces: int) -> None:
    """Raise unless these describe the pixels of an image."""
    name = type(holder).__name__
    if (
        not isinstance(shape, tuple)
        or len(shape) != 2
        or not all(isinstance(n, int) and n >= 0 for n in shape)
    ):
        raise ShapeError(f"{name}: shape must be the pixels (ny, nx) of the image, got {shape!r}")
    if not isinstance(surfaces, int) or surfaces < 1:
        raise ParameterError(f"{name}: surfaces must be a positive int, got {surfaces!r}")


def check_trailing(holder: object, name: str, held: Tensor | None, shape: tuple[int, int] | None) -> None:
    """Raise a `ShapeError` unless an optional map is (..., y, x), or (..., *shape) if ``shape`` is given."""
    if held is None:
        return
    if held.ndim < 2 or (shape is not None and tuple(held.shape[-2:]) != shape):
        wanted = "(..., y, x)" if shape is None else f"(..., {shape[0]}, {shape[1]})"
        raise ShapeError(f"{type(holder).__name__}: {name} must be {wanted}, got {tuple(held.shape)}")
