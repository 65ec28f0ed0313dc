"""The directories of a TIFF, walked before a library opens the file."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

from .._errors import DataError
from .regular import regular_file

_PAGES = 2**17
_ENTRIES = 1000
_PIXELS = 2**31  # of one page
_PLAIN, _EXPANDS = 2**28, 100  # bytes that any file may expand to; times the bytes held beyond that
_FORMS = {
    1: "B",
    2: "c",
    3: "H",
    4: "I",
    5: "Q",
    6: "b",
    7: "B",
    8: "h",
    9: "i",
    10: "q",
    11: "f",
    12: "d",
    13: "I",
}
_FORMS |= {16: "Q", 17: "q", 18: "Q"}
_WIDTH, _LENGTH, _BITS, _PACKING, _OFFSETS, _SAMPLES, _COUNTS = 256, 257, 258, 259, 273, 277, 279
_TILE_OFFSETS, _TILE_COUNTS = 324, 325
_USED = (_WIDTH, _LENGTH, _BITS, _PACKING, _OFFSETS, _SAMPLES, _COUNTS, _TILE_OFFSETS, _TILE_COUNTS)


def is_tiff(path: Path) -> bool:
    """Return whether a regular file begins as TIFF or BigTIFF does; `OSError` if it cannot be read.

    Examples
    --------
    >>> is_tiff(Path("no such file"))
    False
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def check_tiff(path: Path) -> None:
    """Raise `DataError` unless directories end, lie in the file, and declare no more than it can hold.

    A chain of directories that comes back to itself has no end; a count or a size may be any number. Pages
    that are not compressed are as long as their pixels; compressed ones expand at most a hundredfold where
    that is more than 256 MiB.

    Parameters
    ----------
    path : Path

    Raises
    ------
    DataError

    Examples
    --------
    >>> check_tiff(Path("none.tif"))
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: no file none.tif
    """
    path = regular_file(path)
    held = path.stat().st_size
    if not is_tiff(path):
        raise DataError(f"{path} is not a TIFF file, or its beginning is damaged")
    with path.open("rb") as file:
        head = file.read(16).ljust(16, b"\x00")
        order = "<" if head[:2] == b"II" else ">"
        big = 43 in (head[2], head[3])
        (at,) = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)
        if big and struct.unpack_from(order + "HH", head, 4) != (8, 0):
            raise DataError(f"{path}: the header of BigTIFF is damaged")
        seen: set[int] = set()
        expanded = 0
        while at:
            if at in seen or len(seen) == _PAGES:
                what = "come back to one of them" if at in seen else f"are more than {_PAGES}"
                raise DataError(f"{path} is damaged: its directories {what}")
            seen.add(at)
            where = f"{path}: page {len(seen)}"
            tags, at = _directory(file, at, order, big, held, where)
            expanded += _page(tags, held, where)
    if not seen:
        raise DataError(f"{path} is a TIFF without pages")
    if expanded > max(_PLAIN, _EXPANDS * held):
        raise DataError(f"{path} has {held} bytes and declares {expanded} of pixels: it is damaged")


def _directory(
    file: BinaryIO, at: int, order: str, big: bool, held: int, where: str
) -> tuple[dict[int, tuple[int, ...]], int]:
    """Return the whole numbers of one directory that say where pixels are, and the place of the next."""
    head, entry, word = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    count = _unpacked(file, at, order + head, where)[0]
    if not 0 < count <= _ENTRIES:
        raise DataError(f"{where}: a directory of {count} entries: it is damaged")
    first = at + struct.calcsize(order + head)
    data = _unpacked(file, first, order + entry * count + word, where)
    tags: dict[int, tuple[int, ...]] = {}
    for k in range(count):
        tag, kind, number, inside = data[4 * k : 4 * k + 4]
        form = _FORMS.get(kind)
        if form is None or not number:  # a type of later versions is ignored, as TIFF asks
            continue
        length = number * struct.calcsize(order + form)
        (place,) = struct.unpack(order + word, inside)
        if length > len(inside) and not (place + length <= held and length <= held):
            raise DataError(f"{where}: tag {tag} has {number} values outside of the file: it is damaged")
        if tag in _USED and tag not in tags and form in "BHIQ" and kind != 5:
            if length <= len(inside):
                tags[tag] = struct.unpack_from(order + form * number, inside)
            else:
                tags[tag] = _unpacked(file, place, order + form * number, where)
    return tags, int(data[-1])


def _page(tags: dict[int, tuple[int, ...]], held: int, where: str) -> int:
    """Return the bytes that a page declares, after a comparison with those that the file holds."""
    width, length = (tags.get(tag, (0,))[0] for tag in (_WIDTH, _LENGTH))
    samples = tags.get(_SAMPLES, (1,))[0]
    bits = tags.get(_BITS, (1,))
    offsets = tags.get(_OFFSETS, tags.get(_TILE_OFFSETS, ()))
    counts = tags.get(_COUNTS, tags.get(_TILE_COUNTS, ()))
    if not (width and length and samples and offsets) or width * length > _PIXELS or max(bits) > 64:
        raise DataError(f"{where} declares {length} x {width} pixels of {max(bits)} bits: it is damaged")
    if len(counts) != len(offsets) or any(a + n > held for a, n in zip(offsets, counts)):
        raise DataError(f"{where}: the file is truncated, it ends within the page")
    need = length * math.ceil(width * samples * max(bits) / 8)
    if tags.get(_PACKING, (1,))[0] == 1 and sum(counts) < need:
        raise DataError(f"{where} declares {need} bytes of pixels and has {sum(counts)}: it is damaged")
    return need


def _unpacked(file: BinaryIO, at: int, form: str, where: str) -> tuple[Any, ...]:
    file.seek(at)
    data = file.read(struct.calcsize(form))
    if len(data) < struct.calcsize(form):
        raise DataError(f"{where}: the file is truncated, it ends within a directory")
    return struct.unpack(form, data)
