"""Inputs of the estimators: photons as compressed rows of times, the impulse response as a fine table."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError, ShapeError

from .._photons.impulse import ImpulseResponse
from .._photons.tags import Histogram, TimeTags
from .._photons.units import SPEED_OF_LIGHT

_SAMPLES = 1024
_OUTSIDE = 1e-6  # share of the response left out of tables
_FLOOR = 1e-3  # share of its maximum below which a response carries no information on time


class Detections(NamedTuple):
    """Photons of one image: those of pixel p are ``indptr[p]`` to ``indptr[p + 1]``, in order of time.

    Times are the centers of bins (ticks, for tags), in bins after the start of the gate.
    """

    indptr: np.ndarray  # (pixels + 1,) int64
    times: np.ndarray  # (photons,) float64
    counts: np.ndarray  # (photons,) float64
    shape: tuple[int, int]
    bins: int
    bin_width: float  # seconds
    start: float  # seconds

    @property
    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First arguments of the kernels: indptr, times, counts."""
        return self[:3]

    def photons(self) -> np.ndarray:
        """Return the photons in each pixel, (pixels,)."""
        return np.bincount(self.rows(), self.counts, minlength=len(self.indptr) - 1)

    def rows(self) -> np.ndarray:
        """Return the pixel of each entry."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    def depth(self, times: np.ndarray) -> np.ndarray:
        """Convert bins after the start of the gate to meters."""
        return (self.start + times * self.bin_width) * (SPEED_OF_LIGHT / 2)

    def arrival(self, depth: np.ndarray) -> np.ndarray:
        """Convert meters to bins after the start of the gate."""
        return (depth * (2 / SPEED_OF_LIGHT) - self.start) / self.bin_width

    @property
    def meters(self) -> float:
        """Length of a bin in meters of depth."""
        return self.bin_width * SPEED_OF_LIGHT / 2


class Table(NamedTuple):
    """Probability that a signal photon falls into the bin centered u bins after its time of flight.

    Tabulated at u = first + i step.
    """

    first: float
    step: float
    mass: np.ndarray

    @property
    def last(self) -> float:
        """Largest u."""
        return self.first + (len(self.mass) - 1) * self.step

    @property
    def peak(self) -> float:
        """Position of the maximum of the response."""
        return self.first + int(self.mass.argmax()) * self.step

    def width(self) -> float:
        """Return the standard deviation in bins of the time of flight from one signal photon: 1/√information.

        Measured responses start abruptly, which makes the Fisher information arbitrarily large; the response
        is floored at a thousandth of its maximum, and the result at a quarter of the full width.
        """
        return max(float(self.information(0.0) ** -0.5), self.fwhm() / 4)

    def information(self, background: float) -> float:
        """Return the Fisher information of the time of flight, per bin², from one signal photon.

        ``background`` is in photons per bin for each signal photon.
        """
        slope = np.gradient(self.mass, self.step)
        rate = np.maximum(self.mass + background, _FLOOR * self.mass.max())
        return float(np.sum(slope**2 / rate) * self.step)

    def window(self, share: float) -> tuple[float, float]:
        """Return the first and last u of the shortest interval with a share of the response, in bins."""
        upto = np.concatenate([[0.0], np.cumsum(self.mass)]) / self.mass.sum()
        ends = np.searchsorted(upto, upto + min(share, 1.0) - 1e-12)
        i = int(np.where(ends < len(upto), ends - np.arange(len(upto)), len(upto)).argmin())
        return self.first + (i - 0.5) * self.step, self.first + (ends[i] - 0.5) * self.step

    def fwhm(self) -> float:
        """Return the full width at half maximum in bins."""
        above = np.flatnonzero(self.mass >= self.mass.max() / 2)
        return float((above[-1] - above[0] + 1) * self.step)


def tabulate(impulse: ImpulseResponse, bin_width: float) -> Table:
    """Tabulate the masses of an impulse response in bins."""
    if not isinstance(impulse, ImpulseResponse):
        raise ParameterError(
            "the impulse response must be an ImpulseResponse, such as "
            f"ImpulseResponse.gaussian(fwhm=seconds), got {impulse!r}"
        )
    low, high = (t / bin_width for t in impulse.interval(_OUTSIDE))
    u = torch.linspace(low - 0.5, high + 0.5, _SAMPLES + 1, dtype=torch.float64)
    h = impulse.to("cpu").to(torch.float64)
    with torch.no_grad():
        upper, lower = h.cumulative((u + 0.5) * bin_width), h.cumulative((u - 0.5) * bin_width)
    mass = (upper - lower).clamp_min(0).numpy()
    if mass.ndim != 1:
        raise ShapeError(
            "an estimator takes one impulse response for all pixels: its parameters must be numbers"
        )
    return Table(low - 0.5, float(u[1] - u[0]), np.ascontiguousarray(mass))


def detections(data: TimeTags | Histogram) -> Detections:
    """Return the photons of tags, or of a histogram (bin, y, x)."""
    if isinstance(data, TimeTags):
        times = data.tags.cpu().numpy() - data.start + 0.5
        indptr = data.indptr.cpu().numpy()
        rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        times = times[np.lexsort((times, rows))]
        ones = np.ones(len(times))
        return Detections(
            indptr, times, ones, data.shape, data.stop - data.start, data.tick, data.start * data.tick
        )
    if not isinstance(data, Histogram):
        raise DataError(f"an estimator takes TimeTags or a Histogram, got {type(data).__name__}")
    return from_counts(data.counts, data.bin_width, data.start)


def from_counts(counts: Tensor, bin_width: float, start: float) -> Detections:
    """Return the photons of a cube of counts (bin, y, x)."""
    if counts.ndim != 3:
        raise ShapeError(f"an estimator takes one histogram (bin, y, x) at a time, got {tuple(counts.shape)}")
    bins, ny, nx = counts.shape
    cube = counts.detach().cpu().reshape(bins, ny * nx)
    b, p = cube.nonzero(as_tuple=True)  # in order of time
    values = cube[b, p].double().numpy()
    if not np.isfinite(values).all():
        raise DataError(f"the histogram has {(~np.isfinite(values)).sum()} counts that are NaN or infinite")
    if values.size and values.min() < 0:
        raise DataError(
            "the histogram holds negative counts: the estimators take photons; do not subtract the background"
        )
    order = np.argsort(p.numpy(), kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(p.numpy(), minlength=ny * nx))])
    times = b.numpy()[order] + 0.5
    return Detections(indptr, times, values[order], (ny, nx), bins, bin_width, start)


def background_map(data: Detections, window: int = 25, groups: int = 40) -> np.ndarray:
    """Estimate the background per bin of each pixel (pixels,), smooth over ``window`` pixels.

    The gate is divided into groups of bins; surfaces of a neighborhood occupy few of them, so the median
    group is background.
    """
    from scipy.ndimage import uniform_filter

    width = -(-data.bins // groups)
    groups = data.bins // width  # complete ones only: a short group would bias the median
    group = (data.times / width).astype(np.int64)
    pixels, kept = len(data.indptr) - 1, group < groups
    place = (data.rows() * groups + group)[kept]
    cube = np.bincount(place, data.counts[kept], minlength=pixels * groups)
    cube = cube.reshape(*data.shape, groups)
    size = min(window, *data.shape)
    area = size * size
    local = np.median(uniform_filter(cube, (size, size, 1), mode="reflect"), axis=-1) * area
    everywhere = max(float(np.median(cube.sum((0, 1)))) / pixels * area, 1e-3)
    # the median of few photons is 1/3 below the mean; that of the whole image keeps it from zero
    local = np.maximum(local + 1 / 3, 0.05 * everywhere)
    return (local / area / width).reshape(-1)
