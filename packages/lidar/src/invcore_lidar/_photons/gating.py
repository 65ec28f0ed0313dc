"""Gates in meters, and gates that follow a depth map."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError

from .impulse import ImpulseResponse
from .tags import TimeTags
from .units import time_of_flight


def range_gate(tags: TimeTags, *, near: float, far: float) -> TimeTags:
    """Return the photons that come from between two distances.

    Parameters
    ----------
    tags : TimeTags
    near, far : float
        In meters. The gate takes whole ticks, and no more than was recorded.

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
        raise ParameterError(f"range_gate: near < far in meters is needed, got {near!r} and {far!r}")
    start = max(tags.start, math.floor(time_of_flight(near) / tags.tick))
    stop = min(tags.stop, math.ceil(time_of_flight(far) / tags.tick))
    if not start < stop:
        held = [round(v * tags.tick / time_of_flight(1.0), 3) for v in (tags.start, tags.stop)]
        raise ParameterError(
            f"range_gate: nothing was recorded from {near} to {far} m; the gate is {held[0]} ... {held[1]} m"
        )
    return tags.gate(start, stop)


def depth_gate(tags: TimeTags, depth: Tensor, *, impulse: ImpulseResponse, outside: float = 0.01) -> TimeTags:
    """Return the photons that can come from given surfaces: those in the window of the impulse response about the time of flight.

    The gate stays as it was: this censors, the photons left out are unlikely to be signal.

    Parameters
    ----------
    tags : TimeTags
    depth : Tensor, shape (K, ny, nx)
        In meters; a photon is kept if it fits one of the surfaces.
    impulse : ImpulseResponse
    outside : float
        Fraction of the signal that may fall outside of the windows.

    Returns
    -------
    TimeTags

    Raises
    ------
    ShapeError
        If the depths are not for these pixels.

    Examples
    --------
    >>> tags = TimeTags.from_cells([[[3, 660, 672]]], tick=1e-12, start=0, stop=1000)
    >>> depth_gate(tags, torch.full((1, 1, 1), 0.1), impulse=ImpulseResponse.gaussian(fwhm=10e-12)).tags.tolist()
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
    """Return the photons of the shortest gate outside of which the whole image shows nothing but background.

    The photons of all pixels are counted in bins as wide as the impulse response. The background of a bin is the median of the
    quieter half of the bins; bins above it by five standard deviations of Poisson noise hold signal. A surface that few pixels
    see does not stand out so much: the gate may end before it.

    Parameters
    ----------
    tags : TimeTags
    impulse : ImpulseResponse
    margin : float, optional
        Seconds to add on both sides; the length of the impulse response by default.

    Returns
    -------
    TimeTags
        All of them, if no bin stands out.

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
