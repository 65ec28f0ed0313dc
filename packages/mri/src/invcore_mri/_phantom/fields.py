"""Voxel coordinates of phantoms, and smooth random fields over them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from invcore import ShapeError

EXTENT = (0.90, 0.755)  # half of the space the head needs along y and x


def axes_of(shape: tuple[int, ...]) -> tuple[list[Tensor], float]:
    """Voxel coordinates along z, y and x, and the voxel size in the same unit."""
    if len(shape) not in (2, 3) or any(n < 1 for n in shape):
        raise ShapeError(f"expected a shape of two or three positive lengths, got {tuple(shape)}")
    pixel = max(2 * extent / n for n, extent in zip(shape[-2:], EXTENT))
    axes = [pixel * (torch.arange(n, dtype=torch.float64) - n // 2) for n in shape]
    return [torch.zeros(1, dtype=torch.float64)] * (3 - len(shape)) + axes, pixel


def grid_of(axes: list[Tensor], shape: tuple[int, ...]) -> list[Tensor]:
    """Coordinates z, y, x of every voxel, each of shape ``shape``."""
    return [t.reshape(shape) for t in torch.meshgrid(*axes, indexing="ij")]


def seeded(generator: torch.Generator | None) -> torch.Generator:
    return torch.Generator().manual_seed(0) if generator is None else generator


class RandomFields:
    """Smooth random fields and numbers drawn from one generator, the same at every resolution."""

    def __init__(self, generator: torch.Generator | None, axes: list[Tensor], shape: tuple[int, ...]) -> None:
        self.generator, self.axes, self.shape = seeded(generator), axes, shape

    def uniform(self, count: int) -> list[float]:
        draw = torch.rand(count, dtype=torch.float64, generator=self.generator, device=self.generator.device)
        values: list[float] = draw.tolist()
        return values

    def waves(self, scale: float, count: int) -> Tensor:
        """Draw wave vectors (kz, ky, kx) of wavelengths about ``scale``, and phases: ``(count, 4)``."""
        drawn = torch.tensor(self.uniform(4 * count), dtype=torch.float64).reshape(count, 4)
        polar, azimuth = 1.2 * drawn[:, 0] - 0.6, 2 * math.pi * drawn[:, 1]
        length = 2 * math.pi / (scale * (0.85 + 0.45 * drawn[:, 2]))
        flat = (1 - polar**2).sqrt()
        vectors = (length * polar, length * flat * azimuth.sin(), length * flat * azimuth.cos())
        return torch.stack([*vectors, 2 * math.pi * drawn[:, 3]], dim=1)

    def sums(self, waves: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the function of weights w that gives the sum of w exp(i (k.r + phase)) at every voxel."""
        z, y, x = (torch.exp(1j * waves[:, axis, None] * place) for axis, place in enumerate(self.axes))
        planes = ((z * torch.exp(1j * waves[:, 3, None]))[:, :, None] * y[:, None]).flatten(1).T
        return lambda weights: (planes @ (weights[:, None] * x)).reshape(self.shape)

    def field(self, *, scale: float, waves: int) -> Tensor:
        """Return a smooth field of unit variance whose wavelengths are about ``scale``."""
        drawn = self.waves(scale, waves)
        return math.sqrt(2 / waves) * self.sums(drawn)(torch.ones(waves, dtype=torch.float64)).real

    def lines(self, *, scale: float, waves: int) -> Tensor:
        """Return the distance, to first order, to the zero lines of a smooth field."""
        drawn = self.waves(scale, waves)
        total = self.sums(drawn)
        field = total(torch.ones(waves, dtype=torch.float64)).real
        slopes = [total(drawn[:, axis]).imag for axis in range(3)]
        gradient = (slopes[0] ** 2 + slopes[1] ** 2 + slopes[2] ** 2).sqrt()
        typical = math.sqrt(float(drawn[:, :3].square().sum()) / 2)
        return field.abs() / (gradient + 0.15 * typical)
