"""Arrays in MATLAB files of any version: names, shapes, values, in MATLAB's order of axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from invcore import DataError
from invcore.io import (
    damage,
    is_hdf5,
    matlab_variables,
    open_hdf5,
    own_dataset,
    own_values,
    regular_file,
    room_for,
)

from .records import complex_values, record_parts

_NUMBERS = ("double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


def variables(path: Path, *, whole: bool = True) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of numbers in a file, by name.

    Parameters
    ----------
    path : path
    whole : bool
        False looks at the heads only and gives nothing of a file that is no MATLAB file, for ``sniff``.
    """
    try:
        if not whole and not (begins_as_matlab(path) or path.suffix.lower() == ".mat"):
            return {}
        if is_hdf5(path):
            with open_hdf5(path) as file:
                return {name: tuple(node.shape[::-1]) for name, node in _arrays(file)}
        held = matlab_variables(path, whole=whole)
    except DataError:
        if whole:
            raise
        return {}
    return {name: variable.shape for name, variable in held.items() if variable.kind in _NUMBERS}


def begins_as_matlab(path: Path) -> bool:
    """Return whether MATLAB wrote the first bytes of a file; never raises."""
    try:
        with regular_file(path).open("rb") as file:
            return file.read(6) == b"MATLAB"
    except (DataError, OSError):
        return False


def load(path: Path, name: str) -> np.ndarray[Any, Any]:
    """Values of an array that is there."""
    if is_hdf5(path):
        with open_hdf5(path) as file:
            held = own_dataset(file, name)
            if held is None:
                raise DataError(f"{path} holds no array {name}")
            values = own_values(held)
            return (complex_values(values, pairs=False) if values.dtype.kind == "V" else values).T
    from scipy.io import loadmat

    shape = matlab_variables(path)[name].shape
    room_for(32 * int(np.prod(shape, dtype=np.float64)), f"{path}: {name}")
    with damage(path, "a MATLAB file", "scipy"):
        return np.asarray(loadmat(str(path), variable_names=[name])[name])


def _arrays(file: h5py.File) -> list[tuple[str, h5py.Dataset]]:
    found = []
    for name in map(str, file):
        link = file.get(name, getlink=True)
        node = file.get(name) if isinstance(link, h5py.HardLink) else None
        if not isinstance(node, h5py.Dataset) or not node.shape:
            continue
        if node.dtype.kind in "fiuc" or record_parts(node.dtype) is not None:
            found.append((name, node))
    return found
