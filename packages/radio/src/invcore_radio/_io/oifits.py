"""Reading OIFITS: squared visibilities and closure phases of optical interferometers."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from invcore import DataError, ParameterError
from invcore.io import Acquisition, Reader

from .._data.visibilities import C
from .._operators.source_model import MAS
from .acquire import check_grid
from .fits_checks import is_fits, open_fits, parts, tables_in
from .optical_data import OpticalData
from .output import SkyOutput

_TABLES = ("OI_VIS2", "OI_T3")
_IGNORED = ("OI_VIS", "OI_FLUX")
_SAME = 0.01
"""Days between the middles of exposures that are one observation; GRAVITY exposes for minutes."""


def read_oifits(
    path: str | os.PathLike[str], *, instrument: str | None = None, target: str | None = None
) -> OpticalData:
    """Read the squared visibilities (OI_VIS2) and closure phases (OI_T3) of an OIFITS file, version 1 or 2.

    Parameters
    ----------
    path : path
    instrument : str, optional
        INSNAME, or several with commas between. By default all are joined, each at its own wavelengths, but
        for a fringe tracker beside the science combiner (``GRAVITY_FT``, ``GRAVITY_SC``): the same light,
        coarser in wavelength, and errors that leave its calibration out.
    target : str, optional
        Name of the target, required if the file holds data of several.

    Returns
    -------
    OpticalData

    Raises
    ------
    DataError
        If the file is damaged, truncated, not OIFITS, or incomplete, has no data of the target, or has data
        of several targets and none is chosen.
    ParameterError
        If there is no such instrument or target.

    References
    ----------
    G. Duvert, J. Young, C. A. Hummel, "OIFITS 2: the 2nd version of the data exchange standard for optical
    interferometry", A&A 597 (2017).

    Examples
    --------
    >>> read_oifits("no-such.oifits")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: no file no-such.oifits
    """
    path = Path(path)
    with open_fits(path, "OIFITS") as file:
        return _load(path, file, instrument, target)[0]


class OIFITSReader(Reader):
    """Reader of OIFITS files of optical interferometers (VLTI, CHARA, ...), version 1 and 2.

    The physics maps an image, relative to its flux, to squared visibilities and closure phases. Other tables
    (OI_VIS, OI_FLUX) are ignored, as their calibration is particular to the instrument. Images are made by
    ``radio.rml`` with little regularization (weight 0.01), so that a star may be a point. Few baselines are
    compatible with many images: to fit a disk or a binary, see `read_oifits` and `fit_source`.

    References
    ----------
    G. Duvert, J. Young, C. A. Hummel, "OIFITS 2: the 2nd version of the data exchange standard for optical
    interferometry", A&A 597 (2017).

    Examples
    --------
    >>> OIFITSReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Options of the reader.

        Parameters
        ----------
        instrument : str, optional
            INSNAME, or several with commas between; by default all are joined, each at its own wavelengths,
            but for a fringe tracker beside the science combiner (``GRAVITY_FT``, ``GRAVITY_SC``).
        target : str, optional
            Name of the target, required if the file holds data of several.
        size : int
            Pixels of the image on a side.
        pixel : float, optional
            Size of a pixel in milliarcseconds; half of λ/(2 B) by default.
        systematic : float
            Systematic error of every closure phase in degrees, added in quadrature.

        Raises
        ------
        ParameterError
            If a number is out of range.
        """

        instrument: str | None = None
        target: str | None = None
        size: int = 64
        pixel: float | None = None
        systematic: float = 0.0

        def __post_init__(self) -> None:
            check_grid(self.size, self.pixel, "milliarcseconds")
            if not self.systematic >= 0:
                raise ParameterError(f"systematic= is in degrees, 0 or more, got {self.systematic!r}")

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` is a FITS file with a table OI_VIS2 or OI_T3."""
        try:
            return is_fits(path) and any(part.name in _TABLES for part in parts(Path(path), names_only=True))
        except (DataError, OSError):
            return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        with open_fits(path, "OIFITS") as file:
            data, left_out = _load(path, file, options.instrument, options.target)
        pixel = data.resolution / 2 if options.pixel is None else options.pixel * MAS
        physics = data.physics(
            shape=(options.size, options.size),
            pixel=pixel,
            systematic=(0.0, float(np.deg2rad(options.systematic))),
        )
        metadata = {
            "format": "radio.oifits",
            "file": path.name,
            "target": data.target,
            "instrument": data.instrument,
            "right_ascension_rad": data.direction[0],
            "declination_rad": data.direction[1],
            "wavelength_min_m": float(data.wavelengths.min()),
            "wavelength_max_m": float(data.wavelengths.max()),
            "pixel_rad": pixel,
            "squared_visibilities": data.y[0].numel(),
            "closure_phases": data.y[1].numel(),
        }
        output = SkyOutput(
            pixel=pixel,
            phase_center=data.direction,
            frequencies=tuple(float(C / w) for w in data.wavelengths),
            name=data.target,
            unit="flux/pixel",
        )
        return Acquisition(
            y=data.y,
            physics=physics,
            metadata=metadata,
            solver={"name": "radio.rml", "weight": 1e-2, "rtol": 1e-2},
            left_out=left_out,
            output=output,
        )


