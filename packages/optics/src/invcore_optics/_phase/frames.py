"""Windows of an image at many positions: gathered, scattered back, and moved by fractions of a pixel."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore.operators import under_transform
from invcore.spaces import broadcast_shapes


def gather(x: Tensor, corners: Tensor, size: tuple[int, int]) -> Tensor:
    """Windows of an image.

    Parameters
    ----------
    x : Tensor, shape (..., y, x)
    corners : Tensor of int64, shape (..., frame, 2)
        First row and column of each window. Leading dimensions are batch and broadcast against those of x.
    size : tuple of int
        Rows and columns of a window.

    Returns
    -------
    Tensor, shape (..., frame, *size)

    Examples
    --------
    >>> gather(torch.arange(12.0).reshape(3, 4), torch.tensor([[0, 0], [1, 2]]), (2, 2))[1]
    tensor([[ 6.,  7.],
            [10., 11.]])
    """
    if plain(x, corners):  # no index of all pixels
        windows = x.unfold(-2, size[0], 1).unfold(-2, size[1], 1)
        return windows[..., corners[:, 0], corners[:, 1], :, :]
    index = _index(corners, size, x.shape[-1])
    flat = x.flatten(-2)
    if index.ndim == 3:
        return flat.index_select(-1, index.flatten()).unflatten(-1, index.shape)
    batch = broadcast_shapes(x.shape[:-2], index.shape[:-3])
    index = index.expand(*batch, *index.shape[-3:])
    return flat.expand(*batch, -1).gather(-1, index.flatten(-3)).unflatten(-1, index.shape[-3:])


def scatter(w: Tensor, corners: Tensor, shape: tuple[int, int]) -> Tensor:
    """The sum of windows at their places in an image of zeros: the adjoint of `gather`.

    Parameters
    ----------
    w : Tensor, shape (..., frame, *size)
    corners : Tensor of int64, shape (..., frame, 2)
    shape : tuple of int
        Of the image.

    Returns
    -------
    Tensor, shape (..., *shape)

    Examples
    --------
    >>> scatter(torch.ones(2, 1, 2), torch.tensor([[0, 0], [0, 1]]), (1, 3))
    tensor([[1., 2., 1.]])
    """
    if plain(w, corners):
        found = w.new_zeros(*w.shape[:-3], *shape)
        add_windows(found, w, corners)
        return found
    index = _index(corners, (w.shape[-2], w.shape[-1]), shape[1])
    if index.ndim == 3:
        empty = w.new_zeros(*w.shape[:-3], math.prod(shape))
        return empty.index_add(-1, index.flatten(), w.flatten(-3)).unflatten(-1, shape)
    batch = broadcast_shapes(w.shape[:-3], index.shape[:-3])
    w, index = w.expand(*batch, *w.shape[-3:]), index.expand(*batch, *index.shape[-3:])
    empty = w.new_zeros(*batch, math.prod(shape))
    return empty.scatter_add(-1, index.flatten(-3), w.flatten(-3)).unflatten(-1, shape)


def add_windows(image: Tensor, windows: Tensor, corners: Tensor) -> None:
    """Add windows (..., frame, *size) to an image (..., y, x) at their places."""
    rows, columns = windows.shape[-2:]
    for window, (top, left) in zip(windows.unbind(-3), corners.tolist()):
        image[..., top : top + rows, left : left + columns] += window


def plain(x: Tensor, corners: Tensor, *others: Tensor) -> bool:
    """Return True where windows may be taken one by one: on a CPU, without derivatives, at known corners."""
    learning = torch.is_grad_enabled() and any(t.requires_grad for t in (x, *others))
    return corners.ndim == 2 and x.device.type == "cpu" and not learning and not under_transform()


def _index(corners: Tensor, size: tuple[int, int], width: int) -> Tensor:
    """Places in the flattened image, (..., frame, *size)."""
    rows = torch.arange(size[0], device=corners.device)[:, None] * width
    columns = torch.arange(size[1], device=corners.device)
    return (corners[..., 0] * width + corners[..., 1])[..., None, None] + (rows + columns)


def shifted(x: Tensor, by: Tensor) -> Tensor:
    """An image moved by fractions of a pixel, through the shift theorem; what leaves comes in opposite.

    Parameters
    ----------
    x : Tensor, complex, shape (..., y, x)
    by : Tensor, shape (..., 2)
        Pixels along y and x, positive to larger indices; leading dimensions broadcast against those of x.

    Returns
    -------
    Tensor, shape (..., y, x)

    Examples
    --------
    >>> shifted(torch.eye(3) + 0j, torch.tensor([1.0, 0.0])).real.round().abs()
    tensor([[0., 0., 1.],
            [1., 0., 0.],
            [0., 1., 0.]])
    """
    return torch.fft.ifft2(torch.fft.fft2(x) * ramp((x.shape[-2], x.shape[-1]), by))


def ramp(size: tuple[int, int], by: Tensor) -> Tensor:
    """The factors exp(-2πi f·by) of the spectrum that move an image, (..., *size)."""
    rows, columns = (
        torch.polar(torch.ones_like(phase), phase)
        for phase in (
            -2 * math.pi * by[..., axis, None] * torch.fft.fftfreq(n, dtype=by.dtype, device=by.device)
            for axis, n in enumerate(size)
        )
    )
    return rows[..., :, None] * columns[..., None, :]


def power(u: Tensor) -> Tensor:
    """|u|², whose derivatives are those of u ū also at zero.

    Examples
    --------
    >>> power(torch.tensor([3 + 4j]))
    tensor([25.])
    """
    return u.real.square() + u.imag.square()
