"""Siemens raw data (twix)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from invcore import DataError, ParameterError
from invcore.io import Acquisition, Reader

from .acquire_readouts import ReadoutOptions, acquire_readouts
from .readouts import CALIBRATION, IMAGING, NOISE, OTHER, PHASE, Readouts
from .twix_blocks import Measurement, Twix, looks_like_twix, number, read_twix

_NOT_IMAGING = (1, 2, 14, 15, 51, 60)  # feedback, phase stabilization, dummies
_PHASE, _CALIBRATION, _BOTH, _REVERSE, _NOISE = 21, 22, 23, 24, 25


class TwixReader(Reader):
    """Siemens raw data, ``meas_….dat``, of the software lines VB, VD, VE and XA.

    Cartesian scans: noise scans whiten the coils, readout oversampling is removed, averages are averaged,
    partial echoes and partial Fourier stay where they were measured, EPI readouts of both directions are
    aligned by their reference lines, separate reference lines of parallel imaging give the coil maps where
    the image lacks its center. The last measurement of a file is read, one slice, echo, phase, repetition
    and set of it. Voxels are those of the protocol's field of view.

    Examples
    --------
    >>> from invcore_mri import TwixReader
    >>> TwixReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(ReadoutOptions):
        """Options of scanners' files (`ReadoutOptions`), where a contrast is an echo, and of this format.

        Parameters
        ----------
        measurement : int, optional
            Measurement of the file, from 0; the last one by default. Noise scans are found in all.
        """

        measurement: int | None = None

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` begins as a twix file does."""
        return looks_like_twix(Path(path))

    def _read(self, path: Path, options: Options) -> Acquisition:
        twix = read_twix(path)
        count = len(twix.measurements)
        which = count - 1 if options.measurement is None else options.measurement
        if isinstance(which, bool) or not isinstance(which, int) or not 0 <= which < count:
            raise ParameterError(f"measurement= is a number from 0 to {count - 1}; got {which!r}")
        return acquire_readouts(_readouts(path, twix, which, options), options)


def _readouts(path: Path, twix: Twix, which: int, options: TwixReader.Options) -> Readouts:
    m = twix.measurements[which]
    if not len(m.heads):
        raise DataError(f"{path}: measurement {which} has no readouts")
    kind = _whole(m, "sKSpace.ucTrajectory", 1)
    if kind != 1 and options.sequence is None:
        raise DataError(
            f"{path}: the trajectory is not Cartesian (sKSpace.ucTrajectory = {kind}) and not in the file. "
            "Name its Pulseq file with sequence=, or give samples and trajectory to "
            "invcore_mri.acquire_nonuniform"
        )
    columns = _columns(m)
    others = [n for i, n in enumerate(twix.measurements) if i != which and len(n.heads)]
    noise = [(n, np.flatnonzero(_columns(n)["role"] == NOISE)) for n in others]
    noise = [(n, rows) for n, rows in noise if len(rows)]
    first = len(m.heads)
    if noise:  # of another measurement: its rows follow those of this one
        other, rows = noise[-1]
        columns = {name: np.concatenate([v, _columns(other)[name][rows]]) for name, v in columns.items()}
    keep = _oversampling(m)
    images = np.flatnonzero(columns["role"][:first] == IMAGING)
    if not len(images):
        raise DataError(f"{path}: measurement {which} has no readouts of an image")
    width = int(np.bincount(columns["samples"][images]).argmax())
    flat = _whole(m, "sKSpace.ucDimension", 2) != 4
    lines, partitions = _whole(m, "sKSpace.lPhaseEncodingLines", 1), _whole(m, "sKSpace.lPartitions", 1)
    fov = [
        _length(m, "dReadoutFOV") / keep,
        _length(m, "dPhaseFOV") * (1 + _number(m, "sKSpace.dPhaseOversamplingForDialog", 0.0)),
        _length(m, "dThickness")
        * (1 + (0 if flat else _number(m, "sKSpace.dSliceOversamplingForDialog", 0.0))),
    ]
    facts = {
        "format": "mri.twix",
        "source": path.name,
        "measurement": which,
        "fov_m": [fov[0] * keep, *fov[1:]],
        "notes": [
            "the directions in the image plane are those of the file's quaternion, never compared with an "
            "image of a scanner: it may be turned by 180 degrees"
        ],
    }
    facts |= {
        name: m.protocol[key]
        for name, key in {"protocol": "tProtocolName", "sequence": "tSequenceFileName"}.items()
        if key in m.protocol
    }

    def fetch(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if rows[0] >= first:
            other, found = noise[-1]
            return twix.samples(other, found[rows - first])
        return twix.samples(m, rows)

    return Readouts(
        columns=columns,
        fetch=fetch,
        trajectory=None,
        matrix=(width, max(1, min(lines, 2**15)), 1 if flat else max(1, min(partitions, 2**15))),
        fov=(fov[0], fov[1], fov[2]),
        keep=1.0 if options.oversampling else keep,
        centers=(columns["middle1"], columns["middle2"]),
        where=str(path),
        placed=lambda row: _placed(m.heads[row]),
        facts=facts,
    )


def _placed(head: np.ndarray[Any, Any]) -> tuple[list[float], list[list[float]]]:
    """Position (millimeters in the file), and directions of readout, phase and slice from the quaternion.

    Its rotation takes phase, readout and slice to the patient's left, posterior and head, which are DICOM's
    axes, as the converter to ISMRMRD has it.
    """
    a, b, c, d = head["quaternion"].astype(float)
    phase = [1 - 2 * (c * c + d * d), 2 * (b * c + a * d), 2 * (b * d - a * c)]
    readout = [2 * (b * c - a * d), 1 - 2 * (b * b + d * d), 2 * (c * d + a * b)]
    normal = [2 * (b * d + a * c), 2 * (c * d - a * b), 1 - 2 * (b * b + c * c)]
    return (1e-3 * head["position"].astype(float)).tolist(), [readout, phase, normal]


def _columns(m: Measurement) -> dict[str, np.ndarray[Any, Any]]:
    heads = m.heads

    def flag(bit: int) -> np.ndarray[Any, Any]:
        return (heads["flags"] >> np.uint64(bit)) & np.uint64(1) != 0

    role = np.full(len(heads), IMAGING)
    role[flag(_CALIBRATION) & ~flag(_BOTH)] = CALIBRATION
    role[flag(_PHASE)] = PHASE
    for bit in _NOT_IMAGING:
        role[flag(bit)] = OTHER
    role[heads["samples"] == 0] = OTHER
    role[flag(_NOISE)] = NOISE
    nanoseconds = _number(m, "sRXSPEC.alDwellTime[0]", 0.0)
    return {
        "role": role,
        "slice": heads["slice"].astype(int),
        "contrast": heads["echo"].astype(int),
        "phase": heads["phase"].astype(int),
        "repetition": heads["repetition"].astype(int),
        "set": heads["set"].astype(int),
        "step1": heads["line"].astype(int),
        "step2": heads["partition"].astype(int),
        "middle1": heads["center_line"].astype(int),
        "middle2": heads["center_partition"].astype(int),
        "samples": heads["samples"].astype(int),
        "channels": heads["channels"].astype(int),
        "center": np.minimum(heads["center"].astype(int), np.maximum(heads["samples"].astype(int) - 1, 0)),
        "reverse": flag(_REVERSE),
        "dwell": np.full(len(heads), 1e-9 * nanoseconds if 0 < nanoseconds < 1e9 else 0.0),
    }


def _oversampling(m: Measurement) -> float:
    """Part of the readout's field of view that the image keeps."""
    factor = number(m.text, "flReadoutOSFactor")
    return 1 / factor if factor is not None and 1 <= factor <= 16 else 0.5


def _number(m: Measurement, name: str, default: float) -> float:
    try:
        value = float(m.protocol.get(name, default))
    except ValueError:
        return default
    return value if math.isfinite(value) else default


def _whole(m: Measurement, name: str, default: int) -> int:
    text = m.protocol.get(name, "")
    try:
        return int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError:
        return default


def _length(m: Measurement, name: str) -> float:
    """A length of the first slice in meters; 0 if it is not there."""
    value = 1e-3 * _number(m, f"sSliceArray.asSlice[0].{name}", 0.0)
    return value if 0 < value < 100 else 0.0
