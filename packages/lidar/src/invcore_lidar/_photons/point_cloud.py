"""Point clouds and PLY files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Literal

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, DtypeError, ParameterError, ShapeError, Value
from invcore.io import atomic_path

_NAMES = {
    "i1": ("char", "int8"),
    "u1": ("uchar", "uint8"),
    "i2": ("short", "int16"),
    "u2": ("ushort", "uint16"),
    "i4": ("int", "int32"),
    "u4": ("uint", "uint32"),
    "f4": ("float", "float32"),
    "f8": ("double", "float64"),
}
_TYPES = {name: code for code, names in _NAMES.items() for name in names}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}
_HEADER = 65536  # bytes; real headers have a few hundred


class PointCloud(Value):
    """Points in space with optional intensity, uncertainty and surface number.

    Parameters
    ----------
    points : Tensor, shape (point, 3)
        x to the right, y down, z away from the sensor, in meters; the sensor is at the origin.
    intensity : Tensor, shape (point,), optional
        Reflectivity, in signal photons.
    uncertainty : Tensor, shape (point,), optional
        Standard deviation of the distance, in meters.
    surface : Tensor, shape (point,), optional
        Index of the surface within its pixel; the nearest is 0.

    Raises
    ------
    ShapeError, DtypeError
        If the parts are not such tensors.

    Examples
    --------
    >>> PointCloud(torch.zeros(5, 3), intensity=torch.ones(5))
    PointCloud(5 points with intensity)
    """

    points: Tensor
    intensity: Tensor | None = None
    uncertainty: Tensor | None = None
    surface: Tensor | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.points, Tensor) or not self.points.is_floating_point():
            raise DtypeError("PointCloud: points must be a floating-point tensor")
        if self.points.ndim != 2 or self.points.shape[1] != 3:
            raise ShapeError(f"PointCloud: points must be (point, 3), got {tuple(self.points.shape)}")
        for name in ("intensity", "uncertainty", "surface"):
            held = getattr(self, name)
            if held is not None and (not isinstance(held, Tensor) or held.shape != self.points.shape[:1]):
                raise ShapeError(f"PointCloud: {name} must hold one number for each of {len(self)} points")

    def __len__(self) -> int:
        return len(self.points)

    def __repr__(self) -> str:
        parts = [n for n in ("intensity", "uncertainty", "surface") if getattr(self, n) is not None]
        return f"PointCloud({len(self)} points{' with ' + ', '.join(parts) if parts else ''})"


def point_cloud(
    depth: Tensor,
    reflectivity: Tensor,
    *,
    pitch: float,
    projection: Literal["perspective", "parallel"] = "perspective",
    threshold: float = 0.0,
    uncertainty: Tensor | None = None,
) -> PointCloud:
    """Return the points of depth maps.

    Parameters
    ----------
    depth : Tensor, shape (K, y, x)
        Distances along the lines of sight, in meters.
    reflectivity : Tensor, shape (K, y, x)
    pitch : float
        Pitch of the pixels: angle in radians (``"perspective"``), or distance in meters (``"parallel"``,
        every line of sight along z).
    projection : {"perspective", "parallel"}
    threshold : float
        Pixels with at most this reflectivity give no point.
    uncertainty : Tensor, shape (K, y, x), optional
        Standard deviations of the depths, in meters.

    Returns
    -------
    PointCloud

    Raises
    ------
    ShapeError, ParameterError
        If the images do not fit together.

    Examples
    --------
    >>> cloud = point_cloud(torch.full((1, 2, 3), 4.0), torch.ones(1, 2, 3), pitch=0.1, projection="parallel")
    >>> len(cloud), cloud.points[0].tolist()
    (6, [-0.10000000149011612, -0.05000000074505806, 4.0])
    """
    if depth.ndim != 3 or any(v is not None and v.shape != depth.shape for v in (reflectivity, uncertainty)):
        raise ShapeError("point_cloud: depth, reflectivity and uncertainty must all be (K, y, x)")
    if projection not in ("perspective", "parallel"):
        raise ParameterError(
            f"point_cloud: projection must be 'perspective' or 'parallel', got {projection!r}"
        )
    if not 0 < pitch < float("inf"):
        raise ParameterError(f"point_cloud: pitch must be positive, got {pitch!r}")
    surfaces, ny, nx = depth.shape
    y = (torch.arange(ny, dtype=depth.dtype, device=depth.device) - (ny - 1) / 2) * pitch
    x = (torch.arange(nx, dtype=depth.dtype, device=depth.device) - (nx - 1) / 2) * pitch
    if projection == "parallel":
        along = torch.stack(
            [x.expand(ny, nx).expand_as(depth), y[:, None].expand(ny, nx).expand_as(depth), depth], -1
        )
    else:
        toward = torch.stack(
            [x.tan().expand(ny, nx), y.tan()[:, None].expand(ny, nx), torch.ones_like(depth[0])], -1
        )
        along = depth[..., None] * (toward / toward.norm(dim=-1, keepdim=True))
    kept = (reflectivity > threshold) & torch.isfinite(depth)
    number = torch.arange(surfaces, device=depth.device)[:, None, None].expand_as(depth)
    return PointCloud(
        points=along[kept],
        intensity=reflectivity[kept],
        uncertainty=None if uncertainty is None else uncertainty[kept],
        surface=number[kept],
    )


def write_ply(path: str | os.PathLike[str], cloud: PointCloud, *, comment: str = "") -> Path:
    """Write a point cloud atomically as binary PLY, which every point cloud viewer opens.

    Parameters
    ----------
    path : path
    cloud : PointCloud
        ``points`` become x, y, z; the rest become properties of the same names.
    comment : str
        Lines for the header.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If the file cannot be written.

    References
    ----------
    G. Turk, "The PLY polygon file format", Stanford University (1994).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = write_ply(Path(folder) / "cloud.ply", PointCloud(torch.rand(4, 3)))
    ...     read_ply(file)
    PointCloud(4 points)
    """
    columns = [(n, cloud.points[:, i], "float", "<f4") for i, n in enumerate("xyz")]
    for name in ("intensity", "uncertainty"):
        held = getattr(cloud, name)
        if held is not None:
            columns.append((name, held, "float", "<f4"))
    if cloud.surface is not None:
        columns.append(("surface", cloud.surface, "uchar", "u1"))
    table = np.empty(len(cloud), dtype=[(name, code) for name, _, _, code in columns])
    for name, values, _, _ in columns:
        table[name] = values.detach().cpu().numpy()
    lines = ["ply", "format binary_little_endian 1.0"]
    lines += [f"comment {line}" for line in comment.splitlines() if line.strip()]
    lines += [
        f"element vertex {len(cloud)}",
        *(f"property {kind} {n}" for n, _, kind, _ in columns),
        "end_header",
    ]
    path = Path(path)
    with atomic_path(path) as partial:
        partial.write_bytes("\n".join(lines).encode("utf-8") + b"\n" + table.tobytes())
    return path


def read_ply(path: str | os.PathLike[str]) -> PointCloud:
    """Read the points of a PLY file, binary or text; faces and other elements are ignored.

    Parameters
    ----------
    path : path

    Returns
    -------
    PointCloud
        float64 if the file has it, float32 otherwise.

    Raises
    ------
    DataError
        If the file is not PLY, is damaged, or has no points.

    Examples
    --------
    >>> read_ply("none.ply")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: no file none.ply
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"no file {path}")
    with path.open("rb") as file:
        order, count, fields = _header(file, path)
        dtype = np.dtype([(name, (order or "=") + code) for name, code in fields])
        if not {"x", "y", "z"} <= set(dtype.names or ()):
            raise DataError(f"{path}: points must have x, y and z, these have {list(dtype.names or ())}")
        held = path.stat().st_size - file.tell()
        least = 2 * len(fields) if order == "" else dtype.itemsize  # a digit and a separator each
        if count * least > held + (order == ""):  # the last line may lack its end
            raise DataError(
                f"{path} declares {count} points but has {held} bytes after its header: it is truncated"
            )
        if order == "":
            table = _text(file, path, count, dtype)
        else:
            table = np.frombuffer(file.read(count * dtype.itemsize), dtype=dtype, count=count)

    def column(name: str) -> Tensor | None:
        if name not in (dtype.names or ()):
            return None
        kept = table[name].astype(table.dtype[name].newbyteorder("="))
        return torch.from_numpy(kept if kept.dtype.kind == "f" else kept.astype(np.int64))

    points = torch.stack([torch.as_tensor(column(n)).to(_float(dtype)) for n in "xyz"], dim=1)
    if not bool(torch.isfinite(points).all()):
        raise DataError(f"{path}: points must be finite")
    return PointCloud(
        points=points,
        intensity=column("intensity"),
        uncertainty=column("uncertainty"),
        surface=column("surface"),
    )


