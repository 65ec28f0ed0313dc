"""Sample files of every format, and the simulated scan, for the conformance kit."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from scipy.io import savemat

from invcore.io import write_hdf5

from .._demo import StillLifeScan
from .._io.mat import cell_array, write_mat
from .._photons import scene
from .._photons.impulse import ImpulseResponse
from .._photons.tags import TimeTags

Writers = dict[str, Callable[[Path], Path]]


def mat() -> Writers:
    """Return functions that write MATLAB files: with all facts, as published by Li et al., version 7.3."""

    def whole(folder: Path) -> Path:
        return write_mat(folder / "tags.mat", _tags(), fwhm=600e-12, pitch=1e-3)

    def gated(folder: Path) -> Path:
        held = {"Ts_gated": cell_array(_tags(), np.int32), "SBR": 0.5, "meanSigDetect": 4.0}
        savemat(folder / "gated.mat", held, do_compression=True)
        return folder / "gated.mat"

    def version_73(folder: Path) -> Path:
        return write_73(folder / "tags73.mat", _tags())

    return {"said": whole, "known name": gated, "version 7.3": version_73}


def ptu() -> Writers:
    """Return functions that write PTU files: an image, and two frames of it."""

    def one(folder: Path) -> Path:
        return write_ptu(folder / "scan.ptu", frames=1)

    def two(folder: Path) -> Path:
        return write_ptu(folder / "scan2.ptu", frames=2)

    return {"image": one, "two frames": two}


def pt3() -> Writers:
    """Return functions that write PT3 files: a point, and one with a router."""
    g = np.random.default_rng(0)
    delays = np.concatenate([g.normal(900, 40, 400), g.uniform(0, 4096, 300)]).astype(np.uint32) % 4096
    g.shuffle(delays)

    def point(folder: Path) -> Path:
        return write_pt3(folder / "point.pt3", _t3_records(delays, np.ones_like(delays)))

    def wide(folder: Path) -> Path:
        return write_pt3(folder / "wide.pt3", _t3_records(delays, np.full_like(delays, 3)), image=(1, 0))

    return {"point": point, "channel 3": wide}


def still_life() -> dict[str, object]:
    """Return a small simulated scan."""
    return {"tiny": StillLifeScan(shape=(16, 20), full_photons=50.0)}


def write_ptu(path: Path, *, frames: int, channels: int = 1) -> Path:
    """Write the photons of a small scene as a T3 image with line and frame markers."""
    import ptufile  # of the extra io

    tags = _tags(start=0.0)
    counts = tags.histogram().counts.permute(1, 2, 0).numpy().astype(np.uint16)
    stack = np.zeros((frames, *counts.shape[:2], channels, counts.shape[2]), np.uint16)
    for t in range(frames):
        for c in range(channels):
            stack[t, :, :, c] = np.roll(counts, (t, c), (0, 1))
    with ptufile.PtuWriter(
        path,
        stack.shape,
        global_resolution=8000 * tags.tick,
        tcspc_resolution=tags.tick,
        pixel_time=1000 * 8000 * tags.tick,
        record_type=ptufile.PtuRecordType.GenericT3,
    ) as file:
        file.write(stack)
    return path


def _t3_records(delays: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Return a photon every 300 pulses, with the overflows of their count between."""
    pulses = 300 * np.arange(len(delays), dtype=np.uint32)
    photons = channels << 28 | delays << 16 | pulses & 0xFFFF
    return np.insert(photons, np.flatnonzero(np.diff(pulses >> 16)) + 1, 15 << 28)


def write_pt3(path: Path, records: np.ndarray, *, mode: int = 3, image: tuple[int, ...] = ()) -> Path:
    """Write a header field by field, as PicoQuant's manual lists them, and records of 32 bits."""

    def ints(*values: int) -> bytes:
        return struct.pack(f"<{len(values)}i", *values)

    raw = b"PicoHarp 300".ljust(16, b"\0") + b"2.0".ljust(6, b"\0")
    raw += bytes(18 + 12 + 18) + b"\r\n" + bytes(256)  # creator, its version, time; comment
    raw += ints(0, 32, 4, 1, 0, mode)  # curves, bits, routing channels, boards, curve, mode
    raw += ints(*[0] * 12) + bytes(8 * 8 + 3 * 12)  # acquisition, display
    raw += bytes(4 * 4 + 20)  # repeats, script
    raw += bytes(16 + 8) + ints(*[0] * 6) + struct.pack("<f", 0.016)  # board; resolution in ns
    raw += ints(0, 1) + bytes(4 * 24)  # router
    raw += ints(0, 0, 0, 10_000_000, 0, 0, 0, len(records), len(image), *image)  # rates, reason, lengths
    path.write_bytes(raw + records.astype("<u4").tobytes())
    return path


def write_73(path: Path, tags: TimeTags) -> Path:
    """Write a file like ``save -v7.3``: references to transposed datasets, after 512 bytes of text."""

    def fill(file: h5py.File) -> None:
        ny, nx = tags.shape
        held = file.create_dataset("photon_times", (nx, ny), dtype=h5py.ref_dtype)
        held.attrs["MATLAB_class"] = np.bytes_("cell")
        edges = tags.indptr.tolist()
        for p in range(ny * nx):
            part = tags.tags[edges[p] : edges[p + 1]].numpy().astype(np.uint16)[None]
            cell = file.create_dataset(f"#refs#/c{p}", data=part if part.size else np.zeros(2, np.uint64))
            cell.attrs["MATLAB_class"] = np.bytes_("uint16")
            if not part.size:
                cell.attrs["MATLAB_empty"] = np.uint8(1)
            held[p % nx, p // nx] = cell.ref
        file["tick_s"] = np.array([[tags.tick]])
        file["gate_ticks"] = np.array([[float(tags.start)], [float(tags.stop)]])
        file["fwhm_s"] = np.array([[600e-12]])

    header = b"MATLAB 7.3 MAT-file".ljust(116, b" ") + bytes(8) + b"\x00\x02IM"
    write_hdf5(path, fill, userblock=header.ljust(512, b"\0"))
    return path


def _tags(start: float | None = None) -> TimeTags:

    return scene.simulate_tags(
        *scene.still_life((9, 7)),
        impulse=ImpulseResponse.gaussian(fwhm=600e-12),
        photons=4.0,
        signal_to_background=1.0,
        tick=4e-12,
        gate=None if start is None else (start, 8000 * 4e-12),
        generator=torch.Generator().manual_seed(0),
    )
