"""Direct Fourier sum of an interferometer, pixel by pixel: slow and exact, in torch on any device."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError
from invcore.spaces import broadcast_shapes

SPEED_OF_LIGHT = 299_792_458.0
"""Speed of light in m/s."""


def direction_cosines(
    shape: tuple[int, int],
    pixel: float | tuple[float, float],
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the directions of pixels: l grows to the east, m to the north, from the pixel (ny//2, nx//2).

    Parameters
    ----------
    shape : (int, int)
        Pixels of the image, ``(ny, nx)``; row 0 is the northern edge, column 0 the eastern one.
    pixel : float or (float, float)
        Size of a pixel in radians (direction cosine); ``(y, x)`` if two.
    dtype, device
        Type and device of the result.

    Returns
    -------
    l : Tensor, shape (nx,)
    m : Tensor, shape (ny, 1)
    n_minus_one : Tensor, shape (ny, nx)
        √(1 − l² − m²) − 1, computed without cancellation; nan below the horizon.

    Examples
    --------
    >>> l, m, _ = direction_cosines((2, 3), 0.5)
    >>> l.tolist(), m.flatten().tolist()
    ([0.5, 0.0, -0.5], [0.5, 0.0])
    """
    dy, dx = pixel if isinstance(pixel, tuple) else (pixel, pixel)
    ny, nx = shape
    m = (ny // 2 - torch.arange(ny, dtype=dtype, device=device))[:, None] * dy
    l = (nx // 2 - torch.arange(nx, dtype=dtype, device=device)) * dx
    r2 = l**2 + m**2
    return l, m, -r2 / (1 + (1 - r2).sqrt())


def direct_transform(
    image: Tensor,
    *,
    uvw: Tensor,
    frequencies: Tensor,
    pixel: float | tuple[float, float],
    w_term: bool = True,
    beam: Tensor | None = None,
    max_bytes: int = 2**28,
) -> Tensor:
    r"""Compute the visibilities of an image by summing over its pixels,

    .. math:: V_{k,ν} = Σ_p B_{p,ν} x_p e^{-2πi ν/c (u_k l_p + v_k m_p + w_k (n_p - 1))}.

    This is the reference for `Interferometer`, which is much faster. All arguments may require gradients.

    Parameters
    ----------
    image : Tensor, shape (..., channel, y, x)
        Image in Jy/pixel; one channel for all frequencies or one for each.
    uvw : Tensor, shape (..., row, 3)
        Baselines in meters.
    frequencies : Tensor, shape (frequency,)
        Frequencies in Hz.
    pixel : float or (float, float)
        Size of a pixel in radians; ``(y, x)`` if two.
    w_term : bool
        Include w (n − 1).
    beam : Tensor, shape (..., 1 or frequency, y, x), optional
        Primary beam, a factor on the image.
    max_bytes : int
        Memory for the exponentials held at once (more if gradients keep them).

    Returns
    -------
    Tensor, shape (..., row, frequency)
        Complex visibilities in the precision of the image.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ParameterError
        If pixels lie below the horizon.

    Examples
    --------
    A point source a quarter of a turn of phase to the east:

    >>> x = torch.zeros(1, 4, 4, dtype=torch.float64)
    >>> x[0, 2, 1] = 1.0
    >>> uvw, nu = torch.tensor([[250.0, 0.0, 0.0]]), torch.tensor([SPEED_OF_LIGHT])
    >>> direct_transform(x, uvw=uvw, frequencies=nu, pixel=1e-3).imag
    tensor([[-1.0000]], dtype=torch.float64)
    """
    if image.ndim < 3:
        raise ShapeError(f"direct_transform: image must be (..., channel, y, x), got {tuple(image.shape)}")
    apparent = image if beam is None else image * beam.to(image.dtype)
    planes = _planes(apparent.shape[-3], frequencies)
    parts = []
    for kernel, _ in _exponentials(
        uvw, frequencies, image.shape[-2:], pixel, w_term, image.dtype, image.device, max_bytes
    ):
        pattern = "...rfn,...fn->...rf" if planes > 1 else "...rfn,...n->...rf"
        flat = apparent.flatten(-2).to(kernel.dtype)
        parts.append(torch.einsum(pattern, kernel, flat if planes > 1 else flat[..., 0, :]))
    return torch.cat(parts, -2)


def direct_adjoint(
    vis: Tensor,
    *,
    uvw: Tensor,
    frequencies: Tensor,
    shape: tuple[int, int],
    pixel: float | tuple[float, float],
    channels: int = 1,
    w_term: bool = True,
    max_bytes: int = 2**28,
) -> Tensor:
    """Apply the adjoint of `direct_transform` without a beam: the real part of the sum over visibilities.

    Parameters
    ----------
    vis : Tensor, shape (..., row, frequency)
        Complex visibilities.
    shape : (int, int)
        Pixels of the image, ``(ny, nx)``.
    channels : int
        1 to sum over frequencies, or the number of frequencies.

    Returns
    -------
    Tensor, shape (..., channels, y, x)
        Real image.

    Examples
    --------
    >>> y = torch.ones(3, 2, dtype=torch.complex64)
    >>> nu = torch.tensor([1e9, 2e9])
    >>> direct_adjoint(y, uvw=torch.zeros(3, 3), frequencies=nu, shape=(1, 1), pixel=1e-3)
    tensor([[[6.]]])
    """
    planes = _planes(channels, frequencies)
    total: Tensor | None = None
    real = vis.real.dtype
    for kernel, rows in _exponentials(
        uvw, frequencies, torch.Size(shape), pixel, w_term, real, vis.device, max_bytes
    ):
        pattern = "...rfn,...rf->...fn" if planes > 1 else "...rfn,...rf->...n"
        part = torch.einsum(pattern, kernel.conj(), vis[..., rows, :]).real
        total = part if total is None else total + part
    if total is None:
        batch = broadcast_shapes(vis.shape[:-2], uvw.shape[:-2])
        return torch.zeros((*batch, channels, *shape), dtype=real, device=vis.device)
    return (total if planes > 1 else total.unsqueeze(-2)).unflatten(-1, shape)


def _planes(channels: int, frequencies: Tensor) -> int:
    if channels not in (1, frequencies.shape[0]):
        raise ShapeError(
            f"the image has {channels} channels, there are {frequencies.shape[0]} frequencies: "
            "give 1 channel or one for each frequency"
        )
    return channels


def check_horizon(shape: tuple[int, int], pixel: float | tuple[float, float], who: str) -> None:
    """Raise `ParameterError` unless every pixel lies above the horizon."""
    dy, dx = pixel if isinstance(pixel, tuple) else (pixel, pixel)
    corner = math.hypot(shape[0] // 2 * dy, shape[1] // 2 * dx)
    if not corner < 1:
        raise ParameterError(
            f"{who}: the corner of the image is {corner:.3g} from the phase center, beyond the horizon at 1; "
            "take fewer or "
            "smaller pixels (radians), or w_term=False"
        )


def _exponentials(
    uvw: Tensor,
    frequencies: Tensor,
    shape: torch.Size,
    pixel: float | tuple[float, float],
    w_term: bool,
    dtype: torch.dtype,
    device: torch.device,
    max_bytes: int,
) -> Iterator[tuple[Tensor, slice]]:
    """Yield exp(-2πi ν/c (...)), (..., rows, frequency, pixel), and its rows, with phases in float64."""
    if uvw.ndim < 2 or uvw.shape[-1] != 3:
        raise ShapeError(f"uvw must be (..., row, 3), got {tuple(uvw.shape)}")
    size: tuple[int, int] = (shape[0], shape[1])
    if w_term:
        check_horizon(size, pixel, "direct_transform")
    l, m, n_minus_one = direction_cosines(size, pixel, device=device)
    scale = frequencies.double() / SPEED_OF_LIGHT
    held = scale.shape[0] * math.prod(size) * math.prod(uvw.shape[:-2])
    step = max(1, max_bytes // (48 * max(1, held)))
    for first in range(0, max(1, uvw.shape[-2]), step):
        rows = slice(first, min(first + step, uvw.shape[-2]))
        u, v, w = uvw[..., rows, :].double()[..., None, None].unbind(-3)
        cycles = u * l + v * m
        if w_term:
            cycles = cycles + w * n_minus_one
        cycles = cycles.flatten(-2)[..., None, :] * scale[:, None]
        angle = (-2 * torch.pi * (cycles - cycles.detach().round())).to(dtype)
        yield torch.polar(torch.ones_like(angle), angle), rows