def _float(dtype: np.dtype) -> torch.dtype:
    return torch.float64 if any(dtype[n].itemsize == 8 for n in "xyz") else torch.float32


def _header(file: IO[bytes], path: Path) -> tuple[str, int, list[tuple[str, str]]]:
    """Return byte order ("" for text), number and properties of the points; stop at the first point."""
    if file.readline(8).rstrip() != b"ply":
        raise DataError(f"{path} is not a PLY file (it does not begin with 'ply')")
    order: str | None = None
    elements: list[tuple[str, int, list[tuple[str, str]]]] = []
    while True:
        line = file.readline(4096)
        if not line.endswith(b"\n") or file.tell() > _HEADER:
            raise DataError(f"{path}: the PLY header does not end, the file is truncated or damaged")
        words = line.decode("ascii", "replace").split()
        if words == ["end_header"]:
            break
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) == 3 and words[1] in _ORDERS:
            order = _ORDERS[words[1]]
        elif words[0] == "element" and len(words) == 3 and words[2].isdecimal() and len(words[2]) < 16:
            elements.append((words[1], int(words[2]), []))
        elif words[0] == "property" and len(words) == 3 and words[1] in _TYPES and elements:
            elements[-1][2].append((words[2], _TYPES[words[1]]))
        elif words[0] == "property" and elements and elements[-1][0] != "vertex":
            continue  # lists of faces
        else:
            raise DataError(f"{path}: the PLY header has an unknown line: {line[:80]!r}")
    if order is None:
        raise DataError(f"{path}: the PLY header names no format")
    if not elements or elements[0][0] != "vertex":
        raise DataError(f"{path}: the first element must be 'vertex', got {[e[0] for e in elements]}")
    names = [name for name, _ in elements[0][2]]
    if len(set(names)) != len(names):
        raise DataError(f"{path}: several properties have the same name: {names}")
    return order, elements[0][1], elements[0][2]


def _text(file: IO[bytes], path: Path, count: int, dtype: np.dtype) -> np.ndarray:
    table = np.empty(count, dtype=dtype)
    for i in range(count):
        words = file.readline(65536).split()
        try:
            table[i] = tuple(float(w) for w in words)
        except (ValueError, OverflowError) as error:
            raise DataError(
                f"{path}: point {i} must be {len(dtype.fields or ())} numbers, got {words[:12]}; "
                "the file is damaged or truncated"
            ) from error
    return table
