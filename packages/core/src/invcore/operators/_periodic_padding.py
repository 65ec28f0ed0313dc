"""Transfer functions, and images that continue smoothly into their periodic copies."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ..spaces import Space
from ._convolution_kernels import place, spectrum
from ._trigonometric import SineTransform


def transfer_function(kernel: Tensor, shape: tuple[int, ...], *, half: bool = False) -> Tensor:
    """The Fourier transform of a kernel on the grid of an image: its circular convolution is a product there.

    Parameters
    ----------
    kernel : Tensor, shape (..., *k)
        With the center at k // 2 of each axis, as `Convolution` takes it. A larger one is folded.
    shape : tuple of int
        Spatial shape of the image, one to three axes.
    half : bool
        Only the frequencies of `torch.fft.rfftn`, for a real kernel and real images.

    Returns
    -------
    Tensor, shape (..., *shape)
        Multiply ``torch.fft.fftn(x, dim=...)`` by it, or `Mask` it between `FourierTransform` and its ``H``.

    Examples
    --------
    >>> transfer_function(torch.tensor([1.0, 2.0, 1.0]), (4,)).real
    tensor([4., 2., 0., 2.])
    """
    d = len(shape)
    if not 1 <= d <= min(3, kernel.ndim):
        raise ShapeError(
            f"transfer_function: kernel (..., *k) with the axes of {shape}, got {tuple(kernel.shape)}"
        )
    center = tuple(k // 2 for k in kernel.shape[-d:])
    return spectrum(place(kernel, shape, center), shape, real=half)


def liu_jia_pad(x: Tensor, padding: tuple[tuple[int, int], tuple[int, int]]) -> Tensor:
    """Continue an image so that its periodic copies join smoothly, for deblurring by FFT.

    The strip between the last row and the first solves Laplace's equation, with straight lines at its ends;
    so do the strip between the columns and then the corner between both: three direct solves with the sine
    transform.

    Parameters
    ----------
    x : Tensor, shape (..., y, x)
    padding : tuple of pairs
        Pixels before and after, for y and x.

    Returns
    -------
    Tensor, shape (..., y + before + after, x + before + after)

    Raises
    ------
    ShapeError, ParameterError

    References
    ----------
    R. Liu, J. Jia, "Reducing boundary artifacts in image deconvolution", IEEE ICIP (2008).

    Examples
    --------
    >>> liu_jia_pad(torch.tensor([[3.0], [0.0]]), ((1, 1), (0, 0))).T
    tensor([[2., 3., 0., 1.]])
    """
    if x.ndim < 2 or 0 in x.shape[-2:] or not (x.is_floating_point() or x.is_complex()):
        raise ShapeError(f"liu_jia_pad takes images (..., y, x), got {x.dtype} {tuple(x.shape)}")
    if len(padding) != 2 or any(len(pair) != 2 or min(pair) < 0 for pair in padding):
        raise ParameterError(f"liu_jia_pad: padding is ((before, after), (before, after)), got {padding}")
    p, q = (sum(pair) for pair in padding)
    below = _strip(x[..., -1, :], x[..., 0, :], p)
    beside = _strip(x[..., :, -1], x[..., :, 0], q).mT
    corner = _harmonic(beside[..., -1, :], beside[..., 0, :], below[..., :, -1], below[..., :, 0])
    tile = torch.cat((torch.cat((x, beside), -1), torch.cat((below, corner), -1)), -2)
    return tile.roll((padding[0][0], padding[1][0]), (-2, -1))


def _strip(start: Tensor, end: Tensor, between: int) -> Tensor:
    """Fill (..., between, n) between two lines (..., n), linearly at the ends and harmonically inside."""
    first = _line(start[..., 0], end[..., 0], between)
    if start.shape[-1] == 1:
        return first[..., None]
    last = _line(start[..., -1], end[..., -1], between)
    inside = _harmonic(start[..., 1:-1], end[..., 1:-1], first, last)
    return torch.cat((first[..., None], inside, last[..., None]), -1)


def _line(start: Tensor, end: Tensor, between: int) -> Tensor:
    """Numbers on a line between two, (..., between)."""
    t = torch.arange(1, between + 1, dtype=start.real.dtype, device=start.device) / (between + 1)
    return start[..., None] * (1 - t) + end[..., None] * t


def _harmonic(top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Fill (..., m, n) with the discrete harmonic function of its neighbors, (..., n) and (..., m)."""
    m, n = left.shape[-1], top.shape[-1]
    known = top.new_zeros((*top.shape[:-1], m, n))
    if m == 0 or n == 0:
        return known
    known[..., 0, :] += top
    known[..., -1, :] += bottom
    known[..., :, 0] += left
    known[..., :, -1] += right
    S = SineTransform(domain=Space((m, n), "complex" if top.is_complex() else "real"), spatial_dims=2)
    eigenvalues = [
        2 - 2 * torch.cos(math.pi * torch.arange(1, k + 1, dtype=torch.float64, device=top.device) / (k + 1))
        for k in (m, n)
    ]
    total = (eigenvalues[0][:, None] + eigenvalues[1]).to(top.real.dtype)
    return S.H(S(known) / total)
