"""Sampling masks of k-space."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from invcore import ParameterError

from .center import center_crop
from .poisson import poisson_discs


@dataclass(frozen=True, kw_only=True)
class _Mask(ABC):
    """Parameters that all masks share, and drawing in batches."""

    shape: tuple[int, ...]
    acceleration: float = 4.0
    calib: int = 24
    axes: tuple[int, ...] = (-1,)

    def __post_init__(self) -> None:
        shape, axes, ndim = self.shape, self.axes, len(self.shape)
        if ndim not in (2, 3) or any(int(n) != n or n < 1 for n in shape):
            raise ParameterError(f"shape must be two or three positive lengths, got {shape}")
        if not (math.isfinite(self.acceleration) and self.acceleration >= 1):
            raise ParameterError(f"acceleration must be a finite number, at least 1; got {self.acceleration}")
        if not axes or any(not -ndim <= a < ndim for a in axes) or len({a % ndim for a in axes}) < len(axes):
            raise ParameterError(
                f"axes must be different axes of a {ndim}-D k-space, at least one; got {axes}"
            )
        if self.calib < 0:
            raise ParameterError(f"calib is a number of samples and cannot be negative; got {self.calib}")
        inner = math.prod(_center(self._grid, self.calib)) if self.calib else 0
        positions = math.prod(self._grid)
        wanted = positions / self.acceleration
        if inner > wanted + 0.5:
            raise ParameterError(
                f"the fully sampled center alone ({inner} of {positions} positions) has more samples than "
                f"acceleration {self.acceleration} allows ({wanted:.0f}): lower calib= or acceleration="
            )

    @property
    def _grid(self) -> tuple[int, ...]:
        """Shape of a mask: that of k-space, 1 along the fully sampled axes."""
        chosen = {axis % len(self.shape) for axis in self.axes}
        return tuple(n if axis in chosen else 1 for axis, n in enumerate(self.shape))

    def __call__(self, *, batch: tuple[int, ...] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw float32 masks ``(*batch, *mask)`` on the device of ``generator`` (seed 0 if None).

        Each mask has its own seed, so results do not depend on batch splits.
        """
        if generator is None:
            generator = torch.Generator().manual_seed(0)
        masks = []
        for _ in itertools.product(*(range(n) for n in batch)):
            seed = torch.randint(2**62, (), generator=generator, device=generator.device)
            masks.append(self._draw(torch.Generator().manual_seed(int(seed))))
        if not masks:
            raise ParameterError(f"batch {batch} holds no mask")
        return torch.stack(masks).reshape(*batch, *masks[0].shape).to(generator.device)

    @abstractmethod
    def _draw(self, source: torch.Generator) -> Tensor:
        """Draw one mask on the CPU."""

    def _choose(self, odds: Tensor, source: torch.Generator) -> Tensor:
        """Draw samples without replacement with the given odds (Efraimidis and Spirakis), center first."""
        uniform = torch.rand(self._grid, dtype=torch.float64, generator=source).clamp_min(1e-300)
        keys = uniform.log() / odds.clamp_min(1e-300)
        center_crop(keys, _center(self._grid, self.calib)).fill_(1)  # other keys are negative
        count = max(1, math.floor(keys.numel() / self.acceleration + 0.5))
        mask = torch.zeros(keys.numel())
        mask[keys.flatten().topk(count).indices] = 1
        return mask.reshape(self._grid)


@dataclass(frozen=True, kw_only=True)
class MaskRandom(_Mask):
    """Phase encodes drawn uniformly at random around a fully sampled center.

    The number of samples is exactly ``round(positions / acceleration)``, the center included.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of k-space, ``(y, x)`` or ``(z, y, x)``.
    acceleration : float
        Positions divided by samples, the center included.
    calib : int
        Length of the fully sampled center along each undersampled axis.
    axes : tuple of int
        The undersampled axes. Along the others (the readout) the mask is constant and has size 1.

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import MaskRandom
    >>> generate = MaskRandom(shape=(64, 128), acceleration=4.0, calib=16)
    >>> mask = generate(batch=(3,), generator=torch.Generator().manual_seed(0))
    >>> mask.shape, mask.sum((-2, -1)).tolist()
    (torch.Size([3, 1, 128]), [32.0, 32.0, 32.0])
    """

    def _draw(self, source: torch.Generator) -> Tensor:
        return self._choose(torch.ones(self._grid, dtype=torch.float64), source)


