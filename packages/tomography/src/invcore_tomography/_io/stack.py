"""Stacks of views with their angles beside them: TIFF, and MRC tilt series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, MissingDependencyError, ParameterError
from invcore.io import Acquisition, Reader

from .acquire import chosen_rows, naming, parallel_scan, transmission
from .options import CountOptions

_SUFFIXES = (".tif", ".tiff")
_MRC = (".mrc", ".mrcs", ".st", ".ali", ".rec")


@dataclass(frozen=True, kw_only=True)
class StackOptions(CountOptions):
    """Options of stacks of views, in addition to those of `CountOptions`.

    Parameters
    ----------
    values : {"counts", "transmission", "attenuation"}
        Meaning of the pixels: counts to be normalized, transmission, or line integrals.
    angles : str or Path, optional
        Text file of the angles in degrees; by default the one beside the stack.
    """

    values: Literal["counts", "transmission", "attenuation"] = "counts"
    angles: str | Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.values not in ("counts", "transmission", "attenuation"):
            raise ParameterError(f"values= is 'counts', 'transmission' or 'attenuation', got {self.values!r}")


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

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` is a TIFF, or a folder of TIFFs, with angles beside it."""
        path = Path(path)
        try:
            if path.is_dir():
                return (path / "angles.txt").is_file() and any(map(_magic, _views(path)))
            return (
                path.is_file()
                and path.suffix.lower() in _SUFFIXES
                and _magic(path)
                and _beside(path) is not None
            )
        except OSError:
            return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        if path.is_dir():
            files = _views(path)
            if not files:
                raise DataError(f"{path} holds no TIFF files of views")
            stack = np.concatenate([read_tiff(file) for file in files])
            table, frames = path / "angles.txt", {"flat": path / "flat.tif", "dark": path / "dark.tif"}
        else:
            stack = read_tiff(path)
            table = _beside(path) or path.with_suffix(".angles.txt")
            frames = {name: path.with_suffix(f".{name}.tif") for name in ("flat", "dark")}
        listed = table if options.angles is None else Path(options.angles)
        theta = read_angles(listed)
        given = {"flat": options.flat, "dark": options.dark}
        read = {name: read_tiff(Path(file)) for name, file in given.items() if file is not None}
        read |= {
            name: read_tiff(file) for name, file in frames.items() if name not in read and file.is_file()
        }
        facts = {"format": "tomography.tiff", "source": path.name, "angles_from": listed.name}
        return stack_scan(stack, theta, read, options=options, path=path, facts=facts)


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

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` is an MRC file with tilt angles beside it."""
        path = Path(path)
        try:
            if not path.is_file() or path.suffix.lower() not in _MRC or _beside(path) is None:
                return False
            with path.open("rb") as file:
                return file.read(212)[208:211] == b"MAP"
        except OSError:
            return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        try:
            import mrcfile
        except ImportError as error:
            raise MissingDependencyError(
                'MRC files need mrcfile: pip install "invcore[io]" or pip install mrcfile'
            ) from error
        if not path.is_file():
            raise DataError(f"no file {path}")
        try:
            with mrcfile.open(path, permissive=False) as file:
                stack = np.array(file.data)
                step = float(file.voxel_size.x) * 1e-10
        except (ValueError, OSError, EOFError, TypeError, AttributeError) as error:
            raise DataError(f"{path} is not a whole MRC file: {error}") from error
        if stack.ndim != 3 or stack.dtype.kind not in "fiu":
            raise DataError(
                f"{path}: a tilt series is a stack of real images, got {stack.dtype} {stack.shape}"
            )
        listed = Path(options.angles) if options.angles else (_beside(path) or path.with_suffix(".tlt"))
        theta = read_angles(listed)
        facts = {"format": "tomography.mrc", "source": path.name, "angles_from": listed.name}
        pitch = step if step > 0 else None
        return stack_scan(stack, theta, {}, options=options, pitch=pitch, path=path, facts=facts)


def stack_scan(
    stack: np.ndarray,
    theta: Tensor,
    frames: dict[str, np.ndarray],
    *,
    options: StackOptions,
    pitch: float | None = None,
    path: Path,
    facts: dict[str, Any],
) -> Acquisition:
    """An acquisition from a stack (view, row, column), with frames ``flat`` and ``dark`` likewise."""
    if len(theta) != len(stack):
        raise DataError(f"{path}: {len(stack)} views, but {len(theta)} angles in {facts['angles_from']}")
    for name, frame in frames.items():
        if frame.shape[1:] != stack.shape[1:]:
            raise DataError(f"{path}: the {name} frames are {frame.shape[1:]}, the views {stack.shape[1:]}")
    values = options.values
    rows = chosen_rows(options.slice, stack.shape[1], path)
    part = {name: torch.from_numpy(frame[:, rows].astype(np.float32)) for name, frame in frames.items()}
    views = torch.from_numpy(stack[:, rows].astype(np.float32))
    facts = {**facts, "values": values, "slices": [rows.start, rows.stop - 1], "slice_count": stack.shape[1]}
    with naming(path):
        if values == "attenuation":
            lines = views
        else:
            flat = torch.ones(1, *views.shape[1:]) if values == "transmission" else part.get("flat")
            dark = part.get("dark") if values == "counts" else None
            lines = transmission(views, flat, dark, zingers=options.zingers, facts=facts)
        return parallel_scan(lines, theta, options=options, pitch=pitch, metadata=facts)


def read_angles(path: str | Path) -> Tensor:
    """Read angles in degrees from a text file, one a line, the last number of each; # begins a comment.

    Returns
    -------
    Tensor, shape (view)
        In radians.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "angles.txt"
    ...     _ = file.write_text("# tilt\\n0 -60\\n1 0\\n")
    ...     read_angles(file).tolist()
    [-1.0471975511965976, 0.0]
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"no file of angles {path}: one angle in degrees a line")
    if path.stat().st_size > 10_000_000:
        raise DataError(f"{path} is too large for a list of angles")
    text = path.read_bytes().decode("utf-8", "replace")
    lines = [line.partition("#")[0].replace(",", " ").split() for line in text.splitlines()]
    try:
        values = [float(words[-1]) for words in lines if words]
    except ValueError as error:
        raise DataError(f"{path} is not a list of angles: {error}") from error
    if not values or not np.isfinite(values).all():
        raise DataError(f"{path} holds no angles, or some that are not finite")
    return torch.deg2rad(torch.tensor(values, dtype=torch.float64))


def _beside(path: Path) -> Path | None:
    """The file of angles beside a stack."""
    names = (path.with_suffix(end) for end in (".angles.txt", ".tlt", ".rawtlt"))
    return next((name for name in names if name.is_file()), None)


def _views(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in _SUFFIXES and file.stem not in ("flat", "dark")
    )


def _magic(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def read_tiff(path: Path) -> np.ndarray:
    """Pages (page, row, column) of a TIFF."""
    try:
        import tifffile
    except ImportError as error:
        raise MissingDependencyError(
            'TIFF files need tifffile: pip install "invcore[io]" or pip install tifffile'
        ) from error
    if not path.is_file():
        raise DataError(f"no file {path}")
    try:
        with tifffile.TiffFile(path) as file:
            held = path.stat().st_size
            for page in file.pages:
                ends = [a + b for a, b in zip(page.dataoffsets, page.databytecounts)]
                if not ends or max(ends) > held:
                    raise DataError(f"{path} is truncated: it ends within a page")
            array = file.asarray()
    except DataError:
        raise
    except Exception as error:  # tifffile and its decoders raise many kinds
        raise DataError(f"{path} is not a whole TIFF file: {error}") from error
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.dtype.kind not in "fiu" or 0 in array.shape:
        raise DataError(f"{path}: expected gray views (view, row, column), got {array.dtype} {array.shape}")
    return array
