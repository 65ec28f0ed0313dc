"""Reading UVFITS: visibilities as random groups of a FITS file."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from invcore import DataError, ParameterError
from invcore.io import Acquisition, NearMiss, Reader

from .._data.joining import joined
from .._data.visibilities import C, Visibilities
from .acquire import ImageOptions, acquire, acquire_closures, has_unknown_phases
from .fits_checks import is_fits, numeric, open_fits, parts, real, tables_in

_STOKES = {1: "I", 2: "Q", 3: "U", 4: "V", -1: "RR", -2: "LL", -3: "RL", -4: "LR"}
_STOKES |= {-5: "XX", -6: "YY", -7: "XY", -8: "YX"}
STOKES_CODES = {name: code for code, name in _STOKES.items()}
_MJD = 2400000.5
_KNOWN = ("BASELINE", "ANTENNA1", "ANTENNA2", "SUBARRAY", "DATE", "INTTIM", "SOURCE", "FREQSEL")


def read_uvfits(
    path: str | os.PathLike[str], *, source: str | None = None, frequency_setup: int | None = None
) -> Visibilities:
    """Read the visibilities of a UVFITS file.

    In the file V = Σ x exp(+2πi (u l + v m + w (n - 1))), with baselines from the second antenna to the
    first. They are negated here to run from the first to the second, see `Visibilities`. Weights are taken as
    1/σ²; data whose weight is not positive and finite are flagged. Autocorrelations are ignored.

    Parameters
    ----------
    path : path
        The file.
    source : str, optional
        Name of the source, required if the file holds several.
    frequency_setup : int, optional
        FREQSEL number; by default all are joined, each at its own frequencies.

    Returns
    -------
    Visibilities

    Raises
    ------
    DataError
        If the file is damaged, truncated or incomplete, holds several subarrays, or several sources and none
        is chosen, or setups of the same frequencies at the same times.

    References
    ----------
    E. W. Greisen, "AIPS FITS file format", AIPS Memo 117 (2020).

    Examples
    --------
    >>> read_uvfits("no-such.uvfits")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: no file no-such.uvfits
    """
    path = Path(path)
    with open_fits(path, "UVFITS") as file:
        return _load(path, file, source, frequency_setup)[0]


class UVFITSReader(Reader):
    """Reader of UVFITS files, as published by radio arrays and the Event Horizon Telescope.

    Visibilities are measurements of an image, or with ``vlbi`` closure phases and amplitudes with unknown
    gains (`vlbi_acquisition`). `read_uvfits` returns the `Visibilities` themselves.

    Examples
    --------
    >>> UVFITSReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(ImageOptions):
        """Options of visibilities (`ImageOptions`) and those of this format.

        Parameters
        ----------
        source : str, optional
            Name of the source, required if the file holds several.
        frequency_setup : int, optional
            FREQSEL number; by default all are joined, each at its own frequencies.
        vlbi : bool, optional
            Discard the phases of visibilities and use closure phases; Stokes I only. By default true for
            baselines beyond 1000 km at more than 80 GHz, where the atmosphere scrambles the phases.
        amplitudes : bool
            With ``vlbi``: use amplitudes besides closure phases, or closure quantities only.
        flux : float, optional
            With ``vlbi``: total flux in the image in Jy.
        """

        source: str | None = None
        frequency_setup: int | None = None
        vlbi: bool | None = None
        amplitudes: bool = True
        flux: float | None = None

    def sniff(self, path: str | Path) -> bool | NearMiss:
        """Return whether ``path`` is a FITS file of random groups with a complex axis."""
        return is_uvfits(path) or (
            is_fits(Path(path))
            and NearMiss(
                "FITS, but without visibilities: no random groups (UVFITS), no OI_VIS2 or OI_T3 (OIFITS)."
            )
        )

    def _read(self, path: Path, options: Options) -> Acquisition:
        with open_fits(path, "UVFITS") as file:
            vis, notes = _load(path, file, options.source, options.frequency_setup)
        vlbi = has_unknown_phases(vis) if options.vlbi is None else options.vlbi
        if vlbi and options.stokes == "I":
            return acquire_closures(
                vis, path, "radio.uvfits", options, amplitudes=options.amplitudes, flux=options.flux
            )
        return acquire(vis, path, "radio.uvfits", options, notes=notes)


def is_uvfits(path: str | os.PathLike[str]) -> bool:
    """Return whether a file begins like UVFITS: random groups with a complex axis."""
    try:
        cards = parts(Path(path), names_only=True)[0].cards if is_fits(path) else {}
    except (DataError, IndexError, OSError):
        return False
    return cards.get("GROUPS") == "T" and any(
        value == "COMPLEX" for name, value in cards.items() if name.startswith("CTYPE")
    )


