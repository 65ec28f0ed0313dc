"""Reading OIFITS: squared visibilities and closure phases of optical interferometers."""

from __future__ import annotations

import os
from dataclasses import dataclass
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


def read_oifits(
    path: str | os.PathLike[str], *, instrument: str | None = None, target: str | None = None
) -> OpticalData:
    """Read the squared visibilities (OI_VIS2) and closure phases (OI_T3) of an OIFITS file, version 1 or 2.

    Parameters
    ----------
    path : path
    instrument : str, optional
        INSNAME; by default the one with the most data.
    target : str, optional
        Name of the target, required if the file holds several.

    Returns
    -------
    OpticalData

    Raises
    ------
    DataError
        If the file is damaged, truncated, not OIFITS, or incomplete, or has several targets and none is
        chosen.
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
        return _load(path, file, instrument, target)


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
            INSNAME; by default the one with the most data.
        target : str, optional
            Name of the target, required if the file holds several.
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
        data = read_oifits(path, instrument=options.instrument, target=options.target)
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
            output=output,
        )


def _load(path: Path, file: Any, instrument: str | None, target: str | None) -> OpticalData:
    tables: dict[str, list[Any]] = {}
    for name, table in tables_in(file):
        tables.setdefault(name, []).append(table)
    if not any(name in tables for name in _TABLES):
        raise DataError(f"{path} is not OIFITS with squared visibilities: it has the tables {sorted(tables)}")
    for needed in ("OI_TARGET", "OI_WAVELENGTH", "OI_VIS2"):
        if needed not in tables:
            raise DataError(f"{path} has no table {needed}")
    chosen = _instrument(path, tables, instrument)
    wavelengths = _one(
        path, [t for t in tables["OI_WAVELENGTH"] if _insname(t) == chosen], f"OI_WAVELENGTH of {chosen}"
    )
    number, name, direction = _target(path, tables["OI_TARGET"][0], target)
    squared = [t for t in tables["OI_VIS2"] if _insname(t) == chosen]
    closures = [t for t in tables.get("OI_T3", []) if _insname(t) == chosen]
    if not squared:
        raise DataError(
            f"{path} has no squared visibilities (OI_VIS2) of {chosen!r}; choose another instrument="
        )
    names = _stations(tables.get("OI_ARRAY", []))
    rows = [_rows(path, t, number, ("VIS2DATA", "VIS2ERR"), ("UCOORD", "VCOORD"), names) for t in squared]
    triples = [
        _rows(path, t, number, ("T3PHI", "T3PHIERR"), ("U1COORD", "V1COORD", "U2COORD", "V2COORD"), names)
        for t in closures
    ]
    lam = np.atleast_1d(np.asarray(wavelengths.data["EFF_WAVE"], np.float64))
    f = len(lam)
    v, p = _joined(rows, 2, f), _joined(triples, 4, f)
    if any(part[1].shape[1] != f for part in (v, p)):
        raise DataError(f"{path}: the data of {chosen!r} do not have its {f} wavelengths")
    if not len(v[0]):
        raise DataError(f"{path} has no squared visibilities of target {name!r} with {chosen!r}")
    if not np.all(lam > 0):
        raise DataError(f"{path}: EFF_WAVE of {chosen!r} holds wavelengths that are not > 0")
    tensors = [
        torch.from_numpy(np.ascontiguousarray(a)) for a in (v[0], *v[1:4], p[0].reshape(-1, 2, 2), *p[1:4])
    ]
    degree = np.pi / 180
    return OpticalData(
        baselines=tensors[0],
        wavelengths=torch.from_numpy(lam),
        bandwidths=torch.from_numpy(np.atleast_1d(np.asarray(wavelengths.data["EFF_BAND"], np.float64))),
        vis2=tensors[1],
        vis2_sigma=tensors[2],
        vis2_flag=tensors[3],
        triangles=tensors[4],
        phase=tensors[5] * degree,
        phase_sigma=tensors[6] * degree,
        phase_flag=tensors[7],
        time=torch.from_numpy(v[4] * 86400),
        stations=tuple((a, b) for a, b in v[5]),
        triangle_stations=tuple((a, b, c) for a, b, c in p[5]),
        direction=direction,
        target=name,
        instrument=chosen,
    )


def _insname(table: Any) -> str:
    return str(table.header.get("INSNAME", "")).strip()


def _instrument(path: Path, tables: dict[str, list[Any]], wanted: str | None) -> str:
    """Return the requested INSNAME, or the one with the most squared visibilities."""
    counts: dict[str, int] = {}
    for table in tables["OI_VIS2"]:
        counts[_insname(table)] = counts.get(_insname(table), 0) + int(np.size(table.data["VIS2DATA"]))
    if wanted is not None and wanted not in counts:
        raise ParameterError(
            f"{path} has no squared visibilities of instrument {wanted!r}; it has {sorted(counts)}"
        )
    return wanted if wanted is not None else max(sorted(counts), key=lambda n: counts[n])


def _one(path: Path, found: list[Any], what: str) -> Any:
    if len(found) != 1:
        raise DataError(f"{path} has {len(found)} tables {what}; expected one")
    return found[0]


def _target(path: Path, table: Any, wanted: str | None) -> tuple[int, str, tuple[float, float]]:
    names = [str(n).strip() for n in table.data["TARGET"]]
    if wanted is not None and wanted not in names:
        raise ParameterError(f"{path} has no target {wanted!r}; it has {names}")
    if wanted is None and len(names) != 1:
        raise DataError(f"{path} has {len(names)} targets, {names}: choose one with target=")
    row = table.data[names.index(wanted) if wanted is not None else 0]
    direction = (float(np.deg2rad(row["RAEP0"])), float(np.deg2rad(row["DECEP0"])))
    return int(row["TARGET_ID"]), str(row["TARGET"]).strip(), direction


def _stations(tables: list[Any]) -> dict[tuple[str, int], str]:
    """Return the names of stations by array and index."""
    return {
        (str(t.header.get("ARRNAME", "")).strip(), int(row["STA_INDEX"])): str(row["STA_NAME"]).strip()
        for t in tables
        for row in t.data
    }


def _rows(
    path: Path,
    table: Any,
    target: int,
    columns: tuple[str, str],
    coordinates: tuple[str, ...],
    names: dict[tuple[str, int], str],
) -> tuple[Any, ...]:
    """Return coordinates, values, errors, flags, days and stations of one table."""
    data = table.data[np.asarray(table.data["TARGET_ID"]) == target]
    where = np.stack([np.asarray(data[c], np.float64) for c in coordinates], axis=-1)
    value, error = (np.asarray(data[c], np.float64).reshape(len(data), -1) for c in columns)
    flag = np.asarray(data["FLAG"], bool).reshape(len(data), -1)
    if not np.isfinite(where).all():
        raise DataError(f"{path}: {table.name} holds baselines that are not finite")
    flag = flag | ~(np.isfinite(value) & np.isfinite(error) & (error > 0))
    array = str(table.header.get("ARRNAME", "")).strip()
    index = np.asarray(data["STA_INDEX"]).reshape(len(data), -1)
    stations = [tuple(names.get((array, int(i)), str(int(i))) for i in row) for row in index]
    days = np.asarray(data["MJD"], np.float64)
    return where, np.where(flag, 0, value), np.where(flag, 1, error), flag, days, stations


def _joined(parts: list[tuple[Any, ...]], coordinates: int, wavelengths: int) -> tuple[Any, ...]:
    if not parts:
        empty = np.zeros((0, wavelengths))
        return np.zeros((0, coordinates)), empty, empty, empty.astype(bool), np.zeros(0), []
    arrays = [np.concatenate([p[k] for p in parts]) for k in range(5)]
    return (*arrays, [s for p in parts for s in p[5]])
