"""Bias and standard deviation of phases and log amplitudes at any signal-to-noise ratio."""

from __future__ import annotations

import numpy as np
import torch
from scipy import special
from torch import Tensor

from .._data.closure_sets import ClosureSet
from .covariance import BlockCovariance

_LEAST_SNR = 1.0
_HIGH_SNR = 9.0


def signal_to_noise(visibilities: Tensor, sigma: Tensor) -> Tensor:
    r"""Estimate the signal-to-noise ratio A/σ of visibility amplitudes, corrected for the noise bias.

    .. math:: \hat{ρ}^2 = |V|^2/σ^2 - 2

    since E|V|² = A² + 2σ². The result is at least 1, as the data do not determine smaller values.

    Parameters
    ----------
    visibilities : Tensor, shape (..., row, frequency), complex
        Measured visibilities.
    sigma : Tensor, shape (..., row, frequency)
        Standard deviation of the real and of the imaginary part.

    Returns
    -------
    Tensor, shape (..., row, frequency)

    Examples
    --------
    >>> signal_to_noise(torch.tensor([3 + 4j, 0j]), torch.tensor([1.0, 1.0]))
    tensor([4.7958, 1.0000])
    """
    measured = visibilities.abs() / sigma
    return (measured.square() - 2).clamp_min(_LEAST_SNR**2).sqrt()


def phase_error(snr: Tensor) -> Tensor:
    r"""Compute the standard deviation of the phase of a visibility, in radians.

    It is the circular standard deviation s, with E exp(iδ) = exp(-s²/2). For an amplitude A in complex
    Gaussian noise of standard deviation σ per component, and ρ = A/σ,

    .. math:: E \cos δ = \sqrt{π/8} ρ e^{-ρ²/4} (I_0(ρ²/4) + I_1(ρ²/4)),

    so that s = 1/ρ for ρ ≫ 1. Closure phases are sums of three independent phases, so their s² add up
    exactly.

    Parameters
    ----------
    snr : Tensor
        Signal-to-noise ratio ρ > 0.

    Returns
    -------
    Tensor
        Same shape as ``snr``.

    References
    ----------
    A. R. Thompson, J. M. Moran, G. W. Swenson, Interferometry and Synthesis in Radio Astronomy, 3rd ed.
    (2017), Sections 6.2 and 9.3.

    Examples
    --------
    >>> phase_error(torch.tensor([1.0, 10.0]))
    tensor([1.0815, 0.1005])
    """
    rho = np.asarray(snr.detach().cpu(), float)
    x = np.minimum(rho, 50) ** 2 / 4
    resultant = np.sqrt(np.pi / 8) * np.minimum(rho, 50) * (special.i0e(x) + special.i1e(x))
    with np.errstate(divide="ignore"):
        variance = np.where(rho < 50, -2 * np.log(resultant), rho**-2.0 + rho**-4.0)
    return torch.as_tensor(np.sqrt(variance)).to(snr)


def log_amplitude_bias(snr: Tensor) -> Tensor:
    r"""Compute the bias E ln|V| - ln A of log amplitudes, which is positive and falls fast with the signal.

    .. math:: E \ln|V| = \ln A + \frac{1}{2} E_1(ρ²/2)

    with the exponential integral E₁. The bias is this small because ln|V| is harmonic away from zero.

    Parameters
    ----------
    snr : Tensor
        Signal-to-noise ratio ρ = A/σ > 0.

    Returns
    -------
    Tensor
        Same shape as ``snr``.

    References
    ----------
    L. Blackburn et al., "Closure statistics in interferometric data", ApJ 894 (2020) 31, Section 3.

    Examples
    --------
    >>> log_amplitude_bias(torch.tensor([1.0, 3.0]))
    tensor([0.2799, 0.0010])
    """
    rho = np.asarray(snr.detach().cpu(), float)
    return torch.as_tensor(0.5 * special.exp1(rho**2 / 2)).to(snr)


