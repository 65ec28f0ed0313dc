"""Geometries for ASTRA, TIGRE, ODL and CIL, the inverse of `read_formats`."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np

from invcore import MissingDependencyError, ParameterError

from .geometry import Geometry


def to_astra(geometry: Geometry) -> tuple[dict[str, Any], dict[str, Any]]:
    """ASTRA's projection and volume geometry of a scan, as its ``create_projector`` takes them.

    The arrays mean the same, as in `from_astra`.

    Parameters
    ----------
    geometry : Geometry
        With a flat detector and without batch dimensions.

    Returns
    -------
    projection, volume : dict
        The projection geometry is of type parallel_vec, fanflat_vec, parallel3d_vec or cone_vec.

    Raises
    ------
    ParameterError
        If the detector is curved or there are batch dimensions.

    Examples
    --------
    >>> from invcore_tomography import parallel
    >>> projection, volume = to_astra(parallel(3, columns=4))
    >>> projection["type"], volume["GridRowCount"]
    ('parallel_vec', 4)
    """
    if geometry.curvature is not None or geometry.batch:
        raise ParameterError("to_astra: ASTRA has no curved detectors, and no batches of geometries")
    parts = [t.detach().double().cpu().numpy() for t in geometry.parameters().values()]
    grid, space = geometry.grid, geometry.ndim == 3
    if not space:
        parts = [p * (1.0, -1.0) for p in parts]
    kind = (
        ("parallel3d" if space else "parallel")
        if geometry.beam == "parallel"
        else ("cone" if space else "fanflat")
    )
    shape = ("DetectorRowCount", "DetectorColCount") if space else ("DetectorCount",)
    projection = {
        "type": f"{kind}_vec",
        **dict(zip(shape, geometry.detector_shape)),
        "Vectors": np.concatenate(parts, axis=1),
    }
    volume: dict[str, Any] = {"option": {}}
    names = [("GridSliceCount", "Z"), ("GridRowCount", "Y"), ("GridColCount", "X")][0 if space else 1 :]
    for (count, axis), n, middle, extent in zip(names, grid.shape, grid.center, grid.extent):
        middle = 0.0 - middle if axis == "Y" and not space else middle
        volume[count] = n
        volume["option"] |= {f"WindowMin{axis}": middle - extent / 2, f"WindowMax{axis}": middle + extent / 2}
    return projection, volume


def to_tigre(geometry: Geometry) -> tuple[SimpleNamespace, np.ndarray]:
    """TIGRE's geometry and angles of any scan whose detector rows and columns are at right angles.

    Images and projections are the same arrays, as in `from_tigre`. A scan in the plane becomes one slice, one
    row of the detector.

    Parameters
    ----------
    geometry : Geometry
        With a flat detector whose rows and columns are at right angles, and without batch dimensions.

    Returns
    -------
    geometry : SimpleNamespace
        With the attributes of a TIGRE geometry, as far as they describe the scan: copy them to yours by
        ``vars(theirs).update(vars(ours))``. What changes from view to view is an array.
    angles : ndarray, shape (view,) or (view, 3)
        In radians; three Euler angles Z-Y-Z if the source leaves the plane.

    Raises
    ------
    ParameterError
        If TIGRE cannot represent the scan.

    Examples
    --------
    >>> from invcore_tomography import cone
    >>> scan = cone(4, source_distance=9.0, detector_distance=3.0, rows=5, columns=6)
    >>> theirs, angles = to_tigre(scan)
    >>> theirs.DSO, theirs.DSD, theirs.nDetector.tolist(), angles.shape
    (9.0, 12.0, [5, 6], (4,))
    """
    source, detector, u, v = _vectors("to_tigre", geometry)
    du, dv = (_constant("to_tigre", np.linalg.norm(w, axis=1), "the detector's pixels") for w in (u, v))
    if np.abs((u * v).sum(1)).max() > 1e-9 * du * dv:
        raise ParameterError("to_tigre: the rows and columns of TIGRE's detectors are at right angles")
    grid = geometry.grid
    shape, spacing, center = (
        (*rest, *part) if geometry.ndim == 2 else part
        for rest, part in (((1,), grid.shape), ((grid.spacing[-1],), grid.spacing), ((0.0,), grid.center))
    )
    parallel = geometry.beam == "parallel"
    towards = -source if parallel else source
    distance = np.linalg.norm(towards, axis=1)
    alpha = np.arctan2(towards[:, 1], towards[:, 0])
    beta = -np.arcsin(np.clip(towards[:, 2] / distance, -1, 1))
    turn = _about_z(alpha) @ _about_y(beta)
    at = np.einsum("vji,vj->vi", turn, detector)
    if parallel:  # a distance that keeps the detector behind the image
        distance = np.full(
            len(at), 2 * float(np.hypot.reduce(np.multiply(shape, spacing))) + np.abs(at[:, 0]).max()
        )
    axes = np.stack([np.cross(u, v) / (du * dv), u / du, v / dv], axis=2)
    tilt = np.einsum("vji,vjk->vik", turn, axes)
    angles = np.stack(
        [
            np.arctan2(tilt[:, 1, 0], tilt[:, 0, 0]),
            -np.arcsin(np.clip(tilt[:, 2, 0], -1, 1)),
            np.arctan2(tilt[:, 2, 1], tilt[:, 2, 2]),
        ],
        axis=1,
    )
    angles[np.abs(angles) < 1e-14] = 0
    theirs = SimpleNamespace(
        mode="parallel" if parallel else "cone",
        DSO=_shared(distance),
        DSD=_shared(distance - at[:, 0]),
        nDetector=np.array([geometry.rows, geometry.columns]),
        dDetector=np.array([dv, du]),
        sDetector=np.array([dv * geometry.rows, du * geometry.columns]),
        nVoxel=np.array(shape),
        dVoxel=np.array(spacing),
        sVoxel=np.array(shape) * np.array(spacing),
        offOrigin=np.array(center),
        offDetector=_shared(at[:, :0:-1]),
        rotDetector=_shared(angles),
        COR=0.0,
        accuracy=0.5,
    )
    flat = np.abs(beta).max() < 1e-14
    return theirs, alpha if flat else np.stack([alpha, beta, 0 * beta], axis=1)


def to_odl(geometry: Geometry) -> tuple[Any, Any]:
    """ODL's geometry and reconstruction space of a circular scan about the z axis.

    ODL's arrays have their axes in a different order: see `from_odl`.

    Parameters
    ----------
    geometry : Geometry
        Views of one source and one flat detector turned about the origin, by increasing angles.

    Returns
    -------
    geometry : odl.tomo.Geometry
    space : odl.DiscretizedSpace

    Raises
    ------
    MissingDependencyError
        Without odl.
    ParameterError
        If the scan is not circular, or the angles do not increase.
    """
    name = "to_odl"
    odl = _module(name, "odl")
    tomo = odl.tomo if hasattr(odl, "tomo") else import_module("odl.applications.tomo")
    (source, detector, u, v), angles = _circular(name, geometry)
    if len(angles) > 1 and not (np.diff(angles) > 0).all():
        raise ParameterError(f"{name}: ODL's angles increase; order the views, as by geometry[order]")
    space = geometry.ndim == 3
    parallel = geometry.beam == "parallel"
    length = float(np.linalg.norm(source))
    along = source / length if parallel else -source / length
    sides = [w / np.linalg.norm(w) for w in ([u, v] if space else [u])]
    far, *offsets = np.linalg.solve(np.stack([along, *sides], axis=1), detector)
    if not parallel and far < 0:
        raise ParameterError(f"{name}: ODL's detectors lie on the other side of the axis than the source")
    steps = [np.linalg.norm(w) for w in ([u, v] if space else [u])]
    counts = geometry.detector_shape[::-1]
    part = odl.uniform_partition(
        [o - n * s / 2 for o, n, s in zip(offsets, counts, steps)],
        [o + n * s / 2 for o, n, s in zip(offsets, counts, steps)],
        counts,
    )
    turns = odl.nonuniform_partition(angles)
    axes: dict[str, Any] = {"det_axes_init": tuple(sides)} if space else {"det_axis_init": sides[0]}
    if parallel:
        kind = tomo.Parallel3dAxisGeometry if space else tomo.Parallel2dGeometry
        theirs = kind(turns, part, det_pos_init=along, **axes)
    else:
        kind = tomo.ConeBeamGeometry if space else tomo.FanBeamGeometry
        theirs = kind(turns, part, src_radius=length, det_radius=float(far), src_to_det_init=along, **axes)
    grid = geometry.grid
    low = [c - e / 2 for c, e in zip(grid.center, grid.extent)][::-1]
    high = [c + e / 2 for c, e in zip(grid.center, grid.extent)][::-1]
    return theirs, odl.uniform_discr(low, high, grid.shape[::-1], dtype="float32")


def to_cil(geometry: Geometry) -> tuple[Any, Any]:
    """CIL's acquisition and image geometry of a circular scan about the z axis.

    Arrays mean the same, as in `from_cil`.

    Parameters
    ----------
    geometry : Geometry
        Views of one source and one flat detector turned about the origin.

    Returns
    -------
    acquisition : cil.framework.AcquisitionGeometry
    image : cil.framework.ImageGeometry

    Raises
    ------
    MissingDependencyError
        Without cil.
    ParameterError
        If the scan is not circular.
    """
    name = "to_cil"
    framework = _module(name, "cil.framework")
    (source, detector, u, v), angles = _circular(name, geometry)
    space = geometry.ndim == 3
    steps = [float(np.linalg.norm(w)) for w in ([u, v] if space else [u])]
    axes = {"detector_direction_x": (u / steps[0]).tolist()}
    if space:
        axes["detector_direction_y"] = (v / steps[1]).tolist()
    dimensions = "3D" if space else "2D"
    make = framework.AcquisitionGeometry
    if geometry.beam == "parallel":
        theirs = getattr(make, f"create_Parallel{dimensions}")(
            ray_direction=source.tolist(), detector_position=detector.tolist(), **axes
        )
    else:
        theirs = getattr(make, f"create_Cone{dimensions}")(
            source_position=source.tolist(), detector_position=detector.tolist(), **axes
        )
    theirs.set_angles(np.rad2deg(-angles), angle_unit="degree")  # CIL turns the object
    columns, rows = geometry.columns, geometry.rows
    if space:
        theirs.set_panel([columns, rows], pixel_size=steps, origin="bottom-left")
    else:
        theirs.set_panel(columns, pixel_size=steps[0], origin="bottom-left")
    theirs.set_labels(["angle", "vertical", "horizontal"] if space else ["angle", "horizontal"])
    grid = geometry.grid
    sizes: dict[str, Any] = {}
    for axis, n, step, middle in zip("zyx"[3 - grid.ndim :], grid.shape, grid.spacing, grid.center):
        sizes |= {f"voxel_num_{axis}": n, f"voxel_size_{axis}": step, f"center_{axis}": middle}
    return theirs, framework.ImageGeometry(**sizes)


def _module(name: str, module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"{name} makes objects of {module}, which cannot be imported: {error}"
        ) from error


def _vectors(name: str, geometry: Geometry) -> list[np.ndarray]:
    """source, detector, u, v in space: (views, 3)."""
    if geometry.curvature is not None or geometry.batch:
        raise ParameterError(f"{name}: only flat detectors, and no batches of geometries")
    held = [t.detach().double().cpu().numpy() for t in geometry.parameters().values()]
    if geometry.ndim == 2:
        held = [np.pad(t, [(0, 0), (0, 1)]) for t in held]
        held.append(np.linalg.norm(held[2], axis=1)[:, None] * np.array([0.0, 0.0, 1.0]))
    return held


def _circular(name: str, geometry: Geometry) -> tuple[list[np.ndarray], np.ndarray]:
    """Vectors of the first view, in the dimensions of the geometry, and angles of the others from it."""
    vectors = _vectors(name, geometry)
    vectors[0] = (
        vectors[0] / np.linalg.norm(vectors[0], axis=1, keepdims=True)
        if geometry.beam == "parallel"
        else vectors[0]
    )
    u = vectors[2]
    angles = np.unwrap(np.arctan2(u[:, 1], u[:, 0]))
    angles = angles - angles[0]
    turn = _about_z(angles)
    for what, w in zip(("source", "detector", "u", "v"), vectors):
        error = np.abs(np.einsum("vij,j->vi", turn, w[0]) - w).max()
        if error > 1e-6 * max(np.abs(w).max(), 1e-3 * float(np.linalg.norm(u[0]))):
            raise ParameterError(
                f"{name}: the views are not turned about the z axis ({what} differs by {error:.3g}); "
                "to_astra and to_tigre take any views"
            )
    return [w[0, : geometry.ndim] for w in vectors], angles


def _constant(name: str, values: np.ndarray, what: str) -> float:
    if np.ptp(values) > 1e-9 * values.max():
        raise ParameterError(f"{name}: {what} must be of the same size in all views")
    return float(values[0])


def _shared(values: np.ndarray) -> Any:
    """One value where all views agree."""
    if np.ptp(values, axis=0).max(initial=0.0) > 1e-12 * max(1e-300, float(np.abs(values).max())):
        return values
    return float(values[0]) if values.ndim == 1 else values[0].copy()


def _about_z(angle: np.ndarray) -> np.ndarray:
    c, s, zero, one = np.cos(angle), np.sin(angle), 0 * angle, 0 * angle + 1
    return np.stack(
        [np.stack([c, -s, zero], -1), np.stack([s, c, zero], -1), np.stack([zero, zero, one], -1)], 1
    )


def _about_y(angle: np.ndarray) -> np.ndarray:
    c, s, zero, one = np.cos(angle), np.sin(angle), 0 * angle, 0 * angle + 1
    return np.stack(
        [np.stack([c, zero, s], -1), np.stack([zero, one, zero], -1), np.stack([-s, zero, c], -1)], 1
    )