@dataclass(frozen=True, kw_only=True)
class MaskGaussian(_Mask):
    """Phase encodes drawn at random, denser towards DC by a Gaussian law, around a fully sampled center.

    The number of samples is exactly ``round(positions / acceleration)``, the center included. Samples are
    drawn without replacement, with odds ``exp(-r^2 / 2 width^2)``, r = 1 at the end of each axis.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of k-space, ``(y, x)`` or ``(z, y, x)``.
    acceleration : float
        Positions divided by samples, the center included.
    calib : int
        Length of the fully sampled center along each undersampled axis.
    axes : tuple of int
        The undersampled axes. Along the others (the readout) the mask is constant and has size 1.
    width : float
        Standard deviation of the density, as a fraction of half the axis.

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import MaskGaussian
    >>> generate = MaskGaussian(shape=(96, 128), acceleration=8.0, axes=(-2, -1))
    >>> mask = generate(generator=torch.Generator().manual_seed(0))
    >>> mask.shape, float(mask.numel() / mask.sum())
    (torch.Size([96, 128]), 8.0)
    """

    width: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.width > 0:
            raise ParameterError(f"width is a standard deviation and must be positive; got {self.width}")

    def _draw(self, source: torch.Generator) -> Tensor:
        grid = self._grid
        density = torch.ones(grid, dtype=torch.float64)
        for axis, n in enumerate(grid):
            if n > 1:
                r = (torch.arange(n, dtype=torch.float64) - n // 2) / (n / 2)
                size = [1] * len(grid)
                size[axis] = n
                density = density * torch.exp(-(r**2) / (2 * self.width**2)).reshape(size)
        return self._choose(density, source)


@dataclass(frozen=True, kw_only=True)
class MaskEquispaced(_Mask):
    """Equally spaced phase encodes, with a random offset, and a fully sampled center.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of k-space, ``(y, x)`` or ``(z, y, x)``.
    acceleration : float
        With ``net=True`` positions divided by samples, the center included: the spacing is widened to
        compensate for the center, and rounded sample by sample. With ``net=False`` the spacing itself. On
        several axes each spacing is the root, so that their product is ``acceleration``.
    calib : int
        Length of the fully sampled center along each undersampled axis.
    axes : tuple of int
        The undersampled axes. Along the others (the readout) the mask is constant and has size 1.
    net : bool
        See ``acceleration``. A strictly regular grid needs ``net=False`` and a whole number.

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import MaskEquispaced
    >>> generate = MaskEquispaced(shape=(8, 12), acceleration=3, calib=0, net=False)
    >>> generate(generator=torch.Generator().manual_seed(0)).int().tolist()
    [[0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1]]
    """

    net: bool = True

    def _draw(self, source: torch.Generator) -> Tensor:
        grid = self._grid
        offsets = torch.rand(len(grid), dtype=torch.float64, generator=source).tolist()
        spacing = self.acceleration ** (1 / len(self.axes))
        if not self.net:
            return self._lattice(grid, spacing, offsets)
        wanted = math.prod(grid) / self.acceleration
        low, high = 1.0, float(max(grid))
        for _ in range(40):  # the sample count falls, in steps, as the spacing grows
            middle = (low + high) / 2
            if float(self._lattice(grid, middle, offsets).sum()) > wanted:
                low = middle
            else:
                high = middle
        found = [self._lattice(grid, s, offsets) for s in (low, high)]
        return min(found, key=lambda mask: abs(float(mask.sum()) - wanted))

    def _lattice(self, grid: tuple[int, ...], spacing: float, offsets: list[float]) -> Tensor:
        mask = torch.ones(grid)
        for axis, (n, offset) in enumerate(zip(grid, offsets)):
            if n == 1:
                continue
            first = math.floor(offset * spacing)
            count = math.ceil((n - first) / spacing)
            lines = (first + spacing * torch.arange(count, dtype=torch.float64) + 1e-9).floor().long()
            line = torch.zeros(n)
            line[lines[lines < n]] = 1
            size = [1] * len(grid)
            size[axis] = n
            mask = mask * line.reshape(size)
        center_crop(mask, _center(grid, self.calib)).fill_(1)
        return mask


@dataclass(frozen=True, kw_only=True)
class MaskPoisson(_Mask):
    """Variable-density Poisson-disc sampling of two axes around a fully sampled center.

    The minimum distance between samples grows with their distance from DC, at a rate that follows from
    ``acceleration``: the number of samples is exactly ``round(positions / acceleration)``.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of k-space, ``(y, x)`` or ``(z, y, x)``.
    acceleration : float
        Positions divided by samples, the center included.
    calib : int
        Length of the fully sampled center along each undersampled axis.
    axes : tuple of int
        The two undersampled axes. Along the other (the readout) the mask is constant and has size 1.
    crop_corner : bool
        Leave the corners of k-space unsampled.

    Raises
    ------
    ParameterError
        If an argument is out of range, or the corners hold too many positions for the acceleration.

    References
    ----------
    R. Bridson, "Fast Poisson disk sampling in arbitrary dimensions", SIGGRAPH sketches (2007); M. McCool and
    E. Fiume, "Hierarchical Poisson disk sampling distributions", Graphics Interface (1992).

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import MaskPoisson
    >>> generate = MaskPoisson(shape=(64, 64), acceleration=5.0, calib=12)
    >>> int(generate(generator=torch.Generator().manual_seed(0)).sum())  # 4096 / 5
    819
    """

    axes: tuple[int, ...] = (-2, -1)
    crop_corner: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.axes) != 2:
            raise ParameterError(
                f"Poisson-disc sampling needs exactly two undersampled axes; got axes={self.axes}"
            )
        allowed = int(self._allowed.sum())
        if self._wanted > allowed:
            raise ParameterError(
                f"acceleration {self.acceleration} cannot be reached: crop_corner=True keeps {allowed} of "
                f"{math.prod(self._plane)} positions, an acceleration of "
                f"{math.prod(self._plane) / allowed:.2f}. Pass a larger one, or crop_corner=False"
            )

    @property
    def _plane(self) -> tuple[int, int]:
        """Lengths of the two undersampled axes."""
        first, second = (self.shape[axis] for axis in sorted(a % len(self.shape) for a in self.axes))
        return first, second

    @property
    def _wanted(self) -> int:
        return max(1, math.floor(math.prod(self._plane) / self.acceleration + 0.5))

    @property
    def _middle(self) -> np.ndarray:
        """The fully sampled center."""
        middle = torch.zeros(self._plane, dtype=torch.bool)
        center_crop(middle, _center(self._plane, self.calib)).fill_(True)
        return middle.numpy()

    @property
    def _allowed(self) -> np.ndarray:
        if not self.crop_corner:
            return np.ones(self._plane, dtype=bool)
        allowed: np.ndarray = (self._radius() < 1) | self._middle
        return allowed

    def _draw(self, source: torch.Generator) -> Tensor:
        first, second = (max(self._plane) / n for n in self._plane)
        drawn = poisson_discs(
            self._middle,
            self._allowed,
            self._radius(),
            spacing=(first, second),
            wanted=self._wanted,
            source=source,
        )
        return torch.from_numpy(drawn).float().reshape(self._grid)

    def _radius(self) -> np.ndarray:
        """Distance of each position from the fully sampled center, 1 at the middle of each side."""
        beyond = []
        for n, c in zip(self._plane, _center(self._plane, self.calib)):
            distance = (np.abs(np.arange(n) - n / 2) - c / 2).clip(0)
            beyond.append(distance / max(distance.max(), 1e-12))
        radius: np.ndarray = np.hypot(beyond[0][:, None], beyond[1])
        return radius


def _center(grid: tuple[int, ...], calib: int) -> tuple[int, ...]:
    return tuple(min(calib, n) for n in grid)
