"""ISMRMRD (MRD): readouts of any scanner in HDF5, with a header in XML."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from invcore import DataError
from invcore.io import Acquisition, Reader, open_hdf5, own_dataset, own_node, own_text, room_for

from .acquire_readouts import ReadoutOptions, acquire_readouts
from .fastmri import header_geometry, parse_header
from .readouts import CALIBRATION, IMAGING, NOISE, OTHER, PHASE, Readouts

_XML_LIMIT = 4 * 2**20
_READOUTS = 2**22
_BLOCK = 512
_ROLES = {19: NOISE, 20: CALIBRATION, 24: PHASE}
_NOT_IMAGING = (23, 26, 27, 28, 29, 30, 31)  # navigation, feedback, dummies, coil correction, stabilization
_ALSO_IMAGING, _REVERSE = 21, 22
_NEEDED = (
    "flags",
    "number_of_samples",
    "active_channels",
    "discard_pre",
    "discard_post",
    "center_sample",
    "encoding_space_ref",
    "trajectory_dimensions",
    "sample_time_us",
    "position",
    "read_dir",
    "phase_dir",
    "slice_dir",
    "idx",
)


class IsmrmrdReader(Reader):
    """Raw data in the ISMRMRD format (MRD), HDF5 [1]_: any scanner, on a grid or along a trajectory.

    Noise scans whiten the coils, readout oversampling is removed, averages are averaged, partial echoes and
    partial Fourier stay where they were measured, separate calibration lines give the coil maps where the
    center of the image lacks lines, and the phase between both directions of EPI readouts is removed by
    reference lines. One slice, contrast, cardiac phase, repetition and set is read; what is left out is said.

    References
    ----------
    .. [1] S. Inati et al., "ISMRM Raw data format: A proposed standard for MRI raw datasets", Magn. Reson.
       Med. 77 (2017).

    Examples
    --------
    >>> from invcore_mri import IsmrmrdReader
    >>> IsmrmrdReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(ReadoutOptions):
        """Options of scanners' own files, those of `ReadoutOptions`."""

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` is an HDF5 file with a group of ``data`` and ``xml``."""
        try:
            with open_hdf5(path) as file:
                return _group(file) is not None
        except DataError:
            return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        with open_hdf5(path) as file:
            name = _group(file)
            if name is None:
                have = ", ".join(sorted(map(str, file))[:12]) or "nothing"
                raise DataError(
                    f"{path} has no group of 'data' and 'xml', as ISMRMRD files have; it holds {have}"
                )
            return acquire_readouts(_readouts(path, file, name, options), options)


def _group(file: h5py.File) -> str | None:
    """Name of the group that holds readouts and their header."""
    for name in ["dataset", *sorted(map(str, file))]:
        group = own_node(file, name) if file.get(name, getlink=True) is not None else None
        if isinstance(group, h5py.Group) and {"data", "xml"} <= set(map(str, group)):
            return name
    return None


def _readouts(path: Path, file: h5py.File, name: str, options: ReadoutOptions) -> Readouts:
    text = own_text(file, f"{name}/xml", max_bytes=_XML_LIMIT)
    if text is None:
        raise DataError(f"{path}: {name}/xml is not one XML text")
    header = parse_header(text.encode(), str(path))
    table = own_dataset(file, f"{name}/data")
    heads = _heads(path, table)
    assert table is not None
    geometry = header_geometry(header)
    matrix = geometry.get("encoded_matrix_zyx")
    if matrix is None or not all(0 < n < 2**16 for n in matrix):
        raise DataError(f"{path}: the header states no encoded matrix size")
    fov = [1e-3 * mm for mm in geometry.get("encoded_fov_mm_zyx", (0.0, 0.0, 0.0))]
    recon = geometry.get("recon_fov_mm_zyx")
    keep = min(1.0, 1e-3 * recon[2] / fov[2]) if recon and fov[2] > 0 and not options.oversampling else 1.0
    kind = header.get("encoding/trajectory", "cartesian").lower()
    centers = []
    for step, n in (("kspace_encoding_step_1", matrix[1]), ("kspace_encoding_step_2", matrix[0])):
        stated = header.get(f"encoding/encodingLimits/{step}/center", "")
        centers.append(int(stated) if stated.isdigit() else n // 2)
    columns = _columns(heads)
    facts = {"format": "mri.ismrmrd", "source": path.name, "trajectory": kind, **geometry}
    scan = Readouts(
        columns=columns,
        fetch=lambda rows: _samples(path, table, heads, rows),
        trajectory=None,
        matrix=(matrix[2], matrix[1], matrix[0]),
        fov=(fov[2], fov[1], fov[0]),
        keep=keep,
        centers=(centers[0], centers[1]),
        where=str(path),
        placed=lambda row: _placed(heads[row]),
        facts=facts,
    )
    if kind in ("cartesian", "epi") or options.sequence is not None:
        return scan
    if not (heads["trajectory_dimensions"][columns["role"] == IMAGING] >= 2).all():
        raise DataError(
            f"{path}: the header says the trajectory is {kind}, but the readouts have none. Name its "
            "Pulseq file with sequence=, or give samples and trajectory to invcore_mri.acquire_nonuniform"
        )
    return replace(scan, trajectory=lambda rows: _trajectory(path, table, heads, rows))


def _heads(path: Path, table: h5py.Dataset | None) -> np.ndarray[Any, Any]:
    """Heads of all readouts, whose samples the file must hold as they say."""
    names = () if table is None else table.dtype.names or ()
    if table is None or len(table.shape) != 1 or not {"head", "traj", "data"} <= set(names):
        raise DataError(f"{path}: the readouts must be records of head, traj and data")
    lacking = set(_NEEDED) - set(table.dtype["head"].names or ())
    if lacking:
        raise DataError(f"{path}: heads of readouts lack {', '.join(sorted(lacking))}")
    for part in ("traj", "data"):
        if h5py.check_vlen_dtype(table.dtype[part]) != np.dtype("<f4"):
            raise DataError(f"{path}: {part} of a readout must be a list of 32-bit floats")
    if not 0 < len(table) <= _READOUTS:
        raise DataError(f"{path} has {len(table)} readouts; 1 to {_READOUTS} are read")
    room_for(2 * len(table) * table.dtype["head"].itemsize, str(path))
    heads = np.asarray(table.fields("head")[:])
    lengths = _lengths(path, table)
    samples, channels = (heads[n].astype(np.int64) for n in ("number_of_samples", "active_channels"))
    expected = np.stack([samples * heads["trajectory_dimensions"], 2 * samples * channels], -1)
    wrong = np.flatnonzero((lengths != expected).any(-1))
    if len(wrong):
        r = int(wrong[0])
        raise DataError(
            f"{path}: readout {r} has {samples[r]} samples of {channels[r]} coils by its head, which are "
            f"{expected[r, 1]} numbers and {expected[r, 0]} of a trajectory; it holds {lengths[r, 1]} and "
            f"{lengths[r, 0]}"
        )
    if 4 * int(expected.sum()) > path.stat().st_size:
        raise DataError(f"{path} declares {4 * int(expected.sum())} bytes of samples, more than the file has")
    return heads


def _lengths(path: Path, table: h5py.Dataset) -> np.ndarray[Any, Any]:
    """Lengths of traj and data of each readout, from the bytes in the file, before HDF5 allocates them."""
    if table.id.get_create_plist().get_nfilters():
        raise DataError(f"{path}: the readouts are compressed; unpack them with h5repack -f NONE")
    kind = table.id.get_type()
    size = kind.get_size()
    places = [kind.get_member_offset(kind.get_member_index(n)) for n in (b"traj", b"data")]
    record = np.dtype(
        {"names": ["traj", "data"], "formats": ["<u4", "<u4"], "offsets": places, "itemsize": size}
    )
    found = np.zeros((len(table), 2), np.int64)
    if table.chunks is None:
        raise DataError(f"{path}: the readouts are not stored in chunks, as ISMRMRD does; repack them")
    rows = table.chunks[0]
    for first in range(0, len(table), rows):
        _, raw = table.id.read_direct_chunk((first,))
        part = np.frombuffer(raw, record, count=min(rows, len(raw) // size))[: len(table) - first]
        found[first : first + len(part), 0], found[first : first + len(part), 1] = part["traj"], part["data"]
    return found


def _columns(heads: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    flags = heads["flags"]

    def flag(number: int) -> np.ndarray[Any, Any]:
        return (flags >> np.uint64(number - 1)) & np.uint64(1) != 0

    role = np.full(len(heads), IMAGING)
    for number in _NOT_IMAGING:
        role[flag(number)] = OTHER
    for number, kind in _ROLES.items():
        role[flag(number) & (role == IMAGING)] = kind
    role[flag(_ALSO_IMAGING)] = IMAGING
    role[heads["encoding_space_ref"] != 0] = OTHER
    role[flag(19)] = NOISE
    index, pre, post = heads["idx"], heads["discard_pre"].astype(int), heads["discard_post"].astype(int)
    samples = heads["number_of_samples"].astype(int)
    used = np.maximum(samples - pre - post, 0)
    role[(used < 1) | (heads["active_channels"] < 1)] = OTHER
    dwell = heads["sample_time_us"].astype(np.float64)
    return {
        "role": role,
        **{name: index[name].astype(int) for name in ("slice", "contrast", "phase", "repetition", "set")},
        "step1": index["kspace_encode_step_1"].astype(int),
        "step2": index["kspace_encode_step_2"].astype(int),
        "samples": used,
        "channels": heads["active_channels"].astype(int),
        "center": np.clip(heads["center_sample"].astype(int) - pre, 0, np.maximum(used - 1, 0)),
        "reverse": flag(_REVERSE),
        "dwell": np.where(np.isfinite(dwell) & (dwell > 0), 1e-6 * dwell, 0.0),
    }


def _placed(head: np.ndarray[Any, Any]) -> tuple[list[float], list[list[float]]]:
    """Position (millimeters in the file) and directions, in DICOM's coordinates as ISMRMRD has them."""
    axes = [head[name].astype(float).tolist() for name in ("read_dir", "phase_dir", "slice_dir")]
    return (1e-3 * head["position"].astype(float)).tolist(), axes


def _lists(table: h5py.Dataset, part: str, rows: np.ndarray[Any, Any]) -> Any:
    """The lists of numbers of some readouts, a block of the file at a time."""
    for first in range(0, len(table), _BLOCK):
        wanted = rows[(rows >= first) & (rows < first + _BLOCK)]
        if len(wanted):
            start, stop = int(wanted.min()), int(wanted.max()) + 1
            held = table.fields(part)[start:stop]
            yield from (held[r - start] for r in wanted)


def _samples(
    path: Path, table: h5py.Dataset, heads: np.ndarray[Any, Any], rows: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    first = heads[rows[0]]
    shape = (int(first["active_channels"]), int(first["number_of_samples"]))
    out = np.empty((len(rows), *shape), np.complex64)
    order = np.argsort(rows, kind="stable")
    for at, values in zip(order, _lists(table, "data", rows[order])):
        if len(values) != 2 * shape[0] * shape[1]:
            raise DataError(f"{path}: readout {rows[at]} holds {len(values)} numbers for {shape} samples")
        out[at] = np.asarray(values, np.float32).view(np.complex64).reshape(shape)
    if (heads["discard_pre"][rows] != first["discard_pre"]).any():
        raise DataError(f"{path}: readouts of one length discard different numbers of samples")
    return out[..., int(first["discard_pre"]) : shape[1] - int(first["discard_post"])]


def _trajectory(
    path: Path, table: h5py.Dataset, heads: np.ndarray[Any, Any], rows: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    first = heads[rows[0]]
    shape = (int(first["number_of_samples"]), int(first["trajectory_dimensions"]))
    out = np.empty((len(rows), *shape), np.float32)
    order = np.argsort(rows, kind="stable")
    for at, values in zip(order, _lists(table, "traj", rows[order])):
        if len(values) != shape[0] * shape[1]:
            raise DataError(
                f"{path}: readout {rows[at]} has a trajectory of {len(values)} numbers, not {shape}"
            )
        out[at] = np.asarray(values).reshape(shape)
    return out[:, int(first["discard_pre"]) : shape[0] - int(first["discard_post"])]
