"""PTU files of PicoQuant's photon timers."""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from invcore import DataError, MissingDependencyError, ParameterError
from invcore.io import Acquisition, NearMiss, Reader, damage, regular_file

from .._photons.impulse_fit import estimate_width
from .._photons.tags import TimeTags
from .acquire import TagOptions, acquire

_MAGIC = b"PQTTTR\x00\x00"
_ENTRIES = 2**26  # largest histogram of a block of rows
_ROW = 2**28  # largest histogram of a row of pixels; smaller images are never too sparse
_SPARSE = 2**17  # largest number of histogram entries per record
_PIXELS = 2**24
_TAGS = 10_000


class PtuReader(Reader):
    """PTU files of PicoQuant's photon timers in T3 mode: images with markers, or a single point.

    Frames are summed. A photon's tag is its delay after the laser pulse in steps of the timer's resolution.
    Delays between trigger and pulse, and in the cables, are included: subtract them with ``zero``.

    Notes
    -----
    The photons of a pixel are sorted by delay; their order in the file is lost. The package ``ptufile``
    decodes the records.

    References
    ----------
    C. Gohlke, "ptufile: read and write PicoQuant PTU and related files" (2023-), doi:10.5281/zenodo.10120021.
    PicoQuant, "Unified TTTR file format".

    Examples
    --------
    >>> PtuReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(TagOptions):
        """Options of every file of time tags (`TagOptions`) and those of this format.

        By default the width of the impulse response is estimated from pairs of photons (`estimate_width`).

        Parameters
        ----------
        channel : int, optional
            Detector channel, required if several have photons.
        frame : int, optional
            Frame to read; the sum of all frames by default.
        zero : int
            Tick at which the laser pulse leaves.
        """

        channel: int | None = None
        frame: int | None = None
        zero: int = 0

    def sniff(self, path: str | Path) -> bool | NearMiss:
        """Return whether ``path`` begins as PTU files do."""
        path = Path(path)
        try:
            if not path.is_file():
                return False
            with path.open("rb") as file:
                head = file.read(16)
            if head.startswith((b"PQHISTO", b"PicoHarp", b"TimeHarp", b"HydraHarp")):
                return NearMiss(
                    "a PicoQuant file, but of histograms or of an older kind than PTU: save it as .ptu, "
                    "with the times of the photons."
                )
            return head[:8] == _MAGIC
        except OSError:
            return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        return acquire_photons(path, *_load_tags(path, options), options, "lidar.ptu")


class Facts(NamedTuple):
    channel: int
    frames: int
    pulse_period_s: float
    scanned: bool


def acquire_photons(
    path: Path, tags: TimeTags, facts: Facts, options: TagOptions, format: str
) -> Acquisition:
    """Return the measurement of a timer, with the impulse response of the options or seen in the photons."""
    tags, fwhm = options.select(tags), options.fwhm
    if fwhm is None:
        try:
            fwhm = estimate_width(tags)
        except DataError as error:
            raise DataError(
                f"{path}: the impulse response cannot be seen in the photons, give fwhm= in seconds: {error}"
            ) from error
    return acquire(
        tags,
        options,
        fwhm=fwhm,
        decay=options.decay,
        pitch=options.pitch,
        metadata={
            "format": format,
            "source": path.name,
            "impulse_response_from": "pairs of photons" if options.fwhm is None else "option",
            **facts._asdict(),
        },
    )


def read_ptu(
    path: str | os.PathLike[str], *, channel: int | None = None, frame: int | None = None, zero: int = 0
) -> TimeTags:
    """Read the time tags of a PTU file.

    Parameters
    ----------
    path : path
    channel, frame, zero
        As for the reader ``lidar.ptu``.

    Returns
    -------
    TimeTags
        One pixel if the file is not an image.

    Raises
    ------
    DataError
        If the file is damaged, or of a mode without delays (T2).
    MissingDependencyError
        If ``ptufile`` is not installed.

    Examples
    --------
    >>> read_ptu("none.ptu")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: no file none.ptu
    """
    return _load_tags(Path(path), PtuReader.Options(channel=channel, frame=frame, zero=zero))[0]


def _load_tags(path: Path, options: PtuReader.Options) -> tuple[TimeTags, Facts]:
    _check_tags(path)
    try:
        import ptufile
    except ImportError as error:
        raise MissingDependencyError(
            f'reading {path.name} needs ptufile: pip install "invcore-lidar[io]"'
        ) from error
    with damage(path, "a PTU file", "ptufile", "_ptufile"), ptufile.PtuFile(str(path)) as held:
        return _decoded(held, path, options)


def _check_tags(path: Path) -> None:
    """Walk the tags of the header: each lies in the file, and they end."""
    with regular_file(path).open("rb") as file:
        if file.read(16)[:8] != _MAGIC:
            raise DataError(f"{path} is not a PTU file (it does not begin with 'PQTTTR')")
        left = path.stat().st_size - 16
        for _ in range(_TAGS):
            tag = file.read(48)
            if len(tag) < 48:
                raise DataError(f"{path}: the header has no end: it is truncated or damaged")
            name, kind, length = struct.unpack("<32s4xIq", tag)
            left -= 48
            if name.startswith(b"Header_End"):
                return
            if kind & 0xFFFF == 0xFFFF:  # text or numbers behind the tag
                left -= length
                if length < 0 or left < 0:
                    told = name.partition(b"\x00")[0].decode("latin-1")
                    raise DataError(f"{path}: {told} declares {length} bytes: it is truncated or damaged")
                file.seek(length, os.SEEK_CUR)
    raise DataError(f"{path} has more than {_TAGS} tags: it is damaged")


def _decoded(held: Any, path: Path, options: PtuReader.Options) -> tuple[TimeTags, Facts]:
    channel, frame, zero = options.channel, options.frame, options.zero
    if not held.is_t3:
        raise DataError(
            f"{path} is in T2 mode: it has the times of photons, but not their delays after laser pulses; "
            "record in T3 mode"
        )
    size = path.stat().st_size - held.record_offset
    if held.number_records <= 0 or held.number_records * 4 > size:
        raise DataError(
            f"{path} declares {held.number_records} records of 4 bytes, but holds {max(size, 0)} bytes of "
            "them: it is truncated"
        )
    tick, period = held.tcspc_resolution, held.global_resolution
    if not (0 < tick < math.inf and 0 < period < math.inf) or not tick <= period < 2**31 * tick:
        raise DataError(f"{path}: a resolution of {tick} s in a pulse period of {period} s is impossible")
    for name in ("LineStart", "LineStop", "Frame"):
        marker = held.tags.get(f"ImgHdr_{name}", 0)
        if not (isinstance(marker, int) and 0 <= marker <= 32):
            raise DataError(f"{path}: ImgHdr_{name} must be the number of a marker, got {marker!r}")
    if held.measurement_ndim == 2:
        raise DataError(f"{path} is a line scan; images and single points are read")
    records = held.read_records()
    events = held.decode_records(records)
    photons = (events["channel"] >= 0) & (events["dtime"] >= 0)
    if not photons.any():
        raise DataError(f"{path} holds no photons")
    channel = chosen_channel(path, events["channel"][photons], channel)
    delays = events["dtime"][photons & (events["channel"] == channel)]
    bins = max(round(period / tick), int(delays.max()) + 1)  # some timers record slightly more than a period
    if not held.is_image:
        if frame is not None:
            raise ParameterError(f"{path} is not an image: it has no frames")
        pixels = torch.zeros(len(delays), dtype=torch.int64)
        tags, shape, frames, pulses = torch.from_numpy(delays.astype(np.int64)), (1, 1), 1, None
    else:
        del events, photons
        shape, frames = _shape(held, path)
        pixels, tags = _image(held, path, records, channel, frame, shape, frames, int(delays.max()) + 1)
        if not 0 <= held.global_pixel_time < 2**53:
            raise DataError(f"{path}: {held.global_pixel_time} pulses in a pixel are impossible")
        pulses = round(held.global_pixel_time) * (frames if frame is None else 1) or None
        frames = frames if frame is None else 1
    found = TimeTags.from_pixels(
        pixels=pixels, tags=tags - zero, tick=tick, shape=shape, start=-zero, stop=bins - zero, pulses=pulses
    )
    return found, Facts(channel, frames, period, bool(held.is_image))


def chosen_channel(path: Path, channels: np.ndarray, wanted: int | None) -> int:
    """Return the channel to read: the one with photons, or the wanted one."""
    active = sorted(int(c) for c in np.unique(channels))
    if wanted is None and len(active) > 1:
        raise ParameterError(f"{path} has photons in the channels {active}: give channel=")
    if wanted is not None and wanted not in active:
        raise ParameterError(f"{path} has no photons in channel {wanted!r}, but in {active}")
    return active[0] if wanted is None else wanted


def _shape(held: Any, path: Path) -> tuple[tuple[int, int], int]:
    """Return the pixels and frames of an image, checked before anything of that size is allocated."""
    ny, nx = (held.tags.get(f"ImgHdr_Pix{axis}", 0) for axis in "YX")
    if not (isinstance(ny, int) and isinstance(nx, int)):
        raise DataError(
            f"{path}: ImgHdr_PixX and ImgHdr_PixY must be numbers of pixels, got {nx!r} and {ny!r}"
        )
    if not (ny > 0 and nx > 0 and ny * nx <= _PIXELS):
        raise DataError(f"{path} declares images of {ny} x {nx} pixels; up to {_PIXELS} pixels are read")
    if nx > held.number_records * 64 or ny > held.number_records:
        raise DataError(
            f"{path} declares images of {ny} x {nx} pixels, but has {held.number_records} records: it is "
            "damaged"
        )
    dims = dict(zip(held.dims, held.shape))
    if not {"Y", "X", "C", "H"} <= set(dims):
        raise DataError(f"{path} holds {held.dims}, not images of rows and columns")
    return (dims["Y"], dims["X"]), int(dims.get("T", 1))


def _image(
    held: Any,
    path: Path,
    records: Any,
    channel: int,
    frame: int | None,
    shape: tuple[int, int],
    frames: int,
    bins: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pixel and delay of every photon within the image."""
    if frame is not None and not 0 <= frame < frames:
        raise ParameterError(f"{path} has the frames 0 ... {frames - 1}, not {frame!r}")
    ny, nx = shape
    entries = ny * nx * bins
    if nx * bins > _ROW or entries > max(_ROW, held.number_records * _SPARSE):
        raise DataError(
            f"{path} declares images of {ny} x {nx} pixels and has delays up to {bins} ticks, "
            f"but {held.number_records} records: it is damaged, or too sparse to decode"
        )
    rows = max(1, _ENTRIES // (nx * bins))
    place = channel - min(held.active_channels)  # the channel axis of the decoder begins there
    pixels: list[np.ndarray] = []
    delays: list[np.ndarray] = []
    for top in range(0, ny, rows):
        block = held.decode_image(
            (slice(None), slice(top, min(top + rows, ny))),
            records=records,
            dtype=np.uint32,
            frame=-1 if frame is None else frame,
            channel=place,
            dtime=bins,
        )
        counts = np.asarray(block).reshape(-1, block.shape[-1])
        where, delay = np.nonzero(counts)
        times = counts[where, delay]
        pixels.append(np.repeat(where, times) + top * nx)
        delays.append(np.repeat(delay, times))
    return (
        torch.from_numpy(np.concatenate(pixels).astype(np.int64)),
        torch.from_numpy(np.concatenate(delays).astype(np.int64)),
    )
