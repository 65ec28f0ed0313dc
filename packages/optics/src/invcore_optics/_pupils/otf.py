"""Incoherent transfer function of a clear pupil."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore import ParameterError

from .objective import Objective


def otf(
    objective: Objective,
    *,
    pixel: float | tuple[float, float],
    shape: tuple[int, int],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    r"""Incoherent optical transfer function of a clear round pupil in focus, on the grid of an FFT,

    .. math:: H(f) = \frac{2}{π} (\arccos q - q \sqrt{1 - q^2}), \qquad q = |f| λ / (2 NA) \le 1,

    and 0 beyond.

    Parameters
    ----------
    objective : Objective
    pixel : float or tuple of float
        Pixel in the object in meters, (y, x) if they differ.
    shape : tuple of int
        Pixels (ny, nx).
    dtype : torch.dtype

    Returns
    -------
    Tensor, shape (ny, nx)
        In the order of `torch.fft.fftfreq`, 1 at frequency 0.

    Raises
    ------
    ParameterError

    References
    ----------
    J. W. Goodman, "Introduction to Fourier Optics", section 6.3.

    Examples
    --------
    >>> otf(Objective(500e-9, 0.5), pixel=250e-9, shape=(1, 4))  # cutoff at half a cycle per pixel
    tensor([[1.0000, 0.3910, 0.0000, 0.3910]])
    """
    sides = pixel if isinstance(pixel, tuple) else (pixel, pixel)
    if len(sides) != 2 or not all(0 < p < math.inf for p in sides):
        raise ParameterError(f"otf: pixel is a positive length in meters, or (y, x), got {pixel!r}")
    fy, fx = (torch.fft.fftfreq(n, d=p, dtype=torch.float64) for n, p in zip(shape, sides))
    return round_transfer(torch.hypot(fy[:, None], fx) / objective.cutoff).to(dtype)


def round_transfer(q: Tensor) -> Tensor:
    """H at q >= 0 times the cutoff of a clear round pupil."""
    q = q.clamp(max=1.0)
    return 2 / math.pi * (torch.acos(q) - q * torch.sqrt(1 - q**2))
