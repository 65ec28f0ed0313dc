"""From time tags to an acquisition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from invcore import ParameterError
from invcore.io import Acquisition

from .._depth.several_surfaces import count_surfaces
from .._models.tcspc import TCSPC
from .._photons.impulse import ImpulseResponse
from .._photons.tags import Histogram, TimeTags
from .._photons.units import depth_of
from .output import SurfaceOutput

_COUNTS = 2**25  # in a histogram whose bins are chosen here


def bin_ticks(tags: TimeTags, impulse: ImpulseResponse) -> int:
    """Ticks in a bin: a quarter of the impulse response, more if there would be too many, a divisor of the gate if one is near."""
    gate, pixels = tags.stop - tags.start, math.prod(tags.shape)
    least = max(1, round(impulse.fwhm / 4 / tags.tick), math.ceil(gate * pixels / _COUNTS))
    least = min(least, gate)
    return next((w for w in range(least, min(gate, 1 + 5 * least // 4) + 1) if gate % w == 0), least)


def acquire(
    tags: TimeTags,
    *,
    impulse: ImpulseResponse,
    width: int | None = None,
    surfaces: int | None = None,
    pitch: float | None = None,
    metadata: Mapping[str, Any],
) -> Acquisition:
    """Return the histogram of time tags with the model that explains it.

    Parameters
    ----------
    tags : TimeTags
    impulse : ImpulseResponse
    width : int, optional
        Ticks in a bin; a quarter of the impulse response by default.
    surfaces : int, optional
        In each pixel; counted (`count_surfaces`) by default.
    pitch : float, optional
        Angle between pixels in radians.
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
    if impulse.fwhm >= tags.duration:
        raise ParameterError(
            f"the impulse response, {impulse.fwhm:.3g} s long at half maximum, does not fit into the gate of {tags.duration:.3g} s: is it "
            "given in seconds?"
        )
    counted = surfaces is None
    if surfaces is None:
        surfaces = count_surfaces(tags, impulse)
    if not (isinstance(surfaces, int) and not isinstance(surfaces, bool) and surfaces > 0):
        raise ParameterError(f"surfaces must be a positive number, got {surfaces!r}")
    if pitch is not None and not 0 < pitch < math.pi / 2:
        raise ParameterError(f"pitch is the angle between pixels in radians, got {pitch!r}")
    histogram: Histogram = tags.histogram(bin_ticks(tags, impulse) if width is None else width)
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
