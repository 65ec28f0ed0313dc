"""Centered orthonormal Fourier transforms without shifts.

With c = n // 2, the centered transform X[k] = n^(-1/2) Σ x[j] exp(-2πi (k - c)(j - c)/n) is the plain FFT
between two multiplications by the phase p[j] = exp(2πi c j/n), times the constant exp(-2πi c²/n).
`modulation` gives p; for even n it is (-1)^j. The constant is put into the k-space side.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=64)
def _phase(n: int, constant: bool) -> Tensor:
    c = n // 2
    j = torch.arange(n, dtype=torch.int64)
    turns = (c * j - (c * c if constant else 0)) % n  # exact integers: no phase is lost for large n
    if n % 2 == 0 and not constant:
        return (1 - 2 * (j % 2)).to(torch.float64)
    return torch.polar(torch.ones(n, dtype=torch.float64), turns.to(torch.float64) * (2 * math.pi / n))


def modulation(shape: tuple[int, ...], *, kspace: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the phase by which to multiply the image (or, with ``kspace``, the data), shape ``shape``.

    Real (±1) on the image side if every length is even.
    """
    out = torch.ones((), dtype=torch.float64)
    for axis, n in enumerate(shape):
        trailing = len(shape) - 1 - axis
        out = out * _phase(n, kspace).reshape(n, *(1,) * trailing)
    real = {torch.complex64: torch.float32, torch.complex128: torch.float64}.get(dtype, dtype)
    kind = torch.complex128 if real == torch.float64 else torch.complex64
    return out.to(device=device, dtype=kind if out.is_complex() else real)


def fftn(x: Tensor, dim: tuple[int, ...]) -> Tensor:
    """Return the plain orthonormal FFT; an empty batch passes through."""
    return torch.fft.fftn(x, dim=dim, norm="ortho") if x.numel() else x


def ifftn(y: Tensor, dim: tuple[int, ...]) -> Tensor:
    """Invert `fftn`."""
    return torch.fft.ifftn(y, dim=dim, norm="ortho") if y.numel() else y


def centered_fft(x: Tensor, dims: int) -> Tensor:
    """Return the centered orthonormal FFT over the last ``dims`` axes.

    Parameters
    ----------
    x : Tensor, shape (..., *spatial)
        Image with its origin at index n // 2.
    dims : int
        Number of trailing spatial axes.

    Returns
    -------
    Tensor, shape (..., *spatial), complex
        K-space with DC at index n // 2.

    Examples
    --------
    >>> x = torch.zeros(5, 4); x[2, 2] = 1.0
    >>> bool(torch.allclose(centered_fft(x, 2), torch.full((5, 4), 20.0**-0.5) + 0j, atol=1e-6))
    True
    """
    shape, axes = tuple(x.shape[-dims:]), tuple(range(-dims, 0))
    phase = [modulation(shape, kspace=k, dtype=x.dtype, device=x.device) for k in (False, True)]
    return phase[1] * fftn(phase[0] * x, axes)


def centered_ifft(y: Tensor, dims: int) -> Tensor:
    """Return the inverse (and adjoint) of `centered_fft`.

    Examples
    --------
    >>> x = torch.arange(6.0).reshape(2, 3) + 0j
    >>> torch.allclose(centered_ifft(centered_fft(x, 2), 2), x, atol=1e-5)
    True
    """
    shape, axes = tuple(y.shape[-dims:]), tuple(range(-dims, 0))
    phase = [modulation(shape, kspace=k, dtype=y.dtype, device=y.device) for k in (False, True)]
    return phase[0].conj() * ifftn(phase[1].conj() * y, axes)
