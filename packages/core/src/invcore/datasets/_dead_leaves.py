"""Dead leaves: images of discs that hide each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError

_CHUNK = 2**18
"""Pairs of a pixel and a disc that are looked at together."""


def dead_leaves(
    size: tuple[int, int],
    *,
    channels: int = 1,
    exponent: float = 3.0,
    r_min: float = 1.0,
    r_max: float | None = None,
    values: tuple[float, float] = (0.0, 1.0),
    generator: torch.Generator,
    dtype: torch.dtype | None = None,
) -> Tensor:
    r"""Draw an image of opaque discs that fell one upon the other, without end [1]_.

    Centers are uniform in the plane, radii have the density ∝ r^-exponent between ``r_min`` and ``r_max``,
    and each disc has one value in each channel, uniform and independent. A pixel shows the disc on top at its
    center. The image is drawn from the top down [2]_, so that it is exact: its law does not depend on the
    frame. With edges and discs of all sizes it has the statistics of photographs: for an exponent of 3 it
    looks alike at all scales between the two radii, with a power spectrum near 1/f² [1]_.

    The variance of a pixel is (high - low)²/12, and pixels at a distance t have the correlation

    .. math:: \frac{γ(t)}{2 γ(0) - γ(t)}, \qquad γ(t) = E\,|X \cap (X + t)|

    with X a random disc: the chance that one disc is on top of both.

    Parameters
    ----------
    size : tuple of int
        (y, x).
    channels : int
    exponent : float
    r_min, r_max : float
        In pixels; by default the largest radius is the longer side.
    values : tuple of float
        Smallest and largest value of a disc.
    generator : torch.Generator
    dtype : torch.dtype, optional
        Torch's default dtype if left out.

    Returns
    -------
    Tensor, shape (channel, y, x)

    References
    ----------
    .. [1] A. B. Lee, D. Mumford, J. Huang, "Occlusion models for natural images: a statistical study of a
       scale-invariant dead leaves model", Int. J. Comput. Vis. 41 (2001).
    .. [2] W. S. Kendall, E. Thönnes, "Perfect simulation in stochastic geometry", Pattern Recognition 32
       (1999).

    Examples
    --------
    >>> x = dead_leaves((32, 48), generator=torch.Generator().manual_seed(0))
    >>> x.shape, bool(((x >= 0) & (x < 1)).all())
    (torch.Size([1, 32, 48]), True)
    """
    r_max = float(max(size)) if r_max is None else r_max
    _check(size, channels, r_min, r_max, exponent, values)
    device, f64 = generator.device, torch.float64
    axes = [torch.arange(n, dtype=f64, device=device) for n in size]
    pixels = torch.cartesian_prod(*axes).reshape(-1, 2)
    bare = torch.arange(len(pixels), device=device)
    image = torch.zeros(len(pixels), channels, dtype=f64, device=device)
    low, high = values
    while len(bare):
        count = min(max(_CHUNK // len(bare), 64), 2**14)
        center, radius = _leaves(count, size, exponent, r_min, r_max, generator)
        value = low + (high - low) * torch.rand(
            count, channels, generator=generator, dtype=f64, device=device
        )
        found = []
        for some in bare.split(_CHUNK // 64):
            y, x = (pixels[some, None, k] - center[:, k] for k in range(2))
            covered, first = (y.square() + x.square() <= radius**2).to(torch.uint8).max(1)
            image[some] = torch.where(covered[:, None] > 0, value[first], image[some])
            found.append(covered == 0)
        bare = bare[torch.cat(found)]
    return image.T.reshape(channels, *size).to(dtype or torch.get_default_dtype())


def _leaves(
    count: int, size: tuple[int, int], exponent: float, r_min: float, r_max: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Discs that may show in the frame: centers (count, 2) in the frame grown by their radii (count,).

    A radius is as much likelier as that frame is larger, (h + 2r)(w + 2r): a sum of three powers.
    """
    h, w = (n - 1 for n in size)
    powers = [j + 1 - exponent for j in range(3)]  # of the integrals
    masses = [_integral(p, r_min, r_max) for p in powers]
    weights = torch.tensor([h * w * masses[0], 2 * (h + w) * masses[1], 4 * masses[2]], dtype=torch.float64)
    like: Any = {"dtype": torch.float64, "device": generator.device}
    piece = torch.multinomial(weights.to(generator.device), count, replacement=True, generator=generator)
    u = torch.rand(count, generator=generator, **like)
    radii = [
        r_min * (r_max / r_min) ** u if p == 0 else (r_min**p + u * (r_max**p - r_min**p)) ** (1 / p)
        for p in powers
    ]
    radius = torch.stack(radii).gather(0, piece[None])[0]
    frame = torch.tensor([h, w], **like)
    place = torch.rand(count, 2, generator=generator, **like)
    return place * (frame + 2 * radius[:, None]) - radius[:, None], radius


