"""Statistics of natural images for NIQE and BRISQUE: normalized luminance, generalized Gaussian fits."""

from __future__ import annotations

import functools
from importlib import resources

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .._errors import ParameterError, ShapeError

SHAPES = (0.2, 10.0)
"""The exponents of generalized Gaussians that a fit can find."""


def gray(name: str, image: Tensor, data_range: float) -> Tensor:
    """Return luminance ``(n, y, x)`` in float64 on the scale of 255; colors are weighted as in video."""
    channels = image.shape[-3]
    if channels not in (1, 3):
        raise ShapeError(f"{name}: images have 1 channel, or 3 (red, green, blue), got {channels}.")
    x = image.double()
    if channels == 3:
        weights = torch.tensor([0.299, 0.587, 0.114], dtype=x.dtype, device=x.device)
        x = (x * weights[:, None, None]).sum(-3, keepdim=True)
    return x.reshape(-1, *x.shape[-2:]) * (255 / data_range)


def check_range(name: str, data_range: float) -> None:
    """Validate the data range of a metric without reference: a number."""
    if (
        isinstance(data_range, bool)
        or not isinstance(data_range, int | float)
        or not 0 < data_range < float("inf")
    ):
        raise ParameterError(f"{name}: data_range must be a positive number, got {data_range!r}.")


def normalized(x: Tensor) -> tuple[Tensor, Tensor]:
    """``(x - μ)/(s + 1)`` with the local mean and deviation in a Gaussian window of 7 pixels, and ``s``."""
    offsets = torch.arange(-3, 4, dtype=x.dtype, device=x.device)
    taps = torch.exp(-0.5 * (offsets / (7 / 6)) ** 2)
    taps = taps / taps.sum()
    centered = x - x.detach().mean((-2, -1), keepdim=True)
    v = F.pad(torch.stack((centered, centered.square()), 1), (3, 3, 3, 3), mode="replicate")
    v = F.conv2d(v.reshape(-1, 1, *v.shape[-2:]), taps.reshape(1, 1, -1, 1))
    v = F.conv2d(v, taps.reshape(1, 1, 1, -1)).reshape(-1, 2, *x.shape[-2:])
    mean, variance = v[:, 0], v[:, 1] - v[:, 0].square()
    positive = variance > 1e-10
    deviation = torch.where(positive, torch.where(positive, variance, 1).sqrt(), 0)
    return (centered - mean) / (deviation + 1), deviation


def halved(x: Tensor) -> Tensor:
    """Half the size, by cubic interpolation with a low-pass filter."""
    size = [n // 2 for n in x.shape[-2:]]
    return F.interpolate(x[:, None], size, mode="bicubic", antialias=True, align_corners=False)[:, 0]


@functools.cache
def _table() -> tuple[Tensor, Tensor]:
    """Tabulate the ratio ``E|v|² / E v²`` of generalized Gaussians, which grows with the exponent."""
    shape = torch.linspace(*SHAPES, 4901, dtype=torch.float64)
    ratio = torch.exp(2 * torch.lgamma(2 / shape) - torch.lgamma(1 / shape) - torch.lgamma(3 / shape))
    return shape, ratio


def asymmetric_fit(v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fit exponent, left and right root mean square of a sample, on the last axis (Lasmar et al., 2009)."""
    squared = v.square()
    sides = []
    for side in (v < 0, v > 0):
        count = side.sum(-1)
        mean = (squared * side).sum(-1) / count.clamp_min(1)
        none = mean == 0
        sides.append(torch.where(none, 0, torch.where(none, 1, mean).sqrt()))
    left, right = sides
    power, spread = squared.mean(-1), left.square() + right.square()
    ratio = v.abs().mean(-1).square() / torch.where(power == 0, 1, power)
    skew = (left**3 + right**3) * (left + right) / torch.where(spread == 0, 1, spread).square()
    shapes, ratios = (t.to(v.device) for t in _table())
    target = (ratio * skew).clamp(float(ratios[0]), float(ratios[-1]))
    above = torch.searchsorted(ratios, target.detach()).clamp(1, len(ratios) - 1)
    low, high = ratios[above - 1], ratios[above]
    shape = shapes[above - 1] + (target - low) / (high - low) * (shapes[above] - shapes[above - 1])
    return shape, left, right


def statistics(v: Tensor, *, variances: bool) -> Tensor:
    """The 18 features of normalized luminance ``(..., y, x)``.

    Exponent and width of its distribution; exponent, mean and both widths of the products of neighbors to the
    right, below, and along both diagonals. Widths are root mean squares over the scale of the distribution
    (Mittal et al., 2013), or with ``variances`` mean squares (Mittal et al., 2012).
    """
    found = []
    products = (
        v[..., :, :-1] * v[..., :, 1:],
        v[..., :-1, :] * v[..., 1:, :],
        v[..., :-1, :-1] * v[..., 1:, 1:],
        v[..., :-1, 1:] * v[..., 1:, :-1],
    )
    for index, sample in enumerate((v, *products)):
        shape, left, right = asymmetric_fit(sample.flatten(-2))
        scale = torch.exp(0.5 * (torch.lgamma(1 / shape) - torch.lgamma(3 / shape)))
        a, b = left * scale, right * scale
        mean = (b - a) * torch.exp(torch.lgamma(2 / shape) - torch.lgamma(1 / shape))
        if variances:
            a, b = left.square(), right.square()
        found += [shape, (a + b) / 2] if index == 0 else [shape, mean, a, b]
    return torch.stack(found, -1)


@functools.cache
def shipped(name: str) -> dict[str, Tensor]:
    """Arrays of a file in ``metrics/data``."""
    path = resources.files("invcore.metrics") / "data" / name
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {key: torch.from_numpy(arrays[key]).double() for key in arrays.files}
