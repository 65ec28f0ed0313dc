"""Writing NIfTI."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import numpy as np
from torch import Tensor

from .._errors import MissingDependencyError, ParameterError, ShapeError
from .._files.atomic import atomic_path
from ._placement import Placement


def save_nifti(
    path: str | os.PathLike[str],
    x: Tensor,
    *,
    spatial_dims: int = 2,
    part: Literal["magnitude", "phase", "complex"] = "magnitude",
    voxel_size: Sequence[float] | None = None,
    placement: Placement | None = None,
) -> None:
    """Write an image to a NIfTI-1 file (``.nii`` or ``.nii.gz``), atomically.

    The axes of the file are ``(x, y, z, batch, channel)``, those at the end left out where they have
    length 1. With ``placement`` the affine is that of the scanner, else it is diagonal and of no meaning.

    Parameters
    ----------
    path : path
    x : Tensor, shape (batch..., channel, *spatial)
    spatial_dims : int
        2 or 3.
    part : {"magnitude", "phase", "complex"}
        What is written of a complex image; phase in radians. A real image is written as it is.
    voxel_size : sequence of float, optional
        In millimeters, in the order of ``*spatial``; by default 1 and the unit "unknown".
    placement : Placement, optional
        Where the image lies in the patient; needs ``voxel_size``.

    Raises
    ------
    MissingDependencyError
        Without nibabel.
    ShapeError, ParameterError, DataError
    """
    try:
        import nibabel
    except ImportError as error:
        raise MissingDependencyError('writing NIfTI needs nibabel: pip install "invcore[io]"') from error
    name = os.fspath(path)
    if not name.endswith((".nii", ".nii.gz")):
        raise ParameterError(f"save_nifti: the file name must end with .nii or .nii.gz, got {name}.")
    if part not in ("magnitude", "phase", "complex"):
        raise ParameterError(f"save_nifti: part must be 'magnitude', 'phase' or 'complex', got {part!r}.")
    if spatial_dims not in (2, 3) or x.ndim < spatial_dims + 1:
        raise ShapeError(
            "save_nifti: expected (batch..., channel, *spatial) with 2 or 3 spatial dimensions, got shape "
            f"{tuple(x.shape)} with spatial_dims={spatial_dims}."
        )
    if voxel_size is not None and (len(voxel_size) != spatial_dims or min(voxel_size) <= 0):
        raise ParameterError(
            f"save_nifti: voxel_size needs {spatial_dims} positive numbers, got {voxel_size!r}."
        )
    array = (x if x.is_complex() else x.float()).detach().resolve_conj().cpu().numpy()
    if np.iscomplexobj(array) and part != "complex":
        array = np.abs(array) if part == "magnitude" else np.angle(array)
    single = np.complex64 if np.iscomplexobj(array) else np.float32
    array = array.astype(single).reshape(-1, *x.shape[x.ndim - spatial_dims - 1 :])
    spatial = array.shape[2:]
    array = array.reshape(*array.shape[:2], *(1,) * (3 - spatial_dims), *spatial)  # batch, channel, z, y, x
    array = array.transpose(4, 3, 2, 0, 1)
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    zooms = [1.0] * (3 - spatial_dims) + list(voxel_size or [1.0] * spatial_dims)
    affine = np.diag([*reversed(zooms), 1.0])
    if placement is not None and voxel_size is not None:
        affine = placement.affine(spatial, [1e-3 * h for h in voxel_size])
        affine[:3] *= 1e3
    image = nibabel.Nifti1Image(array, affine)
    if placement is not None:
        image.set_sform(affine, code=1)
        image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm" if voxel_size is not None else "unknown")
    with atomic_path(path) as partial:
        nibabel.save(image, partial)