def _integral(power: float, low: float, high: float) -> float:
    """Of r^(power - 1)."""
    return math.log(high / low) if power == 0 else (high**power - low**power) / power


def _check(
    size: tuple[int, int],
    channels: int,
    r_min: float,
    r_max: float,
    exponent: float,
    values: tuple[float, float],
) -> None:
    if len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in (*size, channels)):
        raise ParameterError(
            f"dead_leaves: size is (y, x), and channels at least 1, got {size!r} and {channels!r}."
        )
    if not 0 < r_min < r_max < math.inf or not math.isfinite(exponent):
        raise ParameterError(
            f"dead_leaves: radii are 0 < r_min < r_max and the exponent is finite, got {r_min!r}, {r_max!r} "
            f"and {exponent!r}."
        )
    if not values[0] < values[1]:
        raise ParameterError(f"dead_leaves: values are the smallest and the largest, got {values!r}.")


@dataclass(frozen=True, kw_only=True)
class DeadLeaves:
    """Images of discs that hide each other, made on access: entry i depends on the seed and i alone.

    A source of clean images with edges, without end and without license, whose statistics are known
    (`dead_leaves`); networks trained on them denoise photographs well [1]_.

    Parameters
    ----------
    length : int
        Number of images.
    size : tuple of int
        (y, x).
    channels : int
    exponent : float
        Of the density of the radii, ∝ r^-exponent; 3 has no scale of its own.
    r_min, r_max : float
        Smallest and largest radius in pixels; by default the largest is the longer side.
    values : tuple of float
        Smallest and largest value of a disc.
    seed : int

    References
    ----------
    .. [1] R. Achddou, Y. Gousseau, S. Ladjal, "Synthetic images as a regularity prior for image restoration
       neural networks", SSVM (2021).

    Examples
    --------
    >>> images = DeadLeaves(length=10, size=(32, 32))
    >>> images[3].shape, len(images), bool((images[3] == images[-7]).all())
    (torch.Size([1, 32, 32]), 10, True)
    """

    length: int = 10000
    size: tuple[int, int] = (128, 128)
    channels: int = 1
    exponent: float = 3.0
    r_min: float = 1.0
    r_max: float | None = None
    values: tuple[float, float] = (0.0, 1.0)
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.length, int) or self.length < 1:
            raise ParameterError(f"DeadLeaves: length must be a positive integer, got {self.length!r}")
        r_max = float(max(self.size)) if self.r_max is None else self.r_max
        _check(self.size, self.channels, self.r_min, r_max, self.exponent, self.values)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Tensor:
        """Image ``index``, shape ``(channel, y, x)``."""
        if not -self.length <= index < self.length:
            raise IndexError(f"entry {index} of {self.length}")
        # mixed, so that neighboring seeds and indices have unrelated streams
        mixed = (self.seed * 0x9E3779B97F4A7C15 + (index % self.length + 1) * 0xBF58476D1CE4E5B9) % 2**63
        return dead_leaves(
            self.size,
            channels=self.channels,
            exponent=self.exponent,
            r_min=self.r_min,
            r_max=self.r_max,
            values=self.values,
            generator=torch.Generator().manual_seed(mixed),
        )
