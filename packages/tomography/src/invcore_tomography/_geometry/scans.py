"""Constructors of scans: parallel, fan and cone beam, helical, laminography, and arbitrary vectors."""

from __future__ import annotations

import math
from typing import Any, Literal

from torch import Tensor

from invcore import ParameterError, ShapeError

from .frames import (
    Angles,
    Number,
    count,
    displacement,
    divergent_field,
    floating,
    frame,
    height_range,
    in_space,
    mean_of,
    parallel_field,
    per_view,
    read_angles,
    require_positive,
    stand,
    upwards,
)
from .geometry import Geometry
from .grid import Grid


def parallel(
    angles: Angles,
    *,
    columns: int,
    rows: int | None = None,
    pitch: float = 1.0,
    row_pitch: float | None = None,
    center_of_rotation: Number | None = None,
    offset: Number = 0.0,
    grid: Grid | tuple[int, ...] | None = None,
) -> Geometry:
    """A parallel-beam scan; in 3-D if ``rows`` is given.

    At angle θ the detector's columns lie along (cos θ, sin θ) and the rays travel along (-sin θ, cos θ):

    .. math:: p(θ, s) = ∫ f(s \\cos θ - t \\sin θ, s \\sin θ + t \\cos θ) dt.

    Parameters
    ----------
    angles : int, sequence or Tensor, shape (..., view)
        In radians. A number n: n angles equally spaced over half a turn, from 0.
    columns : int
        Number of detector columns.
    rows : int, optional
        Number of detector rows; the scan is then in 3-D, with rows along z.
    pitch : float
        Distance between columns, in meters.
    row_pitch : float, optional
        Distance between rows, in meters; ``pitch`` by default.
    center_of_rotation : float or Tensor, shape (..., view), optional
        Column onto which the axis of rotation projects, counted from 0, fractions allowed, as found by
        `center_of_rotation`; by default the middle, (columns - 1)/2.
    offset : float or Tensor, shape (..., view)
        Displacement of the detector along its columns, in meters; adds to the above.
    grid : Grid or tuple of int, optional
        The image, or its shape, which then covers the field of view. By default ``columns`` x ``columns``
        pixels of the size of a detector pixel (of the next even number that covers the field of view if the
        axis is off the middle by more than an eighth of the detector), and in 3-D one slice for each row.

    Returns
    -------
    Geometry
        Differentiable in angles, center_of_rotation and offset.

    Examples
    --------
    >>> parallel(4, columns=8, center_of_rotation=3.0).detector[0]
    tensor([0.5000, 0.0000], dtype=torch.float64)
    """
    theta = read_angles(angles, math.pi)
    n = count("columns", columns)
    require_positive(pitch=pitch, row_pitch=row_pitch)
    across, along = frame(theta)
    shift = displacement(theta, n, pitch, center_of_rotation, offset)
    if rows is None:
        return Geometry(
            source=along,
            detector=shift.unsqueeze(-1) * across,
            u=pitch * across,
            detector_shape=(n,),
            grid=parallel_field(grid, n, None, pitch, None, shift),
            beam="parallel",
        )
    m, height = count("rows", rows), pitch if row_pitch is None else row_pitch
    across, along = in_space(across), in_space(along)
    return Geometry(
        source=along,
        detector=shift.unsqueeze(-1) * across,
        u=pitch * across,
        v=height * upwards(across),
        detector_shape=(m, n),
        grid=parallel_field(grid, n, m, pitch, height, shift),
        beam="parallel",
    )


