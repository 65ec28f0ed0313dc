"""Masks of a series, with other lines in each frame, and of partial Fourier."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from invcore import ParameterError

from .poisson import poisson_discs


@dataclass(frozen=True, kw_only=True)
class MaskShifted:
    """Every R-th phase encode, shifted from frame to frame: the lattice of k-t SENSE and TSENSE.

    Any R successive frames together have every line once. With a shift that is no neighbor (R = 8: 3) the
    folded copies of an object are far apart in x-f space [1]_.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of k-space, ``(y, x)`` or ``(z, y, x)``.
    frames : int
        Number of frames.
    acceleration : int
        R, a whole number. The center comes in addition.
    calib : int
        Number of central lines that every frame has.
    axis : int
        The undersampled axis.
    shift : int, optional
        Lines by which a frame is shifted against the last one; without a divisor in common with R. By default
        the nearest such number to 0.382 R.

    Raises
    ------
    ParameterError

    References
    ----------
    .. [1] J. Tsao, S. Kozerke, P. Boesiger, K. Pruessmann, "Optimizing spatiotemporal sampling for k-t BLAST
       and k-t SENSE: application to high-resolution real-time cardiac steady-state free precession", Magn.
       Reson. Med. 53 (2005).

    Examples
    --------
    >>> mask = MaskShifted(shape=(2, 4), frames=4, acceleration=4, calib=0)()
    >>> mask.shape, mask.sum(0).flatten().tolist()
    (torch.Size([4, 1, 4]), [1.0, 1.0, 1.0, 1.0])
    """

    shape: tuple[int, ...]
    frames: int
    acceleration: int = 4
    calib: int = 0
    axis: int = -1
    shift: int | None = None

    def __post_init__(self) -> None:
        _check_series("MaskShifted", self.shape, self.frames, self.calib, self.axis)
        R = self.acceleration
        n = self.shape[self.axis]
        if int(R) != R or not 1 <= R <= n:
            raise ParameterError(f"MaskShifted: acceleration must be a whole number from 1 to {n}, got {R!r}")
        if self.shift is not None and (int(self.shift) != self.shift or math.gcd(self.shift, R) != 1):
            raise ParameterError(
                f"MaskShifted: shift {self.shift!r} and acceleration {R} must have no divisor in common, or "
                "lines are never measured"
            )

    @property
    def _step(self) -> int:
        R = int(self.acceleration)
        if self.shift is not None:
            return self.shift
        return min((s for s in range(1, R + 1) if math.gcd(s, R) == 1), key=lambda s: abs(s - 0.382 * R))

    def __call__(self, *, batch: tuple[int, ...] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw float32 masks ``(*batch, frame, *mask)``: the first line of the first frame is random."""
        return _drawn(self._draw, batch, generator)

    def _draw(self, source: torch.Generator) -> Tensor:
        R, n = int(self.acceleration), self.shape[self.axis]
        first = int(torch.randint(R, (), generator=source))
        starts = first + self._step * torch.arange(self.frames)
        mask = ((torch.arange(n) - starts[:, None]) % R == 0).float()
        mask[:, _middle(n, self.calib)] = 1
        return _as_lines(mask, self.shape, self.axis)


