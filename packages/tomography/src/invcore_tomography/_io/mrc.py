"""MRC tilt series of electron microscopes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from invcore import DataError, MissingDependencyError
from invcore.io import Acquisition, NearMiss, Reader, damage, regular_file

from .stack import StackOptions, angles_beside, stack_scan, without_angles

_BYTES = {0: 1, 1: 2, 2: 4, 6: 2, 12: 2}  # of a real pixel, by mode
_SUFFIXES = (".mrc", ".mrcs", ".st", ".ali", ".rec")


class MrcReader(Reader):
    """Tilt series of electron microscopes: MRC files with their tilt angles.

    The series is ``.mrc``, ``.st`` or ``.ali``; the angles lie beside it in ``.tlt`` or ``.rawtlt``.

    The tilt axis is vertical (along the rows), as IMOD has it after alignment: each image row is a slice
    perpendicular to it. Scattered electrons are missing from the image: minus the logarithm of the intensity,
    relative to the brightest parts, is the line integral. The angles are in degrees, one a line. Needs
    mrcfile.

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
        """Options of tilt series: those of `StackOptions`. The pixel is that of the header by default."""

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
        with damage(path, "an MRC file", "mrcfile"), mrcfile.open(path, permissive=False) as file:
            stack = np.array(file.data)
            step = float(file.voxel_size.x) * 1e-10
        if stack.ndim != 3 or stack.dtype.kind not in "fiu":
            raise DataError(
                f"{path}: a tilt series is a stack of real images, got {stack.dtype} {stack.shape}"
            )
        listed = Path(options.angles) if options.angles else (angles_beside(path) or path.with_suffix(".tlt"))
        facts = {"format": "tomography.mrc", "source": path.name}
        pitch = step if step > 0 else None
        return stack_scan(stack, listed, {}, options=options, pitch=pitch, path=path, facts=facts)


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
