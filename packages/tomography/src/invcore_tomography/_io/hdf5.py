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
from invcore.io import Acquisition, Reader, is_hdf5, open_hdf5, own_dataset, own_node, own_text, own_values

from .acquire import chosen_rows, fbp_reference, naming, parallel_scan, rows_used
from .angles import in_radians
from .counts import Frames, line_integrals
from .options import CountOptions, number

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
    NXtomo has, in an entry, ``instrument/detector/data`` (the detector may have another name) with
    ``image_key`` (0 view, 1 flat, 2 dark) and ``sample/rotation_angle``. The counts are normalized, by flat
    fields interpolated in time where they were taken before and after the views; the logarithm is taken and
    the axis of rotation found. Views that ``image_key_control`` marks as taken for alignment are left out.
    Links within the file are followed.

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
        entry : str, optional
            Which scan of a file with several NXtomo entries; the first by default.
        external : bool
            Also read what the file links to in other files of the same folder.
        """

        center: float | str = "auto"
        span: float | None = None
        entry: str | None = None
        external: bool = False

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.span is not None and not (number(self.span) and math.isfinite(self.span) and self.span):
                raise ParameterError(f"span= is a number of degrees, not 0, got {self.span!r}")

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` is an HDF5 file with ``exchange/data`` or an NXtomo entry."""
        if not is_hdf5(path):
            return False
        try:
            with open_hdf5(path) as file:
                return _there(file, "exchange/data") or bool(_entries(file))
        except DataError:
            return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        with open_hdf5(path) as file:
            scan = _Scan(file, path, options)
        if scan.angles is None:
            n = len(scan.frames.views)
            if options.span is None:
                raise DataError(
                    f"{path} has no angles (no theta or rotation_angle): give span=, the degrees its "
                    f"{n} views cover"
                )
            scan.angles, scan.unit = np.arange(n) * float(options.span) / n, None
        facts, frames = scan.facts, scan.frames
        notes = facts.setdefault("notes", [])
        angles = in_radians(scan.angles, where=f"{path}", stated=scan.unit, units=options.units, notes=notes)
        facts |= {
            "flats": 0 if frames.flat is None else len(frames.flat),
            "darks": 0 if frames.dark is None else len(frames.dark),
        }
        with naming(path):
            lines, kept = line_integrals(frames, scan.options, facts)
            return parallel_scan(lines, angles[kept], options=options, pitch=scan.pixel, metadata=facts)

    def _reference(self, path: Path, options: Options) -> Tensor:
        return fbp_reference(self._read(path, replace(options, every=1)))


