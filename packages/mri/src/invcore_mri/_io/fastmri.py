"""fastMRI files: HDF5 with k-space, an ISMRMRD header in XML, and often a reference image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

import h5py
import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import Acquisition, Reader, open_hdf5, own_dataset, own_text, own_values, write_hdf5

from .acquire import ScanOptions, root_sum_of_squares
from .cfl import acquire_scan
from .mat_variables import begins_as_matlab
from .records import complex_values, record_parts

_XML_LIMIT = 4 * 2**20  # bytes of header text
_XML_DEPTH = 32
_MARKS = ("kspace", "ismrmrd_header", "reconstruction_rss", "reconstruction_esc")


class FastMRIReader(Reader):
    """fastMRI files: HDF5 with a dataset ``kspace`` of shape ``(slice, coil, y, x)``, y being the readout.

    K-space is kept as measured, with its readout oversampling; ``metadata["crop"]`` is the size to which
    fastMRI crops its images. A stored reference image is mentioned in ``metadata["reference"]``;
    :func:`read_fastmri` reads it. See :func:`acquire` for what becomes of the samples.

    Examples
    --------
    >>> from invcore_mri import FastMRIReader
    >>> FastMRIReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(ScanOptions):
        """Options of every scan (`ScanOptions`) and those of this format.

        Parameters
        ----------
        slice : int, "all" or None
            Slice to read; ``None`` takes the middle one, ``"all"`` makes a batch of them.
        """

        slice: int | str | None = None

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` is an HDF5 file with one of fastMRI's datasets, and not MATLAB's."""
        if begins_as_matlab(Path(path)):
            return False
        try:
            with open_hdf5(path) as file:
                return any(file.get(name, getlink=True) is not None for name in _MARKS)
        except DataError:
            return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        data = read_fastmri(path, slice=options.slice)
        facts = header_geometry(data.header)
        recon = facts.get("recon_matrix_zyx")
        extra: dict[str, Any] = {
            "format": "mri.fastmri",
            "source": path.name,
            "slices": list(data.slices),
            "slice_count": data.count,
            "axes": ["readout", "phase 1"],
            **facts,
        }
        if extent := facts.get("encoded_fov_mm_zyx"):  # samples of k-space are 1/extent apart, padded or not
            rows, columns = data.kspace.shape[-2:]
            extra["voxel_m"] = [1e-3 * extent[2] / rows, 1e-3 * extent[1] / columns]
        if data.reference is not None:
            extra["reference"] = "reconstruction_rss"
            extra["crop"] = list(data.reference.shape[-2:])
        elif recon:
            extra["crop"] = [recon[2], recon[1]]
        used = f"{len(data.slices)} of {data.count} slices used; slice= chooses, slice=all takes all of them"
        left_out = (used,) if len(data.slices) < data.count else ()
        return acquire_scan(data.kspace, (0, 1), options, mask=data.mask, metadata=extra, left_out=left_out)

    def _reference(self, path: Path, options: Options) -> Tensor:
        """Return the root-sum-of-squares image of a fully sampled scan, ``(1, y, x)`` per slice."""
        return root_sum_of_squares(read_fastmri(path, slice=options.slice).kspace)


@dataclass(frozen=True, kw_only=True)
class FastMRIData:
    """Contents of a fastMRI file for the chosen slices.

    Attributes
    ----------
    kspace : Tensor
        complex64, shape ``(coil, y, x)`` for one slice or ``(slice, coil, y, x)`` for all; y is the readout.
    mask : Tensor or None
        Float, shape ``(1, x)`` or ``(y, x)``: the file's own sampling mask, if it has one.
    reference : Tensor or None
        Float, shape ``(y, x)`` or ``(slice, y, x)``: the file's reference image, cropped as fastMRI does.
    slices : tuple of int
        Indices of the slices.
    count : int
        Number of slices in the file.
    header : dict of str to str
        Leaves of the ISMRMRD header by path, such as ``"encoding/encodedSpace/matrixSize/x"``; the first one
        of a repeated path.
    """

    kspace: Tensor
    mask: Tensor | None
    reference: Tensor | None
    slices: tuple[int, ...]
    count: int
    header: dict[str, str] = field(default_factory=dict)


def read_fastmri(path: str | Path, *, slice: int | str | None = None) -> FastMRIData:
    """Read slices of a fastMRI file.

    Parameters
    ----------
    path : str or Path
        The ``.h5`` file.
    slice : int, "all" or None
        Slice to read; negative numbers count from the end, ``None`` takes the middle one.

    Returns
    -------
    FastMRIData
        K-space, mask, reference and header.

    Raises
    ------
    DataError
        If the file is not fastMRI: no HDF5, no ``kspace`` dataset, wrong type or rank, less stored than
        declared, a header that is not plain XML or not Cartesian, a mask or reference that does not fit.
    ParameterError
        If there is no such slice.

    Examples
    --------
    >>> import tempfile
    >>> import torch
    >>> from pathlib import Path
    >>> from invcore_mri import read_fastmri, write_fastmri
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_fastmri(Path(folder) / "scan.h5", torch.ones(3, 4, 16, 12, dtype=torch.complex64))
    ...     data = read_fastmri(Path(folder) / "scan.h5", slice=0)
    >>> data.kspace.shape, data.count, data.slices
    (torch.Size([4, 16, 12]), 3, (0,))
    """
    path = Path(path)
    with open_hdf5(path) as file:
        return _read(file, path, slice)


def _read(file: h5py.File, path: Path, which: int | str | None) -> FastMRIData:
    kspace = own_dataset(file, "kspace")
    if kspace is None:
        have = ", ".join(sorted(map(str, file))[:12]) or "nothing"
        raise DataError(f"{path} has no array 'kspace': this is not a fastMRI file (it holds {have})")
    shape = tuple(kspace.shape)
    pairs = kspace.dtype.kind == "f" and len(shape) in (4, 5) and shape[-1] == 2
    if pairs:
        shape = shape[:-1]
    elif kspace.dtype.kind != "c" and record_parts(kspace.dtype) is None:
        raise DataError(
            f"{path}: dataset 'kspace' must be complex, or have real and imaginary part in one record or on "
            f"the last axis; got {kspace.dtype} {shape}"
        )
    if len(shape) == 5:
        raise DataError(
            f"{path}: dataset 'kspace' has 5 axes {shape}, fastMRI's (slice, coil, y, x). Averages, echoes "
            "or frames are one scan each: save one of them, or average them, and read that"
        )
    if len(shape) not in (3, 4) or 0 in shape:
        raise DataError(
            f"{path}: dataset 'kspace' must have shape (slice, coil, y, x), or (slice, y, x) for a single "
            f"coil, without empty axes; got {shape}"
        )
    count = shape[0]
    slices = chosen(which, count)
    take: Any = slices[0] if which != "all" else np.s_[:]
    data = torch.from_numpy(complex_values(own_values(kspace, take), pairs))
    if len(shape) == 3:
        data = data.unsqueeze(-3)

    mask = None
    stored = own_dataset(file, "mask")
    if stored is not None:
        sizes = tuple(n for n in stored.shape if n > 1)  # fastMRI's own tools write (1, 1, x, 1)
        if sizes not in ((shape[-1],), shape[-2:]) or stored.dtype.kind not in "biuf":
            raise DataError(
                f"{path}: dataset 'mask' must hold one number for each of the {shape[-1]} columns of "
                f"k-space, or for each of its {shape[-2]} x {shape[-1]} positions, got {stored.dtype} "
                f"{stored.shape}"
            )
        mask = torch.from_numpy(own_values(stored) != 0).float().reshape(-1, shape[-1])

    reference = None
    for name in ("reconstruction_rss", "reconstruction_esc"):
        stored = own_dataset(file, name)
        if stored is None:
            continue
        if len(stored.shape) != 3 or stored.shape[0] != count or stored.dtype.kind not in "iuf":
            raise DataError(
                f"{path}: dataset {name!r} must be real, of shape ({count}, y, x), one image for each slice; "
                f"got {stored.dtype} {stored.shape}"
            )
        reference = torch.from_numpy(own_values(stored, take).astype(np.float32))
        break

    header: dict[str, str] = {}
    if (stored := own_dataset(file, "ismrmrd_header")) is not None:
        text = own_text(file, "ismrmrd_header", max_bytes=_XML_LIMIT)
        if text is None:
            raise DataError(
                f"{path}: dataset 'ismrmrd_header' must be one XML text, got {stored.dtype} {stored.shape}"
            )
        header = parse_header(text.encode(), str(path))
        trajectory = header.get("encoding/trajectory", "cartesian")
        if trajectory.lower() != "cartesian":
            raise DataError(
                f"{path}: the header says the trajectory is {trajectory!r}; only cartesian can be read"
            )
    return FastMRIData(kspace=data, mask=mask, reference=reference, slices=slices, count=count, header=header)


def chosen(which: int | str | None, count: int, what: str = "slice") -> tuple[int, ...]:
    """The indices that an option stands for: all, one, or by default the middle one."""
    if which is None:
        return (count // 2,)
    if which == "all":
        return tuple(range(count))
    if isinstance(which, str) and which.lstrip("+-").isdigit():
        which = int(which)
    if isinstance(which, bool) or not isinstance(which, int):
        raise ParameterError(f"{what} must be a number or 'all', got {which!r}")
    if not -count <= which < count:
        raise ParameterError(f"there is no {what} {which}: the file has {count}, numbered from 0")
    return (which % count,)


def parse_header(text: bytes, where: str = "header") -> dict[str, str]:
    """Read the leaves of an ISMRMRD header, by path.

    Document types, entities and external references are refused, and size and depth are limited, so that a
    hostile header can neither read files nor exhaust memory.

    Parameters
    ----------
    text : bytes
        The XML.
    where : str
        Name of the source for error messages.

    Returns
    -------
    dict of str to str
        Text of each leaf by its path below the root; the first one of a repeated path.

    Raises
    ------
    DataError
        If it is not well-formed XML, or contains one of these.

    Examples
    --------
    >>> from invcore_mri import parse_header
    >>> parse_header(b"<ismrmrdHeader><encoding><trajectory>radial</trajectory></encoding></ismrmrdHeader>")
    {'encoding/trajectory': 'radial'}
    """
    if len(text) > _XML_LIMIT:
        raise DataError(f"{where}: the XML header has {len(text)} bytes, more than the {_XML_LIMIT} accepted")
    leaves: dict[str, str] = {}
    path: list[str] = []
    words: list[str] = []

    def refuse(*_: object) -> int:
        raise DataError(
            f"{where}: the XML header declares a document type or entities, which are not accepted"
        )

    def start(name: str, _: dict[str, str]) -> None:
        if len(path) >= _XML_DEPTH:
            raise DataError(f"{where}: the XML header is nested more than {_XML_DEPTH} deep")
        path.append(name.rpartition(":")[2])
        words.clear()

    def end(_: str) -> None:
        value = "".join(words).strip()
        if value:
            leaves.setdefault("/".join(path[1:]), value)
        path.pop()
        words.clear()

    parser = expat.ParserCreate("utf-8")  # whatever the header says of itself
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = words.append
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise DataError(f"{where}: the ISMRMRD header is not well-formed XML: {error}") from error
    return leaves


def header_geometry(header: dict[str, str]) -> dict[str, Any]:
    """Return the geometry and the scanner of a header: matrix sizes, fields of view, voxel size, vendor."""

    def numbers(space: str, what: str) -> list[float] | None:
        found = [header.get(f"encoding/{space}/{what}/{axis}") for axis in "zyx"]
        try:
            values = [float(value) for value in found if value is not None]
        except ValueError:
            return None
        return values if len(values) == 3 and all(0 < v < 1e7 for v in values) else None

    facts: dict[str, Any] = {}
    for space, label in (("encodedSpace", "encoded"), ("reconSpace", "recon")):
        matrix, extent = numbers(space, "matrixSize"), numbers(space, "fieldOfView_mm")
        if matrix:
            facts[f"{label}_matrix_zyx"] = [int(n) for n in matrix]
        if extent:
            facts[f"{label}_fov_mm_zyx"] = extent
        if matrix and extent and label == "encoded":
            facts["voxel_size_mm"] = [e / n for e, n in zip(extent, matrix)]
    if "encoded_matrix_zyx" in facts and "recon_matrix_zyx" in facts:
        # ISMRMRD's x is the readout, which is fastMRI's y axis
        facts["readout_oversampling"] = facts["encoded_matrix_zyx"][2] / facts["recon_matrix_zyx"][2]
    for label, path in (
        ("vendor", "acquisitionSystemInformation/systemVendor"),
        ("model", "acquisitionSystemInformation/systemModel"),
        ("field_strength_T", "acquisitionSystemInformation/systemFieldStrength_T"),
        ("TR_ms", "sequenceParameters/TR"),
        ("TE_ms", "sequenceParameters/TE"),
    ):
        if path in header:
            facts[label] = header[path]
    return facts


def write_fastmri(
    path: str | Path,
    kspace: Tensor,
    *,
    reference: Tensor | None = None,
    mask: Tensor | None = None,
    header: str = "",
) -> None:
    """Write a file in fastMRI's layout; it appears complete or not at all.

    Parameters
    ----------
    path : str or Path
        The ``.h5`` file.
    kspace : Tensor
        Complex, shape ``(slice, coil, y, x)``, or ``(slice, y, x)`` for a single coil.
    reference : Tensor, optional
        Real, shape ``(slice, y, x)``, stored as ``reconstruction_rss``.
    mask : Tensor, optional
        Sampled columns, shape ``(x,)``.
    header : str
        ISMRMRD header, XML.

    Raises
    ------
    DataError
        If the folder cannot be written to, or k-space has the wrong rank.

    Examples
    --------
    >>> import tempfile
    >>> import torch
    >>> from pathlib import Path
    >>> from invcore_mri import write_fastmri
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_fastmri(Path(folder) / "scan.h5", torch.ones(1, 2, 8, 8, dtype=torch.complex64))
    ...     [file.name for file in Path(folder).iterdir()]
    ['scan.h5']
    """
    if kspace.ndim not in (3, 4) or not kspace.is_complex():
        raise DataError(
            f"expected complex k-space (slice, coil, y, x) or (slice, y, x), "
            f"got {kspace.dtype} {tuple(kspace.shape)}"
        )

    def fill(file: h5py.File) -> None:
        file["kspace"] = kspace.detach().cpu().to(torch.complex64).resolve_conj().numpy()
        if reference is not None:
            file["reconstruction_rss"] = reference.detach().cpu().float().numpy()
        if mask is not None:
            file["mask"] = mask.detach().cpu().reshape(-1).bool().numpy()
        if header:
            file["ismrmrd_header"] = header

    write_hdf5(path, fill)
