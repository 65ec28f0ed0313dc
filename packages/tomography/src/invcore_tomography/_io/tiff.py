"""TIFF stacks with a list of angles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from invcore import DataError, MissingDependencyError
from invcore.io import Acquisition, NearMiss, Reader, check_tiff, damage, is_tiff, room_for

from .folder import Files, numbers, sorted_files
from .stack import StackOptions, angles_beside, stack_scan, without_angles

_SUFFIXES = (".tif", ".tiff")


class TiffReader(Reader):
    """A TIFF stack of parallel-beam views, with a text file of their angles.

    Either one file ``scan.tif`` of many pages with ``scan.angles.txt``, ``scan.tlt`` or ``scan.rawtlt``
    beside it, or a folder of files, one view each in the order of the numbers in their names, with
    ``angles.txt``. The angles are in degrees, one a line (the last number of the line). Files whose names
    say flat or dark (``flat.tif``, ``dark_0001.tif``, ``scan.flat.tif``) are flat and dark frames. Values
    that mean white by 0 are inverted.

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
            TIFFs of one or more frames, or folders of them.
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
                listed = angles_beside(path) is not None
                return listed or without_angles(path, "TIFF files", "tomography.tiff")
            if not (path.suffix.lower() in _SUFFIXES and is_tiff(path)):
                return False
            return angles_beside(path) is not None or without_angles(path, "a TIFF", "tomography.tiff")
        except OSError:
            return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        facts: dict[str, Any] = {"format": "tomography.tiff", "source": path.name, "notes": []}
        given = {name: getattr(options, name) for name in ("flat", "dark")}
        inside = sorted_files(path, _SUFFIXES) if path.is_dir() else Files([path])
        if not inside.views:
            raise DataError(f"{path} holds no TIFF files of views")
        files = {"flat": inside.flat, "dark": inside.dark}
        if not path.is_dir():
            beside = {name: path.with_suffix(f".{name}.tif") for name in files}
            files = {name: [file] if file.is_file() else [] for name, file in beside.items()}
        for name, stated in given.items():
            if stated is not None:
                stated = Path(stated)
                files[name] = sorted_files(stated, _SUFFIXES).views if stated.is_dir() else [stated]
        stack = _joined(path, inside.views, facts["notes"])
        frames = {name: _joined(path, found, facts["notes"]) for name, found in files.items() if found}
        at = _positions(files["flat"], inside, len(stack)) if "flat" in frames else None
        table = angles_beside(path) or (
            path / "angles.txt" if path.is_dir() else path.with_suffix(".angles.txt")
        )
        return stack_scan(
            stack,
            table if options.angles is None else Path(options.angles),
            frames,
            options=options,
            path=path,
            facts=facts,
            numbers=numbers(inside.views),
            flat_at=at,
        )


def _views(folder: Path) -> list[Path]:
    return sorted_files(folder, _SUFFIXES).views


def _positions(flat: list[Path], files: Files, views: int) -> np.ndarray | None:
    """Positions of the flat frames in the scan, where the names of all say before or after."""
    if not files.early or not files.late or set(flat) != files.early | files.late:
        return None
    return np.concatenate([np.full(len(read_tiff(f)), -1.0 if f in files.early else views) for f in flat])


def _joined(folder: Path, files: list[Path], notes: list[str]) -> np.ndarray:
    stacks = [read_tiff(file, notes) for file in files]
    if len({stack.shape[1:] for stack in stacks}) > 1:
        shapes = sorted({stack.shape[1:] for stack in stacks})
        raise DataError(f"{folder} holds views of several sizes, {shapes}; expected one")
    return np.concatenate(stacks)


def read_tiff(path: Path, notes: list[str] | None = None) -> np.ndarray:
    """Pages (page, row, column) of a TIFF; ``notes`` receives what was done to them."""
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
        inverted = file.pages.first.photometric == 0
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.dtype.kind not in "fiu" or 0 in array.shape:
        raise DataError(f"{path}: expected gray views (view, row, column), got {array.dtype} {array.shape}")
    if not inverted:
        return array
    if array.dtype.kind != "u":
        raise DataError(
            f"{path}: 0 means white in it, which has no meaning for {array.dtype}; save it as black-is-zero"
        )
    said = "0 means white in the TIFF files: values are subtracted from the largest of their type"
    if notes is not None and said not in notes:
        notes.append(said)
    return np.iinfo(array.dtype).max - array