def fan(
    angles: Angles,
    *,
    source_distance: Number,
    detector_distance: Number,
    columns: int,
    pitch: float = 1.0,
    detector: Literal["flat", "curved"] = "flat",
    center_of_rotation: Number | None = None,
    offset: Number = 0.0,
    source_offset: Number = 0.0,
    grid: Grid | tuple[int, ...] | None = None,
) -> Geometry:
    """A fan-beam scan, with a flat (equidistant) or a curved (equiangular) detector.

    At angle θ the central ray travels along (-sin θ, cos θ): the source is at ``source_distance`` before the
    axis of rotation, the middle of the detector at ``detector_distance`` behind it, and the columns lie along
    (cos θ, sin θ).

    Parameters
    ----------
    angles : int, sequence or Tensor, shape (..., view)
        In radians. A number n: n angles equally spaced over a turn, from 0.
    source_distance, detector_distance : float or Tensor, shape (..., view)
        From the source to the axis and from the axis to the detector, in meters.
    columns : int
        Number of detector columns.
    pitch : float
        Distance between columns on the detector (along the arc if it is curved), in meters.
    detector : {"flat", "curved"}
        Curved: on a circle around the source, so that columns are seen under equal angles.
    center_of_rotation : float or Tensor, shape (..., view), optional
        Column onto which the axis of rotation projects, counted from 0; the middle by default.
    offset : float or Tensor, shape (..., view)
        Displacement of the detector along its columns (along the arc), in meters; adds to the above.
    source_offset : float or Tensor, shape (..., view)
        Displacement of the source along (cos θ, sin θ), in meters (a flying focal spot); a curved detector
        stays centered on the source.
    grid : Grid or tuple of int, optional
        The image, or its shape, which then covers the field of view. By default ``columns`` x ``columns``
        pixels that cover it.

    Returns
    -------
    Geometry
        Differentiable in the angles, distances and offsets.

    Examples
    --------
    >>> geometry = fan(360, source_distance=0.5, detector_distance=0.5, columns=256, pitch=1e-3)
    >>> geometry.grid
    Grid(256 x 256 pixels of 0.000496 x 0.000496 m, center (0, 0))
    """
    theta = read_angles(angles, 2 * math.pi)
    n = count("columns", columns)
    require_positive(pitch=pitch, source_distance=source_distance)
    if detector not in ("flat", "curved"):
        raise ParameterError(f"fan: detector must be 'flat' or 'curved', got {detector!r}")
    across, along = frame(theta)
    shift = displacement(theta, n, pitch, center_of_rotation, offset)
    source, middle, u, radius = stand(
        theta,
        across,
        along,
        source_distance,
        detector_distance,
        source_offset,
        shift,
        pitch,
        detector == "curved",
    )
    near, far = mean_of(source_distance), mean_of(source_distance) + mean_of(detector_distance)
    return Geometry(
        source=source,
        detector=middle,
        u=u,
        detector_shape=(n,),
        grid=divergent_field(grid, n, None, pitch, None, shift, near, far, detector == "curved"),
        beam="divergent",
        curvature=radius,
    )


def cone(
    angles: Angles,
    *,
    source_distance: Number,
    detector_distance: Number,
    rows: int,
    columns: int,
    pitch: float = 1.0,
    row_pitch: float | None = None,
    detector: Literal["flat", "curved"] = "flat",
    center_of_rotation: Number | None = None,
    offset: Number = 0.0,
    row_offset: Number = 0.0,
    source_offset: Number = 0.0,
    height: Number = 0.0,
    roll: Number = 0.0,
    grid: Grid | tuple[int, ...] | None = None,
) -> Geometry:
    """A circular cone-beam scan, with a flat detector or one curved around the source.

    As `fan`, with detector rows along z, the axis of rotation.

    Parameters
    ----------
    angles : int, sequence or Tensor, shape (..., view)
        In radians. A number n: n angles equally spaced over a turn, from 0.
    source_distance, detector_distance : float or Tensor, shape (..., view)
        From the source to the axis and from the axis to the detector, in meters.
    rows, columns : int
        Numbers of detector rows and columns.
    pitch, row_pitch : float
        Distance between columns and between rows on the detector, in meters; ``row_pitch`` is ``pitch`` by
        default.
    detector : {"flat", "curved"}
        Curved: on a cylinder around the source.
    center_of_rotation : float or Tensor, shape (..., view), optional
        Column onto which the axis of rotation projects, counted from 0; the middle by default.
    offset, row_offset : float or Tensor, shape (..., view)
        Displacement of the detector along its columns and along its rows, in meters.
    source_offset : float or Tensor, shape (..., view)
        Displacement of the source along (cos θ, sin θ), in meters.
    height : float or Tensor, shape (..., view)
        Height z of source and detector together, in meters.
    roll : float or Tensor, shape (..., view)
        Rotation of a flat detector in its plane, in radians, from columns towards rows.
    grid : Grid or tuple of int, optional
        The image, or its shape, which then covers the field of view. By default ``(rows, columns, columns)``
        cubic voxels.

    Returns
    -------
    Geometry
        Differentiable in the angles, distances and offsets.

    Examples
    --------
    >>> cone(360, source_distance=1.0, detector_distance=0.5, rows=48, columns=64, pitch=3e-3).grid
    Grid(48 x 64 x 64 voxels of 0.001996 x 0.001996 x 0.001996 m, center (0, 0, 0))
    """
    theta = read_angles(angles, 2 * math.pi)
    n, m = count("columns", columns), count("rows", rows)
    require_positive(pitch=pitch, row_pitch=row_pitch, source_distance=source_distance)
    if detector not in ("flat", "curved"):
        raise ParameterError(f"cone: detector must be 'flat' or 'curved', got {detector!r}")
    if detector == "curved" and (isinstance(roll, Tensor) or roll != 0):
        raise ParameterError("cone: roll is for flat detectors")
    step = pitch if row_pitch is None else row_pitch
    across, along = (in_space(w) for w in frame(theta))
    up = upwards(across)
    shift = displacement(theta, n, pitch, center_of_rotation, offset)
    source, middle, u, radius = stand(
        theta,
        across,
        along,
        source_distance,
        detector_distance,
        source_offset,
        shift,
        pitch,
        detector == "curved",
    )
    lift = per_view(height, theta) * up
    v = step * up
    if isinstance(roll, Tensor) or roll != 0:
        angle = per_view(roll, theta)
        c, s = angle.cos(), angle.sin()
        u, v = pitch * (c * across + s * up), step * (c * up - s * across)
    near, far = mean_of(source_distance), mean_of(source_distance) + mean_of(detector_distance)
    return Geometry(
        source=source + lift,
        detector=middle + lift + per_view(row_offset, theta) * up,
        u=u,
        v=v,
        detector_shape=(m, n),
        grid=divergent_field(
            grid, n, m, pitch, step, shift, near, far, detector == "curved", height_range(height)
        ),
        beam="divergent",
        curvature=radius,
    )


