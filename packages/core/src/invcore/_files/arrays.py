"""Reading NumPy files, which are never unpickled and hold what their header declares."""

from __future__ import annotations

import math
import os

import numpy as np
from numpy.lib import format as npy

from .._errors import DataError
from .memory import room_for
from .regular import regular_file


def load_npy(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an array of numbers from a ``.npy`` file.

    Parameters
    ----------
    path : path

    Returns
    -------
    ndarray
        Of real or complex numbers, integers or truth values, in the byte order of this machine.

    Raises
    ------
    DataError
        If it is another kind of file, holds no numbers, or fewer than its header declares.

    Examples
    --------
    >>> load_npy("/dev/null")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: /dev/null is a device, not a file
    """
    path = regular_file(path)
    with path.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":
            raise DataError(f"{path} is an archive of arrays (.npz): save one of them with numpy.save")
        file.seek(0)
        try:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read(file)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
            raise DataError(f"{path} is not a NumPy array (.npy): {error}") from error
        if dtype.kind not in "fciub":
            raise DataError(f"{path} holds {dtype}, not numbers")
        declared, held = math.prod(shape) * dtype.itemsize, path.stat().st_size - file.tell()
        if min(shape, default=0) < 0 or declared > held:
            raise DataError(
                f"{path} declares {shape} ({declared} bytes), but holds {held} bytes: it is incomplete"
            )
        room_for(2 * declared, str(path))
        array = np.fromfile(file, dtype=dtype, count=math.prod(shape))
    array = array.reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)
