"""Time tags of single photons and their histograms."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from invcore import DtypeError, ParameterError, ShapeError, Value

_LARGEST = 2**33  # counts in one histogram


class TimeTags(Value):
    """Detection times of single photons in every pixel of an image, as compressed rows.

    Photon k of pixel p = (row, column) = (p // nx, p % nx) has the tag ``tags[indptr[p] + k]``: an integer m
    for a detection between m and m + 1 ticks after the laser pulse.

    Parameters
    ----------
    indptr : Tensor, shape (ny * nx + 1,), int64
        Index of the first tag of each pixel; the last entry is the number of photons.
    tags : Tensor, shape (photons,), int64
        Ticks, ordered by pixel.
    tick : float
        Seconds.
    shape : tuple of int
        ``(ny, nx)``.
    start, stop : int
        Gate in ticks: start <= tag < stop.
    pulses : int, optional
        Laser pulses sent to each pixel, if known.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If the parts do not fit together.

    Examples
    --------
    >>> tags = TimeTags.from_cells([[[3, 5], []], [[4], [1, 7, 7]]], tick=1e-12, start=0, stop=8)
    >>> tags
    TimeTags(2 x 2 pixels, 6 photons, gate 0 ... 8 of 1e-12 s)
    >>> tags.counts().tolist()
    [[2, 0], [1, 3]]
    >>> tags.histogram(4).counts[:, 1, 1].tolist()
    [1.0, 2.0]
    """

    indptr: Tensor
    tags: Tensor
    tick: float
    shape: tuple[int, int]
    start: int
    stop: int
    pulses: int | None = None

    def __post_init__(self) -> None:
        ny, nx = _pair(self.shape, "TimeTags: shape")
        for name in ("indptr", "tags"):
            held = getattr(self, name)
            if not isinstance(held, Tensor) or held.dtype != torch.int64 or held.ndim != 1:
                kind = (
                    f"{held.dtype} {tuple(held.shape)}" if isinstance(held, Tensor) else type(held).__name__
                )
                raise DtypeError(f"TimeTags: {name} must be an int64 tensor with one axis, got {kind}")
        if not (isinstance(self.tick, int | float) and 0 < self.tick < math.inf):
            raise ParameterError(f"TimeTags: tick must be a positive time in seconds, got {self.tick!r}")
        if not (_whole(self.start) and _whole(self.stop) and self.start < self.stop):
            raise ParameterError(
                f"TimeTags: the gate must be whole ticks start < stop, got {self.start!r} ... {self.stop!r}"
            )
        if self.pulses is not None and not (_whole(self.pulses) and self.pulses > 0):
            raise ParameterError(f"TimeTags: pulses must be a positive number, got {self.pulses!r}")
        if len(self.indptr) != ny * nx + 1:
            raise ShapeError(
                f"TimeTags: {ny} x {nx} pixels need {ny * nx + 1} entries in indptr, got {len(self.indptr)}"
            )
        if self.indptr.device.type == "meta":
            return
        if self.indptr[0] != 0 or self.indptr[-1] != len(self.tags) or bool((self.indptr.diff() < 0).any()):
            raise ParameterError(
                f"TimeTags: indptr must rise from 0 to the number of tags, {len(self.tags)}, "
                f"got {self.indptr[0].item()} ... {self.indptr[-1].item()}"
            )
        if len(self.tags):
            low, high = (v.item() for v in self.tags.aminmax())
            if low < self.start or high >= self.stop:
                raise ParameterError(
                    f"TimeTags: tags {low} ... {high} are outside of the gate {self.start} ... {self.stop}: "
                    "gate them first, or give the gate of the recording"
                )

    def __repr__(self) -> str:
        shots = f", {self.pulses} pulses a pixel" if self.pulses else ""
        return (
            f"TimeTags({self.shape[0]} x {self.shape[1]} pixels, {len(self.tags)} photons, "
            f"gate {self.start} ... {self.stop} of {self.tick:.4g} s{shots})"
        )

    @staticmethod
    def from_pixels(
        *,
        pixels: Tensor,
        tags: Tensor,
        tick: float,
        shape: tuple[int, int],
        start: int,
        stop: int,
        pulses: int | None = None,
    ) -> TimeTags:
        """Return the tags of photons in any order; the order within a pixel is kept.

        Parameters
        ----------
        pixels : Tensor, shape (photons,), int64
            Pixel of each photon, row * nx + column.
        tags : Tensor, shape (photons,), int64
            Ticks; photons outside of the gate are dropped.
        tick, shape, start, stop, pulses
            As in the class.

        Returns
        -------
        TimeTags
        """
        ny, nx = _pair(shape, "TimeTags: shape")
        for name, held in (("pixels", pixels), ("tags", tags)):
            if not isinstance(held, Tensor) or held.dtype != torch.int64 or held.ndim != 1:
                raise DtypeError(f"TimeTags.from_pixels: {name} must be an int64 tensor with one axis")
        if len(pixels) != len(tags):
            raise ShapeError(f"TimeTags.from_pixels: {len(pixels)} pixels for {len(tags)} tags")
        if len(pixels) and not (pixels.min() >= 0 and pixels.max() < ny * nx):
            raise ParameterError(f"TimeTags.from_pixels: pixels must be 0 ... {ny * nx - 1}")
        kept = (tags >= start) & (tags < stop)
        pixels, tags = pixels[kept], tags[kept]
        tags = tags[pixels.argsort(stable=True)]
        indptr = _indptr(torch.bincount(pixels, minlength=ny * nx))
        return TimeTags(
            indptr=indptr, tags=tags, tick=tick, shape=(ny, nx), start=start, stop=stop, pulses=pulses
        )

    @staticmethod
    def from_cells(
        cells: Sequence[Sequence[Any]], *, tick: float, start: int, stop: int, pulses: int | None = None
    ) -> TimeTags:
        """Return the tags of rows of lists of integers, such as a MATLAB cell array.

        Parameters
        ----------
        cells : sequence of sequences
            ``cells[row][column]`` holds the tags of a pixel.
        tick, start, stop, pulses
            As in the class.

        Returns
        -------
        TimeTags

        Raises
        ------
        ShapeError, DtypeError
            If the rows differ in length, or tags are not whole numbers.
        """
        rows = [[_ticks(cell) for cell in row] for row in cells]
        if not rows or not rows[0] or len({len(row) for row in rows}) != 1:
            raise ShapeError("TimeTags.from_cells: cells must be rows of equal length, not empty")
        flat = [cell for row in rows for cell in row]
        return TimeTags(
            indptr=_indptr(torch.tensor([len(cell) for cell in flat])),
            tags=torch.cat(flat),
            tick=tick,
            shape=(len(rows), len(rows[0])),
            start=start,
            stop=stop,
            pulses=pulses,
        )

    @property
    def duration(self) -> float:
        """Length of the gate in seconds."""
        return (self.stop - self.start) * self.tick

    def counts(self) -> Tensor:
        """Return the photons in each pixel, ``(y, x)``, int64."""
        return self.indptr.diff().reshape(self.shape)

    def pixels(self) -> Tensor:
        """Return the pixel of each photon, row * nx + column, ``(photons,)``, int64."""
        counts = self.indptr.diff()
        return torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)

    def times(self) -> Tensor:
        """Return the center of each photon's tick in seconds after the pulse, ``(photons,)``, float64."""
        return (self.tags.double() + 0.5) * self.tick

    def histogram(self, width: int = 1, *, dtype: torch.dtype = torch.float32) -> Histogram:
        """Count the photons in bins.

        Parameters
        ----------
        width : int
            Bin width in ticks. Bins begin at the start of the gate; an incomplete last bin is dropped.
        dtype : torch.dtype
            Type of the counts.

        Returns
        -------
        Histogram
            Counts ``(bin, y, x)``.

        Raises
        ------
        ParameterError
            If the width is not a positive number of ticks, or longer than the gate, or if there would be more
            than 2³³ counts.
        """
        if not (_whole(width) and 0 < width <= self.stop - self.start):
            raise ParameterError(
                f"TimeTags.histogram: width must be 1 ... {self.stop - self.start} ticks, got {width!r}"
            )
        bins, pixels = (self.stop - self.start) // width, math.prod(self.shape)
        if bins * pixels > _LARGEST:
            raise ParameterError(
                f"TimeTags.histogram: {bins} bins in each of {pixels} pixels are too many; gate the tags, or "
                f"take a width of {math.ceil((self.stop - self.start) * pixels / _LARGEST)} ticks or more"
            )
        index = (self.tags - self.start) // width
        kept = index < bins
        flat = (index * pixels + self.pixels())[kept]
        counts = torch.zeros(bins * pixels, dtype=dtype, device=self.tags.device)
        counts.index_add_(0, flat, torch.ones((), dtype=dtype, device=flat.device).expand(len(flat)))
        return Histogram(
            counts=counts.reshape(bins, *self.shape),
            bin_width=width * self.tick,
            start=self.start * self.tick,
        )

    def gate(self, start: int, stop: int) -> TimeTags:
        """Return the photons of a part of the gate.

        Parameters
        ----------
        start, stop : int
            Ticks within the present gate.

        Returns
        -------
        TimeTags

        Raises
        ------
        ParameterError
            If they are outside of the present gate, where nothing was recorded.
        """
        if not (_whole(start) and _whole(stop) and self.start <= start < stop <= self.stop):
            raise ParameterError(
                f"TimeTags.gate: expected ticks within {self.start} ... {self.stop}, got {start!r} ... "
                f"{stop!r}"
            )
        return self._kept((self.tags >= start) & (self.tags < stop), start=start, stop=stop)

    def keep(self, mask: Tensor) -> TimeTags:
        """Return the photons where ``mask``, ``(photons,)`` bool, is true; the gate does not change."""
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != self.tags.shape:
            raise ShapeError(f"TimeTags.keep: mask must be bool, one for each of {len(self.tags)} photons")
        return self._kept(mask, start=self.start, stop=self.stop)

    def select(self, rows: slice, columns: slice) -> TimeTags:
        """Return a part of the image.

        Parameters
        ----------
        rows, columns : slice

        Returns
        -------
        TimeTags
        """
        ny, nx = self.shape
        index = torch.arange(ny * nx, device=self.tags.device).reshape(ny, nx)[rows][:, columns]
        if not index.numel():
            raise ParameterError(f"TimeTags.select: {rows} and {columns} leave nothing of {ny} x {nx} pixels")
        place = torch.full((ny * nx,), -1, device=self.tags.device)
        place[index.reshape(-1)] = torch.arange(index.numel(), device=place.device)
        target = place[self.pixels()]
        return self._placed(target, (index.shape[0], index.shape[1]))

    def bin(self, size: int) -> TimeTags:
        """Return the photons in pixels ``size`` times as large; incomplete rows and columns are dropped."""
        if not _whole(size) or not 0 < size <= min(self.shape):
            raise ParameterError(f"TimeTags.bin: size must be 1 ... {min(self.shape)} pixels, got {size!r}")
        nx = self.shape[1]
        low = self.shape[0] // size, nx // size
        pixels = self.pixels()
        row, column = pixels // nx // size, pixels % nx // size
        target = torch.where((row < low[0]) & (column < low[1]), row * low[1] + column, -1)
        binned = self._placed(target, low)
        pulses = self.pulses * size * size if self.pulses else None
        return dataclasses.replace(binned, pulses=pulses)

    def thin(self, fraction: float, *, generator: torch.Generator) -> TimeTags:
        """Keep each photon with probability ``fraction``, as in a shorter exposure.

        Parameters
        ----------
        fraction : float
            Between 0 and 1.
        generator : torch.Generator

        Returns
        -------
        TimeTags
            Without `pulses`, of which a thinned exposure has no whole number.
        """
        if not 0 <= fraction <= 1:
            raise ParameterError(f"TimeTags.thin: fraction must be between 0 and 1, got {fraction!r}")
        kept = torch.rand(len(self.tags), generator=generator, device=generator.device) < fraction
        return dataclasses.replace(self.keep(kept.to(self.tags.device)), pulses=None)

    def first(self, photons: int) -> TimeTags:
        """Return the first photons of each pixel in stored order."""
        if not _whole(photons) or photons < 1:
            raise ParameterError(f"TimeTags.first: photons must be a positive number, got {photons!r}")
        rank = torch.arange(len(self.tags), device=self.tags.device) - self.indptr[self.pixels()]
        return dataclasses.replace(self.keep(rank < photons), pulses=None)

    def _kept(self, mask: Tensor, *, start: int, stop: int) -> TimeTags:
        upto = torch.nn.functional.pad(mask.long().cumsum(0), (1, 0))
        return dataclasses.replace(
            self, indptr=upto[self.indptr], tags=self.tags[mask], start=start, stop=stop
        )

    def _placed(self, target: Tensor, shape: tuple[int, int]) -> TimeTags:
        """Move the photons to other pixels; -1 drops them."""
        kept = target >= 0
        return TimeTags.from_pixels(
            pixels=target[kept],
            tags=self.tags[kept],
            tick=self.tick,
            shape=shape,
            start=self.start,
            stop=self.stop,
            pulses=self.pulses,
        )


class Histogram(Value):
    """Photon counts over time in every pixel.

    Bin b covers the times from start + b · bin_width to start + (b + 1) · bin_width.

    Parameters
    ----------
    counts : Tensor, shape (..., bin, y, x)
    bin_width : float
        Seconds.
    start : float
        Start of the first bin in seconds after the laser pulse.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If the counts have fewer than three axes, or the width is not positive.

    Examples
    --------
    >>> h = Histogram(counts=torch.ones(4, 2, 2), bin_width=1e-9, start=0.0)
    >>> h
    Histogram(4 bins of 1e-09 s from 0 s, 2 x 2 pixels)
    >>> h.times()[0].item()
    5e-10
    """

    counts: Tensor
    bin_width: float
    start: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.counts, Tensor) or self.counts.is_complex():
            raise DtypeError("Histogram: counts must be a real tensor")
        if self.counts.ndim < 3:
            raise ShapeError(f"Histogram: counts must be (..., bin, y, x), got {tuple(self.counts.shape)}")
        if not (isinstance(self.bin_width, int | float) and 0 < self.bin_width < math.inf):
            raise ParameterError(
                f"Histogram: bin_width must be a positive time in seconds, got {self.bin_width!r}"
            )
        if not (isinstance(self.start, int | float) and math.isfinite(self.start)):
            raise ParameterError(f"Histogram: start must be a time in seconds, got {self.start!r}")

    def __repr__(self) -> str:
        *batch, bins, ny, nx = self.counts.shape
        front = f"batch {tuple(batch)}, " if batch else ""
        return (
            f"Histogram({front}{bins} bins of {self.bin_width:.4g} s from {self.start:.4g} s, "
            f"{ny} x {nx} pixels)"
        )

    @property
    def bins(self) -> int:
        """Number of bins."""
        return self.counts.shape[-3]

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels ``(ny, nx)``."""
        return self.counts.shape[-2], self.counts.shape[-1]

    def times(self) -> Tensor:
        """Return the bin centers in seconds after the pulse, ``(bin,)``, float64."""
        return self.start + (torch.arange(self.bins, dtype=torch.float64) + 0.5) * self.bin_width

    def edges(self) -> Tensor:
        """Return the bin edges in seconds after the pulse, ``(bin + 1,)``, float64."""
        return self.start + torch.arange(self.bins + 1, dtype=torch.float64) * self.bin_width

    def photons(self) -> Tensor:
        """Return the photons in each pixel, ``(..., y, x)``."""
        return self.counts.sum(-3)

    def coarser(self, factor: int) -> Histogram:
        """Return bins ``factor`` times as wide; an incomplete last bin is dropped."""
        if not _whole(factor) or not 0 < factor <= self.bins:
            raise ParameterError(f"Histogram.coarser: factor must be 1 ... {self.bins} bins, got {factor!r}")
        bins = self.bins // factor
        whole = self.counts[..., : bins * factor, :, :].unflatten(-3, (bins, factor))
        return Histogram(counts=whole.sum(-3), bin_width=self.bin_width * factor, start=self.start)


def _ticks(cell: Any) -> Tensor:
    """Return the tags of one pixel as integers."""
    held = torch.as_tensor(cell).reshape(-1)
    ticks = held.to(torch.int64)
    if held.is_floating_point() and not bool((ticks == held).all()):
        raise DtypeError(
            f"TimeTags.from_cells: tags must be whole ticks, got {held[ticks != held][0].item()!r}; "
            "divide times in seconds by the tick"
        )
    return ticks


def _indptr(counts: Tensor) -> Tensor:
    return torch.nn.functional.pad(counts.long().cumsum(0), (1, 0))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _pair(shape: Any, label: str) -> tuple[int, int]:
    if not isinstance(shape, tuple) or len(shape) != 2 or not all(_whole(n) and n > 0 for n in shape):
        raise ShapeError(f"{label} must be (ny, nx), two positive numbers, got {shape!r}")
    return shape
