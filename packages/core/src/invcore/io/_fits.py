"""The image in a FITS file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .._errors import DataError
from .._files.memory import room_for

_BLOCK, _CARD = 2880, 80
_TYPES = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_PARTS = 100
"""Parts of a file that are looked at."""


def fits_image(path: Path) -> np.ndarray:
    """Return the first image of a FITS file, (channel, y, x) in float32, its rows from the top.

    Axes of length 1 beyond the third are left out. Every size is compared with that of the file.

    Raises
    ------
    DataError
        If there is none, or the file is damaged.
    """
    total = path.stat().st_size
    with path.open("rb") as file:
        for _ in range(_PARTS):
            cards = _cards(file, path)
            if not cards:
                break
            axes = [_number(cards, f"NAXIS{i}", path) for i in range(1, _number(cards, "NAXIS", path) + 1)]
            bits = _number(cards, "BITPIX", path)
            count, groups = _number(cards, "PCOUNT", path, 0), _number(cards, "GCOUNT", path, 1)
            if min([*axes, count, groups, 0]) < 0 or bits not in _TYPES:
                raise DataError(f"{path}: its header states BITPIX {bits} and axes {axes}")
            held = abs(bits) // 8 * groups * (count + math.prod(axes)) if axes and axes[0] else 0
            if file.tell() + held > total:
                raise DataError(
                    f"{path} is truncated: {held} bytes are declared, {total - file.tell()} are there"
                )
            if len(axes) > 1 and min(axes) > 0 and cards.get("XTENSION", "IMAGE") == "IMAGE":
                return _pixels(file, path, cards, axes, bits)
            file.seek(-(-held // _BLOCK) * _BLOCK, 1)
    raise DataError(f"{path} holds no image (FITS)")


def _cards(file: BinaryIO, path: Path) -> dict[str, str]:
    """Return the values of a header by keyword; empty at the end of the file."""
    cards: dict[str, str] = {}
    while block := file.read(_BLOCK):
        if not cards and block[:8] not in (b"SIMPLE  ", b"XTENSION"):
            break
        if len(block) < _BLOCK or len(cards) > 10_000:
            break
        for i in range(0, _BLOCK, _CARD):
            card = block[i : i + _CARD].decode("ascii", "replace")
            if card[:8].rstrip() == "END":
                return cards
            if card[8:10] == "= ":
                cards.setdefault(card[:8].rstrip(), card[10:].partition("/")[0].strip().strip("'").strip())
    if cards:
        raise DataError(f"{path}: its header has no end (FITS)")
    return {}


def _number(cards: dict[str, str], key: str, path: Path, default: int | None = None) -> int:
    text = cards.get(key, default)
    try:
        return int(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise DataError(f"{path}: {key} must be an integer, got {text!r} (FITS)") from None


def _pixels(file: BinaryIO, path: Path, cards: dict[str, str], axes: list[int], bits: int) -> np.ndarray:
    *outer, rows, columns = reversed(axes)
    channels = math.prod(outer)
    room_for(2 * 4 * math.prod(axes), str(path))
    raw = np.fromfile(file, _TYPES[bits], math.prod(axes)).reshape(channels, rows, columns)
    try:
        scale, zero = float(cards.get("BSCALE", 1)), float(cards.get("BZERO", 0))
    except ValueError:
        raise DataError(f"{path}: BSCALE and BZERO must be numbers (FITS)") from None
    return np.ascontiguousarray((raw * scale + zero)[:, ::-1], dtype=np.float32)
