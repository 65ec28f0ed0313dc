"""Gram operator AᴴA of a planar array, as a convolution with the dirty beam."""

from __future__ import annotations

import torch
from scipy.fft import next_fast_len
from torch import Tensor


def padded_sizes(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the sizes at which a cyclic convolution with the dirty beam equals the linear one."""
    return next_fast_len(2 * shape[0] - 1), next_fast_len(2 * shape[1] - 1)


def beam_spectrum(beam: Tensor, shape: tuple[int, int]) -> Tensor:
    """Compute the transfer function of a dirty beam.

    Parameters
    ----------
    beam : Tensor, shape (..., 2 ny, 2 nx)
        Dirty beam on an image of twice the size, symmetric about its pixel ``(ny, nx)``.
    shape : (int, int)
        Pixels ``(ny, nx)`` of the images to convolve.

    Returns
    -------
    Tensor, shape (..., sy, sx//2 + 1)
        Real spectrum for the `padded_sizes` ``(sy, sx)``.
    """
    (ny, nx), (sy, sx) = shape, padded_sizes(shape)
    offsets = beam[..., 1:, 1:]  # from -(n - 1) to n - 1
    offsets = torch.nn.functional.pad(offsets, (0, sx - 2 * nx + 1, 0, sy - 2 * ny + 1))
    return torch.fft.rfft2(offsets.roll((1 - ny, 1 - nx), (-2, -1))).real.contiguous()


def convolve(image: Tensor, spectrum: Tensor) -> Tensor:
    """Convolve an image ``(..., ny, nx)`` with the kernel of a `beam_spectrum`, cropped to the same size."""
    ny, nx = image.shape[-2:]
    sy, sx = padded_sizes((ny, nx))
    # the transforms along x skip the rows that are zero or not needed
    rows = torch.fft.rfft(image, n=sx, dim=-1)
    product = torch.fft.fft(rows, n=sy, dim=-2) * spectrum
    return torch.fft.irfft(torch.fft.ifft(product, dim=-2)[..., :ny, :], n=sx, dim=-1)[..., :nx].contiguous()
