"""Writing UVFITS."""

from __future__ import annotations

import itertools
import math
import os
from typing import Any

import numpy as np
import torch

from invcore import ParameterError
from invcore.io import atomic_path

from .._data.visibilities import C, Visibilities
from .uvfits import STOKES_CODES

_MJD = 2400000.5


def write_uvfits(path: str | os.PathLike[str], vis: Visibilities) -> None:
    """Write visibilities as a UVFITS file.

    The file is in the precision of the data; in single precision times are accurate to about 3 ms. Equally
    spaced channels are stored along the frequency axis, others as IFs of one channel each.

    Parameters
    ----------
    path : path
        The file; it appears only when complete.
    vis : Visibilities
        The data.

    Raises
    ------
    ParameterError
        If the correlations do not fit on one STOKES axis, or there are no data.
    DataError
        If the file cannot be written.

    References
    ----------
    E. W. Greisen, "AIPS FITS file format", AIPS Memo 117 (2020).

    Examples
    --------
    >>> import tempfile
    >>> from invcore_radio import eht, read_uvfits
    >>> vis = eht().observe(hour_angles=(-1.0, 1.0), frequencies=[230e9])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_uvfits(f"{folder}/a.uvfits", vis)
    ...     len(read_uvfits(f"{folder}/a.uvfits")) == len(vis)
    True
    """
    from astropy.io import fits

    if len(vis) == 0 or vis.channels == 0:
        raise ParameterError("write_uvfits: there are no visibilities")
    single = vis.dtype == torch.float32
    order, codes = _stokes(vis.polarizations)
    weight = torch.where(vis.flag, -vis.weight, vis.weight)
    cube = torch.stack([vis.data.real, vis.data.imag, weight], -1)[:, :, order].cpu().numpy()
    frequencies = vis.frequencies.cpu().numpy()
    spacing = np.diff(frequencies)
    regular = len(spacing) == 0 or bool(np.abs(spacing - spacing[0]).max() <= 1e-9 * frequencies[0])
    regular = regular and bool(np.all(spacing != 0))
    rows, channels, correlations, _ = cube.shape
    layout = (1, channels) if regular else (channels, 1)
    cube = cube.reshape(rows, 1, 1, *layout, correlations, 3)
    if vis.channel_width is not None:
        width = vis.channel_width.cpu().numpy()
    else:
        width = np.full(channels, abs(spacing[0]) if len(spacing) else 0.0)
    step = float(spacing[0]) if regular and len(spacing) else float(width[0])

    names, parameters, day = _parameters(vis)
    groups = fits.GroupData(cube, bitpix=-32 if single else -64, parnames=names, pardata=parameters)
    hdu = fits.GroupsHDU(groups)
    ra, dec = (math.degrees(a) for a in vis.phase_center)
    header = hdu.header
    axes = [
        ("COMPLEX", 1.0, 1.0),
        (
            "STOKES",
            float(codes[0]),
            float(codes[1] - codes[0]) if len(codes) > 1 else math.copysign(1, codes[0]),
        ),
        ("FREQ", float(frequencies[0]), step),
        ("IF", 1.0, 1.0),
        ("RA", ra, 1.0),
        ("DEC", dec, 1.0),
    ]
    for k, (name, value, delta) in enumerate(axes, 2):
        header[f"CTYPE{k}"], header[f"CRVAL{k}"], header[f"CDELT{k}"], header[f"CRPIX{k}"] = (
            name,
            value,
            delta,
            1.0,
        )
        header[f"CROTA{k}"] = 0.0
    date = _date(day)
    facts: dict[str, Any] = {
        "OBJECT": _ascii(vis.source),
        "TELESCOP": _ascii(vis.telescope),
        "INSTRUME": _ascii(vis.telescope),
        "DATE-OBS": date,
        "EQUINOX": 2000.0,
        "BUNIT": "JY",
        "OBSRA": ra,
        "OBSDEC": dec,
        "BSCALE": 1.0,
        "BZERO": 0.0,
    }
    for key, value in facts.items():
        header[key] = value
    tables = [_antenna_table(vis, date, day, layout[0]), _frequency_table(frequencies, width, step, layout)]
    with atomic_path(path) as target:
        fits.HDUList([hdu, *tables]).writeto(target, overwrite=True, output_verify="exception")


