"""The blocks of a Siemens raw data file (twix): measurements, header texts, readouts; lengths are checked.

Own code, since the packages that read twix trust the lengths and indices in the file: a damaged one makes
them loop or allocate without end.
"""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from invcore import DataError
from invcore.io import regular_file

_MEASUREMENTS = 64
_HEADER = 2**26
_READOUTS = 2**22
ACQEND, SYNCDATA = 1 << 0, 1 << 5
_COUNTERS = ("line", "average", "slice", "partition", "echo", "phase", "repetition", "set", "segment")
_FIRST = [
    ("length", "<u4"),
    ("measurement", "<i4"),
    ("counter", "<u4"),
    ("time", "<u4"),
    ("pulse_time", "<u4"),
]
_INDEX: list[Any] = [("flags", "<u8"), ("samples", "<u2"), ("channels", "<u2")]
_INDEX += [
    *((name, "<u2") for name in _COUNTERS),
    ("ice", "<u2", (5,)),
    ("cut", "<u2", (2,)),
    ("center", "<u2"),
]
_INDEX += [("coil_select", "<u2"), ("offcenter", "<f4"), ("since_pulse", "<u4")]
_INDEX += [("center_line", "<u2"), ("center_partition", "<u2")]
_SLICE: list[Any] = [("position", "<f4", (3,)), ("quaternion", "<f4", (4,))]
OLD = np.dtype([*_FIRST, *_INDEX, ("free", "<u2", (8,)), *_SLICE, ("last", "<u4")])
"""Head of the readout of one channel in VB: 128 bytes."""
NEW = np.dtype([*_FIRST, ("table", "V20"), *_INDEX, *_SLICE, ("free", "V64")])
"""Head of the readout of all channels in VD, VE and XA: 192 bytes, and 32 bytes for each channel."""
assert (OLD.itemsize, NEW.itemsize) == (128, 192)
_CHANNEL = 32


@dataclass(frozen=True)
class Measurement:
    """One measurement of a file.

    Attributes
    ----------
    protocol : dict of str to str
        Lines ``name = value`` of the protocol (ASCCONV).
    text : bytes
        The whole header.
    heads : ndarray of `NEW` or `OLD`
        Heads of the readouts.
    places : ndarray of int
        Where they are in the file.
    """

    protocol: dict[str, str]
    text: bytes
    heads: np.ndarray[Any, Any]
    places: np.ndarray[Any, Any]


