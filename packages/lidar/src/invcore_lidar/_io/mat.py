"""Time tags in MATLAB files: a cell array with the photon times of each pixel."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import (
    Acquisition,
    NearMiss,
    Reader,
    atomic_path,
    damage,
    is_hdf5,
    matlab_variables,
    open_hdf5,
    own_dataset,
    own_values,
)

from .._photons.tags import TimeTags
from .acquire import TagOptions, acquire

_GAUSSIAN = 2 * math.sqrt(2 * math.log(2))


class _Layout(NamedTuple):
    """Published facts on files with a variable of that name."""

    tick: float
    fwhm: float
    whole: int  # the gate begins and ends at multiples of this many ticks
    source: str


_KNOWN = {
    # Li et al. 2020: arrival times in ps, timing jitter of the whole system about 1 ns, gate in whole ns.
    "Ts_gated": _Layout(1e-12, 1e-9, 1000, "public description of such files"),
    # Shin et al. 2016: the published program models the pulse as a Gaussian with a standard deviation of 35
    # ticks, but does not state the length of a tick. With 8 ps, the resolution of time correlators of its
    # day, that is 280 ps, a plausible pulse.
    "photon_times": _Layout(8e-12, _GAUSSIAN * 35 * 8e-12, 1, "assumed; give tick= if it is another"),
}
_SCALARS = ("tick_s", "gate_ticks", "fwhm_s", "decay_s", "pitch_rad", "pulses_per_pixel")


class MatReader(Reader):
    """Time tags in MATLAB files (5 to 7.3): a cell array with the photon times of each pixel in whole ticks.

    Two names of the cell array are known from public data: ``Ts_gated`` (Li et al.: ticks of 1 ps) and
    ``photon_times`` (Shin et al.: ticks are *assumed* to be 8 ps, as the metadata state). Files of
    `write_mat` state the rest: ``tick_s``, ``gate_ticks`` = [start, stop], ``fwhm_s``, ``decay_s``,
    ``pitch_rad``, ``pulses_per_pixel``. For others give ``name=`` and ``tick=``.

    Notes
    -----
    Depths are those of the recorded times, d = c t / 2. Systems that send the next pulse before the last one
    returns record times modulo their pulse period, and depths modulo half the distance between pulses.

    References
    ----------
    Z.-P. Li et al., "Single-photon computational 3D imaging at 45 km", Photonics Research 8 (2020), whose
    public demo has ``Ts_gated``. D. Shin, F. Xu, F. N. C. Wong, J. H. Shapiro, V. K. Goyal, "Computational
    multi-depth single-photon imaging", Optics Express 24 (2016), whose public program has ``photon_times``.

    Examples
    --------
    >>> MatReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(TagOptions):
        """Options of every file of time tags (`TagOptions`) and those of this format.

        Parameters
        ----------
        name : str, optional
            Name of the cell array, required if it is none of the known names.
        tick : float, optional
            Length of a tick in seconds, if the file does not state it or the assumed length is wrong.
        start, stop : int, optional
            Gate of the recording in ticks; that of the file, or from the first to the last photon, by
            default.
        """

        name: str | None = None
        tick: float | None = None
        start: int | None = None
        stop: int | None = None

    def sniff(self, path: str | Path) -> bool | NearMiss:
        """Return whether ``path`` is a MATLAB file with a cell array of one of the known names."""
        names = _cells_in(Path(path))
        if any(name in _KNOWN for name in names):
            return True
        return bool(names) and NearMiss(
            f"its cell arrays {', '.join(sorted(names))} are not called {' or '.join(_KNOWN)}. If one holds "
            "the photon times: --format lidar.mat --option name=... (format=, name= in Python)."
        )

    def _read(self, path: Path, options: Options) -> Acquisition:
        tags, facts = _load_tags(path, options)
        tags = options.select(tags)
        fwhm = options.fwhm or facts.fwhm
        if fwhm is None:
            raise DataError(f"{path} does not state the width of its impulse response: give fwhm= in seconds")
        return acquire(
            tags,
            options,
            fwhm=fwhm,
            decay=options.decay or facts.decay,
            pitch=options.pitch or facts.pitch,
            metadata={
                "format": "lidar.mat",
                "source": path.name,
                "variable": facts.name,
                "tick_from": facts.source,
            },
        )

    def _reference(self, path: Path, options: Options) -> Tensor:
        """Return the displayed depths (1, y, x) by a matched filter, for files with many photons."""
        from .._depth.matched_filter import MatchedFilter

        found = self._read(path, replace(options, surfaces=1))
        assert found.output is not None
        shown = found.output.pictures(MatchedFilter()(found.y, found.physics))
        return next(iter(shown.values()))


class _Facts(NamedTuple):
    name: str
    source: str
    fwhm: float | None
    decay: float | None
    pitch: float | None


