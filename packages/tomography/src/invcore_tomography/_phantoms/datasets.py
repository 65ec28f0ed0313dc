"""Datasets of random phantoms."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from invcore import ParameterError

from .._geometry.grid import Grid
from .phantom import Phantom
from .shapes import ellipses, ellipsoids


def random_ellipses(
    count: int,
    *,
    spatial_dims: int = 2,
    radius: float = 1.0,
    density: tuple[float, float] = (0.1, 1.0),
    generator: torch.Generator,
    dtype: torch.dtype | None = None,
) -> Phantom:
    """Draw a phantom of random ellipses, or ellipsoids, inside a disk or ball.

    Centers are uniform in 0.7 of the radius, semi-axes log-uniform between 0.03 and 0.3 of it, all turns
    equally likely. The densities are uniform, one in four of them negative and small enough that the image
    stays positive on average.

    Parameters
    ----------
    count : int
        Number of ellipses.
    spatial_dims : {2, 3}
    radius : float
        Half of the field of view, in units of length; nothing reaches beyond it.
    density : tuple of float
        Smallest and largest, in attenuation per unit of length.
    generator : torch.Generator
    dtype : torch.dtype, optional
        Torch's default dtype if left out.

    Returns
    -------
    Phantom

    Examples
    --------
    >>> phantom = random_ellipses(5, generator=torch.Generator().manual_seed(0))
    >>> phantom.center.shape
    torch.Size([5, 2])
    """
    if spatial_dims not in (2, 3) or not isinstance(count, int) or count < 1:
        raise ParameterError(f"give count >= 1 and spatial_dims 2 or 3, got {count!r} and {spatial_dims!r}")

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=dtype)

    direction = torch.randn(count, spatial_dims, generator=generator, dtype=dtype)
    direction = direction / direction.norm(dim=-1, keepdim=True)
    center = 0.7 * radius * direction * uniform(count, 1) ** (1 / spatial_dims)
    axes = radius * 0.03 * 10.0 ** uniform(count, spatial_dims)
    low, high = density
    rho = low + (high - low) * uniform(count)
    rho = torch.where(uniform(count) < 0.25, -0.5 * rho, rho)
    if spatial_dims == 2:
        return ellipses(center=center, axes=axes, density=rho, angle=math.pi * uniform(count))
    turns = uniform(count, 3) * torch.tensor([2 * math.pi, 1.0, 2 * math.pi])
    turns[:, 1] = torch.arccos(1 - 2 * turns[:, 1])
    return ellipsoids(center=center, axes=axes, density=rho, angles=turns)


@dataclass(frozen=True, kw_only=True)
class RandomEllipses:
    """Images of random ellipses, made on access: entry i depends on the seed and i alone.

    A common first test of learned reconstruction. `phantom` gives the ellipses themselves, for exact
    sinograms.

    Parameters
    ----------
    grid : Grid
        Grid of the images; by default (128, 128) pixels of 1/64 m, so that the radius is 1 m.
    length : int
        Number of images.
    count : tuple of int
        Fewest and most ellipses in an image.
    density : tuple of float
        Smallest and largest attenuation.
    samples : int
        See `Phantom.rasterize`.
    seed : int

    References
    ----------
    J. Adler, O. Öktem, "Solving ill-posed inverse problems using iterative deep neural networks", Inverse
    Problems 33 (2017).

    Examples
    --------
    >>> images = RandomEllipses(length=10)
    >>> images[3].shape, len(images), bool((images[3] == images[-7]).all())
    (torch.Size([1, 128, 128]), 10, True)
    """

    grid: Grid = field(default_factory=lambda: Grid(shape=(128, 128), spacing=1 / 64))
    length: int = 10000
    count: tuple[int, int] = (5, 30)
    density: tuple[float, float] = (0.1, 1.0)
    samples: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.length, int) or self.length < 1:
            raise ParameterError(f"length must be a positive integer, got {self.length!r}")
        low, high = self.count
        if not 1 <= low <= high:
            raise ParameterError(f"count must be the fewest and the most, at least 1, got {self.count!r}")

    def __len__(self) -> int:
        return self.length

    def phantom(self, index: int) -> Phantom:
        """The ellipses of entry ``index``."""
        if not -self.length <= index < self.length:
            raise IndexError(f"entry {index} of {self.length}")
        index %= self.length
        # mixed, so that neighboring seeds and indices have unrelated streams
        mixed = (self.seed * 0x9E3779B97F4A7C15 + (index + 1) * 0xBF58476D1CE4E5B9) % 2**63
        generator = torch.Generator().manual_seed(mixed)
        low, high = self.count
        count = int(torch.randint(low, high + 1, (), generator=generator))
        radius = min(self.grid.extent) / 2
        middle = torch.tensor(self.grid.center[::-1])
        drawn = random_ellipses(
            count, spatial_dims=self.grid.ndim, radius=radius, density=self.density, generator=generator
        )
        return drawn.bind(center=drawn.center + middle)

    def __getitem__(self, index: int) -> Tensor:
        """Image ``index``, shape ``(1, y, x)`` or ``(1, z, y, x)``."""
        return self.phantom(index).rasterize(self.grid, samples=self.samples).clamp_min(0)
