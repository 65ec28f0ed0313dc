"""TIFF stacks with a list of angles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from invcore import DataError, MissingDependencyError
from invcore.io import Acquisition, NearMiss, Reader, damage, room_for

from .stack import StackOptions, angles_beside, stack_scan, without_angles
from .tiff_checks import check_tiff, is_tiff

_SUFFIXES = (".tif", ".tiff")


class TiffReader(Reader):
    """A TIFF stack of parallel-beam views, with a text file of their angles.

    Either one file ``scan.tif`` of many pages with ``scan.angles.txt``, ``scan.tlt`` or ``scan.rawtlt``
    beside it, or a folder of files, one view each in the order of their names, with ``angles.txt``. The
    angles are in degrees, one a line (the last number of the line). ``flat.tif`` and ``dark.tif`` (or
    ``scan.flat.tif``, ``scan.dark.tif``) are flat and dark frames if they exist.

    Examples
    --------
    >>> TiffReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(StackOptions):
        """Options of TIFF stacks, in addition to those of `StackOptions`.

        Parameters
        ----------
        center : float, "middle" or "auto"
            Column of the axis of rotation, found from the data by default.
        flat, dark : str or Path, optional
            TIFFs of one or more frames.
        """

        center: float | str = "auto"
        flat: str | Path | None = None
        dark: str | Path | None = None

    def sniff(self, path: str | Path) -> bool | NearMiss:
        """Return whether ``path`` is a TIFF, or a folder of TIFFs, with angles beside it."""
        path = Path(path)
        try:
            if path.is_dir():
                if not any(map(is_tiff, _views(path))):
                    return False
                return (path / "angles.txt").is_file() or without_angles(
                    path, "TIFF files", "tomography.tiff"
                )
            if not (path.suffix.lower() in _SUFFIXES and is_tiff(path)):
                return False
            return angles_beside(path) is not None or without_angles(path, "a TIFF", "tomography.tiff")
        except OSError:
            return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        if path.is_dir():
            files = _views(path)
            if not files:
                raise DataError(f"{path} holds no TIFF files of views")
            stack = _joined(path, [read_tiff(file) for file in files])
            table, frames = path / "angles.txt", {"flat": path / "flat.tif", "dark": path / "dark.tif"}
        else:
            stack = read_tiff(path)
            table = angles_beside(path) or path.with_suffix(".angles.txt")
            frames = {name: path.with_suffix(f".{name}.tif") for name in ("flat", "dark")}
        listed = table if options.angles is None else Path(options.angles)
        given = {"flat": options.flat, "dark": options.dark}
        read = {name: read_tiff(Path(file)) for name, file in given.items() if file is not None}
        read |= {
            name: read_tiff(file) for name, file in frames.items() if name not in read and file.is_file()
        }
        facts = {"format": "tomography.tiff", "source": path.name}
        return stack_scan(stack, listed, read, options=options, path=path, facts=facts)


def _views(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in _SUFFIXES and file.stem not in ("flat", "dark")
    )


def _joined(folder: Path, views: list[np.ndarray]) -> np.ndarray:
    if len({view.shape[1:] for view in views}) > 1:
        shapes = sorted({view.shape[1:] for view in views})
        raise DataError(f"{folder} holds views of several sizes, {shapes}; expected one")
    return np.concatenate(views)


def read_tiff(path: Path) -> np.ndarray:
    """Pages (page, row, column) of a TIFF."""
    try:
        import tifffile
    except ImportError as error:
        raise MissingDependencyError(
            'TIFF files need tifffile: pip install "invcore[io]" or pip install tifffile'
        ) from error
    check_tiff(path)
    with damage(path, "a TIFF file", "tifffile"), tifffile.TiffFile(path) as file:
        kinds = {(page.shape, page.dtype) for page in file.pages}
        if len(kinds) > 1:
            raise DataError(f"{path} has pages of several sizes or types, {kinds}; views have one")
        room_for(file.series[0].nbytes, str(path))
        array = file.asarray()
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.dtype.kind not in "fiu" or 0 in array.shape:
        raise DataError(f"{path}: expected gray views (view, row, column), got {array.dtype} {array.shape}")
    return array
