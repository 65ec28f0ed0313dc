"""In which order a single-pixel camera shows its patterns."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError

HadamardOrder = Literal["natural", "sequency", "cake_cutting", "zigzag", "xy"]
HADAMARD_ORDERS: tuple[str, ...] = get_args(HadamardOrder)
HAAR_ORDERS = ("natural", "scale")


def hadamard_order(shape: tuple[int, int], order: HadamardOrder = "cake_cutting") -> Tensor:
    r"""Return the patterns of the Walsh–Hadamard basis in the order in which they are shown.

    Pattern i = a nx + b, in natural order, is the outer product of the rows a and b of the Hadamard matrices
    of both axes, with :math:`s_a` and :math:`s_b` changes of sign. The orders:

    ================  ==================================================================================
    ``natural``       Hadamard's, i
    ``sequency``      Walsh's: by the changes of sign along the raster scan of the pattern
    ``cake_cutting``  by the number of blocks that the pattern has, :math:`(s_a + 1)(s_b + 1)` [1]_
    ``zigzag``        along antidiagonals of :math:`(s_a, s_b)`, back and forth, as JPEG does
    ``xy``            by :math:`s_a s_b + (s_a^2 + s_b^2) / 4`
    ================  ==================================================================================

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``, powers of two.
    order : {"natural", "sequency", "cake_cutting", "zigzag", "xy"}

    Returns
    -------
    Tensor, shape (ny nx)
        Numbers of patterns. The first m of them are what a camera with m patterns shows.

    Raises
    ------
    ParameterError, ShapeError

    References
    ----------
    .. [1] W.-K. Yu, "Super sub-Nyquist single-pixel imaging by means of cake-cutting Hadamard basis sort",
       Sensors 19 (2019).

    Examples
    --------
    >>> hadamard_order((2, 2), "cake_cutting")
    tensor([0, 1, 2, 3])
    >>> hadamard_order((1, 4), "sequency")
    tensor([0, 2, 3, 1])
    """
    good = len(shape) == 2 and all(isinstance(n, int) and n > 0 and n & (n - 1) == 0 for n in shape)
    if not good:
        raise ShapeError(f"hadamard_order: shape is (ny, nx), powers of two, got {shape!r}")
    if order not in HADAMARD_ORDERS:
        raise ParameterError(f"the order of Hadamard patterns is one of {HADAMARD_ORDERS}, got {order!r}")
    return _hadamard_order(tuple(shape), order).clone()


@lru_cache
def _hadamard_order(shape: tuple[int, ...], order: str) -> Tensor:
    ny, nx = shape
    if order == "natural":
        return torch.arange(ny * nx)
    if order == "sequency":
        return torch.argsort(_sign_changes(ny * nx))
    sy, sx = _sign_changes(ny)[:, None], _sign_changes(nx)[None, :]
    if order == "cake_cutting":
        key = (sy + 1) * (sx + 1)
    elif order == "xy":
        key = 4 * sy * sx + sy**2 + sx**2
    else:
        diagonal = sy + sx
        key = diagonal * (ny + nx) + torch.where(diagonal % 2 == 0, sx, sy)
    ties = (sy + sx) * (ny + nx) + sy  # the rounder pattern first
    return torch.argsort(key.flatten() * (ny + nx) ** 2 + ties.flatten(), stable=True)


def _sign_changes(n: int) -> Tensor:
    """Changes of sign in each row of the Hadamard matrix of n in natural order.

    The number of the row, its bits reversed, is the Gray code of the number of changes.
    """
    row, code = torch.arange(n), torch.zeros(n, dtype=torch.long)
    for _ in range(n.bit_length() - 1):
        code, row = 2 * code + (row & 1), row >> 1
    changes = code.clone()
    while bool((code := code >> 1).any()):
        changes ^= code
    return changes


def haar_order(shape: tuple[int, int], levels: int, order: str = "scale") -> Tensor:
    """Return the patterns of the Haar basis in raster order of their layout, or coarse ones first."""
    if order not in HAAR_ORDERS:
        raise ParameterError(f"the order of Haar patterns is one of {HAAR_ORDERS}, got {order!r}")
    index = torch.arange(shape[0] * shape[1])
    if order == "natural":
        return index
    scale = torch.zeros(shape, dtype=torch.long)
    for level in range(levels, 0, -1):
        ny, nx = shape[0] >> level, shape[1] >> level
        scale[ny : 2 * ny, : 2 * nx] = scale[: 2 * ny, nx : 2 * nx] = levels + 1 - level
    return torch.argsort(scale.flatten(), stable=True)
