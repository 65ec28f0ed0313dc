"""Writing HDF5: in memory first, because on a disk that is full HDF5 fails in ways that cannot be caught."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import h5py

from .._errors import DataError
from .atomic import atomic_path
from .hdf5 import digest_block


def write_hdf5(
    path: str | os.PathLike[str],
    fill: Callable[[h5py.File], object],
    *,
    userblock: bytes = b"",
    digest: bool = False,
) -> None:
    """Write an HDF5 file that appears whole or not at all, whatever becomes of the disk.

    On a disk that is full, HDF5 raises exceptions of several kinds, some only when the file is closed, and
    may crash when the process ends. The file is therefore made in memory, of which it takes its own size.

    Parameters
    ----------
    path : path
    fill : callable
        Is given the open file and writes into it.
    userblock : bytes
        Bytes in front of the file, such as the header of MATLAB 7.3; 512 times a power of two, or none.
    digest : bool
        Put the SHA-256 of the file in front of it, in 512 bytes, for ``open_hdf5(path, digest=True)``.

    Raises
    ------
    DataError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.h5")
    ...     write_hdf5(path, lambda file: file.create_dataset("x", data=[1.0, 2.0]))
    ...     with h5py.File(path) as file: list(file)
    ['x']
    """
    whole, userblock = io.BytesIO(), bytes(512) if digest else userblock
    with h5py.File(whole, "w", userblock_size=len(userblock)) as file:
        fill(file)
    held = whole.getbuffer()
    held[: len(userblock)] = digest_block(held[512:]) if digest else userblock
    try:
        with atomic_path(path) as partial:
            partial.write_bytes(held)
    except OSError as error:
        raise DataError(f"{os.fspath(path)} could not be written: {error.strerror or error}") from error