@dataclass(frozen=True)
class _Part:
    """Rows of one table of one target: coordinates, values, errors, flags, days and stations."""

    where: np.ndarray
    value: np.ndarray
    error: np.ndarray
    flag: np.ndarray
    days: np.ndarray
    stations: list[tuple[str, ...]]
    total: int
    """Number of data, flagged ones included, at the wavelengths of their instruments."""


def _load(
    path: Path, file: Any, instrument: str | None, target: str | None
) -> tuple[OpticalData, tuple[str, ...]]:
    """Return the data of one target, and what of the file is left out."""
    tables: dict[str, list[Any]] = {}
    for name, table in tables_in(file):
        varying = [c.name for c in table.columns if re.match(r"\d*[PQ]", c.format) and name.startswith("OI_")]
        if varying:
            raise DataError(f"{path}: {name} has arrays of varying length in {varying}, which OIFITS has not")
        tables.setdefault(name, []).append(table)
    if not any(name in tables for name in _TABLES):
        raise DataError(f"{path} is not OIFITS with squared visibilities: it has the tables {sorted(tables)}")
    for needed in ("OI_TARGET", "OI_WAVELENGTH", "OI_VIS2"):
        if needed not in tables:
            raise DataError(f"{path} has no table {needed}")
    numbers, name, direction, other_targets = _target(path, tables, target)
    found = {_insname(t) for key in _TABLES for t in tables.get(key, []) if np.isin(_ids(t), numbers).any()}
    wanted = [] if instrument is None else [one.strip() for one in instrument.split(",")]
    if not set(wanted) <= found:
        raise ParameterError(f"{path} has no data of {name!r} by {instrument!r}, but by {sorted(found)}")
    trackers = {} if wanted else _fringe_trackers(found, tables, numbers)
    chosen = sorted(set(wanted) or found - set(trackers))
    bands = {one: _band(path, tables["OI_WAVELENGTH"], one) for one in chosen}
    starts = dict(zip(chosen, np.cumsum([0, *(len(bands[one][0]) for one in chosen)])))
    names = _stations(tables.get("OI_ARRAY", []))
    v = _joined(path, tables["OI_VIS2"], numbers, starts, bands, names, 2)
    p = _joined(path, tables.get("OI_T3", []), numbers, starts, bands, names, 3)
    if not len(v.where):
        raise DataError(f"{path} has no squared visibilities of target {name!r} by {', '.join(chosen)}")
    wavelengths, widths = (np.concatenate([bands[one][k] for one in chosen]) for k in (0, 1))
    unused = [f"{one} ({sum(len(t.data) for t in tables[one])} rows)" for one in _IGNORED if one in tables]
    rest = ", ".join(sorted(found - set(chosen) - set(trackers)))
    left_out = [
        *(
            f"data by {tracker}, the fringe tracker: {science} has the same baselines and times, finer in "
            f"wavelength; instrument={tracker!r} reads it, instrument={f'{tracker}, {science}'!r} both"
            for tracker, science in sorted(trackers.items())
        ),
        f"data of {name!r} by {rest}; instrument= chooses" if rest else "",
        f"data of {', '.join(map(repr, other_targets))}; target= chooses" if other_targets else "",
        _flagged("squared visibilities", v),
        _flagged("closure phases", p),
        f"tables {', '.join(unused)}" if unused else "",
    ]
    degree = np.pi / 180
    data = OpticalData(
        baselines=_tensor(v.where),
        wavelengths=_tensor(wavelengths),
        bandwidths=_tensor(widths),
        vis2=_tensor(v.value),
        vis2_sigma=_tensor(v.error),
        vis2_flag=_tensor(v.flag),
        triangles=_tensor(p.where.reshape(-1, 2, 2)),
        phase=_tensor(p.value) * degree,
        phase_sigma=_tensor(p.error) * degree,
        phase_flag=_tensor(p.flag),
        time=_tensor(v.days * 86400),
        stations=tuple((a, b) for a, b in v.stations),
        triangle_stations=tuple((a, b, c) for a, b, c in p.stations),
        direction=direction,
        target=name,
        instrument=", ".join(chosen),
    )
    return data, tuple(sentence for sentence in left_out if sentence)


