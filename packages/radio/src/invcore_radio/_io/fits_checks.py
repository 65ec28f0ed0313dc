"""The headers of a FITS file, walked card by card before a library opens it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from invcore import DataError
from invcore.io import damage, is_regular_file, regular_file

_BLOCK = 2880
_PARTS = 1000  # the largest files of optical and radio interferometry have some dozens
_CARDS = 36_000
_BITPIX = (8, 16, 32, 64, -32, -64)
_SIZES = re.compile(r"NAXIS\d*|BITPIX|PCOUNT|GCOUNT|TFIELDS|TFORM\d+|GROUPS|XTENSION|SIMPLE")
_FORM = re.compile(r"(\d*)([LXBIJKAEDCMPQ])")
_BYTES = {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}


@dataclass(frozen=True)
class Part:
    """A header of a FITS file, and the extent of its data.

    Attributes
    ----------
    name : str
        EXTNAME in capitals; empty for the first part.
    cards : dict of str to str
        Values as they are written, strings without their quotes.
    end : int
        Byte behind its data.
    """

    name: str
    cards: dict[str, str]
    end: int


def is_fits(path: str | os.PathLike[str]) -> bool:
    """Return whether a file begins with the first card of FITS; never raises."""
    try:
        if not is_regular_file(path):
            return False
        with open(path, "rb") as file:
            return file.read(10) == b"SIMPLE  = "
    except OSError:
        return False


@contextmanager
def open_fits(path: Path, kind: str) -> Iterator[Any]:
    """Open a FITS file with astropy once its headers agree with the file; what astropy raises is damage."""
    parts(path)
    from astropy.io import fits

    with damage(path, kind, "astropy"), fits.open(path, memmap=False, disable_image_compression=True) as file:
        yield file


def tables_in(file: Any) -> Iterator[tuple[str, Any]]:
    """Name and HDU of each table behind the first part."""
    return ((str(hdu.name).strip(), hdu) for hdu in file[1:] if hasattr(hdu, "columns"))


def real(path: Path, header: Any, key: str, default: float | None = None) -> float:
    """Return a number of a header, finite, or the default where there is no such card."""
    value = header.get(key, default)
    if value is None:
        raise DataError(f"{path}: the header has no {key}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"{path}: {key} must be a number, got {value!r}")
    return float(value)


def numeric(path: Path, table: Any, name: str) -> np.ndarray:
    """Return a column of numbers of a table."""
    values = np.asarray(table[name])
    if values.dtype.kind not in "fiu":
        raise DataError(f"{path}: the column {name} must hold numbers, got {values.dtype}")
    return values


def parts(path: Path, *, names_only: bool = False) -> list[Part]:
    """Walk the headers of a FITS file.

    Nothing is allocated that a header asks for: sizes are compared with the file, and a file has at most
    1000 parts.

    Parameters
    ----------
    path : Path
    names_only : bool
        Stop in silence at the first header that is wrong, as when a file is recognized.

    Raises
    ------
    DataError
        If it is not FITS, headers contradict themselves or the file's size, or there are too many.
    """
    path = regular_file(path)
    if not is_fits(path):
        raise DataError(f"{path} is not a FITS file, or its beginning is damaged")
    size = path.stat().st_size
    if size % _BLOCK and not names_only:
        raise DataError(f"{path} has {size} bytes; FITS files have a multiple of {_BLOCK}, it is truncated")
    found: list[Part] = []
    with open(path, "rb") as file:
        end = 0
        while end < size and len(found) < _PARTS:
            file.seek(end)
            where = f"{path}: part {len(found)}"
            try:
                cards = _cards(file, where, first=not found)
                end = file.tell() + -(-_bytes(cards, where, size) // _BLOCK) * _BLOCK
                name = cards.get("EXTNAME", "").upper()
                if end > size:
                    raise DataError(
                        f"{where} ({name or 'the first'}) ends at byte {end}, but the file has {size}: it is "
                        "truncated"
                    )
            except DataError:
                if names_only:
                    break
                raise
            found.append(Part(name, cards, end))
    if end < size and not names_only:
        raise DataError(f"{path} has more than {_PARTS} parts; it is damaged")
    return found


def _cards(file: BinaryIO, where: str, *, first: bool) -> dict[str, str]:
    """Read a header to its END; sizes must not be said twice."""
    cards: dict[str, str] = {}
    for block in range(_CARDS // 36):
        data = file.read(_BLOCK)
        if len(data) < _BLOCK:
            raise DataError(f"{where} has a header without END: it is truncated or damaged")
        for at in range(0, _BLOCK, 80):
            card = data[at : at + 80].decode("latin-1")
            key = card[:8].rstrip()
            if block == at == 0 and key != ("SIMPLE" if first else "XTENSION"):
                raise DataError(f"{where} does not begin with a header but with {card[:20]!r}: it is damaged")
            if key == "END":
                return cards
            if card[8:10] != "= ":
                continue
            if key in cards and _SIZES.fullmatch(key):
                raise DataError(f"{where} says {key} twice: it is damaged")
            cards.setdefault(key, _value(card[10:]))
    raise DataError(f"{where} has a header of more than {_CARDS} cards: it is damaged")


def _value(text: str) -> str:
    text = text.strip()
    if text.startswith("'"):
        return text[1:].partition("'")[0].rstrip()
    return text.partition("/")[0].strip()


def _bytes(cards: dict[str, str], where: str, size: int) -> int:
    """Return the bytes of the data that a header declares."""

    def whole(key: str, default: int | None, low: int, high: int) -> int:
        text = cards.get(key, default)
        try:
            value = int(text)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise DataError(f"{where}: {key} must be a whole number, got {text!r}") from None
        if not low <= value <= high:
            raise DataError(f"{where}: {key} is {value}, in a file of {size} bytes: it is damaged")
        return value

    bits = whole("BITPIX", None, -64, 64)
    if bits not in _BITPIX:
        raise DataError(f"{where}: BITPIX is {bits}; it is one of {', '.join(map(str, _BITPIX))}")
    axes = [whole(f"NAXIS{k + 1}", None, 0, 8 * size) for k in range(whole("NAXIS", None, 0, 999))]
    parameters, groups = whole("PCOUNT", 0, 0, size), whole("GCOUNT", 1, 0, size)
    if cards.get("XTENSION") == "BINTABLE":
        _check_table(cards, where, axes, whole("TFIELDS", None, 0, 999))
    random_groups = axes[:1] == [0] and cards.get("GROUPS") == "T" and "SIMPLE" in cards
    count = math.prod(axes[1:] if random_groups else axes) if axes else 0
    return abs(bits) // 8 * groups * (parameters + count)


def _check_table(cards: dict[str, str], where: str, axes: list[int], fields: int) -> None:
    """Raise unless the columns fill the rows; rows without a byte may be any number, and are refused."""
    if len(axes) != 2:
        raise DataError(f"{where}: a table has two axes, got {len(axes)}")
    width = 0
    for k in range(1, fields + 1):
        form = _FORM.match(cards.get(f"TFORM{k}", ""))
        if form is None:
            raise DataError(f"{where}: column {k} has the format {cards.get(f'TFORM{k}', '')!r}")
        repeat = int(form[1] or 1)
        width += -(-repeat // 8) if form[2] == "X" else repeat * _BYTES[form[2]]
    if width != axes[0] or (axes[1] and not width):
        raise DataError(f"{where}: rows have {axes[0]} bytes (NAXIS1), their columns {width}: it is damaged")
