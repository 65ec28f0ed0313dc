"""Location and extraction of the fully sampled center of k-space."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError


def sampled(kspace: Tensor, *, spatial_dims: int = 2) -> Tensor:
    """Find the measured positions of k-space: those where any coil differs from exactly zero.

    Parameters
    ----------
    kspace : Tensor
        K-space of shape ``(..., coil, *spatial)``.
    spatial_dims : int
        Number of spatial axes, 2 or 3.

    Returns
    -------
    Tensor
        Boolean mask of shape ``(..., *spatial)``.

    Raises
    ------
    ShapeError
        If ``kspace`` has no coil axis before its spatial ones.

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import sampled
    >>> kspace = torch.zeros(4, 3, 3, dtype=torch.complex64)
    >>> kspace[:, 1] = 1
    >>> sampled(kspace).int().tolist()
    [[0, 0, 0], [1, 1, 1], [0, 0, 0]]
    """
    check_kspace(kspace, spatial_dims)
    return (kspace != 0).any(dim=-spatial_dims - 1)


def intended(mask: Tensor, *, spatial_dims: int = 2) -> Tensor:
    """Find the positions that a scan meant to measure: the measured ones and the holes between them.

    A position is a hole if there are measured ones on both sides of it along an axis, or holes. What lies
    outside was never meant to be measured: zero padding, cropped corners, the side that partial Fourier
    leaves out.

    Parameters
    ----------
    mask : Tensor
        Boolean, shape ``(..., *spatial)``.
    spatial_dims : int
        Number of spatial axes.

    Returns
    -------
    Tensor
        Boolean, of the same shape.

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import intended
    >>> intended(torch.tensor([[0, 0, 0, 0, 0], [0, 1, 0, 1, 0], [0, 0, 1, 0, 0]]) > 0).int()
    tensor([[0, 0, 0, 0, 0],
            [0, 1, 1, 1, 0],
            [0, 0, 1, 0, 0]], dtype=torch.int32)
    """
    found = mask.to(torch.uint8)
    while True:
        filled = found
        for axis in range(-spatial_dims, 0):
            before = filled.cummax(axis).values
            filled = before & filled.flip(axis).cummax(axis).values.flip(axis)
        if bool((filled == found).all()):
            return found.bool()
        found = filled


def extent(mask: Tensor) -> tuple[tuple[int, int], ...]:
    """First and last measured position on each axis of a mask ``(*spatial)`` that is not empty."""
    ends = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        along = mask.any(others).nonzero().flatten()
        ends.append((int(along[0]), int(along[-1])))
    return tuple(ends)


def check_kspace(kspace: Tensor, spatial_dims: int) -> None:
    """Raise unless ``kspace`` is complex with a coil axis and ``spatial_dims`` spatial axes, none empty."""
    if spatial_dims not in (2, 3):
        raise ParameterError(f"spatial_dims is the number of spatial axes, 2 or 3; got {spatial_dims!r}")
    if kspace.ndim < spatial_dims + 1 or 0 in kspace.shape[-spatial_dims - 1 :]:
        raise ShapeError(
            f"expected k-space of shape (..., coil, {'y, x' if spatial_dims == 2 else 'z, y, x'}) without "
            f"empty axes, got {tuple(kspace.shape)}; pass spatial_dims= if the number of spatial axes is not "
            f"{spatial_dims}"
        )
    if not kspace.is_complex():
        raise ShapeError(
            f"k-space must be a native complex tensor, got {kspace.dtype}; "
            "use torch.view_as_complex on (..., 2) real data"
        )


def calibration_shape(mask: Tensor, limit: tuple[int, ...]) -> tuple[int, ...]:
    """Find the largest fully sampled box centered on DC, no longer than ``limit`` on each axis.

    A box of length ``w`` on an axis of length ``n`` covers ``n//2 - w//2, ..., n//2 - w//2 + w - 1``.
    Among boxes of equal volume the one nearest to a cube wins.

    Parameters
    ----------
    mask : Tensor
        Mask of shape ``(*spatial)``; nonzero means sampled.
    limit : tuple of int
        Largest length on each axis.

    Returns
    -------
    tuple of int
        Lengths on each axis; all zero if DC itself is not sampled.

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import calibration_shape
    >>> mask = torch.zeros(64, 64)
    >>> mask[:, ::2] = 1
    >>> mask[:, 22:42] = 1
    >>> calibration_shape(mask, (24, 24))
    (24, 21)
    """
    if mask.ndim != len(limit):
        raise ShapeError(f"limit {limit} has {len(limit)} lengths, the mask {mask.ndim} axes")
    limit = tuple(min(int(c), n) for c, n in zip(limit, mask.shape))
    center = mask.detach().cpu() != 0
    for axis, (c, n) in enumerate(zip(limit, mask.shape)):
        center = center.narrow(axis, n // 2 - c // 2, c)
    # holes[u - 1, v - 1]: an unsampled point lies in boxes of (u, v) and larger, but in no smaller one.
    # Its running maximum detects in O(1) whether a box contains an unsampled point.
    holes = torch.zeros(limit, dtype=torch.int32)
    points = (~center).nonzero()
    lengths = []
    for axis, c in enumerate(limit):
        offset = points[:, axis] - c // 2
        lengths.append(torch.where(offset < 0, -2 * offset, 2 * offset + 1) - 1)
    if len(points):
        holes[tuple(lengths)] = 1
    for axis in range(holes.ndim):
        holes = holes.cummax(axis).values
    best, score = (0,) * holes.ndim, (0, 0)
    for index in (holes == 0).nonzero().tolist():
        box = tuple(i + 1 for i in index)
        volume = 1
        for side in box:
            volume *= side
        if (volume, -max(box)) > score:
            best, score = box, (volume, -max(box))
    return best


def center_crop(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Cut the centered box ``shape`` (a view) out of the trailing axes of ``x``."""
    for axis, c in zip(itertools.count(-len(shape)), shape):
        n = x.shape[axis]
        x = x.narrow(axis, n // 2 - c // 2, c)
    return x
