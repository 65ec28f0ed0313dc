"""Sampling masks of k-space."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from invcore import ParameterError

from .center import center_crop

_ATTEMPTS = 4  # seeds to try for a Poisson-disc mask


@dataclass(frozen=True, kw_only=True)
class MaskRandom:
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

    shape: tuple[int, ...]
    acceleration: float = 4.0
    calib: int = 24
    axes: tuple[int, ...] = (-1,)

    def __post_init__(self) -> None:
        _check(self.shape, self.acceleration, self.calib, self.axes)

    def __call__(self, *, batch: tuple[int, ...] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw float32 masks ``(*batch, *mask)`` on the device of ``generator`` (seed 0 if None)."""

        def draw(source: torch.Generator) -> Tensor:
            grid = _grid(self.shape, self.axes)
            return _choose(grid, torch.ones(grid, dtype=torch.float64), self.acceleration, self.calib, source)

        return _batched(draw, batch, generator)


@dataclass(frozen=True, kw_only=True)
class MaskGaussian:
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

    shape: tuple[int, ...]
    acceleration: float = 4.0
    calib: int = 24
    axes: tuple[int, ...] = (-1,)
    width: float = 0.4

    def __post_init__(self) -> None:
        _check(self.shape, self.acceleration, self.calib, self.axes)
        if not self.width > 0:
            raise ParameterError(f"width is a standard deviation and must be positive; got {self.width}")

    def __call__(self, *, batch: tuple[int, ...] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw float32 masks ``(*batch, *mask)`` on the device of ``generator`` (seed 0 if None)."""

        def draw(source: torch.Generator) -> Tensor:
            grid = _grid(self.shape, self.axes)
            density = torch.ones(grid, dtype=torch.float64)
            for axis, n in enumerate(grid):
                if n > 1:
                    r = (torch.arange(n, dtype=torch.float64) - n // 2) / (n / 2)
                    size = [1] * len(grid)
                    size[axis] = n
                    density = density * torch.exp(-(r**2) / (2 * self.width**2)).reshape(size)
            return _choose(grid, density, self.acceleration, self.calib, source)

        return _batched(draw, batch, generator)


@dataclass(frozen=True, kw_only=True)
class MaskEquispaced:
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

    shape: tuple[int, ...]
    acceleration: float = 4.0
    calib: int = 24
    axes: tuple[int, ...] = (-1,)
    net: bool = True

    def __post_init__(self) -> None:
        _check(self.shape, self.acceleration, self.calib, self.axes)

    def __call__(self, *, batch: tuple[int, ...] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw float32 masks ``(*batch, *mask)`` on the device of ``generator`` (seed 0 if None)."""

        def draw(source: torch.Generator) -> Tensor:
            grid = _grid(self.shape, self.axes)
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

        return _batched(draw, batch, generator)

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
class MaskPoisson:
    """Variable-density Poisson-disc sampling of two axes around a fully sampled center, by SigPy.

    The minimum distance between samples grows with their distance from DC.

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
    tolerance : float
        Relative deviation from ``acceleration`` that is accepted.

    References
    ----------
    R. Bridson, "Fast Poisson disk sampling in arbitrary dimensions", SIGGRAPH sketches (2007).

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import MaskPoisson
    >>> generate = MaskPoisson(shape=(64, 64), acceleration=5.0, calib=12)
    >>> mask = generate(generator=torch.Generator().manual_seed(0))
    >>> bool(abs(mask.numel() / mask.sum() - 5) < 0.25)
    True
    """

    shape: tuple[int, ...]
    acceleration: float = 4.0
    calib: int = 24
    axes: tuple[int, ...] = (-2, -1)
    crop_corner: bool = True
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        _check(self.shape, self.acceleration, self.calib, self.axes)
        if len(self.axes) != 2:
            raise ParameterError(
                f"Poisson-disc sampling needs exactly two undersampled axes; got axes={self.axes}"
            )
        if not 0 < self.tolerance < 1:
            raise ParameterError(f"tolerance is relative and lies between 0 and 1; got {self.tolerance}")
        if not self.acceleration > 1:
            raise ParameterError(
                f"Poisson-disc sampling needs an acceleration above 1; got {self.acceleration}"
            )

    def __call__(self, *, batch: tuple[int, ...] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw float32 masks ``(*batch, *mask)`` on the device of ``generator`` (seed 0 if None).

        Raises
        ------
        ParameterError
            If no density gives the requested acceleration.
        """
        grid = _grid(self.shape, self.axes)
        plane = tuple(self.shape[axis] for axis in sorted(a % len(self.shape) for a in self.axes))
        wanted = math.prod(plane) / self.acceleration

        def draw(source: torch.Generator) -> Tensor:
            for _ in range(_ATTEMPTS):
                seed = int(torch.randint(2**31 - 1, (), generator=source))
                low, high = 0.0, float(max(plane))
                for _ in range(24):  # the sample count falls (not strictly) as the slope grows
                    slope = (low + high) / 2
                    mask = self._discs(plane, slope, seed)
                    count = float(mask.sum())
                    if abs(wanted / count - 1) <= self.tolerance:
                        return mask.reshape(grid)
                    if count > wanted:
                        low = slope
                    else:
                        high = slope
            raise ParameterError(
                f"no Poisson-disc mask of shape {plane} with a center of {_center(plane, self.calib)} comes "
                f"within {self.tolerance:.0%} of acceleration {self.acceleration}: lower acceleration=, "
                "calib=, or raise tolerance="
            )

        return _batched(draw, batch, generator)

    def _discs(self, plane: tuple[int, ...], slope: float, seed: int) -> Tensor:
        """Fill the plane with samples whose spacing grows at rate ``slope`` with their distance from DC."""
        # SigPy's public function searches for the slope too, but never returns if there is none.
        from sigpy.mri.samp import _poisson

        center = _center(plane, self.calib)
        beyond = []
        for n, c in zip(plane, center):
            distance = (np.abs(np.arange(n) - n / 2) - c / 2).clip(0)
            beyond.append(distance / max(distance.max(), 1e-12))
        radius = np.hypot(beyond[0][:, None], beyond[1])
        reach = [((1 + slope * radius) * n / max(plane)).clip(1) for n in plane]
        drawn = _poisson(plane[1], plane[0], 30, reach[1], reach[0], center, seed)
        if self.crop_corner:
            drawn = drawn * (radius < 1)
        mask = torch.from_numpy(drawn.astype("float32"))
        center_crop(mask, center).fill_(1)
        return mask


def _check(shape: tuple[int, ...], acceleration: float, calib: int, axes: tuple[int, ...]) -> None:
    if len(shape) not in (2, 3) or any(int(n) != n or n < 1 for n in shape):
        raise ParameterError(f"shape must be two or three positive lengths, got {shape}")
    if not (math.isfinite(acceleration) and acceleration >= 1):
        raise ParameterError(f"acceleration must be a finite number, at least 1; got {acceleration}")
    ndim = len(shape)
    if not axes or any(not -ndim <= a < ndim for a in axes) or len({a % ndim for a in axes}) != len(axes):
        raise ParameterError(f"axes must be different axes of a {ndim}-D k-space, at least one; got {axes}")
    if calib < 0:
        raise ParameterError(f"calib is a number of samples and cannot be negative; got {calib}")
    grid = _grid(shape, axes)
    inner, wanted = math.prod(_center(grid, calib)) if calib else 0, math.prod(grid) / acceleration
    if inner > wanted + 0.5:
        raise ParameterError(
            f"the fully sampled center alone ({inner} of {math.prod(grid)} positions) has more samples than "
            f"acceleration {acceleration} allows ({wanted:.0f}): lower calib= or acceleration="
        )


def _grid(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a mask: that of k-space, 1 along the fully sampled axes."""
    chosen = {axis % len(shape) for axis in axes}
    return tuple(n if axis in chosen else 1 for axis, n in enumerate(shape))


def _center(grid: tuple[int, ...], calib: int) -> tuple[int, ...]:
    return tuple(min(calib, n) for n in grid)


def _choose(
    grid: tuple[int, ...], odds: Tensor, acceleration: float, calib: int, source: torch.Generator
) -> Tensor:
    """Draw samples without replacement with the given odds (Efraimidis and Spirakis), center first."""
    keys = torch.rand(grid, dtype=torch.float64, generator=source).clamp_min(1e-300).log() / odds.clamp_min(
        1e-300
    )
    center_crop(keys, _center(grid, calib)).fill_(1)  # above all other keys, which are negative
    count = max(1, math.floor(math.prod(grid) / acceleration + 0.5))
    mask = torch.zeros(math.prod(grid))
    mask[keys.flatten().topk(count).indices] = 1
    return mask.reshape(grid)


def _batched(
    draw: Callable[[torch.Generator], Tensor], batch: tuple[int, ...], generator: torch.Generator | None
) -> Tensor:
    """Draw one mask per batch element from its own seed, so results do not depend on batch splits."""
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    masks = []
    for _ in itertools.product(*(range(n) for n in batch)):
        seed = torch.randint(2**62, (), generator=generator, device=generator.device)
        masks.append(draw(torch.Generator().manual_seed(int(seed))))
    if not masks:
        raise ParameterError(f"batch {batch} holds no mask")
    return torch.stack(masks).reshape(*batch, *masks[0].shape).to(generator.device)
