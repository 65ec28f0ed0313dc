"""Intervals that hold: conformal calibration of standard deviations."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._errors import DataError, ParameterError, ShapeError


def conformal_factor(
    mean: Tensor, std: Tensor, truth: Tensor, *, coverage: float = 0.9, spatial_dims: int = 2
) -> float:
    r"""Return the factor q for which the intervals mean ± q std hold, from images whose truth is known.

    By conformal risk control [1]_: of a new image that is exchangeable with the n given ones, the intervals
    hold the expected fraction ``coverage`` = 1 - α of the pixels, or more, however wrong the deviations are.
    q is the least number with

    .. math:: \frac{1}{n} \sum_i \mathrm{mean}_p\, 1\left[|x_{ip} - m_{ip}| > q s_{ip}\right] \le
        \frac{(n + 1) α - 1}{n}.

    Where x is complex the intervals are discs.

    Parameters
    ----------
    mean, std, truth : Tensor, shape (n, ..., channel, *spatial)
        Posterior mean and standard deviation of n images, and the images: independent of those that model and
        sampler were made with. Other batch dimensions belong to the same image.
    coverage : float
        1 - α, between 0 and 1.
    spatial_dims : int

    Returns
    -------
    float
        1.64 for well calibrated Gaussian deviations and coverage 0.9.

    Raises
    ------
    ShapeError
    ParameterError
        If there are too few images for this coverage: it takes 1/α - 1.
    DataError
        If a deviation is negative or NaN, or too many are zero where the mean is wrong.

    References
    ----------
    .. [1] A. N. Angelopoulos, S. Bates, A. Fisch, L. Lei, T. Schuster, Conformal risk control, ICLR 2024.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> x = torch.randn(50, 1, 16, 16, generator=g)
    >>> round(conformal_factor(torch.zeros_like(x), torch.ones_like(x), x), 1)
    1.8
    """
    if not 0 < coverage < 1:
        raise ParameterError(f"conformal_factor: coverage must lie between 0 and 1, got {coverage!r}")
    shapes = [tuple(t.shape) for t in (mean, std, truth)]
    if len(set(shapes)) > 1 or mean.ndim < spatial_dims + 2:
        raise ShapeError(
            f"conformal_factor: expected mean, std and truth of one shape (n, channel, *spatial) with "
            f"{spatial_dims} spatial dimensions, got {shapes}"
        )
    if not bool((std >= 0).all()):
        raise DataError("conformal_factor: a standard deviation is negative or NaN")
    n, missed = len(mean), 1 - coverage
    allowed = ((n + 1) * missed - 1) / n
    if allowed < -1e-12:  # rounding of 1 - 0.9
        raise ParameterError(
            f"conformal_factor: {n} images cannot vouch for {coverage:g}; it takes "
            f"{math.ceil(1 / missed - 1 - 1e-9)}"
        )
    error = (truth - mean).abs()
    scores = torch.where(error > 0, error / std, 0.0).double().flatten()  # infinite where the deviation is 0
    held = math.ceil((1 - allowed) * scores.numel() - 1e-9)
    factor = float(scores.kthvalue(max(held, 1)).values)
    if not math.isfinite(factor):
        raise DataError(
            "conformal_factor: too many deviations are zero where the mean is wrong: no multiple of "
            "them holds the truth"
        )
    return factor
