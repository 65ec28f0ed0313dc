"""Sample files of every format, and the simulated scan, for the conformance kit."""

from __future__ import annotations

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
