"""From a scanner's readouts to an `Acquisition`: noise, reference lines, averages, grid or trajectory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import Acquisition

from .._coils.espirit import Espirit
from .._sampling.center import calibration_shape, center_crop
from .._sampling.pulseq import read_pulseq
from .acquire import ScanOptions
from .cfl import acquire_along, acquire_scan
from .readouts import (
    CALIBRATION,
    IMAGING,
    NOISE,
    PHASE,
    OnGrid,
    Readouts,
    ghost_corrected,
    on_grid,
    selected,
)
from .trajectory_units import in_cycles


@dataclass(frozen=True, kw_only=True)
class ReadoutOptions(ScanOptions):
    """Options of every scan (`ScanOptions`) and those of scanners' own files.

    Parameters
    ----------
    slice : int, "all" or None
        Slice to read, as the scanner counts them; ``None`` takes the middle one, ``"all"`` makes a batch.
    contrast, phase, repetition, set : int, "all" or None
        The same of echoes, cardiac phases, repetitions and sets; ``None`` takes the first.
    unit : {"cycles/pixel", "cycles/fov", "1/m", "radians"}, optional
        Unit of a trajectory in the file.
    sequence : str or Path, optional
        A Pulseq sequence (``.seq``) whose receiver events are the image's readouts: it gives the trajectory.
    oversampling : bool
        Keep the readout oversampling that is removed by default.
    """

    slice: int | str | None = None
    contrast: int | str | None = None
    phase: int | str | None = None
    repetition: int | str | None = None
    set: int | str | None = None
    unit: str | None = None
    sequence: str | Path | None = None
    oversampling: bool = False


def acquire_readouts(scan: Readouts, options: ReadoutOptions) -> Acquisition:
    """Make an acquisition of the readouts that the options choose."""
    if options.sequence is not None:
        scan = _with_sequence(scan, options.sequence)
    parts, chosen, left_out = selected(scan, options)
    facts, notes = {**scan.facts, **chosen}, list(scan.facts.get("notes", ()))
    noise, said = _noise(scan, parts[0])
    left_out += said
    if scan.trajectory is not None:
        if len(parts) > 1:
            raise ParameterError("all is for scans on a grid; of one along a trajectory, one image is read")
        return _along(scan, parts[0], noise, options, {**facts, "notes": notes}, left_out)
    grids = [_grid(scan, rows, notes) for rows in parts]
    if len({tuple(grid.kspace.shape) for grid in grids}) > 1:
        raise DataError(f"{scan.where}: the images are not of one size; choose one of them")
    kspace = grids[0].kspace if len(grids) == 1 else torch.stack([grid.kspace for grid in grids])
    if noise is not None:
        if grids[0].averages is None:
            notes.append("some lines were measured more often than others; all are taken as equally exact")
        noise = noise / (grids[0].averages or 1) ** 0.5
    dims = grids[0].mask.ndim
    maps, method = _maps(scan, parts[0], grids[0], options)
    facts |= {"axes": ["readout", "phase 1", "phase 2"][:dims], "averages": grids[0].averages or "unequal"}
    if grids[0].voxel:
        facts["voxel_m"] = grids[0].voxel
        facts |= (
            scan.placement(int(parts[0][0]), scan.fov[2] if dims == 2 else 0.0) if len(parts) == 1 else {}
        )
    found = acquire_scan(
        kspace,
        tuple(range(dims)),
        options,
        mask=grids[0].mask if len(grids) == 1 else None,
        maps=maps,
        noise=noise,
        metadata=facts,
        left_out=left_out,
    )
    found.metadata["notes"][:0] = notes
    if method:
        found.metadata["calibration"]["method"] = method
    return found


def _with_sequence(scan: Readouts, path: str | Path) -> Readouts:
    """The scan along the trajectory of a sequence, whose readouts are those of the image in their order."""
    rows = scan.of_role(IMAGING)
    k = read_pulseq(path, fov=scan.fov[0] * scan.keep or None).numpy()
    if len(k) != len(rows) or (scan.columns["samples"][rows] != k.shape[1]).any():
        raise DataError(
            f"{path} has {len(k)} readouts of {k.shape[1]} samples, {scan.where} {len(rows)} readouts of the "
            f"image with {sorted(set(scan.columns['samples'][rows].tolist()))}: they are not of one scan"
        )
    reach = np.abs(k).max((0, 1))
    n = max(2, 2 * round(float(reach[:2].max())))
    depth = 2 * round(float(reach[2])) if reach[2] > 1 else 1
    fov = scan.fov[0] * scan.keep
    order = np.zeros(len(scan.columns["role"]), int)
    order[rows] = np.arange(len(rows))
    facts = {**scan.facts, "trajectory": Path(path).name, "trajectory_unit": "cycles/fov"}
    return replace(
        scan,
        trajectory=lambda chosen: k[order[chosen]],
        matrix=(n, n, depth),
        fov=(fov, fov, scan.fov[2]),
        facts=facts,
    )


def _noise(scan: Readouts, rows: np.ndarray[Any, Any]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Noise scan (coil, samples) in the bandwidth of the image, whose variance goes with it."""
    lines = scan.alike(scan.of_role(NOISE))
    if not len(lines):
        return None, ()
    if scan.columns["channels"][lines[0]] != scan.columns["channels"][rows[0]]:
        return None, ("the noise scan has other coils than the image, and is not used",)
    data = torch.from_numpy(scan.samples(lines[:4096]))
    dwells = [float(scan.columns["dwell"][r[0]]) for r in (lines, rows)]
    scale = (dwells[0] / dwells[1]) ** 0.5 if min(dwells) > 0 else 1.0
    return scale * data.movedim(1, 0).flatten(1), ()


