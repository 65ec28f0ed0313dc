"""BART's raw format: ``name.hdr`` holds the dimensions, ``name.cfl`` the complex64 samples."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, DtypeError, ShapeError
from invcore.io import atomic_path

DIMENSIONS = 16  # BART's number of axes
_HEADER_LIMIT = 2**20  # bytes; a header is a few lines


def cfl_paths(path: str | Path) -> tuple[Path, Path]:
    """Return the header and the data file that ``path`` stands for, with or without its extension."""
    path = Path(path)
    base = path.with_suffix("") if path.suffix in (".cfl", ".hdr") else path
    return base.parent / f"{base.name}.hdr", base.parent / f"{base.name}.cfl"


def read_cfl_header(path: str | Path) -> tuple[int, ...]:
    """Read the dimensions from a BART header, without trailing ones beyond the first axis.

    Other sections (``# Command``, ``# Files``, ``# Creator``...) and comments are passed over.

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
        If the header is missing, unreadable, or its dimensions make no sense.

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
    if not header.is_file():
        beside = f"; {data.name} is there, so copy its header beside it" if data.is_file() else ""
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

    The file's size is compared with the header before anything is allocated.

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
    if not data.is_file():
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