def _stokes(polarizations: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Return the order of the correlations in which their codes are equally spaced, and the codes."""
    unknown = [p for p in polarizations if p not in STOKES_CODES]
    if unknown:
        raise ParameterError(
            f"write_uvfits: no code for {', '.join(unknown)}; known are {', '.join(STOKES_CODES)}"
        )
    order = sorted(range(len(polarizations)), key=lambda k: abs(STOKES_CODES[polarizations[k]]))
    codes = [STOKES_CODES[polarizations[k]] for k in order]
    if len({b - a for a, b in itertools.pairwise(codes)}) > 1:
        raise ParameterError(
            f"write_uvfits: {', '.join(polarizations)} do not fit on one axis; select those that do, such as "
            "RR and LL"
        )
    return order, codes


def _parameters(vis: Visibilities) -> tuple[list[str], list[np.ndarray], float]:
    """Return names and values of the group parameters, and the modified Julian date of the first day."""
    seconds = -vis.uvw.cpu().numpy() / C
    time = vis.time.cpu().numpy()
    midnight = np.floor(time / 86400.0)
    names = ["UU---SIN", "VV---SIN", "WW---SIN"]
    values = [seconds[:, 0], seconds[:, 1], seconds[:, 2]]
    first, second = vis.antenna1.cpu().numpy() + 1, vis.antenna2.cpu().numpy() + 1
    if len(vis.antenna_names) < 256:
        names, values = [*names, "BASELINE"], [*values, 256.0 * first + second]
    else:
        names, values = (
            [*names, "ANTENNA1", "ANTENNA2", "SUBARRAY"],
            [*values, first, second, np.ones(len(first))],
        )
    names += ["DATE", "DATE", "INTTIM"]
    values += [midnight + _MJD, time / 86400.0 - midnight, vis.interval.cpu().numpy()]
    return names, [np.asarray(v, dtype=np.float64) for v in values], float(midnight.min())


def _antenna_table(vis: Visibilities, date: str, day: float, windows: int) -> Any:
    from astropy.io import fits
    from astropy.time import Time

    n = len(vis.antenna_names)
    positions = np.zeros((n, 3)) if vis.antenna_positions is None else vis.antenna_positions.cpu().numpy()
    names = [_ascii(name) for name in vis.antenna_names]
    feeds = ("X", "Y") if {"XX", "YY"} & set(vis.polarizations) else ("R", "L")
    zeros = np.zeros(n, np.float32)
    columns = [
        fits.Column("ANNAME", f"{max(8, *(len(name) for name in names))}A", array=np.array(names)),
        fits.Column("STABXYZ", "3D", unit="METERS", array=positions),
        fits.Column("ORBPARM", "0D", array=np.zeros((n, 0))),
        fits.Column("NOSTA", "1J", array=np.arange(1, n + 1, dtype=np.int32)),
        fits.Column("MNTSTA", "1J", array=np.zeros(n, np.int32)),
        fits.Column("STAXOF", "1E", unit="METERS", array=zeros),
        fits.Column("POLTYA", "1A", array=np.array([feeds[0]] * n)),
        fits.Column("POLAA", "1E", unit="DEGREES", array=zeros),
        fits.Column("POLCALA", "3E", array=np.zeros((n, 3), np.float32)),
        fits.Column("POLTYB", "1A", array=np.array([feeds[1]] * n)),
        fits.Column("POLAB", "1E", unit="DEGREES", array=zeros + 90),
        fits.Column("POLCALB", "3E", array=np.zeros((n, 3), np.float32)),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="AIPS AN", ver=1)
    sidereal = Time(day, format="mjd", scale="ut1").sidereal_time("mean", "greenwich").deg
    facts = {"ARRAYX": 0.0, "ARRAYY": 0.0, "ARRAYZ": 0.0, "RDATE": date, "GSTIA0": float(sidereal)}
    facts |= {"DEGPDY": 360.98564497329, "FREQ": float(vis.frequencies[0]), "POLARX": 0.0, "POLARY": 0.0}
    facts |= {
        "UT1UTC": 0.0,
        "DATUTC": 0.0,
        "TIMESYS": "UTC",
        "ARRNAM": _ascii(vis.telescope),
        "XYZHAND": "RIGHT",
    }
    facts |= {"FRAME": "ITRF", "NUMORB": 0, "NO_IF": windows, "NOPCAL": 0, "POLTYPE": "", "FREQID": 1}
    for key, value in facts.items():
        table.header[key] = value
    return table


def _frequency_table(frequencies: np.ndarray, width: np.ndarray, step: float, layout: tuple[int, int]) -> Any:
    from astropy.io import fits

    windows, channels = layout
    offsets = np.zeros(1) if windows == 1 else frequencies - frequencies[0]
    per_window = np.full(1, abs(step)) if windows == 1 else width
    sides = np.full(windows, -1 if windows == 1 and step < 0 else 1, np.int32)
    columns = [
        fits.Column("FRQSEL", "1J", array=np.array([1], np.int32)),
        fits.Column("IF FREQ", f"{windows}D", unit="HZ", array=offsets[None]),
        fits.Column("CH WIDTH", f"{windows}E", unit="HZ", array=per_window[None].astype(np.float32)),
        fits.Column(
            "TOTAL BANDWIDTH",
            f"{windows}E",
            unit="HZ",
            array=(channels * per_window)[None].astype(np.float32),
        ),
        fits.Column("SIDEBAND", f"{windows}J", array=sides[None]),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="AIPS FQ", ver=1)
    table.header["NO_IF"] = windows
    return table


def _date(day: float) -> str:
    from astropy.time import Time

    return str(Time(day, format="mjd", scale="utc").strftime("%Y-%m-%d"))


def _ascii(text: str) -> str:
    """Replace characters other than printable ASCII, which FITS does not allow."""
    return "".join(c if 32 <= ord(c) < 127 else "?" for c in text)
