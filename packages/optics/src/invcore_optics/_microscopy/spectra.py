"""Kernels, frequencies and shifts on the periodic grid of an image."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def place_kernel(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """Put a kernel on a periodic grid, its center ``k // 2`` at the first entry; what is beyond wraps."""
    for dim, n in zip((-2, -1), size):
        k = kernel.shape[dim]
        folds = -(-k // n)
        kernel = F.pad(kernel, (*(0, 0) * (-dim - 1), 0, folds * n - k))
        kernel = kernel.unflatten(dim, (folds, n)).sum(dim - 1).roll(-(k // 2), dim)
    return kernel


def frequencies(shape: tuple[int, int], like: Tensor, *, half: bool = False) -> tuple[Tensor, Tensor]:
    """Frequencies (ny, 1) and (1, nx) of the FFT of an image, in cycles per pixel; ``half``: of `rfft2`."""
    last = torch.fft.rfftfreq if half else torch.fft.fftfreq
    fy = torch.fft.fftfreq(shape[0], dtype=like.dtype, device=like.device)
    fx = last(shape[1], dtype=like.dtype, device=like.device)
    return fy[:, None], fx[None, :]


def shifted(x: Tensor, shift: Tensor) -> Tensor:
    """Move images (..., y, x) by (..., 2) pixels, by the Fourier transform: x(r - shift)."""
    fy, fx = frequencies(tuple(x.shape[-2:]), x, half=True)  # type: ignore[arg-type]
    sy, sx = shift[..., :1, None], shift[..., 1:, None]
    ramp = -2 * math.pi * (fy * sy + fx * sx)
    moved = torch.fft.rfft2(x) * torch.polar(torch.ones_like(ramp), ramp)
    return torch.fft.irfft2(moved, s=x.shape[-2:])