def helical(
    angles: Angles,
    *,
    advance: float,
    source_distance: Number,
    detector_distance: Number,
    rows: int,
    columns: int,
    pitch: float = 1.0,
    row_pitch: float | None = None,
    detector: Literal["flat", "curved"] = "curved",
    center_of_rotation: Number | None = None,
    offset: Number = 0.0,
    row_offset: Number = 0.0,
    source_offset: Number = 0.0,
    turns: float = 3.0,
    grid: Grid | tuple[int, ...] | None = None,
) -> Geometry:
    """A helical scan: a cone-beam scan that rises by ``advance`` per turn, z = 0 being its middle.

    Parameters
    ----------
    angles : int, sequence or Tensor, shape (..., view)
        In radians, over several turns. A number n: n angles equally spaced over ``turns`` turns.
    advance : float
        Rise of source and detector along z per turn, in meters; negative for a descent.
    source_distance, detector_distance, rows, columns, pitch, row_pitch, detector
        As in `cone`.
    center_of_rotation, offset, row_offset, source_offset
        As in `cone`.
    turns : float
        Number of turns if ``angles`` is a number.
    grid : Grid or tuple of int, optional
        The image, or its shape, which then covers the field of view; by default cubic voxels as in `cone`,
        over the length of the scan.

    Returns
    -------
    Geometry

    Examples
    --------
    >>> distances = {"source_distance": 0.5, "detector_distance": 0.5}
    >>> geometry = helical(90, advance=0.04, rows=16, columns=32, pitch=4e-3, **distances)
    >>> geometry.source[[0, -1], 2]
    tensor([-0.0600,  0.0587], dtype=torch.float64)
    """
    theta = read_angles(angles, 2 * math.pi * turns, turns=True)
    if not math.isfinite(advance):
        raise ParameterError(f"helical: advance must be a finite length, got {advance}")
    ends = theta.detach().aminmax()
    middle = (
        math.pi * turns if isinstance(angles, int) else (float(ends.min) + float(ends.max)) / 2
    )  # of equally spaced angles: as if the last view closed the turn
    return cone(
        theta % (2 * math.pi),
        source_distance=source_distance,
        detector_distance=detector_distance,
        rows=rows,
        columns=columns,
        pitch=pitch,
        row_pitch=row_pitch,
        detector=detector,
        center_of_rotation=center_of_rotation,
        offset=offset,
        row_offset=row_offset,
        source_offset=source_offset,
        height=(theta - middle) * (advance / (2 * math.pi)),
        grid=grid,
    )


