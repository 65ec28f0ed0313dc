"""Readers: files of visibilities as measurements of an image."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import torch

from invcore import DataError, ParameterError
from invcore.io import Acquisition, Reader

from .._data.stokes import StokesName
from .._data.visibilities import Visibilities
from .fits_image import SkyOutput
from .measurement_set import is_measurement_set, read_measurement_set
from .uvfits import is_uvfits, read_uvfits
from .vlbi import vlbi_acquisition

_ARCSECOND = math.pi / 180 / 3600
_VLBI_LENGTH, _VLBI_FREQUENCY = 1e6, 80e9
GRID = 256
"""Pixels on a side where the user names no number."""


class UVFITSReader(Reader):
    """UVFITS files: visibilities as radio arrays and the Event Horizon Telescope publish them.

    `read_uvfits` gives the `Visibilities` themselves.

    Examples
    --------
    >>> UVFITSReader().sniff("no such file")
    False
    """

    def sniff(self, path: str | Path) -> bool:
        """Tell whether ``path`` is a FITS file of random groups with a complex axis."""
        return is_uvfits(path)

    def read(
        self,
        path: str | Path,
        *,
        stokes: StokesName = "I",
        single_hand: bool = False,
        size: int | None = None,
        pixel: float | None = None,
        average: float | None = None,
        systematic: float = 0.0,
        w_term: bool = True,
        source: str | None = None,
        frequency_setup: int | None = None,
        vlbi: bool | None = None,
        amplitudes: bool = True,
        flux: float | None = None,
    ) -> Acquisition:
        """Read one Stokes parameter as measurements of an image.

        Data of baselines beyond 1000 km at more than 80 GHz, where the atmosphere takes the phases, become closure phases and
        amplitudes with unknown gains, which `vlbi_acquisition` describes; ``vlbi`` decides otherwise.

        Parameters
        ----------
        path : str or Path
        stokes : {"I", "Q", "U", "V"}
        single_hand : bool
            Take one parallel hand for I where the other is flagged.
        size : int, optional
            Pixels of the image on a side.
        pixel : float, optional
            Size of a pixel in arcseconds; a fifth of the resolution by default.
        average : float, optional
            Seconds over which to average.
        systematic : float
            Fraction of the amplitude to add to the errors, in quadrature; with ``vlbi`` 0 means 0.01.
        w_term : bool
            Take account of baselines that do not lie in a plane.
        source : str, optional
            Which source, of a file with several.
        frequency_setup : int, optional
            Which FREQSEL, of a file with several.
        vlbi : bool, optional
            Do not use the phases of visibilities, nor rely on their amplitudes. Stokes I only.
        amplitudes : bool
            With ``vlbi``: use amplitudes, or closure quantities only.
        flux : float, optional
            With ``vlbi``: total flux in the image in Jy.

        Returns
        -------
        Acquisition

        Raises
        ------
        DataError
            If the file is damaged or lacks something.
        """
        vis = read_uvfits(path, source=source, frequency_setup=frequency_setup)
        if stokes == "I" and (_is_vlbi(vis) if vlbi is None else vlbi):
            return _vlbi_measurement(
                vis.stokes("I", single_hand=single_hand),
                Path(path),
                size=size,
                pixel=pixel,
                average=average,
                systematic=systematic,
                amplitudes=amplitudes,
                flux=flux,
            )
        return measurement(
            vis,
            Path(path),
            format="radio.uvfits",
            stokes=stokes,
            single_hand=single_hand,
            size=size,
            pixel=pixel,
            average=average,
            systematic=systematic,
            w_term=w_term,
        )


class MeasurementSetReader(Reader):
    """Measurement Sets (CASA), through python-casacore.

    `read_measurement_set` gives the `Visibilities` themselves.

    Examples
    --------
    >>> MeasurementSetReader().sniff("no such folder")
    False
    """

    def sniff(self, path: str | Path) -> bool:
        """Tell whether ``path`` is a folder that says it is a Measurement Set."""
        return is_measurement_set(path)

    def read(
        self,
        path: str | Path,
        *,
        stokes: StokesName = "I",
        single_hand: bool = False,
        size: int | None = None,
        pixel: float | None = None,
        average: float | None = None,
        systematic: float = 0.0,
        w_term: bool = True,
        column: str = "DATA",
        field: int | str | None = None,
        spectral_window: int | None = None,
    ) -> Acquisition:
        """Read one Stokes parameter as measurements of an image.

        Parameters
        ----------
        path : str or Path
            The folder.
        stokes, single_hand, size, pixel, average, systematic, w_term
            As for `UVFITSReader`.
        column : str
            Of the main table.
        field : int or str, optional
            Which field, of a set with several.
        spectral_window : int, optional
            Which spectral window, of a set with several.

        Returns
        -------
        Acquisition

        Raises
        ------
        DataError
            If the set is damaged or lacks something.
        MissingDependencyError
            Without python-casacore.
        """
        vis = read_measurement_set(path, column=column, field=field, spectral_window=spectral_window)
        return measurement(
            vis,
            Path(path),
            format="radio.ms",
            stokes=stokes,
            single_hand=single_hand,
            size=size,
            pixel=pixel,
            average=average,
            systematic=systematic,
            w_term=w_term,
        )


def measurement(
    vis: Visibilities,
    path: Path,
    *,
    format: str,
    stokes: StokesName,
    single_hand: bool,
    size: int | None,
    pixel: float | None,
    average: float | None,
    systematic: float,
    w_term: bool,
) -> Acquisition:
    """Visibilities as measurements of an image, with the grid and the solver that suit them."""
    _check_options(size, pixel, systematic)
    one = vis.stokes(stokes, single_hand=single_hand).unflagged()
    if len(one) == 0:
        raise DataError(f"{path}: all data of Stokes {stokes} are flagged")
    if average is not None:
        one = one.average(time=average)
    if systematic:
        one = one.with_systematic(systematic)
    n = GRID if size is None else size
    step = default_pixel(one) if pixel is None else pixel * _ARCSECOND
    physics = one.physics(shape=(n, n), pixel=step, w_term=w_term)
    frequencies = tuple(float(f) for f in one.frequencies)
    facts = _facts(one, format, path, stokes) | {"pixel_arcsec": step / _ARCSECOND, "w_term": w_term}
    return Acquisition(
        y=one.values(),
        physics=physics,
        metadata=facts,
        solver={"name": "fista", "rtol": 1e-3, "prior": {"name": "wavelet"}},
        output=SkyOutput(
            pixel=step,
            phase_center=one.phase_center,
            frequencies=frequencies,
            stokes=stokes,
            name=one.source,
            data=(one.values(), physics),
        ),
    )


def _check_options(size: int | None, pixel: float | None, systematic: float) -> None:
    if size is not None and size < 4:
        raise ParameterError(f"size= is the pixels of the image on a side, 4 or more, got {size!r}")
    if pixel is not None and not 0 < pixel < 3600:
        raise ParameterError(f"pixel= is in arcseconds, above 0, got {pixel!r}")
    if not systematic >= 0:
        raise ParameterError(f"systematic= is a fraction of the amplitude, 0 or more, got {systematic!r}")


def _is_vlbi(vis: Visibilities) -> bool:
    length = torch.linalg.vector_norm(vis.uvw[vis.mask.flatten(1).any(1)], dim=-1)
    return (
        len(length) > 0
        and float(length.max()) > _VLBI_LENGTH
        and float(vis.frequencies.min()) > _VLBI_FREQUENCY
    )


def _vlbi_measurement(
    vis: Visibilities,
    path: Path,
    *,
    size: int | None,
    pixel: float | None,
    average: float | None,
    systematic: float,
    amplitudes: bool,
    flux: float | None,
) -> Acquisition:
    """Closure phases and amplitudes, or closure quantities only, of an image of a compact source."""
    if average is not None:
        raise ParameterError("average= is for calibrated visibilities; with vlbi whole scans are averaged")
    _check_options(size, pixel, systematic)
    n = 64 if size is None else size
    found = vlbi_acquisition(
        vis,
        amplitudes=amplitudes,
        shape=(n, n),
        pixel=None if pixel is None else pixel * _ARCSECOND,
        flux=flux,
        fraction=systematic or 0.01,
    )
    step = found.metadata["pixel_rad"]
    return dataclasses.replace(
        found,
        metadata=_facts(vis, "radio.uvfits", path, "I") | dict(found.metadata),
        output=SkyOutput(
            pixel=step,
            phase_center=vis.phase_center,
            frequencies=tuple(float(f) for f in vis.frequencies),
            stokes="I",
            name=vis.source,
        ),
    )


def default_pixel(vis: Visibilities) -> float:
    """The size of pixels in radians where none is given: a fifth of the resolution."""
    return vis.resolution() / 5


def _facts(vis: Visibilities, format: str, path: Path, stokes: str) -> dict[str, Any]:
    ra, dec = (math.degrees(a) for a in vis.phase_center)
    good = vis.mask
    return {
        "format": format,
        "file": path.name,
        "source": vis.source,
        "telescope": vis.telescope,
        "antennas": len(vis.antenna_names),
        "visibilities": int(good.sum()),
        "frequency_GHz": float(vis.frequencies.mean()) / 1e9,
        "channels": vis.channels,
        "stokes": stokes,
        "right_ascension_deg": ra,
        "declination_deg": dec,
        "start_mjd": float(vis.time.min()) / 86400,
        "duration_s": float(vis.time.max() - vis.time.min()),
        "resolution_arcsec": vis.resolution() / _ARCSECOND,
    }
