"""Windows: Kaiser's with the low-pass filters made with them, and smooth ones of bounded support."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._errors import ParameterError


def kaiser_window(length: int, *, beta: float, dtype: torch.dtype = torch.float32) -> Tensor:
    r"""The Kaiser window, close to the best concentration of energy in the lowest frequencies.

    .. math:: w[n] = I_0\left(\beta \sqrt{1 - (2n/(L-1) - 1)^2}\right) / I_0(\beta)

    Parameters
    ----------
    length : int
        L, at least 1.
    beta : float
        Larger is wider in frequency, with lower side lobes; 0 is rectangular.
    dtype : torch.dtype

    Returns
    -------
    Tensor, shape (length,)

    Raises
    ------
    ParameterError

    References
    ----------
    J. F. Kaiser, R. W. Schafer, "On the use of the I0-sinh window for spectrum analysis", IEEE Trans. Acoust.
    Speech Signal Process. 28 (1980).

    Examples
    --------
    >>> kaiser_window(5, beta=2.0)
    tensor([0.4387, 0.8348, 1.0000, 0.8348, 0.4387])
    """
    if length < 1 or not (math.isfinite(beta) and beta >= 0):
        raise ParameterError(f"kaiser_window: length >= 1 and beta >= 0 are needed, got {length}, {beta}")
    t = torch.linspace(-1, 1, length, dtype=torch.float64) if length > 1 else torch.zeros(1).double()
    root = beta * (1 - t**2).clamp_min(0).sqrt()
    # i0e(x) = exp(-x) i0(x): neither factor overflows
    window = torch.special.i0e(root) * torch.exp(root - beta) / torch.special.i0e(torch.tensor(beta).double())
    return window.to(dtype)


def bump(x: Tensor, *, inner: float, outer: float) -> Tensor:
    r"""A window with all derivatives: 1 up to ``inner``, 0 from ``outer`` on.

    .. math:: b(x) = \frac{h(1 - u)}{h(u) + h(1 - u)}, \quad h(u) = e^{-1/u} \; (u > 0), \quad
        u = \frac{|x| - \text{inner}}{\text{outer} - \text{inner}}

    Copies at the distance inner + outer add up to one, as for the seams of tiles.

    Parameters
    ----------
    x : Tensor
        Distances.
    inner, outer : float
        0 <= inner < outer.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> bump(torch.tensor([0.0, 1.0, 2.0, 3.0]), inner=1.0, outer=3.0)
    tensor([1.0000, 1.0000, 0.5000, 0.0000])
    """
    if not 0 <= inner < outer < math.inf:
        raise ParameterError(f"bump: 0 <= inner < outer is needed, got {inner}, {outer}")
    u = ((x.abs() - inner) / (outer - inner)).clamp(0, 1)
    inside = (u > 0) & (u < 1)
    t = torch.where(inside, u, 0.5)
    return torch.where(inside, torch.sigmoid(1 / t - 1 / (1 - t)), (u <= 0).to(u.dtype))


def sinc_kernel(
    factor: int,
    *,
    length: int | None = None,
    beta: float = 6.0,
    ndim: int = 2,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    r"""A low-pass kernel for `Downsample`: sinc(t / factor) under a Kaiser window, a product along the axes.

    Parameters
    ----------
    factor : int
        The pass band ends at the Nyquist frequency of the grid this many times coarser.
    length : int, optional
        By default eight coarse pixels, even for an even factor and odd for an odd one, as `Downsample` wants.
    beta : float
        Of the `kaiser_window`: 6 keeps what is folded back below -60 dB, with a wider transition than 3 does.
    ndim : int
    dtype : torch.dtype

    Returns
    -------
    Tensor, shape (1, *k)
        Symmetric, of sum one.

    Raises
    ------
    ParameterError

    References
    ----------
    A. V. Oppenheim, R. W. Schafer, "Discrete-Time Signal Processing", 3rd ed. (2010), section 7.5.

    Examples
    --------
    >>> sinc_kernel(2, length=4, ndim=1)
    tensor([[0.0034, 0.4966, 0.4966, 0.0034]])
    """
    if factor < 1:
        raise ParameterError(f"sinc_kernel: factor must be a positive integer, got {factor}")
    length = 8 * factor - factor % 2 if length is None else length
    t = (torch.arange(length, dtype=torch.float64) - (length - 1) / 2) / factor
    line = torch.sinc(t) * kaiser_window(length, beta=beta, dtype=torch.float64)
    line = line / line.sum()
    kernel = torch.ones((), dtype=torch.float64)
    for _ in range(ndim):
        kernel = kernel[..., None] * line
    return kernel.to(dtype)[None]
