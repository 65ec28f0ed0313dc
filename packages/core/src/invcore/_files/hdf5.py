"""Reading HDF5 from somebody else: only what lies in the file itself, and no more than the file holds."""

from __future__ import annotations

import hashlib
import io
import math
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .._errors import DataError, InvcoreError
from .hdf5_heaps import check_heaps
from .memory import room_for
from .regular import regular_file

_PLAIN = 2**28
"""Bytes of one array that any file may declare, however well it is compressed."""

_EXPANDS = 100
"""Larger arrays are at most so many times the bytes that the file holds of them."""

_TEXT = 4 * 2**20
_LINKS = 16


@contextmanager
def open_hdf5(path: str | os.PathLike[str], *, digest: bool = False) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; what the library raises on damage becomes a `DataError` with its name.

    Parameters
    ----------
    path : path
    digest : bool
        Refuse what ``write_hdf5(..., digest=True)`` did not write, or of which a bit has changed since.

    Yields
    ------
    h5py.File
        Take arrays from it by `own_dataset` and texts by `own_text`.

    Raises
    ------
    DataError
        If it is no regular file, no HDF5, locked, or damaged where it is read. Other errors in the block stay
        what they are.

    Examples
    --------
    >>> with open_hdf5("no-such-file.h5"): pass
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: no file no-such-file.h5
    """
    path = regular_file(path)
    if not h5py.is_hdf5(path):
        what = "empty" if path.stat().st_size == 0 else "not an HDF5 file, or its beginning is damaged"
        raise DataError(f"{path} is {what}")
    check_heaps(path)
    try:
        with h5py.File(_verified(path) if digest else path, "r") as file:
            yield file
    except InvcoreError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        if not any("h5py" in Path(frame.filename).parts for frame in frames):
            raise
        locked = "unable to lock" in str(error)
        what = "being written by another program" if locked else "damaged or truncated"
        raise DataError(f"{path} cannot be read as HDF5, it is {what}: {error}") from error


def digest_block(body: bytes | memoryview) -> bytes:
    """Return the 512 bytes that stand in front of an HDF5 file and tell what is in it."""
    return f"invcore sha256 {hashlib.sha256(body).hexdigest()}\n".encode().ljust(512, b"\0")


def _verified(path: Path) -> io.BytesIO:
    """Read a file with its digest into memory, where it stays what it was when its digest was right."""
    room_for(path.stat().st_size, str(path))
    whole = path.read_bytes()
    if not whole.startswith(b"invcore sha256 "):
        raise DataError(f"{path} has no digest of its content")
    if whole[:512] != digest_block(memoryview(whole)[512:]):
        raise DataError(f"{path} is damaged: its content is not what was written")
    return io.BytesIO(whole)


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Return whether this is a regular file that begins as HDF5 does; never raises."""
    try:
        return bool(h5py.is_hdf5(regular_file(path)))
    except DataError:
        return False


def own_dataset(
    group: h5py.Group, name: str | h5py.Reference, *, external: bool = False, max_bytes: int | None = None
) -> h5py.Dataset | None:
    """Return a dataset whose values are in the file itself, all that it declares; None if there is none.

    Soft links and virtual datasets within the file are followed. A file from somebody else may also name
    other files, whose values would be read from the disk of whoever opens it, and it may declare sizes that
    are not there, or expand a thousandfold. Such datasets are refused before anything is allocated.

    Parameters
    ----------
    group : h5py.Group
        The file of `open_hdf5`, or a group in it.
    name : str or h5py.Reference
        Path below the group, or an object reference stored in the file.
    external : bool
        Also follow links and virtual sources to files in the same folder.
    max_bytes : int, optional
        Refuse a larger one.

    Returns
    -------
    h5py.Dataset or None
        None if nothing, or no array, has this name. `own_values` reads it where there is memory for it.

    Raises
    ------
    DataError
        If it links elsewhere or to nothing, declares more than the file holds, expands to more than 256 MiB
        and 100 times the bytes held, or exceeds ``max_bytes``.

    Examples
    --------
    >>> import io
    >>> file = h5py.File(io.BytesIO(), "w")
    >>> file["raw/data"], file["data"] = [1.0, 2.0], h5py.SoftLink("/raw/data")
    >>> own_dataset(file, "data").name
    '/raw/data'
    >>> file["other"] = h5py.ExternalLink("private.h5", "/x")
    >>> own_dataset(file, "other")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: ...'other' is a link to '/x' in the file 'private.h5', which is not followed...
    """
    node = own_node(group, name, external=external)
    if not isinstance(node, h5py.Dataset) or node.shape is None:
        return None
    if _overlaps(node.dtype):
        raise DataError(f"{_name(node)} holds records whose fields overlap, {node.dtype}: it is damaged")
    _held(node, external, {})
    if max_bytes is not None and _declared(node) > max_bytes:
        raise DataError(f"{_name(node)} has {_declared(node)} bytes; up to {max_bytes} are read")
    return node


