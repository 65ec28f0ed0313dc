"""Reading Measurement Sets (CASA) through python-casacore."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from invcore import DataError, MissingDependencyError
from invcore.io import Acquisition, NearMiss, Reader, is_regular_file

from .._data.joining import joined
from .._data.visibilities import Visibilities
from .acquire import ImageOptions, acquire
from .casacore_tables import read_tables


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
        Number of the spectral window; by default all are joined, each at its own frequencies.

    Returns
    -------
    Visibilities

    Raises
    ------
    DataError
        If the set is damaged or incomplete, or holds several fields and none is chosen, or windows of other
        correlations, or of the same frequencies at the same times (averages of channels).
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
    return _load(path, column, field, spectral_window)[0]


def _load(
    path: str | os.PathLike[str], column: str, field: int | str | None, window: int | None
) -> tuple[Visibilities, tuple[str, ...]]:
    """Return the visibilities, and a note if windows were joined."""
    if importlib.util.find_spec("casacore") is None:
        raise MissingDependencyError(
            'reading a Measurement Set needs python-casacore: pip install "invcore-radio[io]"'
        )
    path = Path(path)
    if not is_measurement_set(path):
        raise DataError(f"{path} is not a Measurement Set: a folder with table.info and table.dat")
    found = read_tables(path, column, field, window)
    if "windows" not in found:
        return _visibilities(found), ()
    windows = found["windows"]
    bands = {one: _visibilities(read_tables(path, column, field, one)) for one in windows}
    note = f"the spectral windows {', '.join(map(str, windows))} are joined; spectral_window= chooses one"
    return joined(bands, f"{path}: spectral window", "spectral_window"), (note,)


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
            Number of the spectral window; by default all are joined, each at its own frequencies.
        """

        column: str = "DATA"
        field: int | str | None = None
        spectral_window: int | None = None

    def sniff(self, path: str | Path) -> bool | NearMiss:
        """Return whether ``path`` is a folder that declares itself a Measurement Set."""
        if is_measurement_set(path):
            return True
        if not is_regular_file(Path(path) / "table.dat"):
            return False
        return NearMiss("a CASA table, but not a Measurement Set: give the folder that has ANTENNA in it.")

    def _read(self, path: Path, options: Options) -> Acquisition:
        vis, notes = _load(path, options.column, options.field, options.spectral_window)
        return acquire(vis, path, "radio.ms", options, notes=notes)


def is_measurement_set(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a folder that declares itself a Measurement Set."""
    path = Path(path)
    try:
        if not (path.is_dir() and all(is_regular_file(path / f"table.{end}") for end in ("dat", "info"))):
            return False
        with open(path / "table.info", "rb") as file:
            head = file.read(200)
    except OSError:
        return False
    return head.replace(b" ", b"").startswith(b"Type=MeasurementSet")


def _visibilities(found: dict[str, Any]) -> Visibilities:
    names = found["names"]
    if len(set(names)) != len(names):
        names = [f"{n}:{k}" for k, n in enumerate(names)]
    data = torch.from_numpy(found["data"])
    heights = torch.from_numpy(found["weight"]).to(data.real.dtype)
    whole = torch.view_as_real(data).isfinite().all(-1) & heights.isfinite() & (heights > 0)
    return Visibilities(
        data=torch.where(whole, data, 0),
        weight=torch.where(whole, heights, 0),
        flag=torch.from_numpy(found["flag"]) | ~whole,
        uvw=torch.from_numpy(found["uvw"]),
        frequencies=torch.from_numpy(found["frequencies"]),
        channel_width=torch.from_numpy(found["width"]),
        time=torch.from_numpy(found["time"]),
        interval=torch.from_numpy(found["interval"]),
        antenna1=torch.from_numpy(found["antenna1"]),
        antenna2=torch.from_numpy(found["antenna2"]),
        antenna_names=tuple(names),
        antenna_positions=torch.from_numpy(found["positions"]),
        polarizations=tuple(found["polarizations"]),
        phase_center=tuple(found["center"]),
        source=found["source"],
        telescope=found["telescope"],
    )
