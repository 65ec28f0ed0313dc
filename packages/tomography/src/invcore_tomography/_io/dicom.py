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
        In Hounsfield units (what the file's rescaling gives), air where the file has padding. Slices of a
        tilted gantry are moved so that they are stacked upright.
    spacing : tuple of float
        Voxel (z, y, x) in meters.
    facts : dict
        Modality, scanner and kernel. Nothing about the patient.
    """

    volume: Tensor
    spacing: tuple[float, float, float]
    facts: dict[str, Any]


class DicomReader(Reader):
    """CT slices in DICOM: one file of one or more frames, or a folder of the slices of one series.

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
            padded = any("padding" in note for note in series.facts["notes"])
            seen = y[..., _inner(y.shape[-2]), _inner(y.shape[-1])] if padded else y
            sigma = float(estimate_sigma(seen if y.ndim == 3 else seen.movedim(1, 0)).mean())
        if not sigma > 0:
            raise DataError(f"{path}: no noise was found in the image; give sigma=, in Hounsfield units")
        physics = Physics(
            operator=Identity(domain=Space(tuple(y.shape))), noise=GaussianNoise(sigma=float(sigma))
        )
        unit = "HU" if series.facts.get("modality", "CT") == "CT" else "1"
        facts: dict[str, Any] = {
            "format": "tomography.dicom",
            "source": Path(path).name,
            "slice_count": depth,
            "voxel_m": list(series.spacing if y.ndim == 4 else series.spacing[1:]),
            "slice_distance_m": series.spacing[0],
            "sigma": float(sigma),
            "units": {"x": unit, "y": unit},
            **series.facts,
        }
        used = depth if y.ndim == 4 else 1
        said = f"{used} of {depth} slices used; slice= chooses, slice='all' takes all"
        return Acquisition(
            y=y,
            physics=physics,
            metadata=facts,
            solver={"name": "pogm", "prior": {"name": "tv"}},
            left_out=(said,) if used < depth else (),
        )


def _inner(n: int) -> slice:
    """The part of a line of pixels inside a round field of view that is surrounded by padding."""
    margin = int(0.15 * n)
    return slice(margin, n - margin)


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
    slices: list[_Slice] = []
    for file in files:
        with damage(file, "a DICOM image", "pydicom"):
            content = regular_file(file).read_bytes()
            if _DEFLATED in content[:2048]:
                raise DataError(f"{file} is deflated as a whole, to any size; expand it with dcmconv first")
            # from memory: of a file as much would be allocated as the length of an element says
            data = pydicom.dcmread(io.BytesIO(content))
            _check_size(file, data)
            slices += _slices(file, data, data.pixel_array)
    slices.sort(key=lambda one: one.height)
    first = slices[0]
    notes: list[str] = []
    for other in slices:
        if (other.series, other.pixels.shape, other.spacing) != (
            first.series,
            first.pixels.shape,
            first.spacing,
        ):
            raise DataError(
                f"{path} holds slices of several series, sizes or pixels; give a folder of one series"
            )
        if max(abs(a - b) for a, b in zip(other.turned, first.turned, strict=True)) > 1e-3:
            raise DataError(
                f"{path} holds slices of several directions, such as an overview; give one series"
            )
    heights = np.array([one.height for one in slices])
    gap = float(np.median(np.diff(heights))) if len(slices) > 1 else first.thickness
    if len(slices) > 1 and (gap <= 0 or np.abs(np.diff(heights) - gap).max() > 0.1 * gap + 1e-3):
        raise DataError(f"{path}: the slices are not equally spaced, some are missing or doubled")
    stack = [_padded(one, notes) for one in slices]
    stack = _upright(stack, slices, notes)
    facts = {**first.facts, "notes": notes}
    volume = torch.from_numpy(np.stack(stack).astype(np.float32))
    return Series(
        volume=volume, spacing=(gap * 1e-3, first.spacing[0] * 1e-3, first.spacing[1] * 1e-3), facts=facts
    )


@dataclass
class _Slice:
    """One slice: rescaled pixels, where they are padding, and its place in millimeters."""

    pixels: np.ndarray
    outside: np.ndarray
    spacing: tuple[float, ...]
    place: np.ndarray
    turned: tuple[float, ...]
    thickness: float
    series: str
    facts: dict[str, Any]

    @property
    def height(self) -> float:
        return float(np.dot(np.cross(self.turned[:3], self.turned[3:]), self.place))


def _slices(file: Path, data: Any, pixels: np.ndarray) -> list[_Slice]:
    """The slices of a file: one, or the frames of an enhanced or multi-frame object."""
    count = int(_numbers(file, data, "NumberOfFrames", 1, (1.0,))[0])
    if count > 1 or (pixels.ndim == 3 and pixels.shape[0] == 1):
        pixels = pixels.reshape(count, *pixels.shape[-2:]) if pixels.ndim in (2, 3) else pixels
    else:
        pixels = pixels[None]
    if pixels.ndim != 3 or int(data.get("SamplesPerPixel", 1)) != 1:
        raise DataError(f"{file} is not made of gray slices: {pixels.shape}")
    shared = (data.get("SharedFunctionalGroupsSequence") or [None])[0]
    each = data.get("PerFrameFunctionalGroupsSequence") or [None] * count
    (number,) = _numbers(file, data, "InstanceNumber", 1, (0.0,))
    facts = _facts(data)
    out = []
    for k in range(count):
        groups = [group for group in (each[k] if k < len(each) else None, shared) if group is not None]

        def holder(sequence: str, groups: list[Any] = groups) -> Any:
            return next((g[sequence].value[0] for g in groups if g.get(sequence)), data)

        measures, scaled = holder("PixelMeasuresSequence"), holder("PixelValueTransformationSequence")
        spacing = _numbers(file, measures, "PixelSpacing", 2)
        (thickness,) = _numbers(file, measures, "SliceThickness", 1, (1.0,))
        (apart,) = _numbers(file, measures, "SpacingBetweenSlices", 1, (thickness,))
        place = _numbers(file, holder("PlanePositionSequence"), "ImagePositionPatient", 3, (0.0, 0.0, number))
        plane, flat = holder("PlaneOrientationSequence"), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        turned = _numbers(file, plane, "ImageOrientationPatient", 6, flat)
        if min(spacing) <= 0:
            raise DataError(f"{file}: PixelSpacing must be positive, got {spacing}")
        at = np.array(place)
        if count > 1 and not any(g.get("PlanePositionSequence") for g in groups):
            at = at + k * apart * np.cross(turned[:3], turned[3:])
        values, outside = _values(file, data, scaled, pixels[k])
        series = str(data.get("SeriesInstanceUID", ""))
        out.append(_Slice(values, outside, spacing, at, turned, thickness or 1.0, series, facts))
    return out


def _values(file: Path, data: Any, scaled: Any, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rescaled values, and a mask of those that are padding."""
    outside = np.zeros(pixels.shape, bool)
    (padding,) = _numbers(file, data, "PixelPaddingValue", 1, (0.0,))
    if data.get("PixelPaddingValue") not in (None, ""):
        (limit,) = _numbers(file, data, "PixelPaddingRangeLimit", 1, (padding,))
        if padding > np.iinfo(pixels.dtype).max and pixels.dtype.kind == "i":
            padding, limit = (v - 2.0 ** (8 * pixels.dtype.itemsize) for v in (padding, limit))
        outside = (pixels >= min(padding, limit)) & (pixels <= max(padding, limit))
    rescaled = scaled.get("RescaleSlope") is not None or scaled.get("RescaleIntercept") is not None
    (slope,) = _numbers(file, scaled, "RescaleSlope", 1, (1.0,))
    (intercept,) = _numbers(file, scaled, "RescaleIntercept", 1, (0.0,))
    if data.get("PhotometricInterpretation") == "MONOCHROME1" and not rescaled:
        pixels = 2.0 ** int(data.get("BitsStored", 16)) - 1 - pixels  # 0 means white, and no unit is stated
    values = pixels * slope + intercept
    if data.get("Modality") == "CT" and not outside.any():
        # less than air, in one value: padding that the file does not declare
        lowest = values.min()
        outside = (values == lowest) if lowest < -1200 and (values == lowest).mean() > 0.01 else outside
    return values, outside


def _padded(one: _Slice, notes: list[str]) -> np.ndarray:
    """Values of a slice with air, or the lowest value, in place of padding."""
    if not one.outside.any() or one.outside.all():
        return one.pixels
    lowest = float(one.pixels[~one.outside].min())
    air = max(-1000.0, lowest) if one.facts.get("modality") == "CT" else lowest
    note = f"pixels outside of the field of view (padding) are set to {air:.4g}"
    if not any(n.startswith("pixels outside") for n in notes):
        notes.append(note)
    return np.where(one.outside, air, one.pixels)


def _upright(stack: list[np.ndarray], slices: list[_Slice], notes: list[str]) -> list[np.ndarray]:
    """Slices of a tilted gantry, displaced in their planes, moved so that they are stacked upright."""
    first = slices[0]
    columns, rows = np.array(first.turned[:3]), np.array(first.turned[3:])
    moved = np.array([[(one.place - first.place) @ axis for axis in (rows, columns)] for one in slices])
    moved = moved / np.array(first.spacing)
    most = float(np.abs(moved).max())
    if most < 0.1:
        return stack
    from scipy.ndimage import shift

    notes.append(f"slices displaced by up to {most:.1f} pixels, as of a tilted gantry, are moved back")
    return [
        shift(image.astype(np.float32), by, order=1, cval=float(image.min()))
        for image, by in zip(stack, moved, strict=True)
    ]


def _facts(data: Any) -> dict[str, Any]:
    names = (
        ("modality", "Modality"),
        ("maker", "Manufacturer"),
        ("model", "ManufacturerModelName"),
        ("kernel", "ConvolutionKernel"),
        ("voltage_kV", "KVP"),
    )
    return {name: str(data.get(key)) for name, key in names if data.get(key) not in (None, "")}


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
