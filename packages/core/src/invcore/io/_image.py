"""Images from files: pictures, arrays, results, NIfTI and FITS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._errors import DataError, MissingDependencyError
from .._files.arrays import load_npy
from .._files.damage import damage
from .._files.memory import room_for
from .._files.pictures import read_picture
from .._files.regular import regular_file
from ._fits import fits_image
from ._store import load_stored

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
IMAGES = (*PICTURES, ".npy", ".h5", ".nii", ".nii.gz", ".fits", ".fit")
"""Endings of the files that `load_image` takes."""


def load_image(path: str | os.PathLike[str]) -> Tensor:
    """Load an image from a picture, an array, a result, NIfTI or FITS.

    Parameters
    ----------
    path : path
        ``.png`` and ``.jpg``, in [0, 1]; ``.tif``, of 8 bits in [0, 1], of others as stored; ``.npy``;
        ``.h5``, a result of invcore; ``.nii`` and ``.nii.gz`` (needs nibabel); ``.fits``, the first image in
        it, north up. What a file is follows from its name, and must agree with its bytes.

    Returns
    -------
    Tensor, shape (batch..., channel, *spatial)
        float32 or complex64. A single array has one channel.

    Raises
    ------
    FileNotFoundError
    DataError
        If it is no image, damaged, or too large for the memory.
    MissingDependencyError
        For NIfTI, without nibabel.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/x.npy", np.ones((4, 6)))
    ...     load_image(f"{folder}/x.npy").shape
    torch.Size([1, 4, 6])
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(2, "No such image", str(path))
    name = path.name.lower()
    if name.endswith(PICTURES):
        pixels = torch.from_numpy(read_picture(path))
        return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.movedim(-1, 0).contiguous()
    if name.endswith(".npy"):
        x = load_array(path)
        if x.ndim < 2 or not x.numel():
            raise DataError(f"{path} has shape {tuple(x.shape)}: it is not an image (channel, *spatial)")
        return x.unsqueeze(0) if x.ndim == 2 else x
    if name.endswith(".h5"):
        x = load_stored(path)[0]
        return x[0] if len(x) == 1 else x
    if name.endswith((".nii", ".nii.gz")):
        return _nifti(regular_file(path))
    if name.endswith((".fits", ".fit")):
        return torch.from_numpy(fits_image(regular_file(path)))
    raise DataError(f"{path} is no image by its name; known are {', '.join(IMAGES)}")


def one_channel(x: Tensor, spatial_dims: int = 2) -> Tensor:
    """Return a gray picture that was saved in three equal colors with one channel; others as they are."""
    first = x.narrow(-spatial_dims - 1, 0, 1)
    return first if x.shape[-spatial_dims - 1] == 3 and bool((x == first).all()) else x


def load_array(path: str | os.PathLike[str]) -> Tensor:
    """Load a NumPy file as a tensor in single precision, without unpickling."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(2, "No such array", str(path))
    array = load_npy(path)
    kind = np.complex64 if array.dtype.kind == "c" else np.float32
    with np.errstate(over="ignore"):  # infinite ones are refused where they are used
        return torch.from_numpy(array.astype(kind))


def _nifti(path: Path) -> Tensor:
    try:
        import nibabel
    except ImportError as error:
        raise MissingDependencyError('reading NIfTI needs nibabel: pip install "invcore[io]"') from error
    with damage(path, "a NIfTI file", "nibabel", "gzip", "zlib"):
        file: Any = nibabel.load(path)
        shape = tuple(file.shape)
        if not 2 <= len(shape) <= 5:
            raise DataError(
                f"{path} has {len(shape)} axes {shape}, expected x, y, and perhaps z, batch, channel"
            )
        kind = np.complex64 if np.issubdtype(file.get_data_dtype(), np.complexfloating) else np.float32
        room_for(2 * int(np.prod(shape)) * np.dtype(kind).itemsize, str(path))
        array = np.asarray(file.dataobj, dtype=kind)
    array = array.reshape(*shape, *(1,) * (5 - len(shape))).transpose(3, 4, 2, 1, 0)
    array = array[:, :, 0] if array.shape[2] == 1 else array
    x = torch.from_numpy(np.ascontiguousarray(array))
    return x[0] if len(x) == 1 else x
