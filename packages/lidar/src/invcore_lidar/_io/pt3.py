"""PT3 files of PicoQuant's PicoHarp 300."""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from invcore import DataError
from invcore.io import Acquisition, NearMiss, Reader, regular_file

from .._photons.tags import TimeTags
from .acquire import TagOptions
from .ptu import Facts, acquire_photons, chosen_channel

_IDENT = b"PicoHarp 300"
_HEADER = 728
_BINS = 4096  # of the 12 bits of a delay
_CONVERT = "convert it to .ptu with PicoQuant's SymPhoTime, and read that"


class Pt3Reader(Reader):
    """PT3 files, T3 mode of a PicoHarp 300 in the format before PTU: measurements of a single point.

    A photon's tag is its delay after the laser pulse in steps of the timer's resolution, 0 to 4095. Images
    are not read: convert them to PTU.

    References
    ----------
    PicoQuant, "PicoHarp 300 User's Manual and Technical Data", section on the file format of TTTR mode.

    Examples
    --------
    >>> Pt3Reader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(TagOptions):
        """Options of every file of time tags (`TagOptions`) and those of this format.

        By default the width of the impulse response is estimated from pairs of photons (`estimate_width`).

        Parameters
        ----------
        channel : int, optional
            Detector channel, 1 to 4 with a router, required if several have photons.
        zero : int
            Tick at which the laser pulse leaves.
        """

        channel: int | None = None
        zero: int = 0

    def sniff(self, path: str | Path) -> bool | NearMiss:
        """Return whether ``path`` begins as files of a PicoHarp 300 do, and says T3 mode."""
        path = Path(path)
        try:
            if not path.is_file():
                return False
            with path.open("rb") as file:
                head = file.read(_HEADER)
        except OSError:
            return False
        if not head.startswith(_IDENT):
            return False
        if len(head) < _HEADER or _header(head).mode != 3:
            return NearMiss("a file of the PicoHarp 300, but not of T3 mode, which has delays of photons.")
        return True

    def _read(self, path: Path, options: Options) -> Acquisition:
        return acquire_photons(path, *_load(path, options.channel, options.zero), options, "lidar.pt3")


def read_pt3(path: str | os.PathLike[str], *, channel: int | None = None, zero: int = 0) -> TimeTags:
    """Read the time tags of a PT3 file, of one pixel.

    Parameters
    ----------
    path : path
    channel, zero
        As for the reader ``lidar.pt3``.

    Raises
    ------
    DataError
        If the file is damaged, of another mode, or an image.

    Examples
    --------
    >>> read_pt3("none.pt3")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: no file none.pt3
    """
    return _load(Path(path), channel, zero)[0]


class _Header(NamedTuple):
    version: bytes
    bits: int
    mode: int
    resolution: float
    sync_rate: int
    records: int
    image_words: int


def _header(raw: bytes) -> _Header:
    """Read what matters of the header, whose fields all have fixed places; lengths are in 4 bytes."""
    places = {"bits": ("<i", 332), "mode": ("<i", 348), "resolution": ("<f", 584), "sync_rate": ("<i", 704)}
    places |= {"records": ("<i", 720), "image_words": ("<i", 724)}
    found = {name: struct.unpack_from(kind, raw, at)[0] for name, (kind, at) in places.items()}
    return _Header(raw[16:22].rstrip(b"\0 "), **found)


def _load(path: Path, channel: int | None, zero: int) -> tuple[TimeTags, Facts]:
    raw = regular_file(path).read_bytes()
    if not raw.startswith(_IDENT) or len(raw) < _HEADER:
        raise DataError(f"{path} is not a PT3 file: it has no header of a PicoHarp 300")
    head = _header(raw)
    if head.version != b"2.0" or head.bits != 32:
        raise DataError(
            f"{path} has format version {head.version.decode('latin-1')!r} and {head.bits} bits a record; "
            f"2.0 and 32 are read: {_CONVERT}"
        )
    if head.mode != 3:
        raise DataError(f"{path} has the measurement mode {head.mode}; T3 is 3, and others have no delays")
    tick = 1e-9 * head.resolution
    if not (0 < tick < math.inf and head.sync_rate > 0):
        raise DataError(f"{path}: a resolution of {tick} s at {head.sync_rate} pulses a second is impossible")
    start = _HEADER + 4 * head.image_words
    if head.image_words < 0 or head.records <= 0 or start + 4 * head.records > len(raw):
        raise DataError(
            f"{path} declares {head.records} records behind a header of {start} bytes, but holds {len(raw)} "
            "bytes: it is truncated"
        )
    if head.image_words and struct.unpack_from("<i", raw, _HEADER)[0] != 1:
        raise DataError(f"{path} is an image or a line scan; of PT3 single points are read: {_CONVERT}")
    records = np.frombuffer(raw, "<u4", head.records, start)
    channels, delays = records >> 28, (records >> 16) & 0xFFF  # the low 16 bits count laser pulses
    photons = channels != 15  # 15: an overflow of that count, or a marker
    if not photons.any():
        raise DataError(f"{path} holds no photons")
    channel = chosen_channel(path, channels[photons], channel)
    tags = torch.from_numpy(delays[photons & (channels == channel)].astype(np.int64))
    period = 1 / head.sync_rate
    bins = max(min(round(period / tick), _BINS), int(tags.max()) + 1)
    found = TimeTags.from_pixels(
        pixels=torch.zeros_like(tags),
        tags=tags - zero,
        tick=tick,
        shape=(1, 1),
        start=-zero,
        stop=bins - zero,
    )
    return found, Facts(channel, 1, period, False)
