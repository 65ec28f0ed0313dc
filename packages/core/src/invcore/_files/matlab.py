"""A bounded walk over a MATLAB 5 file, before a library that trusts its lengths and types reads it."""

from __future__ import annotations

import math
import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from .._errors import DataError
from .memory import room_for
from .regular import regular_file

_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}  # of a number, by type of element
_TEXT = {16: 1, 17: 2, 18: 4}
_MATRIX, _COMPRESSED = 14, 15
_CLASSES = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single", 8: "int8"}
_CLASSES |= {9: "uint8", 10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64"}
_FOREIGN = {16: "function", 17: "opaque"}
_HEAD = 4096  # bytes in which flags, dimensions and name of a variable are
_DEPTH = 16
_ARRAYS = 2**20
_PLAIN, _EXPANDS = 2**28, 100  # as of HDF5


class MatlabVariable(NamedTuple):
    """Class of a MATLAB variable (``"double"``, ``"cell"``, ``"struct"``, …) and its shape."""

    kind: str
    shape: tuple[int, ...]


def matlab_variables(path: str | os.PathLike[str], *, whole: bool = True) -> dict[str, MatlabVariable]:
    """Return the variables of a MATLAB file (version 5 to 7.2), each of which has been walked through.

    SciPy's reader trusts what the file says: an element of unknown type or a wrong length ends the process.
    Here every element must be of a known type, lie within the one that holds it, and be as long as its
    dimensions say; nesting, number of arrays and expansion are limited. What passes can be given to
    ``scipy.io.loadmat``, with these names as ``variable_names``: functions and objects are left out.

    Parameters
    ----------
    path : path
    whole : bool
        False looks at the heads of the variables only, which suits ``sniff``.

    Returns
    -------
    dict of str to MatlabVariable

    Raises
    ------
    DataError
        If it is no such file, or damaged; a file of version 7.3 is HDF5, see `open_hdf5`.

    References
    ----------
    The MathWorks, "MAT-File Format", R2022a.

    Examples
    --------
    >>> matlab_variables("/dev/null")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: /dev/null is a device, not a file
    """
    path = regular_file(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(128)
        if head[:6] != b"MATLAB" or len(head) < 128:
            raise DataError(f"{path} is not a MATLAB file (it does not begin with 'MATLAB')")
        order = {b"IM": "<", b"MI": ">"}.get(head[126:])
        if order is None or struct.unpack(f"{order}H", head[124:126])[0] != 0x0100:
            raise DataError(f"{path} is not a MATLAB file of version 5 to 7.2; save it with -v7")
        if size == 128:
            return {}
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        return _variables(path, view, order, whole)
    except (_DamageError, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read as a MATLAB file, it is damaged or truncated: {error}"
        ) from error


class _DamageError(Exception):
    """Raised where an element contradicts what holds it."""


def _variables(path: Path, view: memoryview, order: str, whole: bool) -> dict[str, MatlabVariable]:
    found: dict[str, MatlabVariable] = {}
    walk, at = _Walk(view, order), 128
    while at < len(view):
        kind, data, end, after = walk.tag(at, len(view))
        inner = walk
        if kind == _COMPRESSED:
            after = end  # which is not padded
            inner = _Walk(_expanded(path, view[data:end], whole), order, walk.arrays)
            kind, data, end, last = inner.tag(0, len(inner.view) if whole else 2**63)
            if whole and last != len(inner.view):
                raise _DamageError(f"the variable after byte {at} is followed by other bytes")
        if kind != _MATRIX:
            raise _DamageError(f"the element at byte {at} is of type {kind}, not a variable")
        name, variable = inner.matrix(data, end, 0) if whole else inner.head(data, end)[:2]
        walk.arrays = inner.arrays
        if variable.kind not in _FOREIGN.values() and name:
            found[name] = variable
        at = after
    return found


def _expanded(path: Path, packed: memoryview, whole: bool) -> memoryview:
    limit = max(_PLAIN, _EXPANDS * len(packed)) if whole else _HEAD
    stream = zlib.decompressobj()
    parts = [stream.decompress(packed if whole else packed[:_HEAD], limit)]
    if whole and not stream.eof:
        if len(parts[0]) >= limit:
            raise DataError(f"{path}: a variable expands from {len(packed)} to more than {limit} bytes")
        raise _DamageError("a compressed variable ends early")
    room_for(len(parts[0]), str(path))
    return memoryview(parts[0])


class _Walk:
    """Positions in a buffer of elements."""

    def __init__(self, view: memoryview, order: str, arrays: int = 0) -> None:
        self.view, self.arrays = view, arrays
        self._pair = struct.Struct(f"{order}II")
        self._order = order

    def tag(self, at: int, end: int) -> tuple[int, int, int, int]:
        """Return type, beginning and end of the element at ``at``, and where the next one is."""
        if at + 8 > min(end, len(self.view)):
            raise _DamageError(f"an element begins at byte {at}, where {max(end - at, 0)} bytes are left")
        kind, size = self._pair.unpack_from(self.view, at)
        if kind >> 16:  # a small one: its length, type and data in eight bytes
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise _DamageError(f"a small element at byte {at} has {size} bytes")
            return kind, at + 4, at + 4 + size, at + 8
        last = at + 8 + size
        if last > end:
            raise _DamageError(f"an element of {size} bytes begins at byte {at}, where {end - at} are left")
        return kind, at + 8, last, min(last + -size % 8, end)

    def numbers(self, at: int, end: int, what: str) -> tuple[tuple[int, ...], int]:
        """Return 32-bit integers and where the next element is."""
        kind, data, last, after = self.tag(at, end)
        if kind not in (5, 6) or (last - data) % 4 or last - data > 128 or last > len(self.view):
            raise _DamageError(f"the {what} at byte {at} are no integers")
        letter = "i" if kind == 5 else "I"
        return struct.unpack_from(f"{self._order}{(last - data) // 4}{letter}", self.view, data), after

    def text(self, at: int, end: int, limit: int) -> tuple[bytes, int]:
        kind, data, last, after = self.tag(at, end)
        if kind not in (1, 2, 16) or last - data > limit or last > len(self.view):
            raise _DamageError(f"the name at byte {at} is no text")
        return bytes(self.view[data:last]), after

    def head(self, at: int, end: int) -> tuple[str, MatlabVariable, bool, int]:
        """Return name, class and shape of an array, whether it is complex, and where its parts begin."""
        flags, after = self.numbers(at, end, "flags")
        if len(flags) != 2 or after != at + 16 or self._pair.unpack_from(self.view, at)[0] != 6:
            raise _DamageError(f"the flags at byte {at} are not two numbers")
        number = flags[0] & 0xFF
        if number in _FOREIGN:
            return "", MatlabVariable(_FOREIGN[number], ()), False, end
        if number not in _CLASSES:
            raise _DamageError(f"there is no class {number} of arrays")
        shape, after = self.numbers(after, end, "dimensions")
        if not 1 <= len(shape) <= 32 or min(shape) < 0:
            raise _DamageError(f"an array has the dimensions {shape}")
        name, after = self.text(after, end, 1024)
        text = name.rstrip(b"\0").decode("latin1")
        return text, MatlabVariable(_CLASSES[number], shape), bool(flags[0] & 0x0800), after

    def matrix(self, at: int, end: int, depth: int) -> tuple[str, MatlabVariable]:
        """Walk through an array, whose bytes are those from ``at`` to ``end``."""
        self.arrays += 1
        if depth > _DEPTH or self.arrays > _ARRAYS:
            raise _DamageError(f"arrays are nested more than {_DEPTH} deep, or more than {_ARRAYS} in number")
        name, variable, is_complex, at = self.head(at, end)
        count = math.prod(variable.shape)
        if variable.kind in ("cell", "struct", "object"):
            at = self._cells(variable.kind, count, at, end, depth)
        elif variable.kind == "sparse":
            at = self._sparse(variable.shape, is_complex, at, end)
        elif variable.kind not in _FOREIGN.values():
            for _ in range(1 + is_complex):
                at = self._values(count, at, end, variable.kind == "char")
        if at != end:
            raise _DamageError(f"an array of {count} {variable.kind} ends at byte {at} and at byte {end}")
        return name, variable

    def _cells(self, kind: str, count: int, at: int, end: int, depth: int) -> int:
        fields = 1
        if kind == "object":
            _, at = self.text(at, end, 1024)
        if kind in ("struct", "object"):
            length, at = self.numbers(at, end, "lengths of field names")
            names, at = self.text(at, end, 2**20)
            if len(length) != 1 or not 0 < length[0] <= 1024 or len(names) % length[0]:
                raise _DamageError(f"the names of fields at byte {at} have no common length")
            fields = len(names) // length[0]
        if count * max(fields, 1) * 8 > end - at and (fields or count > 1):
            raise _DamageError(f"{count} x {fields} arrays do not fit into {end - at} bytes")
        for _ in range(count * fields):
            inner, data, last, after = self.tag(at, end)
            if inner != _MATRIX:
                raise _DamageError(f"an element of type {inner} stands in place of an array at byte {at}")
            if last > data:
                self.matrix(data, last, depth + 1)
            at = after
        return at

    def _values(self, count: int, at: int, end: int, text: bool = False) -> int:
        """Walk over one element of numbers, or text, of which there must be ``count``."""
        kind, data, last, after = self.tag(at, end)
        size = ({**_BYTES, **_TEXT} if text else _BYTES).get(kind)
        if size is None or (last - data) % size:
            raise _DamageError(f"the element at byte {at} is of type {kind}, not numbers")
        held = (last - data) // size
        fits = held == count or (text and (count < held if held else count < _HEAD))  # UTF-8, or blanks
        if not fits:
            raise _DamageError(f"{count} values are declared at byte {at}, {held} are there")
        return after

    def _sparse(self, shape: tuple[int, ...], is_complex: bool, at: int, end: int) -> int:
        if len(shape) != 2:
            raise _DamageError(f"a sparse matrix has the dimensions {shape}")
        _, rows, last, _ = self.tag(at, end)
        at = self._values((last - rows) // 4, at, end)
        at = self._values(shape[1] + 1, at, end)
        for _ in range(1 + is_complex):
            kind, _, _, at = self.tag(at, end)  # logical ones are bytes that are called doubles
            if kind not in _BYTES:
                raise _DamageError(f"a sparse matrix has values of type {kind}")
        return at
