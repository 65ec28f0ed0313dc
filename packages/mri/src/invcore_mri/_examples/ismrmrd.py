"""Files in the layout of ISMRMRD, written by h5py, for the conformance kit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from invcore.io import write_hdf5

from .._phantom.scan import simulate
from .._sampling.fft import centered_fft, centered_ifft
from .._sampling.nonuniform import NUFFTSense
from .._sampling.trajectories import radial

_HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<encoding>
<encodedSpace><matrixSize><x>{nx}</x><y>{ny}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{fx}</x><y>240</y><z>5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{rx}</x><y>{ny}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>240</x><y>240</y><z>5</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{center}</center>
</kspace_encoding_step_1></encodingLimits>
<trajectory>{kind}</trajectory>
</encoding>
</ismrmrdHeader>
"""
_INDEX = np.dtype(
    [
        *((name, "<u2") for name in ("kspace_encode_step_1", "kspace_encode_step_2", "average", "slice")),
        *((name, "<u2") for name in ("contrast", "phase", "repetition", "set", "segment")),
        ("user", "<u2", (8,)),
    ]
)
_HEAD = np.dtype(
    [
        ("version", "<u2"),
        ("flags", "<u8"),
        *((name, "<u4") for name in ("measurement_uid", "scan_counter", "acquisition_time_stamp")),
        ("physiology_time_stamp", "<u4", (3,)),
        *((name, "<u2") for name in ("number_of_samples", "available_channels", "active_channels")),
        ("channel_mask", "<u8", (16,)),
        *((name, "<u2") for name in ("discard_pre", "discard_post", "center_sample")),
        *((name, "<u2") for name in ("encoding_space_ref", "trajectory_dimensions")),
        ("sample_time_us", "<f4"),
        *((name, "<f4", (3,)) for name in ("position", "read_dir", "phase_dir", "slice_dir")),
        ("patient_table_position", "<f4", (3,)),
        ("idx", _INDEX),
        ("user_int", "<i4", (8,)),
        ("user_float", "<f4", (8,)),
    ]
)
_FLOATS = h5py.vlen_dtype(np.dtype("<f4"))
_RECORD = np.dtype([("head", _HEAD), ("traj", _FLOATS), ("data", _FLOATS)])


def _record(samples: Tensor, k: Tensor | None = None, *, flag: int = 0, line: int = 0) -> Any:
    """One readout (coil, sample), as a record."""
    record = np.zeros(1, _RECORD)
    head = record["head"]
    head["version"], head["flags"] = 1, 1 << (flag - 1) if flag else 0
    head["active_channels"], head["number_of_samples"] = samples.shape
    head["available_channels"], head["center_sample"] = len(samples), samples.shape[1] // 2
    head["trajectory_dimensions"] = 0 if k is None else k.shape[-1]
    head["sample_time_us"] = 5.0
    head["read_dir"], head["phase_dir"], head["slice_dir"] = np.eye(3)
    head["idx"]["kspace_encode_step_1"] = line
    record["traj"][0] = np.zeros(0, np.float32) if k is None else k.numpy().ravel()
    record["data"][0] = torch.view_as_real(samples.contiguous()).numpy().ravel()
    return record[0]


def _write(path: Path, header: str, records: list[Any]) -> Path:
    def fill(file: h5py.File) -> None:
        file.create_dataset("dataset/xml", data=[header.encode()], dtype=h5py.special_dtype(vlen=bytes))
        table = file.create_dataset("dataset/data", (len(records),), _RECORD, maxshape=(None,), chunks=(1,))
        for i, record in enumerate(records):
            table[i] = record

    write_hdf5(path, fill)
    return path


def _noise(coils: int, generator: torch.Generator) -> Any:
    noise = torch.randn(coils, 128, dtype=torch.complex64, generator=generator)
    return _record(0.02 * 2**0.5 * noise, flag=19)


def ismrmrd() -> dict[str, Callable[[Path], Path]]:
    """Return functions that write files into a folder: lines with twofold oversampling, spokes."""

    def lines(folder: Path) -> Path:
        generator = torch.Generator().manual_seed(0)
        kspace = simulate((32, 28), coils=4, sigma=0.02, generator=generator).kspace
        image = torch.nn.functional.pad(centered_ifft(kspace.mT.contiguous(), 1), (16, 16))
        wide = centered_fft(image, 1)  # (coil, line, sample)
        records = [_noise(4, generator), *(_record(wide[:, j], line=j) for j in range(28))]
        facts = {"nx": 64, "rx": 32, "fx": 480, "ny": 28, "last": 27, "center": 14, "kind": "cartesian"}
        return _write(folder / "lines.h5", _HEADER.format(**facts), records)

    def spokes(folder: Path) -> Path:
        generator = torch.Generator().manual_seed(0)
        scan, k = simulate((32, 32), coils=4, generator=generator), radial(24, 32, 32)
        y = NUFFTSense(scan.maps, k.reshape(-1, 2), method="direct")(scan.image).reshape(4, 24, 32)
        y = y + 0.02 * torch.randn(y.shape, dtype=y.dtype, generator=generator)
        records = [_noise(4, generator), *(_record(y[:, j], k[j] / 32, line=j) for j in range(24))]
        facts = {"nx": 32, "rx": 32, "fx": 240, "ny": 32, "last": 31, "center": 16, "kind": "radial"}
        return _write(folder / "spokes.mrd", _HEADER.format(**facts), records)

    return {"lines": lines, "spokes": spokes}
