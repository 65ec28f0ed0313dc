"""Files in the layout of Siemens raw data, for the conformance kit."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore.io import atomic_path

from .._io.twix_blocks import ACQEND, NEW, OLD
from .._phantom.scan import simulate
from .._sampling.fft import centered_fft, centered_ifft

_PROTOCOL = """### ASCCONV BEGIN ###
sKSpace.lBaseResolution = 32
sKSpace.lPhaseEncodingLines = 28
sKSpace.lPartitions = 1
sKSpace.ucDimension = 2
sKSpace.ucTrajectory = 1
sRXSPEC.alDwellTime[0] = 5000
sSliceArray.asSlice[0].dThickness = 5.0
sSliceArray.asSlice[0].dPhaseFOV = 210.0
sSliceArray.asSlice[0].dReadoutFOV = 240.0
### ASCCONV END ###
"""
_NOISE = 1 << 25


def _head(kind: np.dtype[Any], flags: int, samples: int, channels: int, line: int) -> np.ndarray[Any, Any]:
    head = np.zeros((), kind)
    head["flags"], head["samples"], head["channels"] = flags, samples, channels
    head["line"], head["center"], head["center_line"] = line, samples // 2, 14
    head["quaternion"] = (1, 0, 0, 0)
    block = channels * (8 * samples + (32 if kind == NEW else 128)) + (192 if kind == NEW else 0)
    head["length"] = max(block, kind.itemsize)
    return head


def _block(kind: np.dtype[Any], samples: Tensor, flags: int = 0, line: int = 0) -> bytes:
    """One readout (channel, sample)."""
    head = _head(kind, flags, samples.shape[1], len(samples), line).tobytes()
    rows = [torch.view_as_real(row.contiguous()).numpy().astype("<f4").tobytes() for row in samples]
    if kind == NEW:
        return head + b"".join(bytes(32) + row for row in rows)
    return b"".join(head + row for row in rows)


def _measurement(kind: np.dtype[Any]) -> bytes:
    generator = torch.Generator().manual_seed(0)
    kspace = simulate((32, 28), coils=4, sigma=0.02, generator=generator).kspace
    image = torch.nn.functional.pad(centered_ifft(kspace.mT.contiguous(), 1), (16, 16))
    wide = centered_fft(image, 1)  # (coil, line, sample)
    noise = 0.02 * 2**0.5 * torch.randn(4, 128, dtype=torch.complex64, generator=generator)
    texts = {
        "Config": '<ParamDouble."flReadoutOSFactor"> { <Precision> 6  2.0 }',
        "MeasYaps": _PROTOCOL.ljust(12000),
    }
    buffers = b"".join(k.encode() + b"\0" + struct.pack("<I", len(v)) + v.encode() for k, v in texts.items())
    header = struct.pack("<II", 8 + len(buffers), len(texts)) + buffers
    blocks = [_block(kind, noise, _NOISE)] + [_block(kind, wide[:, j], line=j) for j in range(28)]
    return header + b"".join(blocks) + _head(kind, ACQEND, 0, 0, 0).tobytes()


def twix() -> dict[str, Callable[[Path], Path]]:
    """Return functions that write files into a folder: the layout of VD to XA, and that of VB."""

    def newer(folder: Path) -> Path:
        body, begin = _measurement(NEW), 10240
        entry = struct.pack("<IIQQ64s64s", 1, 1, begin, len(body), b"", b"lines")
        return _written(folder / "meas_vd.dat", (struct.pack("<II", 0, 1) + entry).ljust(begin, b"\0") + body)

    def older(folder: Path) -> Path:
        return _written(folder / "meas_vb.dat", _measurement(OLD))

    return {"VD": newer, "VB": older}


def _written(path: Path, content: bytes) -> Path:
    with atomic_path(path) as partial:
        partial.write_bytes(content)
    return path
