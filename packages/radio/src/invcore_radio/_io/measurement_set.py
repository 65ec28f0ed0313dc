"""Reading Measurement Sets (CASA) through python-casacore."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from invcore import DataError, MissingDependencyError, ParameterError
from invcore.io import Acquisition, Reader

from .._data.visibilities import Visibilities
from .acquire import ImageOptions, acquire
from .fits_checks import damage_named

_CORRELATIONS = {1: "I", 2: "Q", 3: "U", 4: "V", 5: "RR", 6: "RL", 7: "LR", 8: "LL"}
_CORRELATIONS |= {9: "XX", 10: "XY", 11: "YX", 12: "YY"}


def read_measurement_set(
    path: str | os.PathLike[str],
    *,
    column: str = "DATA",
    field: int | str | None = None,
    spectral_window: int | None = None,
) -> Visibilities:
    """Read the visibilities of a Measurement Set.

    In a Measurement Set V = Σ x exp(+2πi (u l + v m + w (n - 1))) with (u, v, w) from antenna 1 to antenna 2.
    The baselines are negated here to run from antenna 2 to antenna 1, see `Visibilities`. Weights are 1/σ².
    Autocorrelations are ignored.

    Parameters
    ----------
    path : path
        The folder.
    column : str
        Column of the main table: ``"DATA"``, ``"CORRECTED_DATA"`` or ``"MODEL_DATA"``.
    field : int or str, optional
        Number or name of the field, required if the set holds several.
    spectral_window : int, optional
        Number of the spectral window, required if the set holds several.

    Returns
    -------
    Visibilities

    Raises
    ------
    DataError
        If the set is damaged or incomplete, or holds several fields or windows and none is chosen.
    MissingDependencyError
        If python-casacore is not installed.

    References
    ----------
    A. J. Kemball, M. H. Wieringa (eds.), "MeasurementSet definition version 2.0", AIPS++ Note 229 (2000).

    Examples
    --------
    >>> is_measurement_set("no-such.ms")
    False
    """
    try:
        from casacore.tables import table
    except ImportError as error:
        raise MissingDependencyError(
            'reading a Measurement Set needs python-casacore: pip install "invcore-radio[io]"'
        ) from error
    path = Path(path)
    if not is_measurement_set(path):
        raise DataError(f"{path} is not a Measurement Set: a folder with table.info and table.dat")
    with damage_named(path, "a Measurement Set (its files table.dat, table.f0, ...)"):
        return _load(path, table, column, field, spectral_window)


class MeasurementSetReader(Reader):
    """Reader of Measurement Sets (CASA), through python-casacore.

    `read_measurement_set` returns the `Visibilities` themselves.

    Examples
    --------
    >>> MeasurementSetReader().sniff("no such folder")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(ImageOptions):
        """Options of visibilities (`ImageOptions`) and those of this format.

        Parameters
        ----------
        column : str
            Column of the main table: ``"DATA"``, ``"CORRECTED_DATA"`` or ``"MODEL_DATA"``.
        field : int or str, optional
            Number or name of the field, required if the set holds several.
        spectral_window : int, optional
            Number of the spectral window, required if the set holds several.
        """

        column: str = "DATA"
        field: int | str | None = None
        spectral_window: int | None = None

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` is a folder that declares itself a Measurement Set."""
        return is_measurement_set(path)

    def _read(self, path: Path, options: Options) -> Acquisition:
        vis = read_measurement_set(
            path, column=options.column, field=options.field, spectral_window=options.spectral_window
        )
        return acquire(vis, path, "radio.ms", options)


def is_measurement_set(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a folder that declares itself a Measurement Set."""
    path = Path(path)
    try:
        if not (path.is_dir() and (path / "table.dat").is_file()):
            return False
        with open(path / "table.info", "rb") as file:
            head = file.read(200)
    except OSError:
        return False
    return head.replace(b" ", b"").startswith(b"Type=MeasurementSet")


def _load(path: Path, table: Any, column: str, field: int | str | None, window: int | None) -> Visibilities:
    def opened(name: str = "") -> Any:
        place = path / name if name else path
        if not place.is_dir():
            raise DataError(f"{path} has no table {name}")
        found = table(str(place), readonly=True, ack=False, lockoptions={"option": "usernoread"})
        if found.nrows() == 0 and name != "OBSERVATION":
            raise DataError(f"{place}: the table has no rows")
        return found

    with opened() as main:
        if column not in main.colnames():
            raise ParameterError(f"{path} has no column {column!r}; it has {', '.join(main.colnames())}")
        first, second = (main.getcol(f"ANTENNA{k}").astype(np.int64) for k in (1, 2))
        rows = first != second
        fields = main.getcol("FIELD_ID")
        number, center, name = _field(path, opened, sorted(set(fields[rows].tolist())), field)
        rows &= fields == number
        descriptions = main.getcol("DATA_DESC_ID")
        used = sorted(set(descriptions[rows].tolist()))
        chosen, frequencies, width, polarizations = _window(path, opened, used, window)
        rows &= descriptions == chosen
        index = np.flatnonzero(rows)
        if not len(index):
            raise DataError(f"{path} holds no visibility between two antennas")
        part = main.selectrows(index)
        cube = part.getcol(column)
        shape = (len(index), len(frequencies), len(polarizations))
        if cube.shape != shape:
            raise DataError(f"{path}: {column} is {cube.shape}; expected {shape} (row, channel, correlation)")
        flag = part.getcol("FLAG") | part.getcol("FLAG_ROW")[:, None, None]
        weight = _weights(part, shape)
        uvw = -part.getcol("UVW").astype(np.float64)
        time, interval = (part.getcol(n).astype(np.float64) for n in ("TIME", "INTERVAL"))
    with opened("ANTENNA") as antennas:
        names = [str(n).strip() for n in antennas.getcol("NAME")]
        positions = antennas.getcol("POSITION").astype(np.float64)
    if len(set(names)) != len(names):
        names = [f"{n}:{k}" for k, n in enumerate(names)]
    with opened("OBSERVATION") as observation:
        telescopes = observation.getcol("TELESCOPE_NAME") if observation.nrows() else [""]
    data = torch.from_numpy(np.ascontiguousarray(cube))
    data = data if data.dtype == torch.complex128 else data.to(torch.complex64)
    heights = torch.from_numpy(np.ascontiguousarray(weight)).to(data.real.dtype)
    whole = torch.view_as_real(data).isfinite().all(-1) & heights.isfinite() & (heights > 0)
    return Visibilities(
        data=torch.where(whole, data, 0),
        weight=torch.where(whole, heights, 0),
        flag=torch.from_numpy(np.ascontiguousarray(flag)) | ~whole,
        uvw=torch.from_numpy(uvw),
        frequencies=torch.from_numpy(frequencies),
        channel_width=torch.from_numpy(width),
        time=torch.from_numpy(time),
        interval=torch.from_numpy(interval),
        antenna1=torch.from_numpy(first[index]),
        antenna2=torch.from_numpy(second[index]),
        antenna_names=tuple(names),
        antenna_positions=torch.from_numpy(positions),
        polarizations=polarizations,
        phase_center=center,
        source=name,
        telescope=str(telescopes[0]),
    )


def _weights(part: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """Return 1/σ² of every datum, from WEIGHT_SPECTRUM if there is one, else from WEIGHT."""
    if "WEIGHT_SPECTRUM" in part.colnames() and part.iscelldefined("WEIGHT_SPECTRUM", 0):
        spectrum = part.getcol("WEIGHT_SPECTRUM")
        if spectrum.shape == shape and spectrum.any():
            return np.asarray(spectrum)
    return np.broadcast_to(part.getcol("WEIGHT")[:, None], shape)


def _field(
    path: Path, opened: Any, used: list[int], field: int | str | None
) -> tuple[int, tuple[float, float], str]:
    with opened("FIELD") as fields:
        names = [str(n).strip() for n in fields.getcol("NAME")]
        listed = ", ".join(f"{k} ({names[k]})" for k in used if 0 <= k < len(names))
        known = [k for k in used if field in (None, k, names[k] if 0 <= k < len(names) else None)]
        if not known:
            raise ParameterError(f"{path} has no field {field!r}; it has {listed}")
        if len(known) > 1:
            raise DataError(f"{path} has the fields {listed}: choose one with field=")
        number = known[0]
        direction = np.asarray(fields.getcell("PHASE_DIR", number), dtype=np.float64).reshape(-1, 2)[0]
        measure = fields.getcolkeywords("PHASE_DIR").get("MEASINFO", {})
    frame = str(measure.get("Ref", "J2000"))
    if "VarRefCol" not in measure and frame not in ("J2000", "ICRS"):
        raise DataError(f"{path}: directions are in {frame}; J2000 or ICRS are expected")
    if not np.isfinite(direction).all():
        raise DataError(f"{path}: the phase center of field {number} is not finite")
    return number, (float(direction[0]) % (2 * math.pi), float(direction[1])), names[number]


def _window(
    path: Path, opened: Any, used: list[int], window: int | None
) -> tuple[int, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return the data description to read, its frequencies, widths and correlations."""
    with opened("DATA_DESCRIPTION") as descriptions:
        windows = descriptions.getcol("SPECTRAL_WINDOW_ID")
        kinds = descriptions.getcol("POLARIZATION_ID")
    found = [k for k in used if 0 <= k < len(windows) and window in (None, int(windows[k]))]
    listed = ", ".join(str(int(windows[k])) for k in used if 0 <= k < len(windows))
    if not found:
        raise ParameterError(f"{path} has no spectral window {window!r}; it has {listed}")
    if len(found) > 1:
        raise DataError(f"{path} has the spectral windows {listed}: choose one with spectral_window=")
    with opened("SPECTRAL_WINDOW") as table:
        frequencies, width = (
            np.asarray(table.getcell(name, int(windows[found[0]])), dtype=np.float64)
            for name in ("CHAN_FREQ", "CHAN_WIDTH")
        )
    with opened("POLARIZATION") as table:
        codes = [int(c) for c in np.atleast_1d(table.getcell("CORR_TYPE", int(kinds[found[0]])))]
    if any(c not in _CORRELATIONS for c in codes):
        raise DataError(f"{path}: correlations have the codes {codes}; known are {sorted(_CORRELATIONS)}")
    return found[0], frequencies, np.abs(width), tuple(_CORRELATIONS[c] for c in codes)