def _flagged(what: str, part: _Part) -> str:
    used = int((~part.flag).sum())
    if used == part.total:
        return ""
    return f"{used} of {part.total} {what} used; the others are flagged or have no error"


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _insname(table: Any) -> str:
    return str(table.header.get("INSNAME", "")).strip()


def _ids(table: Any) -> np.ndarray:
    """Return the number of the target of each row; the column may be (n,) or (n, 1)."""
    return np.asarray(table.data["TARGET_ID"]).reshape(-1)


def _fringe_trackers(found: set[str], tables: dict[str, list[Any]], numbers: list[int]) -> dict[str, str]:
    """Return the fringe trackers, each with the science combiner that covers its baselines and times."""

    def rows(instrument: str) -> list[tuple[frozenset[int], float]]:
        return [
            (frozenset(np.asarray(row["STA_INDEX"]).tolist()), float(np.reshape(row["MJD"], -1)[0]))
            for key in _TABLES
            for table in tables.get(key, [])
            if _insname(table) == instrument
            for row in table.data[np.isin(_ids(table), numbers)]
        ]

    pairs = {}
    for tracker in found:
        science = re.sub(r"_FT(?=_|$)", "_SC", tracker)
        if science == tracker or science not in found:
            continue
        beside = rows(science)
        if all(any(a == b and abs(t - u) < _SAME for b, u in beside) for a, t in rows(tracker)):
            pairs[tracker] = science
    return pairs


