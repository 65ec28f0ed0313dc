"""`Scanner`: the detector rings of a positron emission tomograph, and its lines of response."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore import ParameterError, Value

_LIGHT = 299_792_458.0
_FWHM = 2 * math.sqrt(2 * math.log(2))


class TimeOfFlight(Value):
    """Bins of the difference of the two arrival times.

    A difference Δt puts the annihilation cΔt/2 from the middle of the line of response, with a normal error.

    Parameters
    ----------
    bins : int
    width : float
        Width of a bin, in seconds.
    resolution : float
        Full width at half maximum of the error of Δt, in seconds.

    Examples
    --------
    >>> tof = TimeOfFlight(bins=13, width=312e-12, resolution=400e-12)
    >>> round(tof.sigma * 1000, 1)  # millimeters
    25.5
    """

    bins: int
    width: float
    resolution: float

    def __post_init__(self) -> None:
        if not isinstance(self.bins, int) or self.bins < 1:
            raise ParameterError(f"TimeOfFlight: bins must be a positive int, got {self.bins!r}")
        for name, value in (("width", self.width), ("resolution", self.resolution)):
            if not 0 < value < math.inf:
                raise ParameterError(f"TimeOfFlight: {name} must be positive, in seconds, got {value!r}")
        if self.width > 1e-6:
            raise ParameterError(
                f"TimeOfFlight: a width of {self.width!r} s is too large: give seconds, such as 312e-12"
            )

    @property
    def sigma(self) -> float:
        """Standard deviation of the position along the line, in meters."""
        return _LIGHT / 2 * self.resolution / _FWHM

    @property
    def edges(self) -> Tensor:
        """Borders of the bins, in meters from the middle of the line, (bins + 1,)."""
        step = _LIGHT / 2 * self.width
        return (torch.arange(self.bins + 1, dtype=torch.float64) - self.bins / 2) * step


class Scanner(Value):
    """A cylinder of detectors; one ring for 2-D.

    The sinogram has one row for each *view* and one column for each *bin*: detectors v + ⌊t/2⌋ and
    v - ⌈t/2⌉ + N/2 form the line of view v = 0 … N/2 - 1 and bin t, interleaving the two sets of nearly
    parallel lines; its distance from the axis is R sin(πt/N) and its angle 2πv/N within half a step. With
    several rings there is one such *plane* for each ordered pair of rings not further apart than
    ``max_ring_difference``, first by difference.

    Parameters
    ----------
    detectors : int
        N in a ring, even.
    radius : float
        R of a ring, in meters.
    bins : int, optional
        Columns of a sinogram; N/2 - 1 or N/2, whichever is odd, by default.
    rings : int
    ring_pitch : float
        Distance between rings, in meters.
    max_ring_difference : int, optional
        Largest difference of the ring numbers of a plane; all pairs by default.
    tof : TimeOfFlight, optional

    Examples
    --------
    >>> scanner = Scanner(detectors=8, radius=0.4)
    >>> scanner.shape
    (4, 3)
    >>> first, last = scanner.lines()
    >>> (first[0, 1] + last[0, 1]).abs().max().item() < 1e-12  # through the center
    True
    """

    detectors: int
    radius: float
    bins: int | None = None
    rings: int = 1
    ring_pitch: float = 0.004
    max_ring_difference: int | None = None
    tof: TimeOfFlight | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.detectors, int) or self.detectors < 4 or self.detectors % 2:
            raise ParameterError(f"Scanner: detectors must be an even int >= 4, got {self.detectors!r}")
        if not 0 < self.radius < math.inf or not 0 < self.ring_pitch < math.inf:
            raise ParameterError(
                f"Scanner: radius and ring_pitch must be positive, in meters, got {self.radius!r} and "
                f"{self.ring_pitch!r}"
            )
        if not isinstance(self.rings, int) or self.rings < 1:
            raise ParameterError(f"Scanner: rings must be a positive int, got {self.rings!r}")
        if not 1 <= self.columns < self.detectors:
            raise ParameterError(
                f"Scanner: bins must be from 1 to detectors - 1 = {self.detectors - 1}, got {self.bins!r}"
            )
        if self.max_ring_difference is not None and not 0 <= self.max_ring_difference < self.rings:
            raise ParameterError(
                f"Scanner: max_ring_difference must be from 0 to rings - 1 = {self.rings - 1}, got "
                f"{self.max_ring_difference!r}"
            )

    @property
    def columns(self) -> int:
        """Number of bins."""
        half = self.detectors // 2
        return self.bins if self.bins is not None else half - 1 + half % 2

    @property
    def views(self) -> int:
        """Number of views, N/2."""
        return self.detectors // 2

    @property
    def planes(self) -> list[tuple[int, int]]:
        """The pairs of rings, in the order of the sinogram."""
        largest = self.rings - 1 if self.max_ring_difference is None else self.max_ring_difference
        pairs = [(a, b) for a in range(self.rings) for b in range(self.rings) if abs(a - b) <= largest]
        return sorted(pairs, key=lambda pair: (abs(pair[0] - pair[1]), pair[0] - pair[1], pair[0]))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a sinogram: ([plane,] view, bin)."""
        flat = (self.views, self.columns)
        return flat if self.rings == 1 else (len(self.planes), *flat)

    def pairs(self) -> tuple[Tensor, Tensor]:
        """The two detectors of each line in a ring, int64 of shape (view, bin)."""
        view = torch.arange(self.views)[:, None]
        t = torch.arange(self.columns)[None] - self.columns // 2
        first = view + torch.div(t, 2, rounding_mode="floor")
        last = view - torch.div(t + 1, 2, rounding_mode="floor") + self.views
        return first % self.detectors, last % self.detectors

    def lines(self) -> tuple[Tensor, Tensor]:
        """End points of the lines of response.

        Returns
        -------
        first, last : Tensor of float64, shape ([plane,] view, bin, 2 or 3)
            In meters, (x, y) or (x, y, z); the axis of the scanner is z, its middle the origin.
        """
        angle = 2 * math.pi * torch.arange(self.detectors, dtype=torch.float64) / self.detectors
        ring = self.radius * torch.stack([angle.cos(), angle.sin()], -1)
        ends = [ring[index] for index in self.pairs()]
        if self.rings == 1:
            return ends[0], ends[1]
        height = (torch.arange(self.rings, dtype=torch.float64) - (self.rings - 1) / 2) * self.ring_pitch
        order = torch.tensor(self.planes)
        first, last = (
            torch.cat(
                [
                    end.expand(len(order), *end.shape),
                    height[order[:, side], None, None, None].expand(-1, *end.shape[:-1], 1),
                ],
                -1,
            )
            for side, end in enumerate(ends)
        )
        return first, last
