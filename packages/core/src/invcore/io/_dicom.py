"""Writing DICOM."""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from .._errors import MissingDependencyError, ShapeError
from .._files.atomic import atomic_path
from ._placement import Placement

_MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"


def save_dicom(
    path: str | os.PathLike[str],
    x: Tensor,
    *,
    voxel_size: Sequence[float],
    placement: Placement,
    spatial_dims: int = 2,
    described: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write the magnitude of an image as MR images of DICOM, one file a slice, atomically.

    Values are scaled to 16 bits, with the slope in the file (RescaleSlope). Slices of a volume are those
    across its first spatial axis. There is no patient in the files.

    Parameters
    ----------
    path : path
        ``NAME.dcm``; of a volume, ``NAME-0001.dcm`` ….
    x : Tensor, shape (..., *spatial)
        One image: dimensions in front have length 1.
    voxel_size : sequence of float
        In meters.
    placement : Placement
    spatial_dims : int
        2 or 3.
    described : mapping of str to str, optional
        Further elements by keyword, such as ``{"SeriesDescription": "SENSE"}``.

    Returns
    -------
    list of Path

    Raises
    ------
    MissingDependencyError
        Without pydicom.
    ShapeError
        If there are several images.
    """
    try:
        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
    except ImportError as error:
        raise MissingDependencyError('writing DICOM needs pydicom: pip install "invcore[io]"') from error
    spatial = tuple(x.shape[-spatial_dims:])
    if spatial_dims not in (2, 3) or x.numel() != math.prod(spatial) or len(voxel_size) != spatial_dims:
        raise ShapeError(
            f"save_dicom writes one image of 2 or 3 dimensions with its voxel, got {tuple(x.shape)}"
        )
    image = x.detach().resolve_conj().abs().cpu().double().numpy().reshape(-1, *spatial[-2:])
    slope = float(image.max()) / (2**15 - 1) or 1.0
    axes = [np.array(d) for d in placement.directions]
    normal = axes[2] if spatial_dims == 2 else axes[0]
    rows, columns = axes[spatial_dims - 2], axes[spatial_dims - 1]
    corner = np.array(placement.center) - sum(
        n // 2 * h * axis for n, h, axis in zip(spatial, voxel_size, axes)
    )
    gap = (placement.thickness or max(voxel_size)) if spatial_dims == 2 else voxel_size[0]
    study, series, frame = (generate_uid() for _ in range(3))
    path, now = Path(path), datetime.datetime.now()
    files = []
    for i, plane in enumerate(image):
        name = path if len(image) == 1 else path.with_name(f"{path.stem}-{i + 1:04d}{path.suffix}")
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = UID(_MR_IMAGE)
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset(str(name), {}, file_meta=meta, preamble=b"\0" * 128)
        elements = {
            "SOPClassUID": _MR_IMAGE,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "StudyInstanceUID": study,
            "SeriesInstanceUID": series,
            "FrameOfReferenceUID": frame,
            "Modality": "MR",
            "ImageType": ["DERIVED", "PRIMARY", "OTHER", "M"],
            "Manufacturer": "invcore",
            "PatientName": "",
            "PatientID": "",
            "StudyDate": now.strftime("%Y%m%d"),
            "StudyTime": now.strftime("%H%M%S"),
            "InstanceNumber": i + 1,
            "ImagePositionPatient": _texts(1e3 * (corner + i * gap * normal)),
            "ImageOrientationPatient": _texts([*columns, *rows]),
            "PixelSpacing": _texts([1e3 * voxel_size[-2], 1e3 * voxel_size[-1]]),
            "SliceThickness": _texts([1e3 * gap])[0],
            "SpacingBetweenSlices": _texts([1e3 * gap])[0],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": plane.shape[0],
            "Columns": plane.shape[1],
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 0,
            "RescaleIntercept": "0",
            "RescaleSlope": _texts([slope])[0],
            "RescaleType": "US",
            **(described or {}),
        }
        for keyword, value in elements.items():
            setattr(data, keyword, value)
        data.PixelData = np.rint(plane / slope).astype("<u2").tobytes()
        with atomic_path(name) as partial:
            data.save_as(partial, enforce_file_format=True)
        files.append(name)
    return files


def _texts(values: Sequence[float] | np.ndarray) -> list[str]:
    """Decimal strings of at most 16 characters, as DICOM has them."""
    return [f"{float(v) + 0.0:.9g}"[:16] for v in values]
