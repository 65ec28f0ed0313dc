"""Global heaps of an HDF5 file, where HDF5 looks for texts: one whose free space has no size never ends."""

from __future__ import annotations

import mmap
from pathlib import Path

from .._errors import DataError

_LOOKED_AT = 2**28  # bytes at either end of a large file
_SIGN = b"GCOL\x01\x00\x00\x00"


def check_heaps(path: Path) -> None:
    """Raise `DataError` if a global heap has an entry that leads nowhere.

    HDF5 goes from entry to entry by their sizes, when any text or attribute in the heap is read. An entry 0,
    which is free space, of size 0 is followed by itself.
    """
    size = path.stat().st_size
    if size < 16:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        ends = [(0, size)] if size <= 2 * _LOOKED_AT else [(0, _LOOKED_AT), (size - _LOOKED_AT, size)]
        for begin, end in ends:
            at = held.find(_SIGN, begin, end)
            while at >= 0:
                if not _ends(held, at, size):
                    raise DataError(f"{path} is damaged: the heap of texts at byte {at} has no end")
                at = held.find(_SIGN, at + len(_SIGN), end)


def _ends(held: mmap.mmap, at: int, size: int) -> bool:
    """Return whether the entries of a heap lead to its end."""
    end = min(size, at + int.from_bytes(held[at + 8 : at + 16], "little"))
    at += 16
    while at + 16 <= end:
        index, length = (int.from_bytes(held[a:b], "little") for a, b in ((at, at + 2), (at + 8, at + 16)))
        if index == 0 and length == 0:
            return False
        at += length if index == 0 else 16 + -(-length // 8) * 8
    return True