def _grid(scan: Readouts, rows: np.ndarray[Any, Any], notes: list[str]) -> OnGrid:
    data, reverse = scan.samples(rows), scan.columns["reverse"][rows]
    if reverse.any() and not reverse.all():
        lines = scan.of_role(PHASE)
        for name in ("slice", "contrast", "set"):
            lines = lines[scan.columns[name][lines] == scan.columns[name][rows[0]]]
        sizes = np.stack([scan.columns["samples"][lines], scan.columns["channels"][lines]], -1)
        lines = lines[(sizes == [data.shape[2], data.shape[1]]).all(-1)]
        back = scan.columns["reverse"][lines]
        if len(lines) and back.any() and not back.all():
            data, (constant, slope) = ghost_corrected(data, reverse, scan.samples(lines), back)
            said = (
                f"EPI: a phase of {constant:.3g} rad and {slope:.3g} rad a pixel between the two directions"
            )
            notes.append(f"{said} of readouts, from reference lines, was removed")
        else:
            notes.append("readouts of both directions without reference lines: expect ghosts (EPI)")
        notes.append(
            "EPI samples are taken as evenly spaced along the readout: if some were measured on the ramps of "
            "its gradient, put them on an even grid before"
        )
    return on_grid(scan, rows, data)


def _maps(
    scan: Readouts, rows: np.ndarray[Any, Any], grid: OnGrid, options: ReadoutOptions
) -> tuple[Tensor | None, str]:
    """Coil maps from calibration lines of their own, where the center of the image is not fully sampled."""
    dims = grid.mask.ndim
    lines = scan.of_role(CALIBRATION)
    given = options.maps is not None or options.calibration is not None
    if given or not len(lines) or min(calibration_shape(grid.mask, (16,) * dims)) >= 16:
        return None, ""
    for name in ("slice", "contrast", "set"):
        same = lines[scan.columns[name][lines] == scan.columns[name][rows[0]]]
        lines = same if len(same) else lines
    lines = scan.alike(lines)
    center = on_grid(scan, lines, scan.samples(lines)).kspace
    if center.shape[0] != grid.kspace.shape[0]:
        return None, ""
    full = torch.zeros_like(grid.kspace)
    sizes = tuple(min(a, b) for a, b in zip(center.shape[1:], full.shape[1:]))
    center_crop(full, sizes).copy_(center_crop(center, sizes))
    espirit = Espirit(spatial_dims=dims, crop=0.0, soft=0.0, sets=options.sets or "auto")
    return espirit(full), "espirit of separate calibration lines"


def _along(
    scan: Readouts,
    rows: np.ndarray[Any, Any],
    noise: Tensor | None,
    options: ReadoutOptions,
    facts: dict[str, Any],
    left_out: tuple[str, ...],
) -> Acquisition:
    assert scan.trajectory is not None
    k = scan.trajectory(rows)
    dims = 3 if scan.matrix[2] > 1 and k.shape[-1] > 2 else 2
    if k.shape[-1] > dims:
        left_out += (f"component {dims + 1} of the trajectory is not used: the image has {dims} dimensions",)
    shape = tuple(scan.matrix[:dims])
    scaled = in_cycles(
        torch.from_numpy(np.ascontiguousarray(k[..., :dims], dtype=np.float32)),
        unit=scan.facts.get("trajectory_unit", options.unit),
        shape=shape,
        fov=scan.fov[0] or None,
        where=scan.where,
    )
    facts["trajectory_unit"] = scaled.unit
    facts["notes"] = [*facts["notes"], *([scaled.said] if scaled.said else [])]
    if min(scan.fov[:dims]) > 0:
        facts["voxel_m"] = [f / n for f, n in zip(scan.fov, shape)]
        facts |= scan.placement(int(rows[0]), scan.fov[2] if dims == 2 else 0.0)
    samples = np.moveaxis(scan.samples(rows), 1, 0)
    return acquire_along(
        torch.from_numpy(np.ascontiguousarray(samples)),
        scaled.trajectory,
        shape,
        options,
        noise=noise,
        metadata=facts,
        left_out=left_out,
    )
