"""Sinograms in MATLAB files: the Helsinki Tomography Challenge 2022, and sinogram with angles."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import Acquisition, NearMiss, Reader, damage, matlab_variables

from .._geometry.grid import Grid
from .._geometry.scans import fan
from .acquire import acquire, column_of, fbp_reference, naming, parallel_scan
from .angles import in_radians
from .options import ParallelOptions, ScanOptions

_STRUCTS = ("CtDataLimited", "CtDataFull", "CtData")
_SINOGRAMS = ("sinogram", "sinoRD", "sino", "Sinogram")
_ANGLES = {"anglesRad": "rad", "angles_rad": "rad", "anglesDeg": "deg", "angles_deg": "deg"}
_UNITS = {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "um": 1e-6}


class HTCReader(Reader):
    """Fan-beam sinograms of the Helsinki Tomography Challenge 2022, and of the group's other open scans.

    The MATLAB struct ``CtDataFull`` or ``CtDataLimited`` holds line integrals (view, column) and the
    scanner's geometry: distances, detector pixel after binning, angles. All lengths become meters.

    References
    ----------
    A. Meaney, F. Silva de Moura, S. Siltanen, "Helsinki Tomography Challenge 2022: open tomographic dataset",
    Zenodo (2022).

    Examples
    --------
    >>> HTCReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(ScanOptions):
        """Options of the challenge's scans: those of `ScanOptions`.

        Parameters
        ----------
        size : int, optional
            Pixels of the image on a side, which covers the field of view; 512 by default, as in the
            challenge.
        """

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` is a MATLAB file with the challenge's struct."""
        return any(name in _STRUCTS for name in _names(Path(path)))

    def _read(self, path: Path, options: Options) -> Acquisition:
        variables = _load(path)
        name = next((n for n in _STRUCTS if n in variables), None)
        if name is None:
            raise DataError(f"{path} has no struct {' or '.join(_STRUCTS)}; it holds {sorted(variables)}")
        scan = variables[name]
        given = _field(scan, "parameters", path)
        sinogram = _matrix(_field(scan, "sinogram", path), path)
        unit = str(getattr(given, "distanceUnit", "mm"))
        if unit not in _UNITS:
            raise DataError(f"{path}: the distance unit is {unit!r}, expected one of {sorted(_UNITS)}")
        source = _number(given, "distanceSourceOrigin", path) * _UNITS[unit]
        far = _number(given, "distanceSourceDetector", path) * _UNITS[unit]
        pitch = _number(given, "pixelSizePost", path) * _UNITS[unit]
        notes: list[str] = []
        table = np.asarray(_field(given, "angles", path), dtype=np.float64)
        angles = in_radians(table, where=str(path), units=options.units, notes=notes)
        if len(angles) != len(sinogram):
            raise DataError(f"{path}: {len(sinogram)} views and {len(angles)} angles")
        if not 0 < source < far or not pitch > 0:
            raise DataError(
                f"{path}: distances {source} m to the axis and {far} m to the detector, "
                f"pixel {pitch} m: impossible"
            )
        columns, n = sinogram.shape[1], options.size or 512
        center, how = column_of(options, columns)
        field_of_view = columns * pitch * source / far
        geometry = fan(
            angles[:: options.every],
            source_distance=source,
            detector_distance=far - source,
            columns=columns,
            pitch=pitch,
            center_of_rotation=center,
            grid=Grid(shape=(n, n), spacing=field_of_view / n),
        )
        facts: dict[str, Any] = {
            "format": "tomography.htc",
            "source": path.name,
            "source_to_axis_m": source,
            "source_to_detector_m": far,
            "detector_pixel_m": pitch,
            "center_of_rotation_column": center,
            "center_from": how,
            "angles_deg": [float(torch.rad2deg(angles[0])), float(torch.rad2deg(angles[-1]))],
            "voxel_m": field_of_view / n,
            "notes": notes,
            "units": {"x": "1/m", "y": "1"},
        }
        for key in (
            "projectName",
            "scanner",
            "detector",
            "date",
            "voltage",
            "voltageUnit",
            "current",
            "currentUnit",
            "xRayFilter",
        ):
            if isinstance(getattr(given, key, None), str):
                facts[key] = getattr(given, key)
        with naming(path):
            return acquire(
                sinogram[:: options.every].unsqueeze(0),
                geometry,
                sigma=options.sigma,
                photons=options.photons,
                metadata=facts,
            )


class MatReader(Reader):
    """Parallel-beam sinograms with their angles in MATLAB files.

    The sinogram is a matrix ``sinoRD``, ``sinogram`` or ``sino``, the angles ``anglesRad`` or ``anglesDeg``.
    The matrix has the views on the axis that is as long as the angles, the first if both are. The values are
    line integrals, in units of their own; what the outermost columns have on average is a background and is
    subtracted (``background``). The axis of rotation is the middle of the detector unless searched.

    Examples
    --------
    >>> MatReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(ParallelOptions):
        """Options of sinograms in MATLAB files, in addition to those of `ParallelOptions`.

        Parameters
        ----------
        background : float or "edges"
            Subtracted from the line integrals; ``"edges"``: the mean of the outermost twentieth of the
            columns on both sides.
        """

        background: float | str = "edges"

        def __post_init__(self) -> None:
            super().__post_init__()
            number = isinstance(self.background, int | float) and not isinstance(self.background, bool)
            if self.background != "edges" and not number:
                raise ParameterError(f"background= is a number or 'edges', got {self.background!r}")

    def sniff(self, path: str | Path) -> bool | NearMiss:
        """Return whether ``path`` is a MATLAB file with a sinogram and angles."""
        names = set(_names(Path(path)))
        if names & set(_SINOGRAMS) and names & set(_ANGLES):
            return True
        if not names & {*_SINOGRAMS, *_ANGLES}:
            return False
        lacks = "angles" if names & set(_SINOGRAMS) else "a sinogram"
        known = ", ".join(_ANGLES if lacks == "angles" else _SINOGRAMS)
        return NearMiss(f"it lacks {lacks}, a variable called {known}; it holds {', '.join(sorted(names))}.")

    def _read(self, path: Path, options: Options) -> Acquisition:
        variables = _load(path)
        name = next((n for n in _SINOGRAMS if n in variables), None)
        angle_name = next((n for n in _ANGLES if n in variables), None)
        if name is None or angle_name is None:
            raise DataError(
                f"{path} must hold one of {_SINOGRAMS} and one of {tuple(_ANGLES)}; "
                f"it holds {sorted(variables)}"
            )
        table = np.asarray(variables[angle_name], dtype=np.float64)
        notes: list[str] = []
        where, stated = f"{path}, {angle_name}", _ANGLES[angle_name]
        angles = in_radians(table, where=where, stated=stated, units=options.units, notes=notes)
        sinogram = _matrix(variables[name], path)
        if sinogram.shape[0] != len(angles):
            sinogram = sinogram.T
        if sinogram.shape[0] != len(angles):
            raise DataError(f"{path}: {name} is {tuple(sinogram.shape)} and there are {len(angles)} angles")
        background = options.background
        if not isinstance(background, int | float):
            edge = max(1, sinogram.shape[1] // 20)
            background = float(torch.cat([sinogram[:, :edge], sinogram[:, -edge:]], 1).mean())
        facts = {
            "format": "tomography.mat",
            "source": path.name,
            "background": float(background),
            "notes": notes,
        }
        with naming(path):
            return parallel_scan(
                (sinogram - background).unsqueeze(1), angles, options=options, metadata=facts
            )

    def _reference(self, path: Path, options: Options) -> Tensor:
        return fbp_reference(self._read(path, replace(options, every=1)))


def _names(path: Path) -> list[str]:
    """The variables of a MATLAB 5 file; empty if it is not one."""
    try:
        return list(matlab_variables(path, whole=False))
    except DataError:
        return []


def _load(path: Path) -> dict[str, Any]:
    """All variables of a MATLAB 5 file."""
    from scipy.io import loadmat

    names = list(matlab_variables(path))
    if not names:
        raise DataError(f"{path} holds no variables: it is empty or truncated")
    with damage(path, "a MATLAB file", "scipy"):
        found = loadmat(str(path), squeeze_me=True, struct_as_record=False, variable_names=names)
    return {name: value for name, value in found.items() if not name.startswith("__")}


def _field(struct: Any, name: str, path: Path) -> Any:
    if not hasattr(struct, name):
        have = getattr(struct, "_fieldnames", [])
        raise DataError(f"{path}: the struct has no field {name!r} (it has {list(have)})")
    return getattr(struct, name)


def _number(struct: Any, name: str, path: Path) -> float:
    value = _field(struct, name, path)
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {name} must be a number, got {value!r}") from error
    if not math.isfinite(number):
        raise DataError(f"{path}: {name} is {number}")
    return number


def _matrix(value: Any, path: Path) -> Tensor:
    array = np.asarray(value)
    if array.ndim != 2 or array.dtype.kind not in "fiu" or 0 in array.shape:
        raise DataError(f"{path}: the sinogram must be a matrix of numbers, got {array.dtype} {array.shape}")
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
