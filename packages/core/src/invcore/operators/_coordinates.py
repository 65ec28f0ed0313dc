"""Coordinates for `Warp`: affine and rigid motion, thin-plate splines."""

from __future__ import annotations

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError


def affine_coordinates(
    matrix: Tensor, *, size: tuple[int, ...], offset: Tensor | None = None, center: Tensor | None = None
) -> Tensor:
    """Coordinates M (p − c) + c + offset for each pixel p of the output.

    Parameters
    ----------
    matrix : Tensor, shape (..., d, d)
        M; axes in the order of the image.
    size : tuple of int
        Pixels of the output along each axis.
    offset : Tensor, shape (..., d), optional
        In pixels.
    center : Tensor, shape (d,), optional
        c; by default the middle of the output, (n - 1) / 2.

    Returns
    -------
    Tensor, shape (..., d, *size)

    Raises
    ------
    ShapeError

    Examples
    --------
    >>> affine_coordinates(torch.tensor([[2.0]]), size=(3,), offset=torch.tensor([1.0]))
    tensor([[0., 2., 4.]])
    """
    d = len(size)
    if matrix.shape[-2:] != (d, d):
        raise ShapeError(f"affine_coordinates: matrix must be (..., {d}, {d}) for {d} axes, got "
                         f"{tuple(matrix.shape)}")  # fmt: skip
    pixels = _pixels(size, matrix)
    middle = (pixels.new_tensor(size) - 1) / 2 if center is None else center.to(pixels)
    moved = matrix @ (pixels - middle[:, None]) + middle[:, None]
    if offset is not None:
        moved = moved + offset[..., None]
    return moved.reshape(*moved.shape[:-1], *size)


def rigid_coordinates(angle: float | Tensor, *, size: tuple[int, int], shift: Tensor | None = None) -> Tensor:
    """Coordinates that turn an image about its middle and then shift it.

    Parameters
    ----------
    angle : float or Tensor, shape (...)
        Radians from the first axis (y) towards the second (x), as the image turns.
    size : tuple of int
        ``(y, x)``.
    shift : Tensor, shape (..., 2), optional
        In pixels, how the turned image moves.

    Returns
    -------
    Tensor, shape (..., 2, y, x)

    Examples
    --------
    >>> import math
    >>> from invcore.operators import Warp
    >>> x = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    >>> Warp(rigid_coordinates(math.pi / 2, size=(2, 2)), domain=(1, 2, 2))(x).round(decimals=4)
    tensor([[[2., 4.],
             [1., 3.]]])
    """
    angle = torch.as_tensor(angle)
    c, s = torch.cos(angle), torch.sin(angle)
    back = torch.stack((torch.stack((c, s), -1), torch.stack((-s, c), -1)), -2)  # the inverse rotation
    offset = None if shift is None else -(back @ shift.to(back)[..., None])[..., 0]
    return affine_coordinates(back, size=size, offset=offset)


def thin_plate_spline(
    points: Tensor, values: Tensor, *, size: tuple[int, ...], smoothing: float = 0.0
) -> Tensor:
    r"""Coordinates that interpolate those of control points with the least bending energy.

    .. math:: u(p) = a + B p + \sum_i w_i\, \phi(|p - p_i|), \qquad \sum_i w_i = 0, \; \sum_i w_i p_i^T = 0

    with φ(r) = r² log r in the plane and −r in space [1]_. Affine maps are reproduced. Derivatives reach the
    points and values.

    Parameters
    ----------
    points : Tensor, shape (..., k, d)
        Control points in the output, in pixels; d = 2 or 3 axes in the order of the image, and at least
        d + 1 points that are not all on one line (plane).
    values : Tensor, shape (..., k, d)
        Where in the image each of them is sampled.
    size : tuple of int
        Pixels of the output along each axis.
    smoothing : float
        Weight of the bending energy against the deviation at the control points; 0 interpolates.

    Returns
    -------
    Tensor, shape (..., d, *size)

    Raises
    ------
    ShapeError, ParameterError

    References
    ----------
    .. [1] F. L. Bookstein, "Principal warps: thin-plate splines and the decomposition of deformations", IEEE
       Trans. Pattern Anal. Mach. Intell. 11 (1989).

    Examples
    --------
    >>> corners = torch.tensor([[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 2.0]])
    >>> thin_plate_spline(corners, corners + 1, size=(3, 3))[0].round(decimals=4)
    tensor([[1., 1., 1.],
            [2., 2., 2.],
            [3., 3., 3.]])
    """
    d, k = len(size), points.shape[-2] if points.ndim > 1 else 0
    if d not in (2, 3) or points.shape[-1] != d or values.shape[-2:] != points.shape[-2:] or k < d + 1:
        raise ShapeError(
            f"thin_plate_spline: points and values must be (..., k, d) with k > d and d = {d} (2 or 3) axes, "
            f"got {tuple(points.shape)} and {tuple(values.shape)}"
        )
    if not smoothing >= 0:
        raise ParameterError(f"thin_plate_spline: smoothing must not be negative, got {smoothing!r}")
    p, v = points.double(), values.double()
    center = p.detach().mean(-2, keepdim=True)
    scale = (p.detach() - center).abs().amax((-2, -1), keepdim=True).clamp_min(1e-300)

    def affine(q: Tensor) -> Tensor:
        q = (q - center) / scale
        return torch.cat((torch.ones_like(q[..., :1]), q), -1)

    bend = _radial(p, p) + smoothing * torch.eye(k, dtype=p.dtype, device=p.device)
    P = affine(p)
    corner = P.new_zeros((*P.shape[:-2], d + 1, d + 1))
    system = torch.cat((torch.cat((bend, P), -1), torch.cat((P.mT, corner), -1)), -2)
    right = torch.cat((v, v.new_zeros((*v.shape[:-2], d + 1, d))), -2)
    try:
        solved = torch.linalg.solve(system, right)
    except RuntimeError as error:
        raise ParameterError(
            "thin_plate_spline: two control points coincide, or all lie on one line (plane)"
        ) from error
    pixels = _pixels(size, p).mT
    u = _radial(pixels, p) @ solved[..., :k, :] + affine(pixels) @ solved[..., k:, :]
    return u.mT.reshape(*u.shape[:-2], d, *size).to(values.dtype)


def _pixels(size: tuple[int, ...], like: Tensor) -> Tensor:
    """All pixels of a grid, (d, M)."""
    axes = [torch.arange(n, dtype=like.dtype, device=like.device) for n in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).reshape(len(size), -1)


def _radial(a: Tensor, b: Tensor) -> Tensor:
    """φ of all distances between (..., m, d) and (..., k, d)."""
    square = ((a.unsqueeze(-2) - b.unsqueeze(-3)) ** 2).sum(-1)
    away = square > 0
    safe = torch.where(away, square, 1.0)
    value = 0.5 * safe * safe.log() if a.shape[-1] == 2 else -safe.sqrt()
    return torch.where(away, value, 0.0)
