"""Scans of Zeiss (Xradia) X-ray microscopes: TXRM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, MissingDependencyError
from invcore.io import Acquisition, Reader, damage, regular_file

from .._geometry.grid import Grid
from .._geometry.scans import cone, fan
from .acquire import acquire, chosen_rows, column_of, naming, parallel_scan, rows_used
from .angles import in_radians
from .counts import Frames, line_integrals
from .options import CountOptions

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PIXELS: dict[int, np.dtype[Any]] = {5: np.dtype("<u2"), 10: np.dtype("<f4"), 3: np.dtype("u1")}
_LIMIT = 2**34  # bytes of views


class TxrmReader(Reader):
    """Projections of Zeiss X-ray microscopes (``.txrm``), parallel beam (Ultra) and cone beam (Versa).

    The file is an OLE container with a stream for each view and for each fact. The reference image, if there
    is one, normalizes the counts; otherwise their brightest parts do. The displacements that the microscope
    recorded for each view are taken into the geometry. Needs olefile.

    Examples
    --------
    >>> TxrmReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(CountOptions):
        """Options of TXRM, in addition to those of `CountOptions`.

        Parameters
        ----------
        slice : int or "all", optional
            Detector row; by default the middle one, a fan beam if the source is near. ``"all"``: a batch of
            slices in a parallel beam, a volume in a cone beam.
        shifts : bool
            Use the recorded displacements of the views.
        """

        shifts: bool = True

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` is an OLE file called ``.txrm``."""
        path = Path(path)
        try:
            if not path.is_file() or path.suffix.lower() != ".txrm":
                return False
            with path.open("rb") as file:
                return file.read(8) == _OLE
        except OSError:
            return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        scan = _Txrm(path, options.slice)
        facts = {**scan.facts, "notes": []}
        angles = in_radians(scan.angles, where=str(path), units=options.units, notes=facts["notes"])
        moved = scan.shifts if options.shifts else None
        with naming(path):
            counts = Frames(views=torch.from_numpy(scan.views), flat=scan.flat, top=scan.top, certain=True)
            lines, kept = line_integrals(counts, options, facts)
            angles, moved = angles[kept], None if moved is None else moved[kept]
            if scan.geometry == "cone":
                return self._divergent(scan, lines, angles, moved, options, facts)
            return parallel_scan(
                lines, angles, options=options, pitch=scan.pixel, metadata=facts, shifts=moved
            )

    def _divergent(
        self,
        scan: _Txrm,
        lines: Tensor,
        angles: Tensor,
        moved: Tensor | None,
        options: Options,
        facts: dict[str, Any],
    ) -> Acquisition:
        _, rows, columns = lines.shape
        near, far = scan.source, scan.source + scan.detector
        # the file has the pixel at the object
        pixel = scan.pixel if options.pixel_size is None else options.pixel_size * near / far
        pitch = pixel * far / near
        center, how = column_of(options, columns)
        where: Any = center if moved is None else (center - moved.double())[:: options.every]
        n = options.size or columns
        spacing = pixel * columns / n
        angles = angles[:: options.every]
        facts |= {
            "center_of_rotation_column": center,
            "center_from": how,
            "units": {"x": "1/m", "y": "1"},
        }
        common: dict[str, Any] = {
            "source_distance": near,
            "detector_distance": far - near,
            "columns": columns,
            "pitch": pitch,
            "center_of_rotation": where,
        }
        if rows == 1:
            geometry = fan(angles, grid=Grid(shape=(n, n), spacing=spacing), **common)
            sinogram = lines[:: options.every, 0].unsqueeze(0)
        else:
            slices = max(1, round(rows * n / columns))
            geometry = cone(angles, rows=rows, grid=Grid(shape=(slices, n, n), spacing=spacing), **common)
            sinogram = lines[:: options.every].unsqueeze(0)
        return acquire(sinogram, geometry, sigma=options.sigma, photons=options.photons, metadata=facts)


class _Txrm:
    """The streams of a TXRM file needed for a reconstruction."""

    def __init__(self, path: Path, which: int | str | None) -> None:
        try:
            import olefile
        except ImportError as error:
            raise MissingDependencyError(
                'TXRM files need olefile: pip install "invcore[io]" or pip install olefile'
            ) from error
        with regular_file(path).open("rb") as file:
            if file.read(8) != _OLE:
                raise DataError(f"{path} is not an OLE file, which TXRM files are")
        strict = olefile.DEFECT_INCORRECT
        with damage(path, "TXRM", "olefile"), olefile.OleFileIO(str(path), raise_defects=strict) as ole:
            self._read(ole, path, which)

    def _read(self, ole: Any, path: Path, which: int | str | None) -> None:
        def numbers(name: str, kind: str, count: int, *, required: bool = True) -> np.ndarray | None:
            if not ole.exists(name):
                if required:
                    raise DataError(f"{path} has no stream {name}")
                return None
            data = ole.openstream(name).read()
            if len(data) < count * 4:
                raise DataError(f"{path}: stream {name} has {len(data)} bytes, {count * 4} are needed")
            return np.frombuffer(data[: count * 4], kind)

        def integer(name: str) -> int:
            found = numbers(name, "<i4", 1)
            assert found is not None
            return int(found[0])

        height, width = integer("ImageInfo/ImageHeight"), integer("ImageInfo/ImageWidth")
        views, kind = integer("ImageInfo/ImagesTaken"), integer("ImageInfo/DataType")
        if kind not in _PIXELS:
            raise DataError(f"{path}: pixel type {kind} is unknown (expected one of {sorted(_PIXELS)})")
        if min(height, width, views) < 1 or height * width * views * 4 > _LIMIT:
            raise DataError(f"{path}: {views} views of {height} x {width} pixels: impossible or too large")
        rows = chosen_rows(which, height, path)
        pixel = _PIXELS[kind]
        self.top = {1: 255.0, 2: 65535.0}.get(pixel.itemsize)
        need, held = height * width * views * pixel.itemsize, path.stat().st_size
        if need > held:
            raise DataError(f"{path}: its views have {need} bytes, the file {held}: it is incomplete")
        self.views = np.empty((views, rows.stop - rows.start, width), np.float32)
        for k in range(views):
            name = f"ImageData{k // 100 + 1}/Image{k + 1}"
            self.views[k] = _image(ole, name, pixel, height, width, path)[rows]
        angles = numbers("ImageInfo/Angles", "<f4", views)
        size = numbers("ImageInfo/PixelSize", "<f4", 1)
        assert angles is not None and size is not None
        self.angles = angles.astype(np.float64)
        self.pixel = float(size[0]) * 1e-6
        if not 0 < self.pixel < 1:
            raise DataError(f"{path}: the pixel size is {size[0]} micrometers")
        shifts = numbers("Alignment/X-Shifts", "<f4", views, required=False)
        self.shifts = None if shifts is None or not shifts.any() else torch.from_numpy(shifts.copy())
        self.flat: Tensor | None = None
        if ole.exists("ReferenceData/Image"):
            stored = numbers("ReferenceData/DataType", "<i4", 1, required=False)
            by_size = {2: 5, 4: 10}.get(ole.get_size("ReferenceData/Image") // (height * width))
            flat_kind = _PIXELS.get(int(stored[0]) if stored is not None else by_size or 0)
            if flat_kind is None:
                raise DataError(f"{path}: the pixel type of the reference image is unknown")
            flat = _image(ole, "ReferenceData/Image", flat_kind, height, width, path)[rows]
            self.flat = torch.from_numpy(flat.astype(np.float32))[None]
        beam = numbers("ImageInfo/XrayGeometry", "<i4", 1, required=False)
        near, far = (
            numbers(f"ImageInfo/{name}", "<f4", 1, required=False)
            for name in ("StoRADistance", "DtoRADistance")
        )
        self.source = abs(float(near[0])) * 1e-3 if near is not None else 0.0
        self.detector = abs(float(far[0])) * 1e-3 if far is not None else 0.0
        self.geometry = "cone" if beam is not None and int(beam[0]) == 1 else "parallel"
        if self.geometry == "cone" and not self.source > 0:
            raise DataError(f"{path}: a cone beam, but no distance from the source to the axis")
        self.facts: dict[str, Any] = {
            "format": "tomography.txrm",
            "source": path.name,
            **rows_used(rows, height),
            "flats": 0 if self.flat is None else 1,
            "shifts_recorded": self.shifts is not None,
            "beam_recorded": self.geometry,
        }
        if self.geometry == "cone":
            self.facts |= {"source_to_axis_m": self.source, "axis_to_detector_m": self.detector}
        exposure = numbers("ImageInfo/ExpTimes", "<f4", 1, required=False)
        if exposure is not None:
            self.facts["exposure_s"] = float(exposure[0])


def _image(ole: Any, name: str, pixel: np.dtype[Any], height: int, width: int, path: Path) -> np.ndarray:
    if not ole.exists(name):
        raise DataError(f"{path} has no stream {name}: it is incomplete")
    data = ole.openstream(name).read()
    need = height * width * pixel.itemsize
    if len(data) < need:
        raise DataError(f"{path}: stream {name} has {len(data)} bytes, {need} are needed")
    return np.frombuffer(data[:need], pixel).reshape(height, width)
