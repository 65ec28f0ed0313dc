"""The result file: ``reconstruction.h5``."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from .._errors import DataError, DtypeError, ShapeError
from ._atomic import atomic_path
from ._provenance import plain


def save_reconstruction(
    path: str | os.PathLike[str], x: Tensor, provenance: Mapping[str, Any], *, spatial_dims: int = 2
) -> None:
    """Write an image and the record of how it was made to an HDF5 file, atomically.

    The dataset ``x`` has shape ``(batch, channel, *spatial)``; several batch dimensions are merged, none
    becomes one of length 1. Complex numbers are stored as HDF5 compounds ``(r, i)``, as h5py does. The
    dataset ``provenance`` is one string of JSON.

    Parameters
    ----------
    path : path
    x : Tensor, shape (batch..., channel, *spatial)
    provenance : mapping
        As `invcore.io.provenance` makes.
    spatial_dims : int
        Number of trailing spatial dimensions of ``x``.

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
    (torch.Size([1, 1, 2, 3]), {'seed': 1})
    """
    if not isinstance(x, Tensor):
        raise DtypeError(f"save_reconstruction: x must be a torch.Tensor, got {type(x).__name__}.")
    if x.ndim < spatial_dims + 1:
        raise ShapeError(
            f"save_reconstruction: expected (batch..., channel, *spatial) with {spatial_dims} spatial "
            f"dimensions, got shape {tuple(x.shape)}."
        )
    trailing = tuple(x.shape[x.ndim - spatial_dims - 1 :])
    x = x.detach().resolve_conj().resolve_neg().cpu()
    x = x.float() if x.dtype == torch.bfloat16 else x  # which HDF5 does not have
    array = x.reshape(-1, *trailing).numpy()
    text = json.dumps(plain(provenance), indent=1, allow_nan=False)
    whole = io.BytesIO()  # on a disk that is full, HDF5 itself fails in ways that cannot be caught
    with h5py.File(whole, "w") as file:
        data = file.create_dataset("x", data=array)
        labels = ["batch", "channel", *("z", "y", "x")[-spatial_dims:]]
        for axis, label in enumerate(labels[: array.ndim]):
            data.dims[axis].label = label
        file.create_dataset("provenance", data=text, dtype=h5py.string_dtype("utf-8"))
    with atomic_path(path) as partial:
        partial.write_bytes(whole.getbuffer())


def own_dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    """Return a dataset whose values are in this file, else None.

    A link to another file, in a result from somebody else, would read from the disk of whoever opens it.
    """
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return None
    data = file[name]
    inside = isinstance(data, h5py.Dataset) and not data.is_virtual and data.external is None
    return data if inside else None


def is_reconstruction(path: Path) -> bool:
    """Return whether this is a file with the datasets that `save_reconstruction` writes."""
    try:
        with h5py.File(path, "r") as file:
            return all(own_dataset(file, name) is not None for name in ("x", "provenance"))
    except OSError:
        return False


def load_reconstruction(path: str | os.PathLike[str]) -> tuple[Tensor, dict[str, Any]]:
    """Read a file written by `save_reconstruction`.

    Returns
    -------
    x : Tensor, shape (batch, channel, *spatial)
    provenance : dict

    Raises
    ------
    FileNotFoundError
    DataError
        If it is not an HDF5 file or lacks one of the datasets.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist.")
    try:
        with h5py.File(path, "r") as file:
            missing = [n for n in ("x", "provenance") if own_dataset(file, n) is None]
            if missing:
                held = ", ".join(sorted(file)) or "nothing"
                raise DataError(
                    f"{path} is not a reconstruction: dataset {' and '.join(missing)} missing, it holds "
                    f"{held}."
                )
            array = np.asarray(file["x"])
            text = file["provenance"].asstr()[()]
        record = json.loads(text)
        return torch.from_numpy(array), record
    except DataError:
        raise
    except (OSError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged or not a reconstruction file: {error}") from error