def read_mat(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    tick: float | None = None,
    start: int | None = None,
    stop: int | None = None,
) -> TimeTags:
    """Read the time tags of a MATLAB file.

    Parameters
    ----------
    path : path
    name, tick, start, stop
        As for the reader ``lidar.mat``.

    Returns
    -------
    TimeTags

    Raises
    ------
    DataError
        If the file is damaged, or has no such cell array, or the tick is not known.

    Examples
    --------
    >>> import tempfile
    >>> tags = TimeTags.from_cells([[[3, 5], []], [[4], [1, 7, 7]]], tick=1e-12, start=0, stop=8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     read_mat(write_mat(Path(folder) / "tags.mat", tags))
    TimeTags(2 x 2 pixels, 6 photons, gate 0 ... 8 of 1e-12 s)
    """
    options = MatReader.Options(name=name, tick=tick, start=start, stop=stop)
    return _load_tags(Path(path), options)[0]


def write_mat(
    path: str | os.PathLike[str],
    tags: TimeTags,
    *,
    fwhm: float | None = None,
    decay: float | None = None,
    pitch: float | None = None,
) -> Path:
    """Write time tags atomically as a MATLAB file that `MatReader` reads without options.

    Parameters
    ----------
    path : path
        Path ending in ``.mat``.
    tags : TimeTags
    fwhm, decay : float, optional
        Impulse response in seconds.
    pitch : float, optional
        Angle between pixels in radians.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> tags = TimeTags.from_cells([[[3]]], tick=1e-12, start=0, stop=8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_mat(Path(folder) / "tags.mat", tags).name
    'tags.mat'
    """
    from scipy.io import savemat

    low, high = (int(v) for v in tags.tags.aminmax()) if len(tags.tags) else (0, 0)
    kind = np.int32 if low >= -(2**31) and high < 2**31 else np.int64
    held: dict[str, Any] = {
        "photon_times": cell_array(tags, kind),
        "tick_s": tags.tick,
        "gate_ticks": np.array([[tags.start, tags.stop]], dtype=np.float64),
    }
    given = {"fwhm_s": fwhm, "decay_s": decay, "pitch_rad": pitch, "pulses_per_pixel": tags.pulses}
    held |= {key: value for key, value in given.items() if value is not None}
    path = Path(path)
    with atomic_path(path) as partial, partial.open("wb") as file:
        savemat(file, held, do_compression=True)
        file.seek(0)
        file.write(b"MATLAB 5.0 MAT-file, written by invcore-lidar".ljust(116))  # in place of a date
    return path


def cell_array(tags: TimeTags, dtype: type) -> np.ndarray:
    """Return the tags as an array of arrays, which scipy writes as a cell array."""
    values: np.ndarray = tags.tags.cpu().numpy().astype(dtype)
    edges = tags.indptr.tolist()
    cells = np.empty(math.prod(tags.shape), dtype=object)
    for p in range(len(cells)):
        cells[p] = values[edges[p] : edges[p + 1], None]
    return cells.reshape(tags.shape)


