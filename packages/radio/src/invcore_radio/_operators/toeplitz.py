"""AᴴA of a planar array as a convolution with the dirty beam."""

from __future__ import annotations

import torch
from scipy.fft import next_fast_len
from torch import Tensor


def padded_sizes(shape: tuple[int, int]) -> tuple[int, int]:
    """Sizes at which a cyclic convolution of an image with offsets up to its size is a plain one."""
    return next_fast_len(2 * shape[0] - 1), next_fast_len(2 * shape[1] - 1)


def beam_spectrum(beam: Tensor, shape: tuple[int, int]) -> Tensor:
    """The transfer function of a dirty beam.

    Parameters
    ----------
    beam : Tensor, shape (..., 2 ny, 2 nx)
        Even about its pixel ``(ny, nx)``, as the adjoint of an array on an image of twice the size gives it.
    shape : (int, int)
        ``(ny, nx)`` of the images to convolve.

    Returns
    -------
    Tensor, shape (..., sy, sx//2 + 1)
        Real, for the ``padded_sizes`` ``(sy, sx)``.
    """
    (ny, nx), (sy, sx) = shape, padded_sizes(shape)
    offsets = beam[..., 1:, 1:]  # from -(n - 1) to n - 1
    offsets = torch.nn.functional.pad(offsets, (0, sx - 2 * nx + 1, 0, sy - 2 * ny + 1))
    return torch.fft.rfft2(offsets.roll((1 - ny, 1 - nx), (-2, -1))).real.contiguous()


def convolve(image: Tensor, spectrum: Tensor) -> Tensor:
    """An image ``(..., ny, nx)`` convolved with the kernel of a `beam_spectrum`, cut to its own size."""
    ny, nx = image.shape[-2:]
    sy, sx = padded_sizes((ny, nx))
    # the transforms along x leave out the rows that are zero or not wanted
    rows = torch.fft.rfft(image, n=sx, dim=-1)
    product = torch.fft.fft(rows, n=sy, dim=-2) * spectrum
    return torch.fft.irfft(torch.fft.ifft(product, dim=-2)[..., :ny, :], n=sx, dim=-1)[..., :nx].contiguous()
