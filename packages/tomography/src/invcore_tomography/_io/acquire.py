"""From the contents of a file to an `Acquisition`: normalize, take the logarithm, find the axis, describe."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invcore import DataError, ParameterError, Physics
from invcore.io import Acquisition, Output
from invcore.noises import GaussianNoise, estimate_sigma

from .._correction.axis import center_of_rotation
from .._correction.rings import RemoveRings
from .._fbp.redundancy import arc
from .._geometry.geometry import Geometry
from .._geometry.grid import Grid
from .._geometry.scans import parallel
from .._projection.weighted import WeightedXRay
from .._projection.xray import XRay
from .options import ParallelOptions, ScanOptions, require_positive


class _ScanOutput(Output):
    """Shows the filtered backprojection beside the image, or the adjoint for a geometry that has none."""

    def first(self, acquisition: Acquisition) -> tuple[str, Tensor] | None:
        operator: Any = acquisition.physics.operator
        try:
            return "Filtered backprojection", operator.fbp(acquisition.y)
        except ParameterError:
            return None

    def beside(self, acquisition: Acquisition) -> Mapping[str, Tensor]:
        found = self.first(acquisition)
        return super().beside(acquisition) if found is None else dict([found])


def acquire(
    sinogram: Tensor,
    geometry: Geometry,
    *,
    sigma: float | None = None,
    photons: float | None = None,
    metadata: dict[str, Any] | None = None,
) -> Acquisition:
    """Combine line integrals and a geometry into an acquisition.

    Parameters
    ----------
    sinogram : Tensor, shape (batch..., 1, view, column) or (batch..., 1, view, row, column)
        Line integrals of the attenuation.
    geometry : Geometry
    sigma : float, optional
        Standard deviation of their noise; estimated from the finest wavelet coefficients by default.
    photons : float, optional
        Photons per pixel without object. Line integrals y and their rows of the operator are then divided by
        their standard deviation √(e^y/photons) (`WeightedXRay`): weighted least squares, the quadratic
        approximation of counting photons, for all solvers and the automatic weight. The exact likelihood is
        that of `invcore.noises.LogPoissonNoise`.
    metadata : dict, optional
        Facts of the file; a list ``"left_out"`` of what is not used becomes that of the acquisition.

    Returns
    -------
    Acquisition

    Raises
    ------
    DataError
        If there are NaN or infinite values, or the sinogram is constant.

    Examples
    --------
    >>> from invcore_tomography import parallel, shepp_logan
    >>> geometry = parallel(30, columns=32, pitch=2 / 32)
    >>> acquire(shepp_logan().project(geometry).float(), geometry).physics.domain.shape
    (1, 32, 32)
    """
    bad = ~torch.isfinite(sinogram)
    if bool(bad.any()):
        raise DataError(f"the line integrals have {int(bad.sum())} NaN or infinite values")
    if sinogram.numel() == 0 or bool((sinogram == sinogram.flatten()[0]).all()):
        raise DataError(f"the sinogram {tuple(sinogram.shape)} is empty or constant")
    require_positive("sigma", sigma)
    require_positive("photons", photons)
    if sigma is not None and photons is not None:
        raise ParameterError("give either sigma= or photons=: one noise model")
    sinogram = sinogram.detach().float()
    facts: dict[str, Any] = {}
    operator: XRay | WeightedXRay = XRay(geometry=geometry)
    if photons is not None:
        # as many photons as the detector counted, but at least one
        weights = torch.exp(-sinogram.clamp_min(0) / 2).mul(photons**0.5).clamp_min(1.0)
        operator = WeightedXRay(geometry=geometry, weights=weights)
        sinogram, noise = weights * sinogram, GaussianNoise(sigma=1.0)
        facts |= {"photons": float(photons), "data": "line integrals divided by their standard deviation"}
    else:
        facts["sigma_from"] = "given" if sigma is not None else "finest wavelet coefficients of the sinogram"
        if sigma is None:
            flat = sinogram if geometry.ndim == 2 else sinogram.movedim(-2, -4)  # views by columns
            sigma = float(estimate_sigma(flat).mean())
        if not sigma > 0:
            sigma = 1e-3 * float(sinogram.std())
            facts["sigma_from"] = "a thousandth of the spread: no noise was found"
        noise, facts["sigma"] = GaussianNoise(sigma=float(sigma)), float(sigma)
    physics = Physics(operator=operator, noise=noise)
    facts |= {"views": geometry.views, "columns": geometry.columns, "beam": geometry.beam}
    if geometry.ndim == 3:
        facts["rows"] = geometry.rows
    metadata = dict(metadata or {})
    left_out = tuple(metadata.pop("left_out", ()))
    if metadata.get("units", {}).get("x") == "1/m":
        metadata.setdefault("voxel_m", list(geometry.grid.spacing))
    return Acquisition(
        y=sinogram,
        physics=physics,
        metadata={**metadata, **facts},
        left_out=left_out,
        # the steps are small: a tolerance of 1e-3 would stop at once. A looser proximal step moves nothing
        solver={
            "name": "pogm",
            "restart": False,
            "coarse_levels": 2,
            "rtol": 2.5e-4,
            "prior": {"name": "tv", "rtol": 1e-4},
        },
        output=_ScanOutput(),
    )


def parallel_scan(
    lines: Tensor,
    angles: Tensor,
    *,
    options: ParallelOptions,
    pitch: float | None = None,
    metadata: dict[str, Any],
    shifts: Tensor | None = None,
) -> Acquisition:
    """An acquisition from line integrals of a parallel beam, one slice for each detector row.

    Parameters
    ----------
    lines : Tensor, shape (view, row, column)
    angles : Tensor, shape (view)
        In radians.
    options : ParallelOptions
    pitch : float, optional
        Detector pixel in meters where the options give none. Without either, lengths are in pixels.
    metadata : dict
    shifts : Tensor, shape (view), optional
        Columns by which each view was displaced.

    Returns
    -------
    Acquisition
        ``y`` of shape (1, view, column) for one row, (row, 1, view, column) for several.
    """
    if len(angles) != lines.shape[0]:
        raise DataError(
            f"there are {lines.shape[0]} views and {len(angles)} angles: one angle for each view is needed"
        )
    if not bool(torch.isfinite(lines).all()) or not bool(torch.isfinite(angles).all()):
        raise DataError("the line integrals or the angles have NaN or infinite values")
    notes = list(metadata.get("notes", ()))
    angles = angles.double()
    rows = lines.movedim(1, 0)
    if options.rings:
        rows = (RemoveRings() if options.rings is True else RemoveRings(size=options.rings))(rows)
    columns = rows.shape[-1]
    if options.center == "auto":
        try:
            center, how = center_of_rotation(rows, angles), "searched"
        except DataError as error:
            raise DataError(
                f"the axis of rotation was not found: {error}. Say center=<column>, or center='middle'"
            ) from error
    else:
        center, how = column_of(options, columns)
    if not -columns < center < 2 * columns:
        raise ParameterError(f"center={center} is far outside the {columns} columns of the detector")
    keep = slice(None, None, options.every)
    rows, angles = rows[:, keep], angles[keep]
    pitch = pitch if options.pixel_size is None else options.pixel_size
    step = 1.0 if pitch is None else float(pitch)
    width = options.width or _field(angles, columns, center)
    size = options.size or width
    where: Any = center if shifts is None else center - shifts.double()[keep]
    geometry = parallel(
        angles,
        columns=columns,
        pitch=step,
        center_of_rotation=where,
        grid=Grid(shape=(size, size), spacing=step * width / size),
    )
    facts: dict[str, Any] = {
        **metadata,
        "center_of_rotation_column": center,
        "center_from": how,
        "angles_deg": [float(torch.rad2deg(angles[0])), float(torch.rad2deg(angles[-1]))],
        "pixel_size_m": pitch,
        "rings_removed": options.rings,
        "units": {"x": "1/m" if pitch is not None else "1/pixel", "y": "1"},
        "notes": notes,
    }
    sinogram = rows if len(rows) == 1 else rows.unsqueeze(1)
    return acquire(sinogram, geometry, sigma=options.sigma, photons=options.photons, metadata=facts)


def _field(angles: Tensor, columns: int, center: float) -> int:
    """Width of the field of view in columns: a full turn shows both sides as far as the longer one."""
    off = abs(center - (columns - 1) / 2)
    if off <= columns / 8 or not arc(angles, 2 * math.pi).full:
        return columns
    return 2 * math.ceil(columns / 2 + off - 1e-9)


def column_of(options: ScanOptions, columns: int) -> tuple[float, str]:
    """The column of the axis of rotation that the options state, and where it is from.

    Raises
    ------
    ParameterError
        If it is to be found from the data.
    """
    if options.center == "auto":
        raise ParameterError("center='auto' is for parallel beams: give the column of the axis, or 'middle'")
    if options.center == "middle":
        return (columns - 1) / 2, "the middle of the detector"
    return float(options.center), "given"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the name of the file to errors about its data."""
    try:
        yield
    except DataError as error:
        if path.name in str(error):
            raise
        raise DataError(f"{path}: {error}") from error