def log_amplitude_error(snr: Tensor) -> Tensor:
    r"""Compute the standard deviation of ln|V| for a visibility in complex Gaussian noise.

    |V|²/σ² follows the noncentral χ² distribution with two degrees of freedom, a Poisson mixture of gamma
    distributions. Hence, for a Poisson variable n of mean ρ²/2 and the digamma function ψ,

    .. math:: \mathrm{Var} \ln|V| = \frac{1}{4} (E ψ'(1 + n) + \mathrm{Var} ψ(1 + n)).

    The standard deviation is 1/ρ for ρ ≫ 1, and π/√24 without signal.

    Parameters
    ----------
    snr : Tensor
        Signal-to-noise ratio ρ = A/σ >= 0.

    Returns
    -------
    Tensor
        Same shape as ``snr``.

    Examples
    --------
    >>> log_amplitude_error(torch.tensor([0.0, 1.0, 10.0]))
    tensor([0.6413, 0.6234, 0.1005])
    """
    rho = np.asarray(snr.detach().cpu(), float)
    flat = rho.reshape(-1)
    low = flat < _HIGH_SNR
    r2 = np.where(low, 1, flat) ** -2.0
    variance = r2 * (1 + r2 * (1 + r2 * (8 / 3 + 12 * r2)))
    n = np.arange(200)
    mean = (flat[low] ** 2 / 2)[:, None]
    weight = np.exp(special.xlogy(n, mean) - mean - special.gammaln(n + 1))
    digamma = special.digamma(n + 1)
    spread = weight @ digamma**2 - (weight @ digamma) ** 2
    variance[low] = (weight @ special.polygamma(1, n + 1) + spread) / 4
    return torch.as_tensor(np.sqrt(variance).reshape(rho.shape)).to(snr)


def debias_amplitude(visibilities: Tensor, sigma: Tensor) -> Tensor:
    """Correct |V| for the noise bias, √(|V|² - 2σ²), or 0 where that is negative.

    The square is unbiased, as E|V|² = A² + 2σ².

    Parameters
    ----------
    visibilities : Tensor, shape (..., row, frequency), complex
        Measured visibilities.
    sigma : Tensor, shape (..., row, frequency)
        Standard deviation of the real and of the imaginary part.

    Returns
    -------
    Tensor, shape (..., row, frequency)

    Examples
    --------
    >>> debias_amplitude(torch.tensor([3 + 4j]), torch.tensor([2.0]))
    tensor([4.1231])
    """
    return (visibilities.abs().square() - 2 * sigma**2).clamp_min(0).sqrt()


def with_fraction(sigma: Tensor, visibilities: Tensor, fraction: float) -> Tensor:
    """Return √(σ² + f²|V|²), for errors that grow with the signal, such as polarization leakage."""
    return (sigma**2 + (fraction * visibilities.abs()) ** 2).sqrt() if fraction else sigma


def propagated(closures: ClosureSet, variance: Tensor) -> Tensor:
    """Return the variance of each closure, given those of the flattened phases or log amplitudes."""
    return variance.reshape(-1)[closures.index].sum(-1)


def propagated_covariance(closures: ClosureSet, variance: Tensor, systematic: float = 0.0) -> BlockCovariance:
    """Return Σ_ab = Σ_v s_av s_bv σ_v² + δ_ab s², summed over the visibilities v that two closures share."""
    group = torch.unique(closures.group, return_inverse=True)[1]
    order = group.argsort(stable=True)
    counts = torch.bincount(group)
    k = int(counts.max()) if len(counts) else 0
    column = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[group[order]]
    index = torch.full((len(counts), k), -1, dtype=torch.int64, device=order.device)
    index[group[order], column] = order
    flat = variance.reshape(-1)
    blocks = []
    for block in index.split(max(1, 4_000_000 // max(1, 16 * k * k))):
        at = block.clamp_min(0)
        legs, sign = closures.index[at], closures.sign[at].to(flat.dtype)
        weighted = (sign * flat[legs])[:, :, None, :, None] * sign[:, None, :, None, :]
        same = legs[:, :, None, :, None] == legs[:, None, :, None, :]
        blocks.append(torch.where(same, weighted, 0).sum((-2, -1)))
    matrix = torch.cat(blocks) if blocks else flat.new_zeros((0, k, k))
    eye = torch.eye(k, dtype=matrix.dtype, device=matrix.device)
    return BlockCovariance(index=index, matrix=matrix + systematic**2 * eye)
