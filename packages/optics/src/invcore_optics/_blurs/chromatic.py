"""Kernels of several wavelengths: a diffraction pattern grows in proportion to the wavelength."""

from __future__ import annotations

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError


def chromatic_kernels(kernel: Tensor, scales: Tensor) -> Tensor:
    r"""Return the kernel of each channel, h(r/s)/s², for an instrument whose blur is due to diffraction.

    With s = λ/λ₀ the ratio of the wavelength of the channel to that of the kernel, the transfer function is
    Ĥ(s f): what the aperture lets through at one wavelength fixes all others. By band-limited interpolation
    (sums are kept; what a smaller scale would alias is cut off).

    The result goes into a `invcore.operators.Convolution`, which blurs each channel with its own kernel.

    Parameters
    ----------
    kernel : Tensor, shape (..., ky, kx)
        Odd or even; its center is the entry at k // 2. It should be zero at the border of its window.
    scales : Tensor, shape (channel,)
        λ/λ₀ > 0. Derivatives reach it.

    Returns
    -------
    Tensor, shape (..., channel, ky, kx)

    Raises
    ------
    ShapeError, ParameterError

    Examples
    --------
    >>> from invcore.operators import gaussian_kernel
    >>> green = gaussian_kernel(2.0, size=21)[0]
    >>> colors = chromatic_kernels(green, torch.tensor([1.2, 1.0, 0.8]))
    >>> expected = torch.cat([gaussian_kernel(s, size=21) for s in (2.4, 2.0, 1.6)])
    >>> bool((colors - expected).abs().max() < 1e-4)
    True
    """
    if kernel.ndim < 2 or not kernel.is_floating_point() or scales.ndim != 1:
        raise ShapeError(
            "chromatic_kernels takes a floating point kernel (..., ky, kx) and scales (channel,), got "
            f"{kernel.dtype} {tuple(kernel.shape)} and {tuple(scales.shape)}"
        )
    if not bool((scales > 0).all()):
        raise ParameterError(f"chromatic_kernels: scales must be positive, got {scales.tolist()}")
    rows, columns = (_stretch(n, scales.to(kernel)) for n in kernel.shape[-2:])
    return rows @ kernel.unsqueeze(-3) @ columns.mT


def _stretch(n: int, scales: Tensor) -> Tensor:
    """Return the matrices (channel, n, n) that stretch a line about its center."""
    place = torch.arange(n, dtype=scales.dtype, device=scales.device) - n // 2
    s = scales[:, None, None]
    wider = s.clamp_min(1)
    return torch.sinc((place[:, None] - s * place) / wider) / wider