def _band(path: Path, tables: list[Any], instrument: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the wavelengths and bandwidths of an instrument, in meters."""
    found = [
        tuple(np.asarray(t.data[c], np.float64).reshape(-1) for c in ("EFF_WAVE", "EFF_BAND"))
        for t in tables
        if _insname(t) == instrument
    ]
    if not found:
        raise DataError(f"{path} has no table OI_WAVELENGTH of {instrument!r}")
    if any(len(one[0]) != len(found[0][0]) or not np.allclose(one, found[0], 1e-6, 0) for one in found[1:]):
        raise DataError(f"{path} has {len(found)} tables OI_WAVELENGTH of {instrument!r} that differ")
    if not np.all(found[0][0] > 0):
        raise DataError(f"{path}: EFF_WAVE of {instrument!r} holds wavelengths that are not > 0")
    return found[0][0], found[0][1]


def _target(
    path: Path, tables: dict[str, list[Any]], wanted: str | None
) -> tuple[list[int], str, tuple[float, float], list[str]]:
    """Return numbers, name and direction of the target, and the names of others that have data."""
    rows = [row for table in tables["OI_TARGET"] for row in table.data]
    numbers: dict[str, list[int]] = {}
    for row in rows:
        numbers.setdefault(str(row["TARGET"]).strip(), []).append(int(np.reshape(row["TARGET_ID"], -1)[0]))
    measured = {int(n) for key in _TABLES for table in tables.get(key, []) for n in _ids(table)}
    seen = [name for name, ids in numbers.items() if measured & set(ids)]
    if wanted is not None and wanted not in numbers:
        raise ParameterError(f"{path} has no target {wanted!r}; it has {list(numbers)}")
    if not seen:
        raise DataError(f"{path} has no data of its targets {list(numbers)}: no row names one of them")
    if wanted is not None and wanted not in seen:
        raise DataError(f"{path} has no data of target {wanted!r}, only of {seen}")
    if wanted is None and len(seen) != 1:
        raise DataError(f"{path} has data of {len(seen)} targets, {seen}: choose one with target=")
    name = seen[0] if wanted is None else wanted
    row = next(row for row in rows if str(row["TARGET"]).strip() == name)
    direction = (float(np.deg2rad(row["RAEP0"])), float(np.deg2rad(row["DECEP0"])))
    return numbers[name], name, direction, [one for one in seen if one != name]


def _stations(tables: list[Any]) -> dict[tuple[str, int], str]:
    """Return the names of stations by array and index."""
    return {
        (str(t.header.get("ARRNAME", "")).strip(), int(row["STA_INDEX"])): str(row["STA_NAME"]).strip()
        for t in tables
        for row in t.data
    }


def _rows(
    path: Path, table: Any, numbers: list[int], wavelengths: int, names: dict[tuple[str, int], str]
) -> _Part:
    """Return the rows of one target in one table."""
    triple = table.name == "OI_T3"
    coordinates = ("U1COORD", "V1COORD", "U2COORD", "V2COORD") if triple else ("UCOORD", "VCOORD")
    columns = ("T3PHI", "T3PHIERR") if triple else ("VIS2DATA", "VIS2ERR")
    kept = np.isin(_ids(table), numbers)
    n, data = int(kept.sum()), table.data
    where = np.stack([np.asarray(data[c], np.float64).reshape(-1)[kept] for c in coordinates], axis=-1)
    width = int(np.prod(np.shape(data[columns[0]])[1:], dtype=np.int64))
    if width != wavelengths:
        raise DataError(
            f"{path}: {table.name} of {_insname(table)!r} holds {width} wavelengths a row, its table "
            f"OI_WAVELENGTH {wavelengths}"
        )
    value, error = (np.asarray(data[c], np.float64)[kept].reshape(n, wavelengths) for c in columns)
    flag = np.asarray(data["FLAG"], bool)[kept].reshape(n, wavelengths)
    if not np.isfinite(where).all():
        raise DataError(f"{path}: {table.name} holds baselines that are not finite")
    flag = flag | ~(np.isfinite(value) & np.isfinite(error) & (error > 0))
    array = str(table.header.get("ARRNAME", "")).strip()
    index = np.asarray(data["STA_INDEX"])[kept].reshape(n, 3 if triple else 2)
    stations = [tuple(names.get((array, int(i)), str(int(i))) for i in row) for row in index]
    days = np.asarray(data["MJD"], np.float64).reshape(-1)[kept]
    return _Part(where, np.where(flag, 0, value), np.where(flag, 1, error), flag, days, stations, flag.size)


def _joined(
    path: Path,
    tables: list[Any],
    numbers: list[int],
    starts: dict[str, int],
    bands: dict[str, tuple[np.ndarray, np.ndarray]],
    names: dict[tuple[str, int], str],
    stations: int,
) -> _Part:
    """Join tables of all instruments: each has its own wavelengths, the others are flagged."""
    total = sum(len(waves) for waves, _ in bands.values())
    empty = np.zeros((0, total))
    where = np.zeros((0, 2 * stations - 2))
    parts = [_Part(where, empty, empty, empty.astype(bool), np.zeros(0), [], 0)]
    for table in tables:
        name = _insname(table)
        if name not in bands or not len(table.data):
            continue
        part = _rows(path, table, numbers, len(bands[name][0]), names)
        here = slice(starts[name], starts[name] + len(bands[name][0]))
        size = (len(part.where), total)
        value, error, flag = np.zeros(size), np.ones(size), np.ones(size, bool)
        value[:, here], error[:, here], flag[:, here] = part.value, part.error, part.flag
        parts.append(replace(part, value=value, error=error, flag=flag))
    names_of = ("where", "value", "error", "flag", "days")
    where, value, error, flag, days = (np.concatenate([getattr(p, n) for p in parts]) for n in names_of)
    stations_of = [s for part in parts for s in part.stations]
    return _Part(where, value, error, flag, days, stations_of, sum(part.total for part in parts))