def _load(
    path: Path, file: Any, source: str | None, setup: int | None
) -> tuple[Visibilities, tuple[str, ...]]:
    """Return the visibilities in Jy, and notes: setups that were joined, a unit that is another."""
    setups = _setups(path, file, source) if setup is None else []
    if len(setups) < 2:
        return _load_one(path, file, source, setups[0] if setups else setup)
    found = {one: _load_one(path, file, source, one) for one in setups}
    vis = joined(
        {one: part for one, (part, _) in found.items()}, f"{path}: frequency setup", "frequency_setup"
    )
    note = f"the frequency setups {', '.join(map(str, setups))} are joined; frequency_setup= chooses one"
    return vis, (note, *found[setups[0]][1])


def _setups(path: Path, file: Any, source: str | None) -> list[int]:
    """Return the FREQSEL numbers of the groups of a source between two antennas; none if all have one."""
    header, groups = file[0].header, file[0].data
    if not header.get("GROUPS", False) or not hasattr(groups, "parnames"):
        return []
    tables = dict(reversed(list(tables_in(file))))
    parameters = _parameters(path, header, groups)
    if "AIPS FQ" not in tables or len(np.unique(np.rint(parameters.get("FREQSEL", [0])))) == 1:
        return []
    _, number = _facts(path, header, tables.get("AIPS SU"), parameters, source)
    first, second = _antennas(path, parameters)
    rows = first != second
    if number is not None:
        rows &= np.rint(parameters["SOURCE"]) == number
    return sorted({int(n) for n in np.rint(parameters["FREQSEL"][rows])})


def _load_one(
    path: Path, file: Any, source: str | None, setup: int | None
) -> tuple[Visibilities, tuple[str, ...]]:
    hdu = file[0]
    header = hdu.header
    if not header.get("GROUPS", False) or not hasattr(hdu.data, "parnames"):
        raise DataError(f"{path} is not UVFITS: its first part holds no random groups")
    tables: dict[str, Any] = {}
    for name, extension in tables_in(file):
        if name == "AIPS AN" and name in tables:
            raise DataError(f"{path} has several subarrays (AIPS AN tables); split it into one file for each")
        tables.setdefault(name, extension)
    if "AIPS AN" not in tables:
        raise DataError(f"{path} has no table of antennas (AIPS AN)")
    groups = hdu.data
    cube = _cube(path, header, groups)
    parameters = _parameters(path, header, groups)
    rows = np.ones(len(cube), bool)
    facts, number = _facts(path, header, tables.get("AIPS SU"), parameters, source)
    if number is not None:
        rows &= np.rint(parameters["SOURCE"]) == number
    frequencies, widths, selection = _frequencies(
        path, header, tables.get("AIPS FQ"), parameters, setup, cube.shape[1:3]
    )
    if selection is not None:
        rows &= np.rint(parameters["FREQSEL"]) == selection
    first, second = _antennas(path, parameters)
    rows &= first != second
    names, numbers, positions = _array(path, tables["AIPS AN"])
    index = {number: k for k, number in enumerate(numbers)}
    unknown = sorted({int(n) for n in np.concatenate([first[rows], second[rows]])} - set(index))
    if unknown:
        raise DataError(
            f"{path}: baselines name antennas {unknown}, which the table of antennas does not have"
        )
    if not rows.any():
        raise DataError(f"{path} holds no visibility between two antennas")
    place = np.vectorize(index.__getitem__, otypes=[np.int64])
    polarizations = _polarizations(path, header, cube.shape[3])
    values = cube[rows].reshape(int(rows.sum()), -1, cube.shape[3], 3)
    real = torch.float64 if values.dtype.itemsize > 4 else torch.float32
    parts = torch.from_numpy(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("=")))).to(real)
    unit = str(header.get("BUNIT", "")).strip()
    scale, notes = _janskys(unit)
    parts = parts * torch.tensor([scale, scale, scale**-2], dtype=real)
    weight = parts[..., 2]
    whole = parts.isfinite().all(-1) & (weight != 0)
    data = torch.complex(parts[..., 0], parts[..., 1])
    time = _times(path, tables["AIPS AN"].header, parameters["DATE"][rows])
    uvw = -C * np.stack([parameters[k][rows] for k in ("UU", "VV", "WW")], 1)
    if not np.isfinite(uvw).all():
        raise DataError(f"{path}: baselines (UU, VV, WW) are not finite")
    interval = parameters.get("INTTIM")
    if interval is None:
        steps = np.diff(np.unique(time))
        interval = np.full(len(cube), np.median(steps) if len(steps) else 0.0)
    vis = Visibilities(
        data=torch.where(whole, data, 0),
        weight=torch.where(whole, weight.abs(), 0),
        flag=~(whole & (weight > 0)),
        uvw=torch.from_numpy(uvw),
        frequencies=torch.from_numpy(frequencies),
        channel_width=torch.from_numpy(widths),
        time=torch.from_numpy(time),
        interval=torch.from_numpy(interval[rows].astype(np.float64)),
        antenna1=torch.from_numpy(place(first[rows])),
        antenna2=torch.from_numpy(place(second[rows])),
        antenna_names=names,
        antenna_positions=positions,
        polarizations=polarizations,
        **facts,
    )
    return vis, notes


