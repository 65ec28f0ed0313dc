"""Combined regularization of images of compact sources: entropy, total variation and squared variation."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from invcore import ParameterError
from invcore.operators import Space
from invcore.priors import Prior

from .functionals import require_real

_BACKGROUND = 1e-8
_SMOOTHING = 1e-3
_LEAST = 1e-30


class CompactSource(Prior):
    r"""Relative entropy to a Gaussian, total and squared variation of a normalized image [1]_, [2]_.

    .. math:: g(x) = a_E \sum_i p_i \ln\frac{p_i}{q_i} + a_V\, b \sum_i |∇p|_i + a_S\, b^4 \sum_i |∇p|_i^2,
       \qquad p = x / \sum_j x_j,

    with a Gaussian q about the phase center, forward differences ∇ and the resolution b in pixels. The value
    depends neither on the unit of x nor, for a source of several pixels, on the pixel size: each term
    approximates an integral in units of the resolution. It is infinite where an intensity is negative. There
    is a gradient but no proximal operator.

    Parameters
    ----------
    resolution : float
        b, in pixels.
    size : float
        Full width at half maximum of q, in units of b.
    entropy, variation, squared_variation : float
        Weights a_E, a_V, a_S of the three terms.

    Raises
    ------
    ParameterError
        If a length is not positive or a weight is negative.

    References
    ----------
    .. [1] The Event Horizon Telescope Collaboration, "First M87 Event Horizon Telescope results. IV", ApJL
       875 (2019) L4.
    .. [2] A. Chael et al., "High-resolution linear polarimetric imaging for the Event Horizon Telescope", ApJ
       829 (2016) 11.

    Examples
    --------
    >>> g = CompactSource(resolution=4.0)
    >>> x = gaussian((32, 32), g.width, torch.zeros(())).reshape(1, 32, 32)
    >>> shifted = x.roll(6, dims=-1)
    >>> bool(g.value(x) < g.value(shifted)), bool(torch.isclose(g.value(x), g.value(100 * x)))
    (True, True)
    """

    power = 0
    resolution: float
    size: float = 1.6
    entropy: float = 10.0
    variation: float = 3.0
    squared_variation: float = 10.0
    spatial_dims: ClassVar[int] = 2

    def __post_init__(self) -> None:
        for name in ("resolution", "size"):
            if not 0 < getattr(self, name) < math.inf:
                raise ParameterError(f"CompactSource: {name} must be positive, got {getattr(self, name)!r}")
        for name in ("entropy", "variation", "squared_variation"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ParameterError(
                    f"CompactSource: {name} must not be negative, got {getattr(self, name)!r}"
                )

    @property
    def width(self) -> float:
        """Full width at half maximum of q in pixels."""
        return self.size * self.resolution

    def _value(self, x: Tensor, space: Space) -> Tensor:
        return self._evaluate(x, space)[0]

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        _, slope, p, total = self._evaluate(x, space)
        return (slope - (p * slope).sum(_dims(space), keepdim=True)) / total

    def _evaluate(self, x: Tensor, space: Space) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """g, its derivative with respect to p, p, and Σ x."""
        require_real(self, x)
        shape, dims = space.shape[-2:], _dims(space)
        inside = x >= 0
        total = torch.where(inside, x, 0).sum(dims, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
        p = torch.where(inside, x, 0) / total
        channels = math.prod(space.shape[:-2])
        q = gaussian(shape, self.width, x) / channels
        ratio = (p.clamp_min(_LEAST) / q).log()
        b, n = self.resolution, shape[0] * shape[1] * channels
        down = torch.nn.functional.pad(p.diff(dim=-2), (0, 0, 0, 1))
        right = torch.nn.functional.pad(p.diff(dim=-1), (0, 1))
        size = (down.square() + right.square() + (_SMOOTHING / n) ** 2).sqrt()
        value = self.entropy * (p * ratio).sum(dims) + self.variation * b * size.sum(dims)
        value = value + self.squared_variation * b**4 * (down.square() + right.square()).sum(dims)
        factor = self.variation * b / size + 2 * self.squared_variation * b**4
        slope = self.entropy * (ratio + 1) + _divergence(factor * down, factor * right)
        value = torch.where(inside.flatten(x.ndim - len(dims)).all(-1), value, math.inf)
        return value, slope, p, total


def _dims(space: Space) -> tuple[int, ...]:
    return tuple(range(-len(space.shape), 0))


def gaussian(shape: tuple[int, ...], fwhm: float, like: Tensor) -> Tensor:
    """Return a Gaussian about (ny//2, nx//2) with a faint background and sum 1; ``fwhm`` is in pixels."""
    ny, nx = shape
    y = torch.arange(ny, dtype=like.dtype, device=like.device) - ny // 2
    x = torch.arange(nx, dtype=like.dtype, device=like.device) - nx // 2
    sigma = fwhm / (2 * math.sqrt(2 * math.log(2)))
    image = torch.exp(-(y[:, None].square() + x.square()) / (2 * sigma**2))
    image = image / image.sum() + _BACKGROUND
    return image / image.sum()


def _divergence(down: Tensor, right: Tensor) -> Tensor:
    """Adjoint of the forward differences, for fields that vanish in the last row and column."""
    out = -down - right
    out[..., 1:, :] += down[..., :-1, :]
    out[..., :, 1:] += right[..., :, :-1]
    return out
