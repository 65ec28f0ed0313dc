"""Gates in meters, around known surfaces, and found from the photons."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError

from .impulse import ImpulseResponse
from .tags import TimeTags
from .units import time_of_flight


def range_gate(tags: TimeTags, *, near: float, far: float) -> TimeTags:
    """Return the photons from between two distances.

    Parameters
    ----------
    tags : TimeTags
    near, far : float
        Meters. The gate is rounded outwards to whole ticks and limited to what was recorded.

    Returns
    -------
    TimeTags

    Raises
    ------
    ParameterError
        If nothing was recorded between the distances.

    Examples
    --------
    >>> tags = TimeTags.from_cells([[[3, 700]]], tick=1e-12, start=0, stop=1000)
    >>> range_gate(tags, near=0.1, far=0.12)
    TimeTags(1 x 1 pixels, 1 photons, gate 667 ... 801 of 1e-12 s)
    """
    if not -math.inf < near < far < math.inf:
        raise ParameterError(f"range_gate: expected near < far in meters, got {near!r} and {far!r}")
    start = max(tags.start, math.floor(time_of_flight(near) / tags.tick))
    stop = min(tags.stop, math.ceil(time_of_flight(far) / tags.tick))
    if not start < stop:
        held = [round(v * tags.tick / time_of_flight(1.0), 3) for v in (tags.start, tags.stop)]
        raise ParameterError(
            f"range_gate: nothing was recorded from {near} to {far} m; the gate is {held[0]} ... {held[1]} m"
        )
    return tags.gate(start, stop)


def depth_gate(tags: TimeTags, depth: Tensor, *, impulse: ImpulseResponse, outside: float = 0.01) -> TimeTags:
    """Return the photons that can come from given surfaces.

    Kept are the photons within the impulse response around the time of flight; the others are unlikely to be
    signal. The gate does not change.

    Parameters
    ----------
    tags : TimeTags
    depth : Tensor, shape (K, ny, nx)
        Meters; a photon is kept if it fits one of the surfaces.
    impulse : ImpulseResponse
    outside : float
        Fraction of the signal that may be lost.

    Returns
    -------
    TimeTags

    Raises
    ------
    ShapeError
        If the depths do not fit the pixels.

    Examples
    --------
    >>> tags = TimeTags.from_cells([[[3, 660, 672]]], tick=1e-12, start=0, stop=1000)
    >>> h = ImpulseResponse.gaussian(fwhm=10e-12)
    >>> depth_gate(tags, torch.full((1, 1, 1), 0.1), impulse=h).tags.tolist()
    [660, 672]
    """
    if depth.ndim != 3 or tuple(depth.shape[1:]) != tags.shape:
        raise ShapeError(
            f"depth_gate: depth must be (K, {tags.shape[0]}, {tags.shape[1]}), got {tuple(depth.shape)}"
        )
    low, high = impulse.interval(outside)
    flight = time_of_flight(depth.double()).reshape(len(depth), -1)
    late = tags.times() - flight[:, tags.pixels()]
    return tags.keep(((late >= low) & (late <= high)).any(0))


def find_gate(tags: TimeTags, *, impulse: ImpulseResponse, margin: float | None = None) -> TimeTags:
    """Return the photons of the shortest gate that contains all signal found in the whole image.

    The photons of all pixels are counted in bins as wide as the impulse response. The background per bin is
    the median of the lower half of the counts; bins that exceed it by five standard deviations of Poisson
    noise hold signal. A surface seen by few pixels may be too weak to be found, and fall outside of the gate.

    Parameters
    ----------
    tags : TimeTags
    impulse : ImpulseResponse
    margin : float, optional
        Time to add on both sides in seconds; the length of the impulse response by default.

    Returns
    -------
    TimeTags
        All photons if no bin stands out.

    Examples
    --------
    >>> from invcore_lidar import simulate_tags, still_life
    >>> h = ImpulseResponse.gaussian(fwhm=200e-12)
    >>> tags = simulate_tags(*still_life((32, 32)), impulse=h, photons=2.0, signal_to_background=0.2,
    ...     gate=(0.0, 100e-9), generator=torch.Generator().manual_seed(0))
    >>> gated = find_gate(tags, impulse=h)
    >>> 10e-9 < gated.duration < 16e-9
    True
    """
    width = max(1, round(impulse.fwhm / tags.tick))
    bins = -(-(tags.stop - tags.start) // width)
    if bins < 8:
        return tags
    counts = torch.bincount((tags.tags - tags.start) // width, minlength=bins).double()
    whole = counts[:-1]  # the last bin may be cut short
    background = whole.sort().values[: (len(whole) + 1) // 2].median()
    signal = torch.nonzero(counts > background + 5 * background.clamp_min(1).sqrt()).reshape(-1)
    if not len(signal):
        return tags
    low, high = impulse.interval(1e-3)
    spare = math.ceil((high - low if margin is None else margin) / tags.tick)
    start = tags.start + int(signal[0]) * width - spare
    stop = tags.start + (int(signal[-1]) + 1) * width + spare
    return tags.gate(max(start, tags.start), min(stop, tags.stop))
