"""From visibilities to an `Acquisition`: the image grid, the physics and the solver that suit the data."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from invcore import DataError, ParameterError
from invcore.io import Acquisition

from .._data.stokes import StokesName
from .._data.visibilities import Visibilities
from .._noise.scatter import scatter_scale
from .output import SkyOutput
from .vlbi import vlbi_acquisition

_ARCSECOND = math.pi / 180 / 3600
_VLBI_LENGTH, _VLBI_FREQUENCY = 1e6, 80e9
GRID = 256
"""Default number of pixels on a side."""
_VLBI_GRID = 64
_ROWS, _OVERSTATED = 100_000, 0.5
"""Rows from which the noise is measured; ratio to the stated one below which it takes its place."""


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """Options of every reader of visibilities.

    Parameters
    ----------
    stokes : {"I", "Q", "U", "V"}
        Stokes parameter to image.
    single_hand : bool
        Take one parallel hand for I where the other is flagged.
    size : int, optional
        Pixels of the image on a side; 256 by default, 64 for closure quantities, fewer where the image would
        pass the horizon.
    pixel : float, optional
        Size of a pixel in arcseconds; a fifth of the resolution by default, a twelfth for closure quantities.
    average : float, optional
        Length of the time bins to average over, in seconds; no averaging by default.
    systematic : float
        Systematic error as a fraction of the amplitude, added in quadrature. For closure quantities 0 means
        0.01.
    w_term : bool
        Account for baselines that do not lie in a plane.

    Raises
    ------
    ParameterError
        If a number is out of range.
    """

    stokes: StokesName = "I"
    single_hand: bool = False
    size: int | None = None
    pixel: float | None = None
    average: float | None = None
    systematic: float = 0.0
    w_term: bool = True

    def __post_init__(self) -> None:
        check_grid(self.size, self.pixel, "arcseconds")
        if not self.systematic >= 0:
            raise ParameterError(
                f"systematic= is a fraction of the amplitude, 0 or more, got {self.systematic!r}"
            )


def check_grid(size: int | None, pixel: float | None, unit: str) -> None:
    """Raise `ParameterError` unless there are 4 pixels on a side or more, of a positive size below 3600."""
    if size is not None and size < 4:
        raise ParameterError(f"size= is the pixels of the image on a side, 4 or more, got {size!r}")
    if pixel is not None and not 0 < pixel < 3600:
        raise ParameterError(f"pixel= is in {unit}, above 0 and below 3600, got {pixel!r}")


def acquire(
    vis: Visibilities,
    path: Path,
    format: str,
    options: ImageOptions,
    *,
    notes: tuple[str, ...] = (),
) -> Acquisition:
    """Return calibrated visibilities of one Stokes parameter as measurements of an image.

    Parameters
    ----------
    vis : Visibilities
        Visibilities as read, with any correlations.
    path : Path
        The file, for messages and metadata.
    format : str
        Registered name of the reader.
    options : ImageOptions
    notes : tuple of str
        Remarks on the file, for the metadata.

    Raises
    ------
    DataError
        If all data are flagged.
    """
    one = vis.stokes(options.stokes, single_hand=options.single_hand)
    total = one.flag.numel()
    one = one.unflagged()
    if len(one) == 0:
        raise DataError(f"{path}: all data of Stokes {options.stokes} are flagged")
    used = int(one.mask.sum())
    flagged = f"{used} of {total} visibilities of Stokes {options.stokes} used; the others are flagged"
    one, scaled = _with_measured_noise(one)
    notes = notes + scaled
    if options.average is not None:
        one = one.average(time=options.average)
    if options.systematic:
        one = one.with_systematic(options.systematic)
    pixel = default_pixel(one) if options.pixel is None else options.pixel * _ARCSECOND
    n, more = _within_horizon(GRID if options.size is None else options.size, pixel, path)
    physics = one.physics(shape=(n, n), pixel=pixel, w_term=options.w_term)
    facts = {
        "pixel_arcsec": pixel / _ARCSECOND,
        "w_term": options.w_term,
        "field_deg": math.degrees(n * pixel),
    }
    said = {"notes": notes + more} if notes + more else {}
    return Acquisition(
        y=one.values(),
        physics=physics,
        metadata=_facts(one, format, path, options.stokes) | facts | said,
        solver={"name": "radio.clean", "algorithm": "multiscale", "rtol": 3e-4},
        left_out=(flagged,) if used < total else (),
        output=SkyOutput.of(one, pixel, options.stokes, data=(one.values(), physics)),
    )


def _with_measured_noise(vis: Visibilities) -> tuple[Visibilities, tuple[str, ...]]:
    """Scale weights that state far more noise than the data have, such as 1 throughout for data of mJy.

    The scatter of consecutive data is an upper bound of the noise, so that weights are only raised.
    """
    few = vis.rows(slice(0, _ROWS))
    if float((few.data.abs() / few.sigma)[few.mask].median()) >= 3:
        return vis, ()
    scale = scatter_scale(few)
    if not 0 < scale < _OVERSTATED:
        return vis, ()
    note = (
        f"the weights state {1 / scale:.3g} times the noise that consecutive data show; they are scaled to it"
    )
    return vis.replace(weight=vis.weight / scale**2), (note,)


def _within_horizon(size: int, pixel: float, path: Path) -> tuple[int, tuple[str, ...]]:
    """Return the pixels on a side that stay within the horizon, and a note if there are fewer."""
    largest = 2 * int(0.999 / (math.sqrt(2) * pixel))
    if size <= largest:
        return size, ()
    if largest < 4:
        raise DataError(
            f"{path}: no image fits above the horizon: {largest} pixels of {math.degrees(pixel):.3g} degrees "
            "(direction cosine) on a side. Choose a smaller pixel="
        )
    return largest, (f"the image has {largest} pixels on a side, as {size} would pass the horizon",)


def acquire_closures(
    vis: Visibilities,
    path: Path,
    format: str,
    options: ImageOptions,
    *,
    amplitudes: bool,
    flux: float | None,
) -> Acquisition:
    """Return uncalibrated visibilities as closure phases and amplitudes, see `vlbi_acquisition`."""
    if options.average is not None:
        raise ParameterError("average= is for calibrated visibilities; with vlbi whole scans are averaged")
    one = vis.stokes("I", single_hand=options.single_hand)
    n = _VLBI_GRID if options.size is None else options.size
    found = vlbi_acquisition(
        one,
        amplitudes=amplitudes,
        shape=(n, n),
        pixel=None if options.pixel is None else options.pixel * _ARCSECOND,
        flux=flux,
        fraction=options.systematic or 0.01,
    )
    return dataclasses.replace(
        found,
        metadata=_facts(one, format, path, "I") | dict(found.metadata),
        output=SkyOutput.of(one, found.metadata["pixel_rad"], "I"),
    )


def has_unknown_phases(vis: Visibilities) -> bool:
    """Return whether baselines exceed 1000 km at more than 80 GHz, where the atmosphere scrambles phases."""
    length = torch.linalg.vector_norm(vis.uvw[vis.mask.flatten(1).any(1)], dim=-1)
    return (
        len(length) > 0
        and float(length.max()) > _VLBI_LENGTH
        and float(vis.frequencies.min()) > _VLBI_FREQUENCY
    )


def default_pixel(vis: Visibilities) -> float:
    """Return the default size of a pixel in radians: a fifth of the resolution."""
    return vis.resolution() / 5


def _facts(vis: Visibilities, format: str, path: Path, stokes: str) -> dict[str, Any]:
    ra, dec = (math.degrees(a) for a in vis.phase_center)
    return {
        "format": format,
        "file": path.name,
        "source": vis.source,
        "telescope": vis.telescope,
        "antennas": len(vis.antenna_names),
        "visibilities": int(vis.mask.sum()),
        "frequency_GHz": float(vis.frequencies.mean()) / 1e9,
        "channels": vis.channels,
        "stokes": stokes,
        "right_ascension_deg": ra,
        "declination_deg": dec,
        "start_mjd": float(vis.time.min()) / 86400,
        "duration_s": float(vis.time.max() - vis.time.min()),
        "resolution_arcsec": vis.resolution() / _ARCSECOND,
    }