class _Scan:
    """Counts and frames of the chosen rows, angles and their unit, as the file has them."""

    def __init__(self, file: h5py.File, path: Path, options: Any) -> None:
        self.file, self.path, self.options = file, path, options
        self.frames: Frames
        self.angles: np.ndarray | None = None
        self.unit: str | None = None
        self.pixel: float | None = None
        self.facts: dict[str, Any] = {"format": "tomography.dxchange", "source": path.name}
        if _there(file, "exchange/data"):
            self._dxchange()
            return
        entries = _entries(file, options.external)
        if not entries:
            raise DataError(f"{path} has neither exchange/data (DXchange) nor an NXtomo entry with image_key")
        entry = entries[0] if options.entry is None else options.entry.strip("/")
        if entry not in entries:
            raise ParameterError(f"entry={options.entry!r} is no NXtomo entry of {path}; it has {entries}")
        self._nxtomo(entry)
        if len(entries) > 1:
            said = f"one of {len(entries)} scans is used, {entry!r}; entry= chooses among {entries}"
            self.facts.setdefault("left_out", []).append(said)

    def _array(self, name: str, ndim: int) -> h5py.Dataset:
        data = own_dataset(self.file, name, external=self.options.external)
        if data is None:
            raise DataError(f"{self.path} has no dataset {name}")
        return _numbers(data, self.path, name, ndim)

    def _there(self, name: str) -> bool:
        return _there(self.file, name)

    def _rows(self, data: h5py.Dataset) -> slice:
        rows = chosen_rows(self.options.slice, data.shape[1], self.path)
        self.facts |= rows_used(rows, data.shape[1])
        return rows

    def _dxchange(self) -> None:
        self.facts["layout"] = "DXchange"
        data = self._array("exchange/data", 3)
        rows = self._rows(data)
        self.frames = Frames(views=_part(data, rows), top=_top(data))
        for name, attribute in (("exchange/data_white", "flat"), ("exchange/data_dark", "dark")):
            if not self._there(name):
                continue
            frames = self._array(name, 3)
            if frames.shape[0] == 0:
                continue
            if frames.shape[1:] != data.shape[1:]:
                raise DataError(
                    f"{self.path}: {name} has frames {frames.shape[1:]}, exchange/data {data.shape[1:]}"
                )
            setattr(self.frames, attribute, _part(frames, rows))
        if self._there("exchange/theta"):
            self.angles = self._angles("exchange/theta", (data.shape[0],))
            self._time_of_flats()
        for name in ("pixel_size_x", "actual_pixel_size_x"):
            if self.pixel is None:
                self.pixel = self._length(f"measurement/instrument/detector/{name}")
        self._sample("measurement/sample/name")

    def _time_of_flats(self) -> None:
        """Positions of the flat frames, where the file has the angles at which they were taken."""
        angles, flat = self.angles, self.frames.flat
        if angles is None or flat is None or not self._there("exchange/theta_white"):
            return
        at = np.asarray(own_values(self._array("exchange/theta_white", 1)), dtype=np.float64)
        sign = np.sign(angles[-1] - angles[0])
        if len(at) == len(flat) and (np.diff(angles) * sign > 0).all() and np.isfinite(at).all():
            place = np.searchsorted(sign * angles, sign * at).astype(float)
            self.frames.flat_at = np.where(place == 0, -1.0, place)

    def _nxtomo(self, entry: str) -> None:
        self.facts["layout"] = "NXtomo"
        at = f"{entry}/" if entry else ""
        detector = f"{at}instrument/{_detectors(self.file, entry, self.options.external)[0]}/"
        data = self._array(f"{detector}data", 3)
        count = data.shape[0]
        key = self._key(f"{detector}image_key", count)
        views = key == 0
        if not views.any():
            raise DataError(f"{self.path}: image_key names no frame as a view (0)")
        if self._there(f"{detector}image_key_control"):
            views &= self._key(f"{detector}image_key_control", count) == 0
            if not views.any():
                raise DataError(f"{self.path}: image_key_control marks all views as taken for alignment")
        rows = self._rows(data)
        unused = int((key == 0).sum() - views.sum()) + int((~np.isin(key, (0, 1, 2))).sum())
        if unused:
            self.facts.setdefault("left_out", []).append(
                f"{unused} of {count} frames are not used: alignment views, or invalid by their image key"
            )
        frames = _part(data, rows)
        index = [np.flatnonzero(chosen) for chosen in (views, key == 1, key == 2)]
        taken = [frames[torch.from_numpy(chosen)] if len(chosen) else None for chosen in index]
        assert taken[0] is not None
        self.frames = Frames(
            views=taken[0], flat=taken[1], dark=taken[2], at=index[0], flat_at=index[1], top=_top(data)
        )
        for name in (f"{at}sample/rotation_angle", f"{at}data/rotation_angle"):
            if self._there(name):
                stored = self._angles(name, (count, len(index[0])))
                self.angles = stored[index[0]] if len(stored) == count else stored
                break
        self._exposure(f"{detector}count_time", index)
        self.pixel = self._length(f"{detector}x_pixel_size")
        self._sample(f"{at}sample/name")

    def _key(self, name: str, count: int) -> np.ndarray:
        key = np.asarray(own_values(self._array(name, 1)))
        if len(key) != count:
            raise DataError(
                f"{self.path}: {count} frames, but {name.rpartition('/')[2]} has {len(key)} entries"
            )
        return key

    def _exposure(self, name: str, index: list[np.ndarray]) -> None:
        """Exposure of the views relative to that of the flats, where the file has that of each frame."""
        if self.frames.flat is None or self.options.exposure != 1.0 or not self._there(name):
            return
        seconds = np.asarray(own_values(self._array(name, 1)), dtype=np.float64)
        if len(seconds) < sum(map(len, index)) or not (seconds > 0).all():
            return
        ratio = float(np.median(seconds[index[0]]) / np.median(seconds[index[1]]))
        if abs(ratio - 1) > 1e-3:
            self.options = replace(self.options, exposure=ratio)
            said = f"the views were exposed {ratio:.3g} times as long as the flat fields (count_time)"
            self.facts.setdefault("notes", []).append(said)

    def _angles(self, name: str, counts: tuple[int, ...]) -> np.ndarray:
        data = own_dataset(self.file, name, external=self.options.external)
        if data is None or data.dtype.kind not in "fiu":
            raise DataError(f"{self.path}: {name} must hold numbers")
        values = np.asarray(own_values(data), dtype=np.float64).reshape(-1)
        if len(values) not in counts:
            raise DataError(f"{self.path}: {counts[0]} views, but {name} has {len(values)} angles")
        stated = (_text(data.attrs.get(n, "")) for n in ("units", "unit"))
        self.unit = next((unit for unit in stated if unit.strip()), None)
        return values

    def _length(self, name: str) -> float | None:
        """One length in meters, if its unit is known."""
        data = own_dataset(self.file, name) if self._there(name) else None
        if data is None or data.dtype.kind not in "fiu" or data.size != 1:
            return None
        unit = _LENGTHS.get(_text(data.attrs.get("units", "m")).strip().lower())
        value = float(np.asarray(data[()]).reshape(-1)[0])
        return value * unit if unit is not None and 0 < value < float("inf") else None

    def _sample(self, name: str) -> None:
        text = own_text(self.file, name) if self._there(name) else None
        if text:
            self.facts["sample"] = text


