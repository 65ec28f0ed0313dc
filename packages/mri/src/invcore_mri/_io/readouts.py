"""Readouts as scanners store them, one after the other: what each is, which are chosen, k-space on a grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import Placement, room_for

from .._sampling.center import center_crop
from .._sampling.fft import centered_fft, centered_ifft

IMAGING, CALIBRATION, PHASE, NOISE, OTHER = range(5)
"""What a readout is for."""

_CHOICES = ("slice", "contrast", "phase", "repetition", "set")


@dataclass(frozen=True)
class Readouts:
    """A table of readouts, whose samples are read when they are wanted.

    Attributes
    ----------
    columns : dict of str to ndarray, shape (readout,)
        ``role``, ``slice``, ``contrast``, ``phase``, ``repetition``, ``set``, ``step1``, ``step2``,
        ``samples``, ``channels``, ``center`` (sample at k = 0), ``reverse``, ``dwell`` (seconds, 0 if not
        known).
    fetch : callable
        Samples (readout, coil, sample) of some readouts of one length, complex64, by their numbers.
    trajectory : callable or None
        Trajectory (readout, sample, d) of the same, of a scan that is not on a grid.
    matrix : tuple of int
        Encoded samples along readout, phase 1 and phase 2.
    fov : tuple of float
        Encoded field of view along them, in meters; 0 if not known.
    keep : float
        Part of the readout's field of view that the image keeps: 0.5 if it is oversampled twice.
    centers : tuple of ndarray or int
        ``step1`` and ``step2`` at the center of k-space.
    where : str
        The file, for messages.
    placed : callable or None
        Center in meters, and directions of readout, phase 1 and phase 2 (or slice), of the readout of a
        number.
    facts : dict
        Metadata.
    """

    columns: dict[str, np.ndarray[Any, Any]]
    fetch: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]
    trajectory: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]] | None
    matrix: tuple[int, int, int]
    fov: tuple[float, float, float]
    keep: float
    centers: tuple[Any, Any]
    where: str
    placed: Callable[[int], tuple[list[float], list[list[float]]]] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def of_role(self, role: int) -> np.ndarray[Any, Any]:
        """Numbers of the readouts of a role."""
        return np.flatnonzero(self.columns["role"] == role)

    def placement(self, row: int, thickness: float) -> dict[str, Any]:
        """Facts on where the image of a readout lies, as `Placement` takes them; none if it does not say."""
        if self.placed is None:
            return {}
        center, directions = self.placed(row)
        facts = {"center_m": center, "directions": directions, "thickness_m": thickness}
        try:
            Placement.of({"placement": facts})
        except DataError:
            return {}
        return {"placement": facts}

    def alike(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Those of the readouts that have the most common number of samples and channels."""
        if not len(rows):
            return rows
        pairs = np.stack([self.columns["samples"][rows], self.columns["channels"][rows]], -1)
        kinds, which, counts = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
        del kinds
        return rows[which.reshape(-1) == counts.argmax()]

    def samples(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Samples (readout, coil, sample) in the direction of rising k, where there is memory for them."""
        count, width = int(self.columns["channels"][rows[0]]), int(self.columns["samples"][rows[0]])
        room_for(24 * len(rows) * count * width, self.where)
        data = self.fetch(rows)
        back = self.columns["reverse"][rows]
        data[back] = data[back][..., ::-1]
        return data

    def center(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Sample at k = 0 of each readout in the direction of rising k."""
        stored, n = self.columns["center"][rows].astype(int), self.columns["samples"][rows].astype(int)
        return np.where(self.columns["reverse"][rows], n - 1 - stored, stored)


def selected(
    scan: Readouts, options: Any
) -> tuple[list[np.ndarray[Any, Any]], dict[str, Any], tuple[str, ...]]:
    """Choose imaging readouts by slice, contrast, phase, repetition and set.

    Returns
    -------
    rows : list of ndarray
        One array of readouts for each image: several if one option is ``"all"``.
    facts : dict
        The entries chosen.
    left_out : tuple of str
    """
    rows = scan.of_role(IMAGING)
    if not len(rows):
        raise DataError(f"{scan.where} holds no readout of an image")
    facts: dict[str, Any] = {}
    left_out: list[str] = []
    every: str | None = None
    for name in _CHOICES:
        column, wanted = scan.columns[name], getattr(options, name)
        there = np.unique(column[rows])
        if wanted == "all":
            if every is not None and len(there) > 1:
                raise ParameterError(f"{name}=all and {every}=all: one of them, since one batch is read")
            every, facts[name] = (name if len(there) > 1 else every), there.tolist()
            continue
        if wanted is None:
            wanted = int(there[len(there) // 2] if name == "slice" else there[0])
        elif isinstance(wanted, str) and wanted.isdigit():
            wanted = int(wanted)
        if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted not in there:
            listed = ", ".join(map(str, there[:12])) + (", ..." if len(there) > 12 else "")
            raise ParameterError(f"{name}= is one of {listed}, or all; got {wanted!r}")
        facts[name] = wanted
        if len(there) > 1:
            left_out.append(f"{name} {wanted} of {len(there)} used; {name}= chooses, {name}=all takes all")
        rows = rows[column[rows] == wanted]
    same = scan.alike(rows)
    if len(same) < len(rows):
        left_out.append(
            f"{len(rows) - len(same)} of {len(rows)} readouts have another length, and are not used"
        )
    parts = [same] if every is None else [same[scan.columns[every][same] == entry] for entry in facts[every]]
    return [part for part in parts if len(part)], facts, tuple(left_out)


@dataclass(frozen=True)
class OnGrid:
    """K-space on a grid.

    Attributes
    ----------
    kspace : Tensor, shape (coil, readout, phase 1[, phase 2])
    mask : Tensor, shape (readout, phase 1[, phase 2])
        What was measured.
    averages : int or None
        How often each line was measured, None if not equally often.
    voxel : list of float or None
        In meters.
    """

    kspace: Tensor
    mask: Tensor
    averages: int | None
    voxel: list[float] | None


def on_grid(scan: Readouts, rows: np.ndarray[Any, Any], data: np.ndarray[Any, Any]) -> OnGrid:
    """Sort readouts into k-space: averages, partial echoes, the center of each axis, oversampling."""
    width = data.shape[-1]
    first = scan.center(rows)
    center = int(np.bincount(np.clip(first, 0, width)).argmax())
    steps = [scan.columns[name][rows].astype(int) for name in ("step1", "step2")]
    middles = [np.broadcast_to(np.asarray(c), (len(scan.columns["role"]),))[rows] for c in scan.centers]
    offsets = [step - middle.astype(int) for step, middle in zip(steps, middles)]
    offsets = [off * 0 if n == 1 and np.ptp(off) == 0 else off for n, off in zip(scan.matrix[1:], offsets)]
    sizes = [max(scan.matrix[0], 2 * max(center, width - center))]
    sizes += [
        1 if n == 1 and not off.any() else max(n, 2 * int(max(-off.min(), off.max() + 1)))
        for n, off in zip(scan.matrix[1:], offsets)
    ]
    coils, size = data.shape[1], int(np.prod(sizes, dtype=np.float64))
    if size > 64 * max(len(rows) * width, 2**12):
        raise DataError(
            f"{scan.where}: the header and the counters of {len(rows)} readouts make a k-space of "
            f"{' x '.join(map(str, sizes))}, of which hardly anything was measured: one of them is damaged"
        )
    room_for(24 * coils * size, f"{scan.where}: k-space {tuple(sizes)}")
    places = [off + n // 2 for off, n in zip(offsets, sizes[1:])]
    flat = places[0] * sizes[2] + places[1]
    lines = np.zeros((sizes[1] * sizes[2], coils, width), np.complex64)
    np.add.at(lines, flat, data)
    counts = np.bincount(flat, minlength=len(lines))
    lines /= np.maximum(counts, 1)[:, None, None]
    there = counts[counts > 0]
    kspace = torch.zeros(coils, sizes[0], sizes[1], sizes[2], dtype=torch.complex64)
    start = sizes[0] // 2 - center
    grid = torch.from_numpy(lines).reshape(sizes[1], sizes[2], coils, width).permute(2, 3, 0, 1)
    kspace[:, start : start + width] = grid
    kept, lo, hi = sizes[0], start, start + width
    if scan.keep < 0.99:
        kept = max(1, round(sizes[0] * scan.keep))
        image = centered_ifft(kspace.movedim(1, -1), 1)
        kspace = centered_fft(center_crop(image, (kept,)).contiguous(), 1).movedim(-1, 1)
        shift = sizes[0] // 2 * kept / sizes[0] - kept // 2
        lo, hi = -(-lo * kept // sizes[0]) - round(shift), hi * kept // sizes[0] - round(shift)
    mask = torch.zeros(kept, sizes[1], sizes[2], dtype=torch.bool)
    mask[max(lo, 0) : max(hi, 0)] = torch.from_numpy(counts > 0).reshape(sizes[1], sizes[2])
    fov = [scan.fov[0] * kept / sizes[0], *scan.fov[1:]]
    pixels = [kept, *sizes[1:]]
    if sizes[2] == 1:
        kspace, mask, fov, pixels = kspace[..., 0], mask[..., 0], fov[:2], pixels[:2]
    voxel = [f / n for f, n in zip(fov, pixels)] if min(fov) > 0 else None
    averages = int(there[0]) if (there == there[0]).all() else None
    return OnGrid(kspace * mask, mask, averages, voxel)


def ghost_corrected(
    data: np.ndarray[Any, Any],
    reverse: np.ndarray[Any, Any],
    lines: np.ndarray[Any, Any],
    back: np.ndarray[Any, Any],
) -> tuple[np.ndarray[Any, Any], tuple[float, float]]:
    """Remove the linear phase between readouts of both directions (EPI), which reference lines show.

    Along the readout in space, the phase of the reversed lines relative to the others is a + b x: b from
    neighboring pixels, a from all, weighted by the energy of all coils.

    Parameters
    ----------
    data, lines : ndarray, shape (readout, coil, sample)
        Readouts of the image and reference lines without phase encoding, in the direction of rising k.
    reverse, back : ndarray of bool
        Which of them were reversed.

    Returns
    -------
    data : ndarray
    phase : (float, float)
        a in radians, and b in radians per pixel.
    """
    hybrid = centered_ifft(torch.from_numpy(np.ascontiguousarray(lines)), 1)
    turned = torch.from_numpy(back)
    product = (hybrid[turned].mean(0) * hybrid[~turned].mean(0).conj()).sum(0)
    slope = float(torch.angle((product[1:] * product[:-1].conj()).sum()))
    x = torch.arange(len(product)) - len(product) // 2
    constant = float(torch.angle((product * torch.polar(torch.ones(len(x)), -slope * x)).sum()))
    image = centered_ifft(torch.from_numpy(np.ascontiguousarray(data)), 1)
    ramp = torch.polar(torch.ones(len(x)), -(slope * x + constant))
    image[torch.from_numpy(reverse)] *= ramp
    return centered_fft(image, 1).numpy(), (constant, slope)
