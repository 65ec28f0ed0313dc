"""TIFF stacks: pixels with their axes in order, and the size of a voxel."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from invcore import DataError, MissingDependencyError, ParameterError
from invcore.io import check_tiff, damage, room_for

_UNITS = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "µm": 1e-6, "μm": 1e-6, "um": 1e-6, "nm": 1e-9, "pm": 1e-12}
_UNITS |= {"micron": 1e-6, "microns": 1e-6, "\\u00b5m": 1e-6, "micrometer": 1e-6, "nanometer": 1e-9}
_UNITS |= {"å": 1e-10, "inch": 0.0254, "in": 0.0254}
_PAGES = "QIZ"  # axes taken for z: of pages without a name, of a sequence, of depth
_ACROSS, _ALONG = (1e-9, 50e-6), (1e-9, 500e-6)
"""Sizes of voxels of microscopes in meters; others are not believed."""


class Stack(NamedTuple):
    """A volume of one channel at one time.

    Attributes
    ----------
    values : ndarray, shape (z, y, x)
        Single precision, native byte order.
    voxel : tuple of float or None
        ``(dz, dy, dx)`` in meters, each None if the file does not say.
    notes, left_out : list of str
        Where the sizes come from, what was assumed; what is not used.
    """

    values: np.ndarray
    voxel: tuple[float | None, float | None, float | None]
    notes: list[str]
    left_out: list[str]


def read_stack(path: Path, *, channel: int | None = None, frame: int | None = None) -> Stack:
    """Read a TIFF or OME-TIFF of numbers along z, y and x.

    Parameters
    ----------
    path : Path
    channel, frame : int, optional
        Of several channels and times; the first by default.

    Raises
    ------
    DataError
        If the file is damaged, truncated, declares more images than it has, or has axes of another kind.
    ParameterError
        If there is no such channel or frame.
    MissingDependencyError
    """
    try:
        import tifffile
    except ImportError as error:
        raise MissingDependencyError(
            'TIFF files need tifffile: pip install "invcore[io]" or pip install tifffile'
        ) from error
    check_tiff(path)
    with damage(path, "a TIFF file", "tifffile"), tifffile.TiffFile(path) as file:
        series = file.series[0]
        _check_complete(path, file, series)
        room_for(2 * series.nbytes, str(path))
        voxel, notes = _voxel(file, series)
        several = len(file.series)
        array, axes = series.asarray(), series.axes
        if file.pages.first.photometric == 0:
            notes.append("0 means white in this TIFF; its numbers are used as they are stored")
    left_out = [f"one of {several} series used, the first"] if several > 1 else []
    values = _ordered(path, array, axes, channel, frame, notes, left_out)
    if values.dtype.kind not in "fiu":
        raise DataError(f"{path} holds {values.dtype}; expected real numbers")
    values = np.ascontiguousarray(values, dtype=np.float32)
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise DataError(f"{path} holds {bad} values that are NaN or infinite")
    return Stack(values, voxel, notes, left_out)


def _check_complete(path: Path, file: Any, series: Any) -> None:
    """Raise unless the file holds as many images as its metadata declare."""
    planes = math.prod(n for n, axis in zip(series.shape, series.axes) if axis not in "YXS")
    held = sum(page is not None for page in series.pages)
    if len(series.pages) == 1 and series.dataoffset is not None:  # one directory for all, as ImageJ writes
        end = series.dataoffset + series.nbytes
        if end > path.stat().st_size:
            raise DataError(f"{path} declares {end} bytes and has {path.stat().st_size}: truncated")
    elif held < planes:
        raise DataError(
            f"{path}: its metadata declare {planes} images {series.axes} {series.shape}, it has {held}: "
            "truncated, or a part of several files"
        )
    sizes = {page.shape for page in series.pages if page is not None}
    if len(sizes) > 1:
        raise DataError(f"{path} has pages of several sizes {sorted(sizes)}; a stack has one")


def _ordered(
    path: Path,
    array: np.ndarray,
    axes: str,
    channel: int | None,
    frame: int | None,
    notes: list[str],
    left_out: list[str],
) -> np.ndarray:
    """Return (z, y, x) of one channel and one time."""
    kept = [(n, axis) for n, axis in zip(array.shape, axes) if n > 1 or axis in "YX"]
    array, axes = array.reshape([n for n, _ in kept]), "".join(axis for _, axis in kept)
    axes = axes.replace("S", "C", 1) if "C" not in axes else axes
    for axis, wanted, name in (("C", channel, "channel"), ("T", frame, "frame")):
        count = array.shape[axes.index(axis)] if axis in axes else 1
        if wanted is not None and not 0 <= wanted < count:
            raise ParameterError(f"{name}={wanted}: {path} has {count}, counted from 0")
        if axis in axes:
            if wanted is None:
                left_out.append(f"one of {count} {name}s used; {name}= chooses")
            array = array.take(wanted or 0, axes.index(axis))
            axes = axes.replace(axis, "")
    pages = [axis for axis in axes if axis in _PAGES]
    if set(axes) - {*"YX", *pages} or len(pages) > 1 or "Y" not in axes or "X" not in axes:
        raise DataError(f"{path} has axes {axes} {array.shape}; expected z, y, x, channels, times")
    if pages and pages[0] != "Z":
        notes.append(f"{array.shape[axes.index(pages[0])]} pages without a name are taken for planes along z")
    order = [axes.index(pages[0])] if pages else []
    array = array.transpose([*order, axes.index("Y"), axes.index("X")])
    return array if pages else array[None]


def _voxel(file: Any, series: Any) -> tuple[tuple[float | None, float | None, float | None], list[str]]:
    """Return the size of a voxel, and notes on where it comes from and what was not believed."""
    notes: list[str] = []
    for source, look in (
        ("OME metadata", _from_ome),
        ("ImageJ metadata", _from_imagej),
        ("the resolution of the TIFF", _from_tags),
    ):
        found = look(file)
        if not any(found):
            continue
        sizes = list(found)
        for k, (size, (low, high)) in enumerate(zip(found, (_ALONG, _ACROSS, _ACROSS))):
            if size is not None and not low <= size <= high:
                notes.append(f"{source} give {size:.3g} m for a voxel along {'zyx'[k]}: impossible, not used")
                sizes[k] = None
        if any(sizes):
            said = ", ".join(f"{'zyx'[k]} {1e9 * s:.4g} nm" for k, s in enumerate(sizes) if s is not None)
            notes.append(f"voxel size from {source}: {said}")
            return (sizes[0], sizes[1], sizes[2]), notes
    return (None, None, None), notes


def _from_ome(file: Any) -> tuple[float | None, ...]:
    if not file.is_ome or not file.ome_metadata:
        return (None, None, None)
    try:
        root = ElementTree.fromstring(file.ome_metadata)
    except ElementTree.ParseError:
        return (None, None, None)
    pixels = next((e for e in root.iter() if e.tag.endswith("}Pixels") or e.tag == "Pixels"), None)
    if pixels is None:
        return (None, None, None)
    return tuple(
        _length(pixels.get(f"PhysicalSize{a}"), pixels.get(f"PhysicalSize{a}Unit", "µm")) for a in "ZYX"
    )


def _from_imagej(file: Any) -> tuple[float | None, ...]:
    held = file.imagej_metadata if file.is_imagej else None
    if not held or not held.get("unit"):
        return (None, None, None)
    unit = str(held["unit"])
    across = [_ratio(file, name) for name in ("YResolution", "XResolution")]
    return (
        _length(held.get("spacing"), unit),
        *(None if r is None else _length(1 / r, unit) for r in across),
    )


def _from_tags(file: Any) -> tuple[float | None, ...]:
    tags = file.pages.first.tags
    unit = int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 2
    if unit not in (2, 3):  # no unit
        return (None, None, None)
    across = [_ratio(file, name) for name in ("YResolution", "XResolution")]
    return (None, *(None if r is None else {2: 0.0254, 3: 0.01}[unit] / r for r in across))


def _ratio(file: Any, name: str) -> float | None:
    """Pixels per unit, if positive."""
    tag = file.pages.first.tags.get(name)
    if tag is None or not isinstance(tag.value, tuple) or len(tag.value) != 2 or not all(tag.value):
        return None
    return float(tag.value[0]) / float(tag.value[1])


def _length(value: Any, unit: str) -> float | None:
    scale = _UNITS.get(re.sub(r"\s", "", unit).lower())
    try:
        size = abs(float(value)) * scale if scale is not None else None
    except (TypeError, ValueError):
        return None
    return size if size and math.isfinite(size) else None