def _entries(file: h5py.File, external: bool = False) -> list[str]:
    """The groups with instrument/<detector>/{data,image_key}, two levels deep at most."""

    def groups(at: str) -> list[str]:
        holder = own_node(file, at or "/", external=external)
        if not isinstance(holder, h5py.Group):
            return []
        return [
            f"{at}/{name}" if at else name for name in sorted(n for n in holder if isinstance(n, str))[:64]
        ]

    found: list[str] = []
    first = groups("")
    for at in ["", *first]:
        deep = [at, *(groups(at) if at and _group(file, at, external) else [])]
        found += [name for name in deep if _detectors(file, name, external)]
    return found


def _detectors(file: h5py.File, entry: str, external: bool) -> list[str]:
    """The groups of an entry's instrument that have frames and an image key; ``detector`` comes first."""
    at = f"{entry}/instrument" if entry else "instrument"
    if not _group(file, entry, external) or not _group(file, at, external):
        return []
    instrument = own_node(file, at, external=external)
    assert isinstance(instrument, h5py.Group)
    names = sorted(sorted(instrument)[:64], key=lambda name: name != "detector")
    return [n for n in names if all(_there(file, f"{at}/{n}/{part}") for part in ("image_key", "data"))]


def _group(file: h5py.File, name: str, external: bool) -> bool:
    try:
        return isinstance(own_node(file, name or "/", external=external), h5py.Group)
    except DataError:
        return False


def _there(file: h5py.File, name: str) -> bool:
    """True if the file has something of that name, even a link that is not followed."""
    try:
        return own_node(file, name) is not None
    except DataError:
        return True


def dataset(file: h5py.File, path: Path, name: str, ndim: int) -> h5py.Dataset:
    """A numeric dataset of the file itself, whose declared size is on disk."""
    data = own_dataset(file, name)
    if data is None:
        raise DataError(f"{path} has no dataset {name}")
    return _numbers(data, path, name, ndim)


def _numbers(data: h5py.Dataset, path: Path, name: str, ndim: int) -> h5py.Dataset:
    if data.ndim != ndim or data.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: {name} must hold numbers in {ndim} dimensions, got {data.dtype} {data.shape}"
        )
    if ndim == 3 and 0 in data.shape[1:]:
        raise DataError(f"{path}: {name} has shape {data.shape}: it is empty")
    return data


def _part(data: h5py.Dataset, rows: slice) -> Tensor:
    values = own_values(data, np.s_[:, rows])
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _top(data: h5py.Dataset) -> float | None:
    return float(np.iinfo(data.dtype).max) if data.dtype.kind in "iu" else None


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