def _janskys(unit: str) -> tuple[float, tuple[str, ...]]:
    """Return the unit of the visibilities in Jy; 1 and a note if it is not a flux density."""
    if unit in ("mJy", "uJy", "kJy"):
        return {"m": 1e-3, "u": 1e-6, "k": 1e3}[unit[0]], ()
    known = {"": 1.0, "JY": 1.0, "JANSKY": 1.0, "MILLIJY": 1e-3, "MICROJY": 1e-6}
    if unit.upper() in known:
        return known[unit.upper()], ()
    return 1.0, (f"the visibilities are in {unit!r}, not in Jy: so are all fluxes, whatever the files say",)


def _axes(header: Any) -> dict[str, tuple[int, int]]:
    """Return number and length of each named axis."""
    found = {}
    for k in range(2, int(header["NAXIS"]) + 1):
        name = str(header.get(f"CTYPE{k}", "")).strip().upper()
        found[name or f"axis {k}"] = (k, int(header[f"NAXIS{k}"]))
    return found


def _cube(path: Path, header: Any, groups: Any) -> np.ndarray:
    """Return the groups as (row, IF, channel, correlation, 3)."""
    axes = _axes(header)
    for name in ("COMPLEX", "STOKES", "FREQ"):
        if name not in axes:
            raise DataError(f"{path}: no axis {name}; a UVFITS file has COMPLEX, STOKES and FREQ")
    if axes["COMPLEX"][1] != 3:
        raise DataError(
            f"{path}: the COMPLEX axis has length {axes['COMPLEX'][1]}; 3 are expected (real, imaginary, "
            "weight): packed files "
            "must be unpacked first"
        )
    wanted = [axes[n] for n in ("IF", "FREQ", "STOKES", "COMPLEX") if n in axes]
    others = [n for n, (k, length) in axes.items() if (k, length) not in wanted and length != 1]
    if others:
        raise DataError(
            f"{path}: axes {', '.join(others)} have more than one pixel; expected IF, FREQ, STOKES, COMPLEX"
        )
    values = np.asarray(groups.data)
    total = int(header["NAXIS"])
    if values.ndim != total or len(values) != int(header["GCOUNT"]):
        raise DataError(f"{path}: the groups have shape {values.shape}, which is not what the header says")
    order = [total - k + 1 for k, _ in wanted]  # numpy's axes run backward, after that of the groups
    rest = [a for a in range(1, total) if a not in order]
    moved = values.transpose(0, *rest, *order)
    moved = moved.reshape(len(values), *[length for _, length in wanted])
    return moved if "IF" in axes else moved[:, None]


def _parameters(path: Path, header: Any, groups: Any) -> dict[str, np.ndarray]:
    """Return the group parameters in float64: UU, VV, WW in seconds, DATE as modified Julian date, ..."""
    found: dict[str, np.ndarray] = {}
    for k in range(1, int(header["PCOUNT"]) + 1):
        full = str(header.get(f"PTYPE{k}", "")).strip().upper()
        name = (
            full.lstrip("_")
            if full.lstrip("_") in _KNOWN
            else full[:2]
            if full[:2] in ("UU", "VV", "WW")
            else None
        )
        if name is None:
            continue
        values = np.asarray(groups.field(k - 1)).astype(np.float64)
        if name in ("UU", "VV", "WW"):
            if "NCP" in full:
                raise DataError(f"{path}: {full} is projected to the pole (NCP); only SIN is read")
            if full[2:4] == "-L":  # wavelengths
                values = values / _reference_frequency(path, header)
        start = -_MJD if name == "DATE" else 0.0  # before a fraction of a day is added, to keep its digits
        found[name] = found.get(name, start) + values
    for name in ("UU", "VV", "WW", "DATE"):
        if name not in found:
            raise DataError(f"{path}: the groups have no parameter {name}")
        if not np.isfinite(found[name]).all():
            raise DataError(f"{path}: the parameter {name} has values that are not finite")
    if "SUBARRAY" in found and len(np.unique(found["SUBARRAY"])) > 1:
        raise DataError(f"{path} has several subarrays; split it into one file for each")
    return found


