"""Geometries from ASTRA, TIGRE, ODL and CIL, none of which is required."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from invcore import DataError

from .geometry import Geometry
from .grid import Grid
from .scans import from_vectors

_PLANAR = {"parallel", "parallel_vec", "fanflat", "fanflat_vec"}
_SPATIAL = {"parallel3d", "parallel3d_vec", "cone", "cone_vec"}


def from_astra(projection: Mapping[str, Any], volume: Mapping[str, Any]) -> Geometry:
    """The scan of ASTRA's projection and volume geometry.

    ASTRA's 2-D images have y growing upwards, from the last row to the first. The world is mirrored in the
    conversion, so that the same arrays are the same image in both packages. Sinograms are the same in 2-D; in
    3-D ASTRA has (row, view, column), here it is (view, row, column).

    Parameters
    ----------
    projection : mapping
        Of type parallel, parallel_vec, fanflat, fanflat_vec, parallel3d, parallel3d_vec, cone or cone_vec.
    volume : mapping
        With GridRowCount, GridColCount, in 3-D GridSliceCount, and the option window.

    Returns
    -------
    Geometry

    Raises
    ------
    DataError
        If the type is unknown, or the dimensions disagree.

    Examples
    --------
    >>> volume = {"GridRowCount": 4, "GridColCount": 4, "option": {}}
    >>> scan = {"type": "parallel", "DetectorWidth": 1.0, "DetectorCount": 5, "ProjectionAngles": [0.0, 0.7]}
    >>> from_astra(scan, volume)
    Geometry(parallel beam, 2 views, 5 columns of 1 m, Grid(4 x 4 pixels of 1 x 1 m, center (0, 0)))
    """
    kind = projection.get("type")
    if kind not in _PLANAR | _SPATIAL:
        raise DataError(
            f"from_astra: expected a projection geometry of type {sorted(_PLANAR | _SPATIAL)}, got {kind!r}"
        )
    space = kind in _SPATIAL
    if space != ("GridSliceCount" in volume):
        raise DataError(
            f"from_astra: a {kind} geometry needs a volume geometry in {'3-D' if space else '2-D'}"
        )
    vectors = (
        np.array(projection["Vectors"], dtype=np.float64)
        if kind.endswith("_vec")
        else _astra_vectors(projection, kind)
    )
    parts = np.split(vectors, 4 if space else 3, axis=1)
    if not space:
        parts = [p * (1.0, -1.0) for p in parts]
    shape = ("DetectorRowCount", "DetectorColCount") if space else ("DetectorCount",)
    return from_vectors(
        *parts,
        detector_shape=tuple(int(projection[name]) for name in shape),
        grid=_astra_grid(volume),
        beam="parallel" if kind.startswith("parallel") else "divergent",
    )


def _astra_vectors(projection: Mapping[str, Any], kind: str) -> np.ndarray:
    """Source, detector, u, v of a circular scan, side by side: (views, 6 or 12)."""
    theta = np.asarray(projection["ProjectionAngles"], dtype=np.float64).reshape(-1, 1)
    c, s, zero = np.cos(theta), np.sin(theta), np.zeros_like(theta)
    away = np.concatenate([s, -c], axis=1)  # towards the source
    across = np.concatenate([c, s], axis=1)
    if kind.startswith("parallel"):
        source, detector = -away, 0 * away
    else:
        source = float(projection["DistanceOriginSource"]) * away
        detector = -float(projection["DistanceOriginDetector"]) * away
    if kind in _PLANAR:
        return np.concatenate([source, detector, float(projection["DetectorWidth"]) * across], axis=1)
    u = float(projection["DetectorSpacingX"]) * across
    up = zero + float(projection["DetectorSpacingY"])
    parts = [source, zero, detector, zero, u, zero, zero, zero, up]
    return np.concatenate(parts, axis=1)


def _astra_grid(volume: Mapping[str, Any]) -> Grid:
    names = [("GridSliceCount", "Z"), ("GridRowCount", "Y"), ("GridColCount", "X")]
    window = volume.get("option") or {}
    shape, spacing, center = [], [], []
    for count, axis in names[0 if "GridSliceCount" in volume else 1 :]:
        n = int(volume[count])
        low = float(window.get(f"WindowMin{axis}", -n / 2))
        high = float(window.get(f"WindowMax{axis}", n / 2))
        shape.append(n)
        spacing.append((high - low) / n)
        mirrored = axis == "Y" and "GridSliceCount" not in volume
        center.append(0.0 - (low + high) / 2 if mirrored else (low + high) / 2)
    return Grid(shape=tuple(shape), spacing=spacing, center=center)


def from_tigre(geometry: Any, angles: Any) -> Geometry:
    """The scan of a TIGRE geometry, in TIGRE's unit of length (millimeters).

    Images (z, y, x) and projections (view, row, column) are the same arrays in both packages.

    Parameters
    ----------
    geometry : object or mapping
        With DSO, DSD, nDetector, dDetector, nVoxel, dVoxel (or sVoxel) and, where they are not zero,
        offOrigin, offDetector, rotDetector and COR, as one value or one for each view; mode "cone" or
        "parallel".
    angles : array_like, shape (view,) or (view, 3)
        In radians; three: Euler angles Z-Y-Z.

    Returns
    -------
    Geometry

    Examples
    --------
    >>> geo = dict(mode="cone", DSO=1000.0, DSD=1536.0, nDetector=(8, 6), dDetector=(0.8, 0.8))
    >>> geo |= dict(nVoxel=(4, 6, 6), dVoxel=(1, 1, 1))
    >>> from_tigre(geo, [0.0, 0.1]).source[0]
    tensor([1000.,    0.,    0.], dtype=torch.float64)
    """
    held = geometry if isinstance(geometry, Mapping) else vars(geometry)

    def get(name: str, default: Any = None, width: int = 1) -> np.ndarray:
        value = held.get(name)
        if value is None:
            value = default
        if value is None:
            raise DataError(f"from_tigre: the geometry has no {name}")
        found = np.asarray(value, dtype=np.float64)
        if width == 1:
            return np.broadcast_to(found.reshape(-1), (views,))
        return np.broadcast_to(found.reshape(-1, found.shape[-1])[:, :width], (views, width))

    turns = np.asarray(angles, dtype=np.float64)
    turns = np.stack([turns, 0 * turns, 0 * turns], axis=1) if turns.ndim == 1 else turns
    views = len(turns)
    mode = held.get("mode") or "cone"
    if mode not in ("cone", "parallel"):
        raise DataError(f"from_tigre: mode must be 'cone' or 'parallel', got {mode!r}")
    shape = tuple(int(n) for n in np.asarray(held["nVoxel"]))
    spacing = held.get("dVoxel")
    spacing = np.asarray(held["sVoxel"]) / shape if spacing is None else np.asarray(spacing)
    rows, columns = (int(n) for n in np.asarray(held["nDetector"]))
    step = held.get("dDetector")
    step = np.asarray(held["sDetector"]) / (rows, columns) if step is None else np.asarray(step)
    dv, du = (float(s) for s in step)
    shift, origin = get("offDetector", (0, 0), 2), get("offOrigin", (0, 0, 0), 3)
    roll, pitch, yaw = get("rotDetector", (0, 0, 0), 3).T
    before = get("DSO")
    zero, one = np.zeros(views), np.ones(views)
    source = np.stack([before, zero, zero], 1) if mode == "cone" else np.stack([-one, zero, zero], 1)
    detector = np.stack([before - get("DSD"), shift[:, 1], shift[:, 0]], axis=1)
    tilt = _about(2, roll) @ _about(1, pitch) @ _about(0, yaw)
    turn = _about(2, turns[:, 0]) @ _about(1, turns[:, 1]) @ _about(2, turns[:, 2])
    source, detector = (np.einsum("vij,vj->vi", turn, w) for w in (source, detector))
    u, v = du * (turn @ tilt)[:, :, 1], dv * (turn @ tilt)[:, :, 2]
    # the axis of rotation and the image may be off the middle, in TIGRE differently in every view
    moved = get("COR", 0.0)[:, None] * np.stack([-np.sin(turns[:, 0]), np.cos(turns[:, 0]), zero], axis=1)
    moved = moved - origin[:, ::-1]
    detector = detector + moved
    source = source + moved if mode == "cone" else source
    return from_vectors(
        source,
        detector,
        u,
        v,
        detector_shape=(rows, columns),
        grid=Grid(shape=shape, spacing=tuple(float(s) for s in spacing)),
        beam="divergent" if mode == "cone" else "parallel",
    )


def _about(axis: int, angle: np.ndarray) -> np.ndarray:
    """Rotations about a coordinate axis: (views, 3, 3)."""
    c, s = np.cos(angle), np.sin(angle)
    out = np.zeros((len(angle), 3, 3))
    p, q = (axis + 1) % 3, (axis + 2) % 3
    out[:, axis, axis] = 1
    out[:, p, p], out[:, p, q], out[:, q, p], out[:, q, q] = c, -s, s, c
    return out


def from_odl(geometry: Any, space: Any) -> Geometry:
    """The scan of an ODL geometry with a flat detector.

    ODL's arrays are in the order (x, y[, z]) and (view, column[, row]): transpose images, and exchange the
    last two axes of 3-D sinograms, for those here.

    Parameters
    ----------
    geometry : odl.tomo.Geometry
        Parallel, fan or cone beam.
    space : odl.DiscretizedSpace
        The reconstruction space.

    Returns
    -------
    Geometry

    Raises
    ------
    DataError
        If the detector is curved.
    """
    name = type(getattr(geometry, "detector", None)).__name__
    if name not in ("Flat1dDetector", "Flat2dDetector"):
        raise DataError(f"from_odl: the detector must be flat, got {name}")
    middle = np.atleast_1d(np.asarray(geometry.det_params.mid_pt, dtype=np.float64))
    stride = np.atleast_1d(np.asarray(geometry.det_grid.stride, dtype=np.float64))
    steps = np.diag(stride)

    def point(angle: Any, at: np.ndarray) -> np.ndarray:
        return np.asarray(
            geometry.det_point_position(angle, at if len(at) > 1 else float(at[0])), dtype=np.float64
        )

    divergent = hasattr(geometry, "src_position")
    views = np.asarray(geometry.angles)
    detector = np.stack([point(a, middle) for a in views])
    sides = [np.stack([point(a, middle + s) for a in views]) - detector for s in steps]
    single = middle if len(middle) > 1 else float(middle[0])
    source = np.stack(
        [
            np.asarray(geometry.src_position(a)) if divergent else -np.asarray(geometry.det_to_src(a, single))
            for a in views
        ]
    )
    low, high = np.asarray(space.min_pt)[::-1], np.asarray(space.max_pt)[::-1]
    shape = tuple(int(n) for n in space.shape)[::-1]
    return from_vectors(
        source,
        detector,
        *sides,
        detector_shape=tuple(int(n) for n in geometry.det_partition.shape)[::-1],
        grid=Grid(
            shape=shape,
            spacing=tuple(float(s) for s in (high - low) / shape),
            center=tuple(float(c) for c in (high + low) / 2),
        ),
        beam="divergent" if divergent else "parallel",
    )


def from_cil(acquisition: Any, image: Any = None) -> Geometry:
    """The scan of a CIL acquisition geometry, in CIL's unit of length.

    Images ([z,] y, x) and data (view, [row,] column) in CIL's default order are the same arrays in both
    packages.

    Parameters
    ----------
    acquisition : cil.framework.AcquisitionGeometry
    image : cil.framework.ImageGeometry, optional
        By default the one that CIL makes for the acquisition.

    Returns
    -------
    Geometry

    Raises
    ------
    DataError
        If the geometry is neither "parallel" nor "cone".
    """
    image = acquisition.get_ImageGeometry() if image is None else image
    config = acquisition.copy().config
    system, panel, angles = config.system, config.panel, config.angles
    if hasattr(system, "align_reference_frame"):
        system.align_reference_frame("cil")
    else:
        system.update_reference_frame()
    if acquisition.geom_type not in ("parallel", "cone"):
        raise DataError(f"from_cil: expected 'parallel' or 'cone', got {acquisition.geom_type!r}")
    parallel = acquisition.geom_type == "parallel"
    space = len(np.ravel(system.detector.position)) == 3
    turn = np.asarray(angles.angle_data, dtype=np.float64) + float(angles.initial_angle)
    turn = np.deg2rad(turn) if str(angles.angle_unit).lower().endswith("degree") else turn
    rotation = _about(2, -turn)[:, : 3 if space else 2, : 3 if space else 2]
    width, height = (float(s) for s in panel.pixel_size)
    origin = str(panel.origin)
    vectors = [
        system.ray.direction if parallel else system.source.position,
        system.detector.position,
        (-width if "right" in origin else width) * np.ravel(system.detector.direction_x),
    ]
    if space:
        vectors.append((-height if "top" in origin else height) * np.ravel(system.detector.direction_y))
    columns, rows = (int(n) for n in panel.num_pixels)
    axes = "zyx" if space else "yx"
    return from_vectors(
        *(rotation @ np.ravel(w).astype(np.float64) for w in vectors),
        detector_shape=(rows, columns) if space else (columns,),
        grid=Grid(
            shape=tuple(int(getattr(image, f"voxel_num_{a}")) for a in axes),
            spacing=tuple(float(getattr(image, f"voxel_size_{a}")) for a in axes),
            center=tuple(float(getattr(image, f"center_{a}", 0.0)) for a in axes),
        ),
        beam="parallel" if parallel else "divergent",
    )