def _load_tags(path: Path, options: MatReader.Options) -> tuple[TimeTags, _Facts]:
    name, tick, start, stop = options.name, options.tick, options.start, options.stop
    found = _cells_in(path, strict=True)
    if name is None:
        known = [n for n in found if n in _KNOWN]
        if len(known) != 1:
            raise DataError(
                f"{path}: which cell array holds the photon times? Give name=; it has "
                f"{found or 'no cell array'}"
            )
        name = known[0]
    elif name not in found:
        raise DataError(f"{path} has no cell array {name!r} with two axes; it has {found or 'none'}")
    cells, scalars = _load(path, name)
    layout = _KNOWN.get(name)
    stated = _number(scalars, "tick_s", path)
    if tick is not None:
        source = "option"
    elif stated is not None:
        tick, source = stated, "file"
    elif layout is not None:
        tick, source = layout.tick, layout.source
    else:
        raise DataError(f"{path} does not state the length of a tick: give tick= in seconds")
    if not 0 < tick < math.inf:
        raise ParameterError(f"tick must be a positive time in seconds, got {tick!r}")
    counts, tags = _flat(cells, name, path)
    gate = _gate(scalars, path)
    whole = layout.whole if layout is not None and gate is None else 1
    low, high = (int(v) for v in (tags.min(), tags.max())) if len(tags) else (0, 0)
    if start is None:
        start = gate[0] if gate else low // whole * whole
    if stop is None:
        stop = gate[1] if gate else (high // whole + 1) * whole
    if not start < stop:
        raise ParameterError(f"{path}: the gate must be start < stop in ticks, got {start} ... {stop}")
    pulses = _number(scalars, "pulses_per_pixel", path)
    if pulses is not None and pulses != round(pulses):
        raise DataError(f"{path}: pulses_per_pixel must be a whole number, got {pulses!r}")
    held = TimeTags.from_pixels(
        pixels=torch.repeat_interleave(torch.arange(len(counts)), counts),
        tags=tags,
        tick=float(tick),
        shape=(cells.shape[0], cells.shape[1]),
        start=start,
        stop=stop,
        pulses=None if pulses is None else round(pulses),
    )
    fwhm = _number(scalars, "fwhm_s", path)
    if fwhm is None and layout is not None and stated is None:
        fwhm = layout.fwhm * tick / layout.tick if name == "photon_times" else layout.fwhm
    return held, _Facts(
        name, source, fwhm, _number(scalars, "decay_s", path), _number(scalars, "pitch_rad", path)
    )


def _cells_in(path: Path, strict: bool = False) -> list[str]:
    """Return the names of cell arrays with two axes; unless ``strict`` none if the file is not MATLAB."""
    try:
        if is_hdf5(path):
            with open_hdf5(path) as held:
                named = [n for n in held if isinstance(n, str)]
                own = [n for n in named if isinstance(held.get(n, getlink=True), h5py.HardLink)]
                return [n for n in own if _is_cell_73(held[n])]
        found = matlab_variables(path, whole=strict)
        return [n for n, (kind, shape) in found.items() if kind == "cell" and len(shape) == 2 and all(shape)]
    except DataError:
        if strict:
            raise
        return []


def _load(path: Path, name: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the cells (y, x), objects, and the variables that describe them."""
    if is_hdf5(path):
        return _load_73(path, name)
    from scipy.io import loadmat

    with damage(path, "a MATLAB file", "scipy"):
        found = loadmat(str(path), variable_names=[name, *_SCALARS])
    return found[name], {n: found[n] for n in _SCALARS if n in found}


def _is_cell_73(held: Any) -> bool:
    """Return whether this is a cell array with two axes of MATLAB 7.3: references to its cells."""
    array = isinstance(held, h5py.Dataset) and held.ndim == 2 and held.size > 0
    return array and h5py.check_ref_dtype(held.dtype) is h5py.Reference


def _load_73(path: Path, name: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Load from MATLAB 7.3, where cells are references to datasets and arrays are transposed."""
    budget = 2**28 + 100 * path.stat().st_size  # cells may all refer to one dataset
    with open_hdf5(path) as file:
        held = own_dataset(file, name)
        if held is None or not _is_cell_73(held):
            raise DataError(f"{path}: the cell array {name} is not there")
        cells = np.empty(held.shape, dtype=object)
        for index, reference in np.ndenumerate(own_values(held)):
            data = own_dataset(file, reference) if reference else None
            if reference and data is None:
                raise DataError(f"{path}: a cell of {name} is not an array")
            if data is None or data.attrs.get("MATLAB_empty", 0):
                cells[index] = np.empty(0, np.int64)
                continue
            budget -= data.nbytes
            if budget < 0:
                raise DataError(f"{path}: the cells of {name} declare more than the file holds")
            cells[index] = own_values(data).reshape(-1)
        small = {n: own_dataset(file, n) for n in _SCALARS}
        return cells.T, {n: own_values(d).T for n, d in small.items() if d is not None and d.size <= 2}


def _flat(cells: np.ndarray, name: str, path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the number of photons in each cell, and all of their times as whole ticks."""
    if not isinstance(cells, np.ndarray) or cells.dtype != object or cells.ndim != 2:
        raise DataError(f"{path}: {name} must be a cell array with two axes")
    parts: list[np.ndarray] = []
    for (row, column), cell in np.ndenumerate(cells):
        part = np.asarray(cell)
        if part.dtype.kind not in "iuf" or sum(n > 1 for n in part.shape) > 1:
            raise DataError(
                f"{path}: cell ({row + 1}, {column + 1}) of {name} must be a list of photon times, "
                f"got {part.dtype} {part.shape}"
            )
        parts.append(part.reshape(-1))
    counts = torch.tensor([len(p) for p in parts])
    whole = [p.astype(np.int64) if p.dtype.kind != "f" and p.dtype != np.uint64 else p for p in parts]
    joined = np.concatenate(whole)
    if joined.dtype.kind == "f" or joined.dtype == np.uint64:
        with np.errstate(invalid="ignore"):
            good = np.isfinite(joined) & (np.abs(joined) < 2**53) & (joined == np.rint(joined))
        if not good.all():
            raise DataError(
                f"{path}: photon times in {name} must be whole ticks; divide times in seconds by the tick, "
                "and give tick="
            )
    return counts, torch.from_numpy(joined.astype(np.int64))


def _number(scalars: dict[str, Any], key: str, path: Path) -> float | None:
    if key not in scalars:
        return None
    value = np.asarray(scalars[key])
    if value.size != 1 or value.dtype.kind not in "iuf" or not 0 < float(value.reshape(-1)[0]) < math.inf:
        raise DataError(f"{path}: {key} must be one positive number, got {value.dtype} {value.shape}")
    return float(value.reshape(-1)[0])


def _gate(scalars: dict[str, Any], path: Path) -> tuple[int, int] | None:
    if "gate_ticks" not in scalars:
        return None
    value = np.asarray(scalars["gate_ticks"]).reshape(-1)
    good = value.size == 2 and value.dtype.kind in "iuf" and bool((np.abs(value.astype(float)) < 2**53).all())
    if not good or not value[0] < value[1] or (value != np.rint(value)).any():
        raise DataError(f"{path}: gate_ticks must be [start, stop] in whole ticks, got {value[:4]}")
    return int(value[0]), int(value[1])