def _reference_frequency(path: Path, header: Any) -> float:
    return real(path, header, f"CRVAL{_axes(header)['FREQ'][0]}")


def _antennas(path: Path, parameters: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the two antennas of each group."""
    if "BASELINE" in parameters:
        code = parameters["BASELINE"]
        if not (np.isfinite(code).all() and (code >= 257).all() and (code < 2**31).all()):
            raise DataError(f"{path}: BASELINE must be 256 a + b, of antennas a and b counted from 1")
        if (np.abs(code - np.rint(code)) > 0.004).any():
            raise DataError(f"{path} has several subarrays; split it into one file for each")
        whole = np.rint(code).astype(np.int64)
        large = whole > 65536
        first = np.where(large, (whole - 65536) // 2048, whole // 256)
        second = np.where(large, (whole - 65536) % 2048, whole % 256)
    elif "ANTENNA1" in parameters and "ANTENNA2" in parameters:
        pair = [parameters[k] for k in ("ANTENNA1", "ANTENNA2")]
        if not all(np.isfinite(n).all() and (np.abs(n) < 2**31).all() for n in pair):
            raise DataError(f"{path}: ANTENNA1 and ANTENNA2 must be numbers of antennas")
        first, second = (np.rint(n).astype(np.int64) for n in pair)
    else:
        raise DataError(f"{path}: the groups have neither BASELINE nor ANTENNA1 and ANTENNA2")
    return first, second


def _array(path: Path, table: Any) -> tuple[tuple[str, ...], list[int], torch.Tensor | None]:
    """Return names, numbers and geocentric positions of the antennas."""
    rows, header = table.data, table.header
    if rows is None or len(rows) == 0:
        raise DataError(f"{path}: the table of antennas is empty")
    numbers = [int(n) for n in numeric(path, rows, "NOSTA")]
    if len(set(numbers)) != len(numbers):
        raise DataError(f"{path}: the table of antennas repeats a number: {numbers}")
    names = [str(n).strip() for n in rows["ANNAME"]]
    if len(set(names)) != len(names):
        names = [f"{name}:{number}" for name, number in zip(names, numbers)]
    local = numeric(path, rows, "STABXYZ").astype(np.float64).reshape(len(rows), 3)
    center = np.array([real(path, header, f"ARRAY{axis}", 0.0) for axis in "XYZ"])
    if str(header.get("XYZHAND", "RIGHT")).strip().upper() == "LEFT":
        local = local * [1, -1, 1]
    if np.linalg.norm(center[:2]) > 1 and str(header.get("FRAME", "")).strip().upper() != "ITRF":
        angle = math.atan2(center[1], center[0])  # x lies in the meridian of the array
        turn = np.array(
            [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
        )
        local = local @ turn.T
    positions = local + center
    if not np.isfinite(positions).all():
        raise DataError(f"{path}: positions of antennas are not finite")
    return tuple(names), numbers, torch.from_numpy(positions) if positions.any() else None


def _polarizations(path: Path, header: Any, count: int) -> tuple[str, ...]:
    k = _axes(header)["STOKES"][0]
    start, step, pixel = (
        real(path, header, f"{key}{k}", d) for key, d in (("CRVAL", 1), ("CDELT", 1), ("CRPIX", 1))
    )
    codes = [start + (i + 1 - pixel) * step for i in range(count)]
    if any(c not in _STOKES for c in codes) or len(set(codes)) != count:
        raise DataError(f"{path}: the STOKES axis has codes {codes}; known are {sorted(_STOKES)}")
    return tuple(_STOKES[int(c)] for c in codes)


def _frequencies(
    path: Path,
    header: Any,
    table: Any,
    parameters: dict[str, np.ndarray],
    setup: int | None,
    sizes: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray, int | None]:
    """Return frequencies and widths of all channels of all IFs, and the FREQSEL to keep, if several."""
    windows, channels = sizes
    k = _axes(header)["FREQ"][0]
    center, width, pixel = (
        real(path, header, f"{key}{k}", d) for key, d in (("CRVAL", 0), ("CDELT", 0), ("CRPIX", 1))
    )
    offsets, widths, selection = np.zeros(windows), np.full(windows, width), None
    if table is not None and table.data is not None and len(table.data):
        rows = table.data
        setups = [int(n) for n in np.atleast_1d(numeric(path, rows, "FRQSEL"))]
        used = sorted({int(n) for n in np.rint(parameters.get("FREQSEL", np.array([setups[0]])))})
        if setup is not None and setup not in setups:
            raise ParameterError(f"{path} has no frequency setup {setup}; it has {setups}")
        chosen = used[0] if setup is None else setup
        selection = chosen if "FREQSEL" in parameters else None
        row = rows[setups.index(chosen) if chosen in setups else 0]
        offsets, table_widths, sides = (
            np.atleast_1d(numeric(path, row, name).astype(np.float64)).ravel()
            for name in ("IF FREQ", "CH WIDTH", "SIDEBAND")
        )
        if not len(offsets) == len(table_widths) == len(sides) == windows:
            raise DataError(f"{path}: the table of frequencies has {len(offsets)} IFs, the data {windows}")
        signed = np.abs(table_widths) * np.where(sides < 0, -1, 1)
        widths = np.where(table_widths != 0, signed, width)
    elif windows > 1:
        raise DataError(f"{path} has {windows} IFs, but no table of their frequencies (AIPS FQ)")
    found = center + offsets[:, None] + (np.arange(1, channels + 1) - pixel) * widths[:, None]
    if not (np.isfinite(found).all() and (found > 0).all()):
        raise DataError(f"{path}: the frequencies are not positive: {found.ravel()[:4]} Hz")
    return found.ravel(), np.abs(np.repeat(widths, channels)), selection


def _facts(
    path: Path, header: Any, table: Any, parameters: dict[str, np.ndarray], source: str | None
) -> tuple[dict[str, Any], int | None]:
    """Return source, telescope and phase center, and the number of the source if the file has several."""
    axes = _axes(header)
    place = []
    for name in ("RA", "DEC"):
        k = axes.get(name, (0, 1))[0]
        place.append(header.get(f"CRVAL{k}", header.get(f"OBS{name}")))
    name, number = str(header.get("OBJECT", "")).strip(), None
    epoch = header.get("EQUINOX", header.get("EPOCH", 2000.0))
    if table is not None and table.data is not None and "SOURCE" in parameters:
        rows = table.data
        key = "ID. NO." if "ID. NO." in rows.names else "ID_NO."
        numbers, names = [int(n) for n in numeric(path, rows, key)], [str(n).strip() for n in rows["SOURCE"]]
        used = sorted({int(n) for n in np.rint(parameters["SOURCE"])})
        known = {n: names[numbers.index(n)] for n in used if n in numbers}
        if source is None and len(known) != 1:
            raise DataError(
                f"{path} has the sources {', '.join(known.values()) or 'none'}: choose one with source="
            )
        if source is not None and source not in known.values():
            raise ParameterError(f"{path} has no source {source!r}; it has {', '.join(known.values())}")
        number = next(n for n, found in known.items() if source in (None, found))
        row = rows[numbers.index(number)]
        name, place, epoch = known[number], [row["RAEPO"], row["DECEPO"]], row["EPOCH"]
    elif source is not None and source != name:
        raise ParameterError(f"{path} has no source {source!r}; it has {name!r}")
    if any(v is None for v in place):
        raise DataError(f"{path} does not state the phase center (RA and DEC axes, or OBSRA and OBSDEC)")
    if str(epoch).strip().upper().lstrip("JB") not in ("2000", "2000.0", ""):
        raise DataError(
            f"{path} has coordinates of the equinox {epoch}; only J2000 is read: precess the data first"
        )
    if not all(isinstance(v, int | float | np.number) and math.isfinite(v) for v in place):
        raise DataError(f"{path}: the phase center must be two numbers, got {place}")
    center = tuple(math.radians(float(v)) for v in place)
    telescope = str(header.get("TELESCOP", "")).strip()
    return {"source": name, "telescope": telescope, "phase_center": center}, number


def _times(path: Path, header: Any, dates: np.ndarray) -> np.ndarray:
    """Convert modified Julian dates to seconds of UTC."""
    seconds = dates * 86400.0
    system = str(header.get("TIMESYS", header.get("TIMSYS", "UTC"))).strip().upper()
    if system in ("IAT", "TAI"):
        from astropy.time import Time

        middle = Time(float(dates.mean()), format="mjd", scale="tai")
        seconds -= round((middle.mjd - middle.utc.mjd) * 86400.0)
    elif system not in ("UTC", ""):
        raise DataError(f"{path}: times are in {system}; UTC or IAT are expected")
    return np.asarray(seconds)
