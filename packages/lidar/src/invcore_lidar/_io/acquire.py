"""From time tags to an acquisition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from invcore import ParameterError
from invcore.io import Acquisition

from .._depth.several_surfaces import count_surfaces
from .._models.tcspc import TCSPC
from .._photons.gating import range_gate
from .._photons.impulse import ImpulseResponse
from .._photons.tags import Histogram, TimeTags
from .._photons.units import depth_of
from .output import SurfaceOutput

_COUNTS = 2**25  # largest histogram with the default bin width


@dataclass(frozen=True, kw_only=True)
class TagOptions:
    """Options of every reader of time tags.

    Parameters
    ----------
    near, far : float, optional
        Only use photons from between these distances in meters.
    fwhm : float, optional
        Full width at half maximum of the impulse response (its Gaussian part) in seconds, if the file does
        not state it.
    decay : float, optional
        Time constant of an exponential tail of the impulse response in seconds.
    width : int, optional
        Bin width in ticks; a quarter of the impulse response by default.
    surfaces : int, optional
        Surfaces per pixel; counted (`count_surfaces`) by default.
    pixels : int
        Combine blocks of ``pixels`` x ``pixels`` pixels.
    pitch : float, optional
        Angle between neighboring pixels of the file in radians.
    """

    near: float | None = None
    far: float | None = None
    fwhm: float | None = None
    decay: float | None = None
    width: int | None = None
    surfaces: int | None = None
    pixels: int = 1
    pitch: float | None = None

    def select(self, tags: TimeTags) -> TimeTags:
        """Return the photons between the distances, in the combined pixels."""
        if self.near is not None or self.far is not None:
            near, far = -1e12 if self.near is None else self.near, 1e12 if self.far is None else self.far
            tags = range_gate(tags, near=near, far=far)
        return tags if self.pixels == 1 else tags.bin(self.pixels)


def bin_ticks(tags: TimeTags, impulse: ImpulseResponse) -> int:
    """Choose the ticks in a bin: a quarter of the impulse response, more if the histogram would be too large.

    A divisor of the gate is preferred if one is near.
    """
    gate, pixels = tags.stop - tags.start, math.prod(tags.shape)
    least = max(1, round(impulse.fwhm / 4 / tags.tick), math.ceil(gate * pixels / _COUNTS))
    least = min(least, gate)
    return next((w for w in range(least, min(gate, 1 + 5 * least // 4) + 1) if gate % w == 0), least)


def acquire(
    tags: TimeTags,
    options: TagOptions,
    *,
    fwhm: float,
    decay: float | None = None,
    pitch: float | None = None,
    metadata: Mapping[str, Any],
) -> Acquisition:
    """Return the histogram of time tags with the model that explains it.

    Parameters
    ----------
    tags : TimeTags
        Selected by the options.
    options : TagOptions
    fwhm, decay : float
        Impulse response in seconds.
    pitch : float, optional
        Angle between pixels of the file in radians.
    metadata : mapping
        Facts of the file, to which those of the tags are added.

    Returns
    -------
    Acquisition
        ``y`` is (bin, y, x).

    Raises
    ------
    ParameterError
        If a number is out of range, or the impulse response longer than the gate.
    """
    surfaces = options.surfaces
    bell = ImpulseResponse.gaussian(fwhm=fwhm)
    impulse: ImpulseResponse = bell
    if decay is not None:
        impulse = ImpulseResponse.exponential_gaussian(sigma=bell.sigma, decay=decay)
    if impulse.fwhm >= tags.duration:
        raise ParameterError(
            f"the impulse response, {impulse.fwhm:.3g} s long at half maximum, does not fit into the gate of "
            f"{tags.duration:.3g} s: is it given in seconds?"
        )
    if pitch is not None:
        pitch = pitch * options.pixels
    counted = surfaces is None
    if surfaces is None:
        surfaces = count_surfaces(tags, impulse)
    if not (isinstance(surfaces, int) and not isinstance(surfaces, bool) and surfaces > 0):
        raise ParameterError(f"surfaces must be a positive number, got {surfaces!r}")
    if pitch is not None and not 0 < pitch < math.pi / 2:
        raise ParameterError(f"pitch is the angle between pixels in radians, got {pitch!r}")
    histogram: Histogram = tags.histogram(
        bin_ticks(tags, impulse) if options.width is None else options.width
    )
    operator = TCSPC(
        impulse=impulse,
        bins=histogram.bins,
        bin_width=histogram.bin_width,
        shape=tags.shape,
        start=histogram.start,
        surfaces=surfaces,
    )
    photons = len(tags.tags)
    facts = {
        **metadata,
        "surfaces": surfaces,
        "surfaces_from": "counted" if counted else "option",
        "photons": photons,
        "photons_per_pixel": round(photons / math.prod(tags.shape), 3),
        "gate_s": [tags.start * tags.tick, tags.stop * tags.tick],
        "range_m": [depth_of(tags.start * tags.tick), depth_of(tags.stop * tags.tick)],
        "tick_s": tags.tick,
        "bin_width_s": histogram.bin_width,
        "impulse_response": repr(impulse),
        "units": {"depth": "m", "reflectivity": "photons", "background": "photons per bin"},
    }
    return Acquisition(
        y=histogram.counts,
        physics=operator.physics(),
        metadata=facts,
        solver={"name": "lidar.regularized", "rtol": 5e-3},
        output=SurfaceOutput(
            impulse=impulse,
            bin_width=histogram.bin_width,
            surfaces=surfaces,
            near=math.floor(100 * depth_of(histogram.start)) / 100,
            pitch=pitch,
            bins=histogram.bins,
        ),
    )