def laminography(
    angles: Angles,
    *,
    tilt: Number,
    rows: int,
    columns: int,
    source_distance: Number | None = None,
    detector_distance: Number | None = None,
    pitch: float = 1.0,
    row_pitch: float | None = None,
    offset: Number = 0.0,
    row_offset: Number = 0.0,
    grid: Grid | tuple[int, ...] | None = None,
) -> Geometry:
    """A scan whose axis of rotation is tilted towards the beam, for flat samples that lie across the axis.

    The sample turns about z while the beam meets the xy-plane at the angle ``tilt``: the ray direction is
    (-sin θ cos φ, cos θ cos φ, -sin φ), φ the tilt; φ = 0 is `parallel` or `cone`, φ = π/2 looks along the
    axis.

    Parameters
    ----------
    angles : int, sequence or Tensor, shape (..., view)
        In radians. A number n: n angles equally spaced over a turn, from 0.
    tilt : float or Tensor, shape (..., view)
        φ in radians.
    rows, columns : int
        Numbers of detector rows and columns.
    source_distance, detector_distance : float or Tensor, shape (..., view), optional
        From the source to the middle of the sample and from there to the detector, in meters; parallel beam
        if both are left out.
    pitch, row_pitch : float
        Distance between columns and between rows on the detector, in meters; ``row_pitch`` is ``pitch`` by
        default.
    offset, row_offset : float or Tensor, shape (..., view)
        Displacement of the detector along its columns and along its rows, in meters.
    grid : Grid or tuple of int, optional
        The image, or its shape, which then covers the field of view.

    Returns
    -------
    Geometry

    Examples
    --------
    >>> geometry = laminography(60, tilt=0.5, rows=32, columns=32)
    >>> geometry.source[0].round(decimals=3)
    tensor([-0.0000,  0.8780, -0.4790], dtype=torch.float64)
    """
    theta = read_angles(angles, 2 * math.pi)
    n, m = count("columns", columns), count("rows", rows)
    require_positive(pitch=pitch, row_pitch=row_pitch, source_distance=source_distance)
    if (source_distance is None) != (detector_distance is None):
        raise ParameterError("laminography: give both source_distance and detector_distance, or neither")
    step = pitch if row_pitch is None else row_pitch
    across, flat = (in_space(w) for w in frame(theta))
    up = upwards(across)
    phi = per_view(tilt, theta)
    along, upright = phi.cos() * flat - phi.sin() * up, phi.sin() * flat + phi.cos() * up
    shift, rise = per_view(offset, theta), per_view(row_offset, theta)
    moved = shift * across + rise * upright
    if source_distance is None or detector_distance is None:
        field = parallel_field(grid, n, m, pitch, step, shift)
        source, detector = along, moved
    else:
        near, far = mean_of(source_distance), mean_of(source_distance) + mean_of(detector_distance)
        field = divergent_field(grid, n, m, pitch, step, shift, near, far, False)
        source = -per_view(source_distance, theta) * along
        detector = per_view(detector_distance, theta) * along + moved
    return Geometry(
        source=source,
        detector=detector,
        u=pitch * across,
        v=step * upright,
        detector_shape=(m, n),
        grid=field,
        beam="parallel" if source_distance is None else "divergent",
    )


def from_vectors(
    source: Any,
    detector: Any,
    u: Any,
    v: Any = None,
    *,
    detector_shape: tuple[int, ...],
    grid: Grid,
    beam: Literal["parallel", "divergent"],
    curvature: float | None = None,
) -> Geometry:
    """A scan with arbitrary motion, from vectors as numbers, arrays or tensors (see `Geometry`).

    Parameters
    ----------
    source, detector, u, v : array_like, shape (..., view, 2 or 3)
        A single vector stands for all views. ``v`` is for 3-D only.
    detector_shape, grid, beam, curvature
        As in `Geometry`.

    Examples
    --------
    >>> grid = Grid(shape=(4, 4))
    >>> from_vectors(
    ...     [[0, 1], [1, 0]], [0, 0], [[1, 0], [0, 1]], detector_shape=(4,), grid=grid, beam="parallel"
    ... )
    Geometry(parallel beam, 2 views, 4 columns of 1 m, Grid(4 x 4 pixels of 1 x 1 m, center (0, 0)))
    """
    named = {"source": source, "detector": detector, "u": u} | ({} if v is None else {"v": v})
    tensors = {n: floating(n, t) for n, t in named.items()}
    views = max((t.shape[-2] for t in tensors.values() if t.ndim > 1), default=1)
    for name, t in tensors.items():
        if t.ndim == 0 or t.shape[-1] != grid.ndim:
            raise ShapeError(
                f"from_vectors: {name} must be (..., view, {grid.ndim}), the image having {grid.ndim} "
                f"dimensions, got {tuple(t.shape)}"
            )
        if t.ndim == 1 or t.shape[-2] == 1:
            t = t if t.ndim > 1 else t.unsqueeze(0)
            tensors[name] = t.expand(*t.shape[:-2], views, grid.ndim)
    dtype = max((t.dtype for t in tensors.values()), key=lambda d: d.itemsize)
    return Geometry(
        **{name: t.to(dtype) for name, t in tensors.items()},
        detector_shape=detector_shape,
        grid=grid,
        beam=beam,
        curvature=curvature,
    )
