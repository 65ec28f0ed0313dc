"""The result file: ``reconstruction.h5``."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from .._errors import DataError, DtypeError, ShapeError
from .._files.hdf5 import is_hdf5, open_hdf5, own_dataset, own_node, own_text, own_values
from .._files.hdf5_write import write_hdf5
from ._provenance import plain

_RECORD = 64 * 2**20  # bytes of JSON


def save_reconstruction(
    path: str | os.PathLike[str],
    x: Tensor,
    provenance: Mapping[str, Any],
    *,
    spatial_dims: int = 2,
    estimated: Mapping[str, Tensor] | None = None,
) -> None:
    """Write an image and the record of how it was made to an HDF5 file, atomically.

    The dataset ``x`` has shape ``(batch, channel, *spatial)``; several batch dimensions are merged, none
    becomes one of length 1, and its attribute ``shape`` tells what they were. Complex numbers are stored as
    HDF5 compounds ``(r, i)``, as h5py does. The dataset ``provenance`` is one string of JSON.

    Parameters
    ----------
    path : path
    x : Tensor, shape (batch..., channel, *spatial)
    provenance : mapping
        As `invcore.io.provenance` makes.
    spatial_dims : int
        Number of trailing spatial dimensions of ``x``.
    estimated : mapping of str to Tensor, optional
        What a blind solver found besides the image, such as a probe or a kernel: datasets of these names in
        the group ``estimated``.

    Raises
    ------
    ShapeError, DtypeError
    DataError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_reconstruction(Path(folder) / "r.h5", torch.ones(1, 2, 3), {"seed": 1})
    ...     x, record = load_reconstruction(Path(folder) / "r.h5")
    >>> x.shape, record
    (torch.Size([1, 2, 3]), {'seed': 1})
    """
    if not isinstance(x, Tensor):
        raise DtypeError(f"save_reconstruction: x must be a torch.Tensor, got {type(x).__name__}.")
    if x.ndim < spatial_dims + 1:
        raise ShapeError(
            f"save_reconstruction: expected (batch..., channel, *spatial) with {spatial_dims} spatial "
            f"dimensions, got shape {tuple(x.shape)}."
        )
    trailing = tuple(x.shape[x.ndim - spatial_dims - 1 :])
    batch = math.prod(x.shape[: x.ndim - len(trailing)])
    array = _array(x).reshape(batch, *trailing)
    text = json.dumps(plain(provenance), indent=1, allow_nan=False)

    def fill(file: h5py.File) -> None:
        data = file.create_dataset("x", data=array)
        data.attrs["shape"], data.attrs["dtype"] = list(x.shape), str(x.dtype).removeprefix("torch.")
        labels = ["batch", "channel", *("z", "y", "x")[-spatial_dims:]]
        for axis, label in enumerate(labels[: array.ndim]):
            data.dims[axis].label = label
        file.create_dataset("provenance", data=text, dtype=h5py.string_dtype("utf-8"))
        for name, found in (estimated or {}).items():
            file[f"estimated/{name}"] = _array(found)

    write_hdf5(path, fill)


def _array(x: Tensor) -> np.ndarray:
    """The numbers, in a precision that HDF5 has."""
    single = {torch.bfloat16: torch.float32, torch.complex32: torch.complex64}
    x = x.detach().resolve_conj().resolve_neg().cpu()
    return x.to(single.get(x.dtype, x.dtype)).numpy()


def is_reconstruction(path: Path) -> bool:
    """Return whether this is a file with the datasets that `save_reconstruction` writes."""
    if not is_hdf5(path):
        return False
    with open_hdf5(path) as file:
        return all(own_node(file, name) is not None for name in ("x", "provenance"))


def load_reconstruction(path: str | os.PathLike[str]) -> tuple[Tensor, dict[str, Any]]:
    """Read a file written by `save_reconstruction`.

    Returns
    -------
    x : Tensor
        What was saved, in shape and dtype.
    provenance : dict

    Raises
    ------
    FileNotFoundError
    DataError
        If it is not an HDF5 file, lacks one of the datasets, keeps them in another file, or is damaged.
    """
    x, record, saved = load_stored(path)
    shape = tuple(saved.get("shape", x.shape))
    dtype = getattr(torch, str(saved.get("dtype")), x.dtype)
    if math.prod(shape) != x.numel() or not isinstance(dtype, torch.dtype):
        raise DataError(f"{path}: the image {tuple(x.shape)} was saved as {shape}, which contradicts itself")
    return x.reshape(shape).to(dtype), record


def load_stored(path: str | os.PathLike[str]) -> tuple[Tensor, dict[str, Any], dict[str, Any]]:
    """Read the image (batch, channel, *spatial) as it is stored, the record, and what was saved."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(2, "No such reconstruction", str(path))
    with open_hdf5(path) as file:
        data, text = own_dataset(file, "x"), own_text(file, "provenance", max_bytes=_RECORD)
        if data is None or text is None:
            missing = " and ".join(n for n, v in (("x", data), ("provenance", text)) if v is None)
            held = ", ".join(sorted(map(str, file))[:12]) or "nothing"
            raise DataError(f"{path} is not a reconstruction: dataset {missing} missing, it holds {held}.")
        if data.dtype.kind not in "fciub" or data.dtype.itemsize > 16 or data.ndim < 2:
            raise DataError(f"{path}: x must be an array of numbers, got {data.dtype} {data.shape}")
        array = own_values(data)
        saved = {name: data.attrs[name] for name in ("shape", "dtype") if name in data.attrs}
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: its provenance is damaged, it is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"{path}: its provenance must be an object of JSON, got {type(record).__name__}")
    saved = {**saved, **({"shape": [int(n) for n in saved["shape"]]} if "shape" in saved else {})}
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False)), record, saved
