"""Ramp filters for filtered backprojection: band-limited kernels, sampled in space."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from invcore import ParameterError

FilterName = Literal["ram-lak", "shepp-logan", "cosine", "hann", "hamming"]
FILTERS: tuple[str, ...] = get_args(FilterName)


def ramp_kernel(n: int, *, filter: FilterName = "ram-lak") -> Tensor:
    """A ramp filter's kernel at the offsets -(n-1), ..., n-1, for samples at distance one.

    The ramp |ω| cut off at half the sampling rate has the samples (Kak, Slaney, section 3.3)

    .. math:: h(0) = 1/4, \\quad h(k) = -1/(π k)^2 \\text{ for odd } k, \\quad 0 \\text{ for even } k,

    and Shepp and Logan's filter, the same ramp times sinc(ω/2), has h(k) = -2/(π²(4k² - 1)). Sampling the
    kernel, rather than the ramp, keeps the mean of the image.

    Parameters
    ----------
    n : int
        Number of detector columns.
    filter : {"ram-lak", "shepp-logan"}

    Returns
    -------
    Tensor, shape (2n - 1,)
        In double precision.

    Examples
    --------
    >>> ramp_kernel(3) * torch.pi**2
    tensor([ 0.0000, -1.0000,  2.4674, -1.0000,  0.0000], dtype=torch.float64)
    """
    k = torch.arange(-(n - 1), n, dtype=torch.float64)
    if filter == "shepp-logan":
        return -2 / (math.pi**2 * (4 * k * k - 1))
    if filter != "ram-lak":
        raise ParameterError(f"ramp_kernel: filter must be 'ram-lak' or 'shepp-logan', got {filter!r}")
    odd = -1 / (math.pi * k) ** 2
    return torch.where(k == 0, 0.25, torch.where(k.abs() % 2 == 1, odd, torch.zeros_like(k)))


def filter_rows(
    y: Tensor,
    step: float | Tensor,
    *,
    filter: FilterName = "ram-lak",
    cutoff: float = 1.0,
    angle: float | Tensor | None = None,
) -> Tensor:
    """Convolve the last axis with a ramp filter; samples outside the detector count as zero.

    .. math:: q(s) = ∫ y(s') h(s - s') ds'

    with h of `ramp_kernel`, times a window in frequency: "cosine" cos(πf/2), "hann" (1 + cos πf)/2, "hamming"
    0.54 + 0.46 cos πf, f being the frequency as a fraction of ``cutoff`` times half the sampling rate, and
    zero beyond.

    Parameters
    ----------
    y : Tensor, shape (..., column)
        Real. Differentiable.
    step : float
        Distance between columns.
    filter : {"ram-lak", "shepp-logan", "cosine", "hann", "hamming"}
    cutoff : float
        In (0, 1]: smaller is smoother.
    angle : float, optional
        Angle between columns in radians if they are equiangular: the kernel is then multiplied by (γ/sin γ)².

    Returns
    -------
    Tensor, shape (..., column)

    Raises
    ------
    ParameterError
        If the filter is unknown or the cutoff out of range.

    References
    ----------
    A. C. Kak, M. Slaney, "Principles of Computerized Tomographic Imaging", IEEE Press (1988), sections 3.3
    and 3.4.

    Examples
    --------
    >>> y = torch.ones(1, 64, dtype=torch.float64)
    >>> bool(filter_rows(y, 1.0)[0, 32].abs() < 0.02)  # a ramp filter takes away the mean
    True
    """
    check_filter(filter, cutoff)
    n = y.shape[-1]
    own = "shepp-logan" if filter == "shepp-logan" and cutoff == 1 else "ram-lak"
    kernel = ramp_kernel(n, filter=own).to(y.device)  # type: ignore[arg-type]
    if angle is not None:
        gamma = torch.arange(-(n - 1), n, dtype=torch.float64, device=y.device) * angle
        middle = gamma.detach() == 0
        away = torch.where(middle, torch.ones_like(gamma), gamma)
        kernel = kernel * torch.where(middle, torch.ones_like(gamma), away / torch.sin(away)) ** 2
    length = _padded(2 * n)
    spread = torch.zeros(length, dtype=torch.float64, device=y.device)
    spread = spread.index_copy(0, torch.arange(-(n - 1), n, device=y.device) % length, kernel)
    response = torch.fft.rfft(spread).real
    if own == "ram-lak":
        response = response * _window(filter, length, cutoff, y.device)
    real = y.dtype if y.dtype in (torch.float32, torch.float64) else torch.float32
    spectrum = torch.fft.rfft(y.to(real), n=length) * response.to(real)
    return (torch.fft.irfft(spectrum, n=length)[..., :n] / step).to(y.dtype)


def check_filter(filter: str, cutoff: float) -> None:
    """Raise `ParameterError` unless filter and cutoff are valid."""
    if filter not in FILTERS:
        raise ParameterError(f"filter must be one of {', '.join(map(repr, FILTERS))}, got {filter!r}")
    if not (isinstance(cutoff, int | float) and 0 < cutoff <= 1):
        raise ParameterError(
            f"cutoff must be in (0, 1], a fraction of half the sampling rate, got {cutoff!r}"
        )


def _window(filter: str, length: int, cutoff: float, device: torch.device) -> Tensor:
    f = torch.arange(length // 2 + 1, dtype=torch.float64, device=device) / (length / 2) / cutoff
    shape = {
        "ram-lak": torch.ones_like(f),
        "shepp-logan": torch.sinc(f / 2),
        "cosine": torch.cos(math.pi / 2 * f),
        "hann": 0.5 + 0.5 * torch.cos(math.pi * f),
        "hamming": 0.54 + 0.46 * torch.cos(math.pi * f),
    }[filter]
    return torch.where(f <= 1, shape, torch.zeros_like(f))


def _padded(n: int) -> int:
    """The next even number with no prime factors above 5."""
    n += n % 2
    while True:
        rest = n
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return n
        n += 2