@dataclass(frozen=True, kw_only=True)
class MaskKTPoisson:
    """Poisson discs over lines and frames: as many lines in each frame, denser at the center.

    A line is rarely measured in successive frames, nor are its neighbors, at a distance that grows with that
    from DC [1]_. Each frame has exactly ``round(lines / acceleration)`` lines.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of k-space, ``(y, x)`` or ``(z, y, x)``.
    frames : int
        Number of frames.
    acceleration : float
        Lines divided by those measured, the center included.
    calib : int
        Number of central lines that every frame has.
    axis : int
        The undersampled axis.
    apart : float
        The distance of successive frames in lines: the larger, the less frames know of each other.

    Raises
    ------
    ParameterError

    References
    ----------
    .. [1] R. Ahmad, H. Xue, S. Giri, Y. Ding, J. Craft, O. Simonetti, "Variable density incoherent
       spatiotemporal acquisition (VISTA) for highly accelerated cardiac MRI", Magn. Reson. Med. 74 (2015),
       who minimize an energy with the same aim.

    Examples
    --------
    >>> mask = MaskKTPoisson(shape=(2, 32), frames=3, acceleration=4.0, calib=2)()
    >>> mask.shape, mask.sum((-2, -1)).tolist()
    (torch.Size([3, 1, 32]), [8.0, 8.0, 8.0])
    """

    shape: tuple[int, ...]
    frames: int
    acceleration: float = 4.0
    calib: int = 4
    axis: int = -1
    apart: float = 1.0

    def __post_init__(self) -> None:
        _check_series("MaskKTPoisson", self.shape, self.frames, self.calib, self.axis)
        n = self.shape[self.axis]
        if not (math.isfinite(self.acceleration) and 1 <= self.acceleration <= n):
            raise ParameterError(
                f"MaskKTPoisson: acceleration must be from 1 to {n}, got {self.acceleration!r}"
            )
        if self.calib > self._lines:
            raise ParameterError(
                f"MaskKTPoisson: the center of {self.calib} lines is more than the {self._lines} of a frame "
                f"at acceleration {self.acceleration}: lower calib= or acceleration="
            )
        if not (math.isfinite(self.apart) and self.apart > 0):
            raise ParameterError(f"MaskKTPoisson: apart must be positive, got {self.apart!r}")

    @property
    def _lines(self) -> int:
        return max(1, math.floor(self.shape[self.axis] / self.acceleration + 0.5))

    def __call__(self, *, batch: tuple[int, ...] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw float32 masks ``(*batch, frame, *mask)``."""
        return _drawn(self._draw, batch, generator)

    def _draw(self, source: torch.Generator) -> Tensor:
        n = self.shape[self.axis]
        kept = np.zeros((self.frames, n), dtype=bool)
        kept[:, _middle(n, self.calib)] = True
        away = np.abs(np.arange(n) - n // 2) / max(n // 2, 1)
        drawn = poisson_discs(
            kept,
            np.ones_like(kept),
            np.broadcast_to(0.3 + 0.7 * away, kept.shape),
            spacing=(self.apart, 1.0),
            wanted=self.frames * self._lines,
            source=source,
            per_row=self._lines,
        )
        return _as_lines(torch.from_numpy(drawn).float(), self.shape, self.axis)


def partial_fourier_mask(
    shape: tuple[int, ...], fraction: float, *, axis: int = -1, missing: str = "end"
) -> Tensor:
    """Return the mask of a partial Fourier scan, which leaves out one end of k-space.

    Its product with another mask is that of an undersampled partial Fourier scan.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of k-space.
    fraction : float
        Part of the lines that are measured, above one half: 5/8, 6/8, 7/8.
    axis : int
        Where lines are left out.
    missing : {"end", "start"}
        Which end is left out.

    Returns
    -------
    Tensor, float32
        Of size 1 along the other axes.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> partial_fourier_mask((4, 8), 0.75).flatten().int().tolist()
    [1, 1, 1, 1, 1, 1, 0, 0]
    """
    if not 0.5 < fraction <= 1:
        raise ParameterError(f"partial_fourier_mask: fraction must be above 1/2, at most 1, got {fraction!r}")
    if missing not in ("end", "start"):
        raise ParameterError(f"partial_fourier_mask: missing must be 'end' or 'start', got {missing!r}")
    if not -len(shape) <= axis < len(shape):
        raise ParameterError(f"partial_fourier_mask: axis {axis} is none of {shape}")
    n = shape[axis]
    measured = torch.arange(n) < math.floor(fraction * n + 0.5)
    line = (measured if missing == "end" else measured.flip(0)).float()
    return line.reshape([n if i == axis % len(shape) else 1 for i in range(len(shape))])


def _check_series(name: str, shape: tuple[int, ...], frames: int, calib: int, axis: int) -> None:
    if len(shape) not in (2, 3) or any(int(n) != n or n < 1 for n in shape):
        raise ParameterError(f"{name}: shape must be two or three positive lengths, got {shape!r}")
    if not -len(shape) <= axis < len(shape):
        raise ParameterError(f"{name}: axis {axis} is none of {shape}")
    if int(frames) != frames or frames < 1:
        raise ParameterError(f"{name}: frames must be a positive whole number, got {frames!r}")
    if not 0 <= calib <= shape[axis]:
        raise ParameterError(f"{name}: calib must be from 0 to {shape[axis]} lines, got {calib!r}")


def _middle(n: int, calib: int) -> slice:
    first = n // 2 - calib // 2
    return slice(first, first + calib)


def _as_lines(mask: Tensor, shape: tuple[int, ...], axis: int) -> Tensor:
    """(frame, line) to (frame, *mask)."""
    size = [n if i == axis % len(shape) else 1 for i, n in enumerate(shape)]
    return mask.reshape(mask.shape[0], *size)


def _drawn(draw: object, batch: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """A batch of masks, each from its own seed."""
    source = torch.Generator().manual_seed(0) if generator is None else generator
    masks = []
    for _ in itertools.product(*(range(n) for n in batch)):
        seed = torch.randint(2**62, (), generator=source, device=source.device)
        masks.append(draw(torch.Generator().manual_seed(int(seed))))  # type: ignore[operator]
    if not masks:
        raise ParameterError(f"batch {batch} holds no mask")
    return torch.stack(masks).reshape(*batch, *masks[0].shape).to(source.device)