@dataclass(frozen=True)
class Twix:
    """All measurements of a file, and the samples of their readouts."""

    path: Path
    measurements: tuple[Measurement, ...]
    view: memoryview

    def samples(self, m: Measurement, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Samples (readout, channel, sample) of readouts of one length."""
        channels, samples = (int(m.heads[name][rows[0]]) for name in ("channels", "samples"))
        new = m.heads.dtype == NEW
        lead, skip = (NEW.itemsize, _CHANNEL) if new else (0, OLD.itemsize)
        out = np.empty((len(rows), channels, samples), np.complex64)
        for i, row in enumerate(rows):
            start = int(m.places[row]) + lead
            block = np.frombuffer(self.view, np.uint8, channels * (skip + 8 * samples), start)
            out[i] = np.ascontiguousarray(block.reshape(channels, -1)[:, skip:]).view("<c8")
        return out


def looks_like_twix(path: Path) -> bool:
    """Return whether the first bytes are those of a twix file; never raises."""
    try:
        with regular_file(path).open("rb") as file:
            begin = file.read(16)
            if len(begin) < 16:
                return False
            identity, count = struct.unpack_from("<II", begin)
            if identity < 10000 and 0 < count <= _MEASUREMENTS:
                file.seek(16)
                file.seek(struct.unpack("<Q", file.read(8))[0])
                begin = file.read(64)
            else:
                begin += file.read(48)
            return _buffers(begin) and b"Config\0" in begin
    except (DataError, OSError, OverflowError, struct.error, ValueError):
        return False


def _buffers(begin: bytes) -> bool:
    return len(begin) > 8 and 0 < struct.unpack_from("<II", begin)[1] < 64


def read_twix(path: Path) -> Twix:
    """Read header and heads of every measurement.

    Raises
    ------
    DataError
        If a length does not fit the file.
    """
    path = regular_file(path)
    size = path.stat().st_size
    if size < 64 or not looks_like_twix(path):
        raise DataError(f"{path} is not Siemens raw data (twix), or its beginning is damaged")
    with path.open("rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    identity, count = struct.unpack_from("<II", view)
    new = identity < 10000 and count <= _MEASUREMENTS
    ends = [(0, size)]
    if new:
        if 8 + 152 * count > size:
            raise DataError(f"{path} is truncated in its table of {count} measurements")
        table = [struct.unpack_from("<QQ", view, 16 + 152 * i) for i in range(count)]
        ends = [(begin, begin + length if length else size) for begin, length in table]
    for i, (begin, end) in enumerate(ends):
        if not 0 <= begin < end <= size:
            raise DataError(
                f"{path}: measurement {i} is from byte {begin} to {end}, the file has {size}: it is truncated"
            )
    return Twix(path, tuple(_measurement(path, view, begin, end, new) for begin, end in ends), view)


def _measurement(path: Path, view: memoryview, begin: int, end: int, new: bool) -> Measurement:
    length = struct.unpack_from("<I", view, begin)[0] if end - begin >= 8 else 0
    if not 8 <= length <= min(end - begin, _HEADER):
        raise DataError(
            f"{path}: a header of {length} bytes does not fit into the measurement, it is damaged"
        )
    text = bytes(view[begin : begin + length])
    heads, places = _walk(path, view, begin + length, end, NEW if new else OLD)
    return Measurement(_protocol(text), text, heads, places)


def _protocol(text: bytes) -> dict[str, str]:
    """The lines of all protocols between their marks; later ones of a name do not replace it."""
    found: dict[str, str] = {}
    end = 0
    while (at := text.find(b"### ASCCONV BEGIN", end)) >= 0 and (
        end := text.find(b"### ASCCONV END", at)
    ) >= 0:
        for line in text[at:end].decode("latin1").splitlines()[1:]:
            name, equals, value = line.partition("=")
            if equals and len(found) < 2**17:
                found.setdefault(name.strip(), value.strip().strip('"'))
    return found


def _walk(
    path: Path, view: memoryview, at: int, end: int, head: np.dtype[Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Heads of the readouts up to the mark of the end, which must be there."""
    size = head.itemsize
    offsets = [head.fields[name][1] for name in ("flags", "samples")]  # type: ignore[index]
    places: list[int] = []
    raw = bytearray()
    while True:
        if at + size > end:
            raise DataError(
                f"{path}: the measurement ends at byte {end} without the mark of its end, after "
                f"{len(places)} readouts: the file is truncated, or the scan was aborted"
            )
        length = struct.unpack_from("<I", view, at)[0] & (2**25 - 1)
        flags = struct.unpack_from("<Q", view, at + offsets[0])[0]
        samples, channels = struct.unpack_from("<HH", view, at + offsets[1])
        if flags & ACQEND:
            break
        if flags & SYNCDATA:
            if length < size:
                raise DataError(f"{path}: a block of {length} bytes at byte {at}: it is damaged")
            at += length
            continue
        per = 8 * samples + (_CHANNEL if head == NEW else size)
        whole = channels * per + (size if head == NEW else 0)
        if channels == 0 or at + whole > end:
            raise DataError(
                f"{path}: readout {len(places)} at byte {at} has {channels} channels of {samples} samples, "
                f"which do not fit into the {end - at} bytes that are left: it is truncated or damaged"
            )
        places.append(at)
        raw += view[at : at + size]
        if len(places) > _READOUTS:
            raise DataError(f"{path} has more than {_READOUTS} readouts in a measurement")
        at += whole
    return np.frombuffer(bytes(raw), head), np.array(places, np.int64)


def number(text: bytes, name: str) -> float | None:
    """A number of the header's parameter, as in ``<ParamDouble."name"> { <Precision> 6  2.0 }``."""
    at = text.find(f'."{name}">'.encode())
    if at < 0:
        return None
    found = re.match(
        rb"[^{]{0,64}\{\s*(?:<Precision>\s*\d+\s*)?([-+.\deE]+)", text[at + len(name) + 4 : at + 256]
    )
    try:
        return None if found is None else float(found.group(1))
    except ValueError:
        return None
