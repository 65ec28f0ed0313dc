"""Reconstructed slices: DICOM."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, MissingDependencyError, ParameterError, Physics
from invcore.io import Acquisition, Reader, damage, regular_file
from invcore.noises import GaussianNoise, estimate_sigma
from invcore.operators import Identity, Space

_DEFLATED = b"1.2.840.10008.1.2.1.99\x00"  # the transfer syntax
_PLAIN, _EXPANDS = 2**28, 100  # bytes that any file may expand to; times the bytes held beyond that


@dataclass(frozen=True, kw_only=True)
class Series:
    """A stack of DICOM slices.

    Attributes
    ----------
    volume : Tensor, shape (z, y, x)
        In Hounsfield units (what the file's rescaling gives).
    spacing : tuple of float
        Voxel (z, y, x) in meters.
    facts : dict
        Modality, scanner and kernel. Nothing about the patient.
    """

    volume: Tensor
    spacing: tuple[float, float, float]
    facts: dict[str, Any]


class DicomReader(Reader):
    """CT slices in DICOM: one file, or a folder of the slices of one series.

    They are images already: the physics is the identity with the images' own noise, so that a prior denoises
    them. To simulate scans of them use `read_dicom` and an operator. Patient data are not read into the
    metadata. Needs pydicom.

    Examples
    --------
    >>> DicomReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Options of DICOM slices.

        Parameters
        ----------
        slice : int or "all", optional
            Slice, from the lowest position on; by default the middle one. ``"all"``: the volume.
        sigma : float, optional
            Noise in Hounsfield units; estimated by default.
        """

        slice: int | str | None = None
        sigma: float | None = None

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` is a DICOM file, or a folder with one."""
        path = Path(path)
        try:
            return (
                _is_dicom(path) if path.is_file() else path.is_dir() and bool(slice_files(path, first=True))
            )
        except OSError:
            return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        series = read_dicom(path)
        depth = len(series.volume)
        if options.slice == "all":
            y = series.volume.unsqueeze(0) if depth > 1 else series.volume
        else:
            at = depth // 2 if options.slice is None else options.slice
            if isinstance(at, bool) or not isinstance(at, int) or not -depth <= at < depth:
                raise ParameterError(f"slice= is a number below {depth}, or 'all'; got {options.slice!r}")
            y = series.volume[at].unsqueeze(0)
        sigma = options.sigma
        if sigma is None:
            sigma = float(estimate_sigma(y if y.ndim == 3 else y.movedim(1, 0)).mean())
        if not sigma > 0:
            raise DataError(f"{path}: no noise was found in the image; give sigma=, in Hounsfield units")
        physics = Physics(
            operator=Identity(domain=Space(tuple(y.shape))), noise=GaussianNoise(sigma=float(sigma))
        )
        facts: dict[str, Any] = {
            "format": "tomography.dicom",
            "source": Path(path).name,
            "slice_count": depth,
            "voxel_m": list(series.spacing if y.ndim == 4 else series.spacing[1:]),
            "slice_distance_m": series.spacing[0],
            "sigma": float(sigma),
            "units": {"x": "HU", "y": "HU"},
            **series.facts,
        }
        return Acquisition(
            y=y, physics=physics, metadata=facts, solver={"name": "pogm", "prior": {"name": "tv"}}
        )


def read_dicom(path: str | Path) -> Series:
    """Read the slices of one CT series in their order along the axis.

    Parameters
    ----------
    path : str or Path
        A file, or a folder.

    Returns
    -------
    Series

    Raises
    ------
    MissingDependencyError
        Without pydicom.
    DataError
        If there are no slices, or they differ in size, pixel or series.
    """
    try:
        import pydicom
    except ImportError as error:
        raise MissingDependencyError(
            'DICOM files need pydicom: pip install "invcore[io]" or pip install pydicom'
        ) from error
    path = Path(path)
    files = [path] if path.is_file() else slice_files(path) if path.is_dir() else []
    if not files:
        raise DataError(f"no DICOM slices in {path}")
    found = []
    for file in files:
        with damage(file, "a DICOM image", "pydicom"):
            content = regular_file(file).read_bytes()
            if _DEFLATED in content[:2048]:
                raise DataError(f"{file} is deflated as a whole, to any size; expand it with dcmconv first")
            # from memory: of a file as much would be allocated as the length of an element says
            data = pydicom.dcmread(io.BytesIO(content))
            _check_size(file, data)
            pixels = data.pixel_array
            spacing = _numbers(file, data, "PixelSpacing", 2)
            (number,) = _numbers(file, data, "InstanceNumber", 1, (0.0,))
            place = _numbers(file, data, "ImagePositionPatient", 3, (0.0, 0.0, number))
            turned = _numbers(file, data, "ImageOrientationPatient", 6, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
            (slope,) = _numbers(file, data, "RescaleSlope", 1, (1.0,))
            (intercept,) = _numbers(file, data, "RescaleIntercept", 1, (0.0,))
        if pixels.ndim != 2 or min(spacing) <= 0:
            raise DataError(f"{file} is not a gray slice with a pixel size: {pixels.shape}, {spacing}")
        normal = np.cross(turned[:3], turned[3:])
        height = float(np.dot(normal, place))
        found.append(
            (height, str(data.get("SeriesInstanceUID", "")), pixels * slope + intercept, spacing, data)
        )
    found.sort(key=lambda item: item[0])
    first = found[0]
    for other in found:
        if other[1] != first[1] or other[2].shape != first[2].shape or other[3] != first[3]:
            raise DataError(
                f"{path} holds slices of several series, sizes or pixels; give a folder of one series"
            )
    heights = np.array([item[0] for item in found])
    gap = (
        float(np.median(np.diff(heights)))
        if len(found) > 1
        else _numbers(path, first[4], "SliceThickness", 1, (1.0,))[0]
    )
    if len(found) > 1 and (gap <= 0 or np.abs(np.diff(heights) - gap).max() > 0.1 * gap + 1e-3):
        raise DataError(f"{path}: the slices are not equally spaced, some are missing or doubled")
    facts = {
        name: str(first[4].get(key))
        for name, key in (
            ("modality", "Modality"),
            ("maker", "Manufacturer"),
            ("model", "ManufacturerModelName"),
            ("kernel", "ConvolutionKernel"),
            ("voltage_kV", "KVP"),
        )
        if first[4].get(key) not in (None, "")
    }
    volume = torch.from_numpy(np.stack([item[2] for item in found]).astype(np.float32))
    return Series(volume=volume, spacing=(gap * 1e-3, first[3][0] * 1e-3, first[3][1] * 1e-3), facts=facts)


def _numbers(
    file: Path, data: Any, name: str, count: int, default: tuple[float, ...] | None = None
) -> tuple[float, ...]:
    """Return the finite numbers of an attribute, or the default where it is missing or empty."""
    value = data.get(name)
    if value is None or value == "":
        if default is None:
            raise DataError(f"{file} has no {name}")
        return default
    try:
        found = tuple(float(v) for v in (value if count > 1 else [value]))
    except (TypeError, ValueError):
        found = ()
    if len(found) != count or not np.isfinite(found).all():
        raise DataError(f"{file}: {name} must be {count} finite numbers, got {str(value)[:80]!r}")
    return found


def _check_size(file: Path, data: Any) -> None:
    """Raise `DataError` if the pixels are more than the file can hold, compressed or not."""
    names = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
    sizes = [data.get(name, 1 if name == "SamplesPerPixel" else None) for name in names]
    frames = _numbers(file, data, "NumberOfFrames", 1, (1.0,))[0]
    if not all(isinstance(n, int) and n > 0 for n in sizes) or frames < 1:
        raise DataError(f"{file}: {', '.join(names)} must be positive numbers, got {sizes}")
    need, held = math.prod(sizes) // 8 * frames, file.stat().st_size
    if need > max(_PLAIN, _EXPANDS * held):
        raise DataError(f"{file} has {held} bytes and declares {need:.0f} of pixels: it is damaged")


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def slice_files(folder: Path, *, first: bool = False) -> list[Path]:
    """The DICOM files of a folder, or the first of them."""
    out = []
    for file in sorted(folder.iterdir()):
        if file.is_file() and (_is_dicom(file) or (file.suffix.lower() in (".dcm", ".ima") and not first)):
            out.append(file)
            if first:
                break
    return out
