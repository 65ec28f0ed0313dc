"""MRC tilt series of electron microscopes."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from invcore import DataError, MissingDependencyError, ParameterError
from invcore.io import Acquisition, NearMiss, Reader, damage, regular_file

from .mdoc import read_mdoc
from .options import number
from .stack import StackOptions, angles_beside, stack_scan, without_angles

_IMOD = 1146047817  # at byte 152; bit 0 of the flags behind it: bytes are signed
_BYTES = {0: 1, 1: 2, 2: 4, 6: 2, 12: 2}  # of a real pixel, by mode
_SUFFIXES = (".mrc", ".mrcs", ".st", ".ali", ".rec", "")


class MrcReader(Reader):
    """Tilt series of electron microscopes: MRC files with their tilt angles.

    The series is ``.mrc``, ``.st`` or ``.ali``; the angles lie beside it in ``.tlt``, ``.rawtlt`` or
    SerialEM's ``.mdoc`` (``series.tlt`` or ``series.mrc.tlt``).

    The tilt axis is vertical (along the rows), as IMOD has it after alignment: each image row is a slice
    perpendicular to it. With ``axis`` the images are turned so that it is. Bytes are unsigned where IMOD's
    stamp or the extremes of the header say so. Scattered electrons are missing from the image: minus the
    logarithm of the intensity, relative to the brightest parts, is the line integral. The angles are in
    degrees, one a line. Needs mrcfile.

    References
    ----------
    A. Cheng et al., "MRC2014: extensions to the MRC format header for electron cryo-microscopy and
    tomography", J. Struct. Biol. 192 (2015).

    Examples
    --------
    >>> MrcReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(StackOptions):
        """Options of tilt series, in addition to those of `StackOptions`.

        Parameters
        ----------
        pixel_size : float, optional
            Detector pixel in meters; by default from the header or the ``.mdoc``.
        axis : float, optional
            Angle of the tilt axis from the vertical, in degrees, counterclockwise with the first row at the
            bottom; by default from the ``.mdoc``, but 0 for ``.ali``.
        """

        axis: float | None = None

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.axis is not None and not (number(self.axis) and abs(self.axis) <= 360):
                raise ParameterError(f"axis= is an angle in degrees, got {self.axis!r}")

    def sniff(self, path: str | Path) -> bool | NearMiss:
        """Return whether ``path`` is an MRC file with tilt angles beside it."""
        path = Path(path)
        try:
            if not path.is_file() or path.suffix.lower() not in _SUFFIXES:
                return False
            with path.open("rb") as file:
                if file.read(212)[208:211] != b"MAP":
                    return False
            return angles_beside(path) is not None or without_angles(path, "MRC", "tomography.mrc")
        except OSError:
            return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        try:
            import mrcfile
        except ImportError as error:
            raise MissingDependencyError(
                'MRC files need mrcfile: pip install "invcore[io]" or pip install mrcfile'
            ) from error
        _check_size(path)
        # permissive: SerialEM and others write no stamp of the byte order, and are little-endian
        with damage(path, "an MRC file", "mrcfile"), mrcfile.open(path, permissive=True) as file:
            stack = _pixels(np.array(file.data), file.header)
            step = float(file.voxel_size.x) * 1e-10
        if stack.ndim != 3 or stack.dtype.kind not in "fiu":
            raise DataError(
                f"{path}: a tilt series is a stack of real images, got {stack.dtype} {stack.shape}"
            )
        listed = Path(options.angles) if options.angles else (angles_beside(path) or path.with_suffix(".tlt"))
        facts: dict[str, Any] = {"format": "tomography.mrc", "source": path.name, "notes": []}
        pitch, axis = (step if step > 0 else None), options.axis
        if listed.suffix.lower() == ".mdoc" and listed.is_file():
            described = read_mdoc(listed)
            pitch = described.pixel if pitch is None else pitch
            if axis is None and path.suffix.lower() != ".ali":
                axis = described.axis
        if axis is not None and abs((axis + 90) % 180 - 90) > 0.05:
            stack = _upright(stack, axis)
            facts["notes"].append(
                f"the images are turned by {-axis:g} degrees, so that the tilt axis is vertical"
            )
        facts["tilt_axis_deg"] = 0.0 if axis is None else float(axis)
        return stack_scan(stack, listed, {}, options=options, pitch=pitch, path=path, facts=facts)


def _pixels(stack: np.ndarray, header: Any) -> np.ndarray:
    """Values of a stack; bytes are signed in the standard of 2014, and often unsigned before it."""
    if stack.dtype != np.int8:
        return stack
    stamp, flags = np.frombuffer(header.tobytes()[152:160], header.mode.dtype)
    if stamp == _IMOD:
        return stack if flags & 1 else stack.view(np.uint8)
    return stack.view(np.uint8) if 127 < float(header.dmax) <= 255 and float(header.dmin) >= 0 else stack


def _upright(stack: np.ndarray, axis: float) -> np.ndarray:
    """Images (view, y, x) turned so that an axis at an angle from the vertical is vertical."""
    from scipy.ndimage import affine_transform

    c, s = math.cos(math.radians(axis)), math.sin(math.radians(axis))
    shape = stack.shape[1:][::-1] if abs(s) > 0.7 else stack.shape[1:]
    matrix = np.array([[c, s], [-s, c]])  # from (y, x) after to before
    offset = (np.array(stack.shape[1:]) - 1) / 2 - matrix @ ((np.array(shape) - 1) / 2)
    turned = [
        affine_transform(view.astype(np.float32), matrix, offset, shape, order=1, mode="nearest")
        for view in stack
    ]
    return np.stack(turned)


def _check_size(path: Path) -> None:
    """Raise `DataError` unless the file is as long as its header says, but for less than an image."""
    with regular_file(path).open("rb") as file:
        head = file.read(1024)
    held = path.stat().st_size
    if len(head) < 1024 or head[208:211] != b"MAP":
        raise DataError(f"{path} is not a whole MRC file: it has no header of 1024 bytes with MAP")
    order = ">" if head[212] == 0x11 else "<"
    columns, rows, sections, mode = struct.unpack_from(order + "4i", head)
    (extended,) = struct.unpack_from(order + "i", head, 92)
    if mode not in _BYTES or min(columns, rows, sections) < 1 or extended < 0:
        raise DataError(
            f"{path} declares {sections} x {rows} x {columns} pixels of mode {mode} after {extended} bytes: "
            f"expected positive sizes, and one of the modes {', '.join(map(str, _BYTES))}"
        )
    section = rows * columns * _BYTES[mode]
    need = 1024 + extended + sections * section
    if not need <= held < need + section:
        raise DataError(
            f"{path} declares {sections} x {rows} x {columns} pixels of mode {mode}, {need} bytes with its "
            f"headers, and has {held}: it is damaged or truncated"
        )