def own_node(
    group: h5py.Group, name: str | h5py.Reference, *, external: bool = False
) -> h5py.Group | h5py.Dataset | None:
    """Return the group or dataset of this name, by links within the file; None if there is none.

    The arguments are those of `own_dataset`, which takes the values of a dataset, too, from the file only.
    """
    return _followed(group, name, external, _LINKS)


def own_values(data: h5py.Dataset, index: Any = ()) -> np.ndarray:
    """Read values of a dataset of `own_dataset`, if there is memory for them.

    Parameters
    ----------
    data : h5py.Dataset
    index : index
        The part to read, of integers and slices; everything by default.

    Raises
    ------
    DataError

    Examples
    --------
    >>> import io
    >>> file = h5py.File(io.BytesIO(), "w")
    >>> file["data"] = [[1.0, 2.0], [3.0, 4.0]]
    >>> own_values(file["data"], np.s_[:, 1])
    array([2., 4.])
    """
    part = np.broadcast_to(np.empty((), np.uint8), data.shape)[index]  # a view of one byte: it has the shape
    room_for(part.size * data.dtype.itemsize, _name(data))
    return np.asarray(data[index])


def own_text(group: h5py.Group, name: str, *, external: bool = False, max_bytes: int = _TEXT) -> str | None:
    """Return a text stored as one string in the file itself; None if there is none.

    Parameters
    ----------
    group, name, external
        As for `own_dataset`.
    max_bytes : int
        A longer text is refused before it is read.

    Raises
    ------
    DataError

    Examples
    --------
    >>> import io
    >>> file = h5py.File(io.BytesIO(), "w")
    >>> file["name"] = "phantom"
    >>> own_text(file, "name")
    'phantom'
    """
    data = own_dataset(group, name, external=external)
    if data is None or data.size != 1 or data.dtype.kind not in "OS":
        return None
    length = data.dtype.itemsize if data.dtype.kind == "S" else _heap_length(data)
    if length > max_bytes:
        raise DataError(f"{_name(data)} declares a text of {length} bytes; up to {max_bytes} are read")
    value = np.asarray(data[()]).reshape(-1)[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _followed(at: Any, name: str | h5py.Reference, external: bool, links: int) -> Any:
    if isinstance(name, h5py.Reference):
        return at.file[name] if name else None
    if name.startswith("/"):
        at = at.file["/"]
    for part in name.split("/"):
        if part in ("", "."):
            continue
        link = at.get(part, getlink=True) if isinstance(at, h5py.Group) else None
        if link is None:
            return None
        if isinstance(link, h5py.HardLink):
            at = at[part]
            continue
        where = f"{at.file.filename}: {f'{at.name}/{part}'.lstrip('/')!r}"
        if links == 0:
            raise DataError(f"{where} is a link in a chain of more than {_LINKS}, perhaps a circle")
        if isinstance(link, h5py.SoftLink):
            at = _followed(at, link.path, external, links - 1)
            what = f"a link to {link.path!r}"
        else:
            what = f"a link to {link.path!r} in the file {link.filename!r}"
            other = _beside(at.file, link.filename, f"{where} is {what}", external)
            at = _followed(h5py.File(other, "r"), link.path, external, links - 1)
        if at is None:
            raise DataError(f"{where} is {what}, where there is nothing")
    return at


def _beside(file: h5py.File, name: str, what: str, external: bool) -> Path:
    """The path of another file that data are in, if it is wanted and in the same folder."""
    if not external:
        raise DataError(
            f"{what}, which is not followed: a file from somebody else could name any file of yours. Copy "
            "the data into one file; a reader that takes external=True follows links within a folder"
        )
    folder = Path(file.filename).resolve().parent
    other = (folder / name).resolve()
    if other.parent != folder:
        raise DataError(f"{what}, which is not in the same folder")
    return regular_file(other)


def _held(data: h5py.Dataset, external: bool, known: dict[Any, int]) -> int:
    """Check that a dataset's bytes are in its file, and return their number.

    ``known`` has those of the virtual datasets that were looked at, -1 while they are.
    """
    declared, size = _declared(data), os.path.getsize(data.file.filename) if _on_disk(data.file) else None
    if data.is_virtual:
        return _held_elsewhere(data, external, known)
    if data.external:
        names = ", ".join(sorted({os.fsdecode(name) for name, _, _ in data.external})[:3])
        raise DataError(
            f"{_name(data)} keeps its values in raw files beside it ({names}), which are not read. Pack them "
            "into one file with h5repack"
        )
    held = data.id.get_storage_size()
    held = held if size is None else min(held, size)  # parts that overlap are there once
    filters = data.chunks is not None and data.id.get_create_plist().get_nfilters() > 0
    if data.chunks is not None:
        expected = math.prod(-(-n // c) for n, c in zip(data.shape, data.chunks, strict=True))
        if data.id.get_num_chunks() < expected:
            raise DataError(
                f"{_name(data)} declares {data.shape}, but the file holds {data.id.get_num_chunks()} of its "
                f"{expected} chunks: it is incomplete. Copy it again"
            )
    if not filters and declared > held:
        raise DataError(
            f"{_name(data)} declares {data.shape} ({declared} bytes), but the file holds {held} bytes of it: "
            "it is incomplete. Copy it again"
        )
    chunk = math.prod(data.chunks or ()) * data.dtype.itemsize
    if filters and max(declared, chunk) > max(_PLAIN, _EXPANDS * held):
        raise DataError(
            f"{_name(data)} expands from {held} to {max(declared, chunk)} bytes, more than {_EXPANDS} times. "
            "If you trust the file, unpack it with h5repack -f NONE"
        )
    return declared


def _held_elsewhere(data: h5py.Dataset, external: bool, known: dict[Any, int]) -> int:
    """Check the sources of a virtual dataset, each of which must be there."""
    known[data.id] = -1
    sources: dict[Any, int] = {}
    for file_name, name in {(s.file_name, s.dset_name) for s in data.virtual_sources()}:
        what = f"{_name(data)} takes its values from {name!r} in the file {file_name!r}"
        own = file_name == "." or (_on_disk(data.file) and _same(data.file, file_name))
        file = data.file if own else h5py.File(_beside(data.file, file_name, what, external), "r")
        source = own_node(file, name, external=external)
        if not isinstance(source, h5py.Dataset):
            raise DataError(f"{_name(data)} takes its values from {name!r}, where there is no array")
        if known.get(source.id) == -1:
            raise DataError(f"{_name(data)} takes its values from itself")
        if source.id not in known:
            known[source.id] = _held(source, external, known)
        sources[source.id] = known[source.id]
    held = known[data.id] = sum(sources.values())
    if _declared(data) > max(_PLAIN, _EXPANDS * held):
        raise DataError(f"{_name(data)} declares {_declared(data)} bytes, its sources hold {held}")
    return held


def _same(file: h5py.File, name: str) -> bool:
    path = Path(file.filename).resolve()
    return (path.parent / name).resolve() == path


def _declared(data: h5py.Dataset) -> int:
    return math.prod(data.shape) * int(data.dtype.itemsize)


def _name(data: h5py.Dataset) -> str:
    return f"{data.file.filename}: {(data.name or '').lstrip('/')!r}"


def _on_disk(file: h5py.File) -> bool:
    return os.path.isfile(file.filename)


def _overlaps(dtype: np.dtype[Any]) -> bool:
    """Return whether fields of a record overlap, as HDF5 would write them over each other and what follows.

    A damaged float may have a range that only a wider type of NumPy has, in the place of the narrow one.
    """
    if dtype.subdtype is not None:
        return _overlaps(dtype.subdtype[0])
    at = 0
    for field, offset in sorted((entry[:2] for entry in (dtype.fields or {}).values()), key=lambda f: f[1]):
        if offset < at or _overlaps(field):
            return True
        at = offset + field.itemsize
    return at > dtype.itemsize


def _heap_length(data: h5py.Dataset) -> int:
    """Bytes of a text of variable length, looked up in the file's heap before HDF5 allocates them."""
    size = os.path.getsize(data.file.filename) if _on_disk(data.file) else 0
    place = data.id.get_offset()
    if place is None or not size:  # in chunks or in the header, or no file on a disk
        return 0
    with open(data.file.filename, "rb") as raw:
        raw.seek(place + data.file.userblock_size)
        entry = raw.read(16)
        length, heap = int.from_bytes(entry[:4], "little"), int.from_bytes(entry[4:12], "little")
        if len(entry) < 16 or length == 0:
            return 0
        raw.seek(heap + data.file.userblock_size)
        collection = raw.read(16)
    if collection[:4] != b"GCOL" or heap + int.from_bytes(collection[8:16], "little") > size:
        raise DataError(f"{_name(data)} is a text that the file does not hold: it is damaged")
    return length