def chosen_rows(which: int | str | None, count: int, path: Path) -> slice:
    """The detector rows to read: a number, ``"all"``, or None for the middle one."""
    if which is None:
        which = count // 2
    if which == "all":
        return slice(0, count)
    if isinstance(which, bool) or not isinstance(which, int):
        raise ParameterError(f"slice= is the number of a detector row, or 'all'; got {which!r}")
    if not -count <= which < count:
        raise ParameterError(f"{path.name} has {count} detector rows; there is no row {which}")
    return slice(which % count, which % count + 1)


def rows_used(rows: slice, count: int) -> dict[str, Any]:
    """Facts about the chosen detector rows, and what is left out with the others."""
    used = rows.stop - rows.start
    facts: dict[str, Any] = {"slices": [rows.start, rows.stop - 1], "slice_count": count}
    if used < count:
        facts["left_out"] = [f"{used} of {count} detector rows used; slice= chooses, slice='all' takes all"]
    return facts


def fbp_reference(acquisition: Acquisition) -> Tensor:
    """The filtered backprojection of a scan that has enough views for it.

    Raises
    ------
    DataError
        If it has too few.
    """
    operator: Any = acquisition.physics.operator
    facts = acquisition.metadata
    enough = 1.2 * facts["columns"]
    if facts["views"] < 0.5 * enough:
        raise DataError(
            f"the reference scan has {facts['views']} views for {facts['columns']} columns; filtered "
            f"backprojection needs about {round(enough)}. Give a complete scan, or a reconstruction.h5"
        )
    return operator.fbp(acquisition.y)
