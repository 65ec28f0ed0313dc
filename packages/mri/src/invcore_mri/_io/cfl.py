"""BART's raw format: dimensions in ``name.hdr``, complex64 samples in ``name.cfl``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, DtypeError, ParameterError, ShapeError
from invcore.io import Acquisition, Reader, atomic_path, is_regular_file

from .acquire import ScanOptions, acquire, root_sum_of_squares
from .acquire_nonuniform import acquire_nonuniform
from .trajectory_units import in_cycles

DIMENSIONS = 16  # BART's number of axes
_HEADER_LIMIT = 2**20  # bytes; a header is a few lines
_COIL = 3  # BART's coil axis
_BART_AXES = (
    "readout",
    "phase 1",
    "phase 2",
    "coil",
    "maps",
    "echo",
    "coefficients",
    "coefficients 2",
    "iteration",
    "cardiac shift",
    "time",
    "time 2",
    "level",
    "slice",
    "average",
    "batch",
)


class CflReader(Reader):
    """BART raw data, ``name.cfl`` with ``name.hdr``.

    Dimensions 0 to 2 (readout, phase 1, phase 2) are space and keep their order; those of size 1 are left
    out, so that ``1 230 180 8`` is an 8-coil 2-D scan of shape ``(8, 230, 180)``. Dimension 3 is the coils.
    Any further dimension with more than one entry needs an index. See :func:`acquire` for what becomes of the
    samples.

    Examples
    --------
    >>> from invcore_mri import CflReader
    >>> CflReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(ScanOptions):
        """Options of every scan (`ScanOptions`) and those of this format.

        Parameters
        ----------
        index : dict of int to int, or str, optional
            Entries of dimensions beyond the coils: ``{10: 3}``, or ``"10=3"``, is time frame 3.
        trajectory : str or Path, optional
            BART trajectory, dimensions 3 x samples x readouts, in cycles per field of view; the k-space then
            has the dimensions 1 x samples x readouts x coils.
        """

        index: dict[int, int] | str | None = None
        trajectory: str | Path | None = None

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` is a ``.cfl`` file, a BART header, or the common name of the two."""
        path = Path(path)
        header, data = cfl_paths(path)
        if path.suffix == ".cfl":
            return is_regular_file(path)
        if path.suffix == ".hdr" and not is_regular_file(data):
            try:
                return is_regular_file(path) and bool(read_cfl_header(path))
            except DataError:
                return False
        return is_regular_file(header) and is_regular_file(data)

    def _read(self, path: Path, options: Options) -> Acquisition:
        if options.trajectory is not None:
            return _along(path, options.trajectory, options)
        kspace, spatial = _kspace(path, options.index)
        beyond = list(enumerate(read_cfl_header(path)))[_COIL + 1 :]
        left_out = tuple(
            f"one of {n} entries of dimension {axis} ({_BART_AXES[axis]}) used; index= chooses"
            for axis, n in beyond
            if n > 1
        )
        facts = {
            "format": "mri.cfl",
            "source": cfl_paths(path)[1].name,
            "axes": [_BART_AXES[axis] for axis in spatial],
        }
        return acquire_scan(kspace, spatial, options, metadata=facts, left_out=left_out)

    def _reference(self, path: Path, options: Options) -> Tensor:
        """Return the root-sum-of-squares image of a fully sampled scan, ``(1, *spatial)``."""
        kspace, spatial = _kspace(path, options.index)
        return root_sum_of_squares(kspace, spatial_dims=len(spatial))


def _along(path: Path, trajectory: str | Path, options: CflReader.Options) -> Acquisition:
    """A scan along a trajectory of its own file."""
    header, data = cfl_paths(path)
    array = _select(read_cfl(path), options.index, header)
    k = read_cfl(trajectory)
    k = k.reshape(*k.shape, *(1,) * max(0, 3 - k.ndim))
    if k.ndim != 3 or k.shape[0] not in (2, 3) or tuple(array.shape[:3]) != (1, *k.shape[1:]):
        raise DataError(
            f"{trajectory} has dimensions {tuple(k.shape)} and {header.name} {tuple(array.shape)}; expected "
            "3 x samples x readouts, and 1 x samples x readouts x coils"
        )
    k = k.real.permute(2, 1, 0)
    dims = 3 if k.shape[-1] == 3 and bool((k[..., 2] != 0).any()) else 2
    scaled = in_cycles(
        k[..., :dims].contiguous(), unit="cycles/fov", shape=None, fov=None, where=str(trajectory)
    )
    return acquire_along(
        array[0].permute(2, 1, 0).contiguous(),
        scaled.trajectory,
        scaled.shape,
        options,
        metadata={"format": "mri.cfl", "source": data.name, "trajectory": Path(trajectory).name},
    )


def cfl_paths(path: str | Path) -> tuple[Path, Path]:
    """Return the paths of header and data; ``path`` may have either extension or none."""
    path = Path(path)
    base = path.with_suffix("") if path.suffix in (".cfl", ".hdr") else path
    return base.parent / f"{base.name}.hdr", base.parent / f"{base.name}.cfl"


def read_cfl_header(path: str | Path) -> tuple[int, ...]:
    """Read the dimensions from a BART header, without trailing ones beyond the first axis.

    Other sections (``# Command``, ``# Files``, ``# Creator``...) and comments are ignored.

    Parameters
    ----------
    path : str or Path
        The ``.hdr``, the ``.cfl``, or their common name.

    Returns
    -------
    tuple of int
        Dimensions in BART's order: readout, phase 1, phase 2, coil, maps, ...

    Raises
    ------
    DataError
        If the header is missing, unreadable, or its dimensions are invalid.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from invcore_mri import read_cfl_header
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "scan.hdr").write_text("# Dimensions\\n1 230 180 8 1 1\\n")
    ...     read_cfl_header(Path(folder) / "scan")
    (1, 230, 180, 8)
    """
    header, data = cfl_paths(path)
    if not is_regular_file(header):
        beside = f"; {data.name} is there, so copy its header beside it" if is_regular_file(data) else ""
        raise DataError(f"no BART header {header}: a .cfl file needs its .hdr{beside}")
    try:
        with header.open("rb") as file:
            raw = file.read(_HEADER_LIMIT + 1)
    except OSError as error:
        raise DataError(f"cannot read {header}: {error.strerror or error}") from error
    if len(raw) > _HEADER_LIMIT:
        raise DataError(f"{header} is larger than a BART header can be ({_HEADER_LIMIT} bytes)")
    lines = iter(raw.decode("utf-8", "replace").splitlines())
    for line in lines:
        if line.strip().lower() == "# dimensions":
            break
    else:
        raise DataError(f"{header} has no '# Dimensions' line: this is not a BART header")
    words = next(lines, "").split()
    if not words or not all(re.fullmatch(r"[+-]?[0-9]{1,40}", word) for word in words):
        raise DataError(
            f"{header}: expected whole numbers in the line after '# Dimensions', got {' '.join(words)[:80]!r}"
        )
    shape = [int(word) for word in words]
    if len(shape) > DIMENSIONS and any(n != 1 for n in shape[DIMENSIONS:]):
        raise DataError(f"{header} has {len(shape)} dimensions; BART has at most {DIMENSIONS}")
    if any(n < 1 for n in shape):
        raise DataError(f"{header}: dimensions must be positive, got {tuple(shape)}")
    while len(shape) > 1 and shape[-1] == 1:
        shape.pop()
    return tuple(shape)


def read_cfl(path: str | Path) -> Tensor:
    """Read a BART array.

    The size of the file is checked against the header before anything is allocated.

    Parameters
    ----------
    path : str or Path
        The ``.cfl``, the ``.hdr``, or their common name.

    Returns
    -------
    Tensor
        complex64, axes in BART's order (readout, phase 1, phase 2, coil, maps, ...), trailing axes of
        size 1 left out, at least one axis. The first axis is the contiguous one.

    Raises
    ------
    DataError
        If a file is missing, empty, truncated, or not of the size that its header states.

    Examples
    --------
    >>> import tempfile
    >>> import torch
    >>> from pathlib import Path
    >>> from invcore_mri import read_cfl, write_cfl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_cfl(Path(folder) / "scan", torch.arange(6).reshape(2, 3).to(torch.complex64))
    ...     read_cfl(Path(folder) / "scan.cfl").real
    tensor([[0., 1., 2.],
            [3., 4., 5.]])
    """
    header, data = cfl_paths(path)
    shape = read_cfl_header(path)
    if not is_regular_file(data):
        raise DataError(f"no data file {data}: only its header is there")
    try:
        size = data.stat().st_size
        count = math.prod(shape)
        if size == 0:
            raise DataError(f"{data} is empty; {header.name} promises {8 * count} bytes for {shape}")
        if size != 8 * count:
            what = "truncated" if size < 8 * count else "longer than that"
            raise DataError(
                f"{data} holds {size} bytes but {header.name} states {shape}, which takes {8 * count} "
                f"(complex64): the file is {what}, or the header belongs to another one. Copy both again"
            )
        values = np.fromfile(data, dtype="<c8")
    except OSError as error:
        raise DataError(f"cannot read {data}: {error.strerror or error}") from error
    if values.size != count:
        raise DataError(
            f"{data} changed while it was read: got {values.size} of {count} samples; read it again"
        )
    return torch.from_numpy(values.astype(np.complex64, copy=False).reshape(shape, order="F"))


def write_cfl(path: str | Path, array: Tensor) -> None:
    """Write a BART array; both files appear complete or not at all.

    Parameters
    ----------
    path : str or Path
        The common name of the two files, or either of them.
    array : Tensor
        Real or complex, at most 16 axes in BART's order (readout, phase 1, phase 2, coil, maps, ...).
        Stored as complex64.

    Raises
    ------
    DataError
        If the folder cannot be written to.
    ShapeError
        If there are more than 16 axes, or an empty one.
    DtypeError
        If the values are not numbers that complex64 holds.

    Examples
    --------
    >>> import tempfile
    >>> import torch
    >>> from pathlib import Path
    >>> from invcore_mri import write_cfl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_cfl(Path(folder) / "maps", torch.ones(1, 16, 16, 4))
    ...     sorted(file.name for file in Path(folder).iterdir())
    ['maps.cfl', 'maps.hdr']
    """
    if array.ndim > DIMENSIONS or array.numel() == 0:
        raise ShapeError(
            f"BART arrays have at most {DIMENSIONS} axes and no empty one; got {tuple(array.shape)}"
        )
    if array.dtype == torch.bool:
        raise DtypeError("BART stores numbers, not booleans; convert the array first")
    header, data = cfl_paths(path)
    shape = tuple(array.shape) + (1,) * (DIMENSIONS - array.ndim)
    values = array.detach().cpu().to(torch.complex64).resolve_conj().resolve_neg().numpy()
    with atomic_path(header) as head, atomic_path(data) as body:
        head.write_text("# Dimensions\n" + " ".join(map(str, shape)) + "\n")
        np.asarray(values, dtype="<c8").ravel(order="F").tofile(body)


def _kspace(path: Path, index: dict[int, int] | str | None) -> tuple[Tensor, tuple[int, ...]]:
    """Read the k-space ``(coil, *spatial)`` of a scan, and which of BART's axes are spatial."""
    header, _ = cfl_paths(path)
    return _coil_first(_select(read_cfl(path), index, header), header)


def _select(array: Tensor, index: dict[int, int] | str | None, header: Path) -> Tensor:
    """Take one entry of each dimension beyond the coils; return the first four dimensions."""
    chosen = _parse_index(index)
    array = array.reshape(*array.shape, *(1,) * max(0, 4 - array.ndim))
    for axis, entry in sorted(chosen.items()):
        if not 4 <= axis < 16:
            raise ParameterError(
                f"index= selects from dimensions 4 to 15, not from {axis} (0-2 are space, 3 coils)"
            )
        size = array.shape[axis] if axis < array.ndim else 1
        if not -size <= entry < size:
            raise ParameterError(
                f"{header.name}: dimension {axis} has {size} entries, there is no entry {entry}"
            )
    for axis in range(array.ndim - 1, 3, -1):
        if array.shape[axis] > 1 and axis not in chosen:
            raise DataError(
                f"{header.name} has {array.shape[axis]} entries along dimension {axis} ({_BART_AXES[axis]}); "
                f"say which one to reconstruct: index={{{axis}: 0}}"
            )
        array = array.select(axis, chosen.get(axis, 0))
    return array


def _parse_index(index: dict[int, int] | str | None) -> dict[int, int]:
    if index is None:
        return {}
    if isinstance(index, str):
        try:
            pairs = [part.split("=") for part in index.split(",")]
            return {int(axis): int(entry) for axis, entry in pairs}
        except ValueError as error:
            raise ParameterError(f"index must look like '10=3' or '10=3,13=0', got {index!r}") from error
    if not isinstance(index, dict):
        raise ParameterError(f"index must look like '10=3' or {{10: 3}}, got {index!r}")
    return dict(index)


def _coil_first(array: Tensor, header: Path) -> tuple[Tensor, tuple[int, ...]]:
    """Move BART's coils first and leave out space axes of size 1."""
    spatial = tuple(axis for axis in range(3) if array.shape[axis] > 1)
    if len(spatial) < 2:
        raise DataError(
            f"{header.name} has dimensions {tuple(array.shape)}; a Cartesian scan needs at least two of the "
            "first three (readout, phase 1, phase 2) larger than 1, and the coils on dimension 3"
        )
    shape = [array.shape[axis] for axis in spatial]
    return array.movedim(_COIL, 0).reshape(array.shape[_COIL], *shape).contiguous(), spatial


def acquire_scan(
    kspace: Tensor,
    spatial: tuple[int, ...],
    options: ScanOptions,
    *,
    mask: Tensor | None = None,
    maps: Tensor | None = None,
    noise: Tensor | None = None,
    metadata: dict[str, Any],
    left_out: tuple[str, ...] = (),
) -> Acquisition:
    """Call `acquire` with the options of a reader, whose maps and noise may be BART files.

    ``mask``, ``maps`` and ``noise`` are those of the scan itself, which the options replace.
    """
    given = given_tensors(options, spatial)
    if options.sigma is not None:
        noise = None
    maps, noise = (
        own if wanted is None else wanted for own, wanted in zip((maps, noise), given, strict=True)
    )
    return acquire(
        kspace,
        spatial_dims=len(spatial),
        mask=mask if options.mask is None else options.mask,
        maps=maps,
        noise=noise,
        sigma=options.sigma,
        whiten=options.whiten,
        calibration=options.calibration,
        sets=None if maps is not None and options.maps is None else options.sets,
        compress=options.compress,
        metadata=metadata,
        left_out=left_out,
    )


def acquire_along(
    samples: Tensor,
    trajectory: Tensor,
    shape: tuple[int, ...],
    options: ScanOptions,
    *,
    noise: Tensor | None = None,
    metadata: dict[str, Any],
    left_out: tuple[str, ...] = (),
) -> Acquisition:
    """Call `acquire_nonuniform` as `acquire_scan` calls `acquire`."""
    if options.mask is not None:
        raise ParameterError("mask= is for k-space on a grid; this one has a trajectory")
    maps, given = given_tensors(options, tuple(range(len(shape))))
    return acquire_nonuniform(
        samples,
        trajectory,
        shape,
        maps=maps,
        noise=noise if given is None and options.sigma is None else given,
        sigma=options.sigma,
        whiten=options.whiten,
        calibration=options.calibration,
        sets=options.sets,
        compress=options.compress,
        metadata=metadata,
        left_out=left_out,
    )


def given_tensors(options: ScanOptions, spatial: tuple[int, ...]) -> tuple[Tensor | None, Tensor | None]:
    """Maps and noise scan of the options, read from BART files where those are named."""
    maps, noise = options.maps, options.noise
    return (
        _maps_from_cfl(maps, spatial) if isinstance(maps, str | Path) else maps,
        _noise_from_cfl(noise) if isinstance(noise, str | Path) else noise,
    )


def _noise_from_cfl(path: str | Path) -> Tensor:
    """Read a noise scan, coils first."""
    scan = read_cfl(path)
    if scan.ndim <= _COIL:
        raise DataError(f"the noise scan {path} has dimensions {tuple(scan.shape)}: no coils on dimension 3")
    return scan.movedim(_COIL, 0)


def _maps_from_cfl(path: str | Path, spatial: tuple[int, ...]) -> Tensor:
    """Read coil maps, (readout, phase 1, phase 2, coil, set), as ([set,] coil, *spatial)."""
    array = read_cfl(path)
    array = array.reshape(*array.shape, *(1,) * max(0, 5 - array.ndim))
    if array.ndim > 5:
        raise DataError(
            f"{path} has dimensions {tuple(array.shape)}; coil maps have at most 5 in BART's order"
        )
    for axis in reversed(range(3)):
        if axis not in spatial and array.shape[axis] == 1:
            array = array.squeeze(axis)
    ndim = array.ndim - 2
    array = array.permute(ndim + 1, ndim, *range(ndim))
    return torch.squeeze(array, 0).contiguous() if array.shape[0] == 1 else array.contiguous()
