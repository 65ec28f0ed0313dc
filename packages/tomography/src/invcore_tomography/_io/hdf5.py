"""Scans in HDF5: DXchange and NXtomo."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import Acquisition, Reader

from .acquire import chosen_rows, fbp_reference, naming, parallel_scan, transmission
from .angles import in_radians
from .options import CountOptions, number

_PACKED = 1100  # no deflate stream expands by more
_LENGTHS = {
    "m": 1.0,
    "meter": 1.0,
    "metre": 1.0,
    "cm": 1e-2,
    "mm": 1e-3,
    "um": 1e-6,
    "µm": 1e-6,
    "micron": 1e-6,
    "microns": 1e-6,
    "nm": 1e-9,
}


class DXchangeReader(Reader):
    """Parallel-beam scans in HDF5 as synchrotrons write them: DXchange (APS) and NXtomo (ESRF, Diamond, ...).

    DXchange has ``exchange/data`` (view, row, column) with ``data_white``, ``data_dark`` and ``theta``.
    NXtomo has, in an entry, ``instrument/detector/data`` with ``image_key`` (0 view, 1 flat, 2 dark) and
    ``sample/rotation_angle``. The counts are normalized, the logarithm taken, the axis of rotation found.

    References
    ----------
    F. De Carlo et al., "Scientific data exchange: a schema for HDF5-based storage of raw and analyzed data",
    J. Synchrotron Rad. 21 (2014). NXtomo: NeXus application definitions, nexusformat.org.

    Examples
    --------
    >>> DXchangeReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(CountOptions):
        """Options of DXchange and NXtomo, in addition to those of `CountOptions`.

        Parameters
        ----------
        center : float, "middle" or "auto"
            Column of the axis of rotation, found from the data by default.
        span : float, optional
            Angular range in degrees, or in ``units`` (end excluded), over which the views are equally spaced,
            for files that store no angles.
        """

        center: float | str = "auto"
        span: float | None = None

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.span is not None and not (number(self.span) and math.isfinite(self.span) and self.span):
                raise ParameterError(f"span= is a number of degrees, not 0, got {self.span!r}")

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` is an HDF5 file with ``exchange/data`` or an NXtomo entry."""
        path = Path(path)
        if not path.is_file() or not h5py.is_hdf5(path):
            return False
        try:
            with h5py.File(path, "r") as file:
                return _has(file, "exchange/data") or _nxtomo(file) is not None
        except (OSError, RuntimeError, KeyError):
            return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        raw = _load(path, options.slice)
        if raw.angles is None:
            n = len(raw.counts)
            if options.span is None:
                raise DataError(
                    f"{path} has no angles (no theta or rotation_angle): give span=, the degrees its "
                    f"{n} views cover"
                )
            raw.angles, raw.unit = np.arange(n) * float(options.span) / n, None
        notes: list[str] = []
        angles = in_radians(raw.angles, where=f"{path}", stated=raw.unit, units=options.units, notes=notes)
        facts: dict[str, Any] = {
            "format": "tomography.dxchange",
            "source": path.name,
            "layout": raw.layout,
            "slices": [raw.rows.start, raw.rows.stop - 1],
            "slice_count": raw.count,
            "flats": 0 if raw.flat is None else len(raw.flat),
            "darks": 0 if raw.dark is None else len(raw.dark),
            "notes": notes,
        }
        if raw.name:
            facts["sample"] = raw.name
        with naming(path):
            lines = transmission(raw.counts, raw.flat, raw.dark, zingers=options.zingers, facts=facts)
            return parallel_scan(lines, angles, options=options, pitch=raw.pixel, metadata=facts)

    def _reference(self, path: Path, options: Options) -> Tensor:
        return fbp_reference(self._read(path, replace(options, every=1)))


class _Raw:
    """Counts (view, row, column) and frames of the chosen rows, angles and their unit."""

    def __init__(self) -> None:
        self.counts: Any = None
        self.flat: Tensor | None = None
        self.dark: Tensor | None = None
        self.angles: np.ndarray | None = None
        self.unit: str | None = None
        self.rows: Any = None
        self.count = 0
        self.pixel: float | None = None
        self.layout = ""
        self.name = ""


def _load(path: Path, which: int | str | None) -> _Raw:
    if not path.is_file():
        raise DataError(f"no file {path}")
    if path.stat().st_size == 0 or not h5py.is_hdf5(path):
        raise DataError(f"{path} is not an HDF5 file, or its beginning is damaged")
    try:
        with h5py.File(path, "r") as file:
            if _has(file, "exchange/data"):
                return _dxchange(file, path, which)
            entry = _nxtomo(file)
            if entry is None:
                raise DataError(
                    f"{path} has neither exchange/data (DXchange) nor an NXtomo entry with image_key"
                )
            return _read_nxtomo(file, entry, path, which)
    except (OSError, RuntimeError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as HDF5, it is damaged or truncated: {error}") from error


def _dxchange(file: h5py.File, path: Path, which: int | str | None) -> _Raw:
    raw = _Raw()
    raw.layout = "DXchange"
    data = dataset(file, path, "exchange/data", 3)
    raw.count = data.shape[1]
    raw.rows = chosen_rows(which, raw.count, path)
    raw.counts = _part(data, raw.rows)
    for name, attribute in (("exchange/data_white", "flat"), ("exchange/data_dark", "dark")):
        if _has(file, name):
            frames = dataset(file, path, name, 3)
            if frames.shape[0] == 0:
                continue
            if frames.shape[1:] != data.shape[1:]:
                raise DataError(
                    f"{path}: {name} has frames {frames.shape[1:]}, exchange/data {data.shape[1:]}"
                )
            setattr(raw, attribute, _part(frames, raw.rows))
    if _has(file, "exchange/theta"):
        raw.angles, raw.unit = _angles(dataset(file, path, "exchange/theta", 1), data.shape[0], path)
    for name in (
        "measurement/instrument/detector/pixel_size_x",
        "measurement/instrument/detector/actual_pixel_size_x",
    ):
        if raw.pixel is None and _has(file, name):
            raw.pixel = _length(file[name])
    if _has(file, "measurement/sample/name"):
        raw.name = _text(file["measurement/sample/name"])
    return raw


def _read_nxtomo(file: h5py.File, entry: str, path: Path, which: int | str | None) -> _Raw:
    raw = _Raw()
    raw.layout = "NXtomo"
    at = f"{entry}/" if entry else ""
    data = dataset(file, path, f"{at}instrument/detector/data", 3)
    key = np.asarray(dataset(file, path, f"{at}instrument/detector/image_key", 1)[()])
    if len(key) != data.shape[0]:
        raise DataError(f"{path}: {data.shape[0]} frames, but image_key has {len(key)} entries")
    raw.count = data.shape[1]
    raw.rows = chosen_rows(which, raw.count, path)
    views = np.flatnonzero(key == 0)
    if not len(views):
        raise DataError(f"{path}: image_key names no frame as a view (0)")
    frames = _part(data, raw.rows)
    raw.counts = frames[torch.from_numpy(views)]
    for value, attribute in ((1, "flat"), (2, "dark")):
        index = np.flatnonzero(key == value)
        if len(index):
            setattr(raw, attribute, frames[torch.from_numpy(index)])
    if _has(file, f"{at}sample/rotation_angle"):
        stored, raw.unit = _angles(dataset(file, path, f"{at}sample/rotation_angle", 1), data.shape[0], path)
        raw.angles = stored[views]
    if _has(file, f"{at}instrument/detector/x_pixel_size"):
        raw.pixel = _length(file[f"{at}instrument/detector/x_pixel_size"])
    if _has(file, f"{at}sample/name"):
        raw.name = _text(file[f"{at}sample/name"])
    return raw


def _nxtomo(file: h5py.File) -> str | None:
    """The path of the first group with instrument/detector/{data,image_key}, two levels deep at most."""

    def groups(at: str) -> list[str]:
        holder = file[at] if at else file
        names = [f"{at}/{n}" if at else n for n in sorted(holder)[:64]]
        return [
            n
            for n in names
            if isinstance(file.get(n, getlink=True), h5py.HardLink) and isinstance(file[n], h5py.Group)
        ]

    first = groups("")
    for at in ["", *first, *(deep for name in first for deep in groups(name))]:
        prefix = f"{at}/" if at else ""
        if _has(file, f"{prefix}instrument/detector/image_key") and _has(
            file, f"{prefix}instrument/detector/data"
        ):
            return at
    return None


def _has(file: h5py.File, name: str) -> bool:
    """True if the file itself stores a dataset under that path."""
    at: Any = file
    for part in name.split("/"):
        if not isinstance(at, h5py.Group) or not isinstance(at.get(part, getlink=True), h5py.HardLink):
            return False
        at = at[part]
    return isinstance(at, h5py.Dataset)


def dataset(file: h5py.File, path: Path, name: str, ndim: int) -> h5py.Dataset:
    """A numeric dataset whose declared size is on disk."""
    if not _has(file, name):
        raise DataError(f"{path} has no dataset {name} of its own (links to elsewhere are not followed)")
    data = file[name]
    if data.shape is None or data.ndim != ndim or data.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: {name} must hold numbers in {ndim} dimensions, got {data.dtype} {data.shape}"
        )
    if data.is_virtual or data.external:
        raise DataError(f"{path}: {name} keeps its data in other files; only data in the file itself is read")
    if ndim == 3 and 0 in data.shape[1:]:
        raise DataError(f"{path}: {name} has shape {data.shape}: it is empty")
    packed = _PACKED if data.chunks is not None and data.id.get_create_plist().get_nfilters() else 1
    held = data.id.get_storage_size()
    if data.nbytes > held * packed:
        raise DataError(
            f"{path}: {name} declares {data.shape} ({data.nbytes} bytes) but the file holds {held} bytes of "
            "it: it is incomplete"
        )
    return data


def _part(data: h5py.Dataset, rows: slice) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(data[:, rows], dtype=np.float32))


def _angles(data: h5py.Dataset, count: int, path: Path) -> tuple[np.ndarray, str | None]:
    values = np.asarray(data[()], dtype=np.float64)
    if len(values) != count:
        raise DataError(f"{path}: {count} views, but {data.name} has {len(values)} angles")
    return values, next(
        (_text(data.attrs[n]) for n in ("units", "unit") if _text(data.attrs.get(n, ""))), None
    )


def _length(data: h5py.Dataset) -> float | None:
    """One length in meters, if its unit is known."""
    if data.dtype.kind not in "fiu" or data.size != 1:
        return None
    unit = _LENGTHS.get(_text(data.attrs.get("units", "m")).strip().lower())
    value = float(np.asarray(data[()]).reshape(-1)[0])
    return value * unit if unit is not None and 0 < value < float("inf") else None


def _text(value: Any) -> str:
    if isinstance(value, h5py.Dataset):
        value = value[()] if value.size == 1 else ""
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
