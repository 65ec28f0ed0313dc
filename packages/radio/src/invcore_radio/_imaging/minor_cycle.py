"""Minor cycle of CLEAN: find the peak, subtract the beam, repeat.

Compiled for real images on a CPU, in torch otherwise.

Both versions take the residual at every scale, (scale, y, x), and the beams that couple the scales, (scale,
scale, 2h+1, 2w+1) with the peak in the middle, and change the residual in place. A component has a scale, a
row, a column and a flux.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]


class Components(NamedTuple):
    """Components in the order of detection: positions (component, 3) as scale, row, column, and fluxes."""

    positions: Tensor
    fluxes: Tensor


@njit(nogil=True, cache=True)
def _row_peak(bits, mask):  # type: ignore[no-untyped-def]
    """The largest of bits & mask, at least 0.

    Without the sign bit, floating-point numbers sort like the integers with the same bits, and integer maxima
    vectorize. With the sign bit in the mask only positive numbers count.
    """
    best = mask * 0
    for j in range(bits.shape[0]):
        v = bits[j] & mask
        best = v if v > best else best
    return best


@njit(nogil=True, cache=True)
def _row_peak_within(bits, allowed, mask):  # type: ignore[no-untyped-def]
    """`_row_peak` over the entries where ``allowed`` has all bits set; it is 0 elsewhere."""
    best = mask * 0
    for j in range(bits.shape[0]):
        v = bits[j] & mask & allowed[j]
        best = v if v > best else best
    return best


@njit(nogil=True, cache=True)
def _subtract_row(row, beam, flux):  # type: ignore[no-untyped-def]
    for j in range(row.shape[0]):
        row[j] -= flux * beam[j]


@njit(nogil=True, cache=True)
def _catch_up(row, beams, s, i, positions, fluxes, first, last):  # type: ignore[no-untyped-def]
    """Subtract the components ``first`` to ``last - 1`` from row i of scale s, in their order."""
    hy, hx = beams.shape[2] // 2, beams.shape[3] // 2
    for k in range(first, last):
        line = i - positions[k, 1] + hy
        if line < 0 or line >= beams.shape[2]:
            continue
        column = positions[k, 2]
        left, right = max(0, column - hx), min(row.shape[0], column + hx + 1)
        shift = left - column + hx
        _subtract_row(
            row[left:right], beams[positions[k, 0], s, line, shift : shift + right - left], fluxes[k]
        )


@njit(nogil=True, cache=True)
def _top(bounds, preference, first, last):  # type: ignore[no-untyped-def]
    """Scale and row of the largest bound times preference; scale -1 if none is positive."""
    best, scale, row = 0.0, -1, 0
    for s in range(first, last):
        for i in range(bounds.shape[1]):
            if bounds[s, i] * preference[s] > best:
                best, scale, row = bounds[s, i] * preference[s], s, i
    return scale, row


@njit(nogil=True, cache=True)
def _whole(  # type: ignore[no-untyped-def]
    residual, bits, beams, preference, allowed, gain, limit, mask, peaks, peak_bits, positions, fluxes
):
    """Find components in the whole image, each subtracted from all of it at all scales; return their number.

    A row is updated only when its peak may be the largest: each component raises an upper bound of the peak
    of every row by the largest entry of the row of the beam to be subtracted. The result equals that of
    immediate subtraction, bit for bit.
    """
    scales, rows, columns = residual.shape
    hy, hx = beams.shape[2] // 2, beams.shape[3] // 2
    windowed = allowed.shape[0] > 0
    lines = np.zeros((scales, scales, beams.shape[2]))
    for a in range(scales):
        for b in range(scales):
            for d in range(beams.shape[2]):
                magnitude = 0.0
                for j in range(beams.shape[3]):
                    magnitude = max(magnitude, abs(beams[a, b, d, j]))
                lines[a, b, d] = 1.0001 * magnitude
    bounds = np.full((scales, rows), np.inf)
    current = np.full((scales, rows), -1)
    count = fluxes.shape[0]
    for k in range(fluxes.shape[0]):
        scale, row = 0, 0
        # the peak of the first scale decides when to stop, that of all scales where to continue
        for last in (1, scales):
            while True:
                scale, row = _top(bounds, preference, 0, last)
                if scale < 0 or current[scale, row] == k:
                    break
                _catch_up(
                    residual[scale, row], beams, scale, row, positions, fluxes, max(0, current[scale, row]), k
                )
                if windowed:
                    peak_bits[scale, row] = _row_peak_within(bits[scale, row], allowed[scale, row], mask)
                else:
                    peak_bits[scale, row] = _row_peak(bits[scale, row], mask)
                bounds[scale, row] = peaks[scale, row]
                current[scale, row] = k
            if last == 1 and (scale < 0 or peaks[0, row] / beams[0, 0, hy, hx] <= limit):
                count = k
                break
        if count == k or scale < 0:
            count = k
            break
        column = 0
        for j in range(columns):
            if bits[scale, row, j] & mask == peak_bits[scale, row] and (
                not windowed or allowed[scale, row, j] != 0
            ):
                column = j
                break
        flux = gain * (residual[scale, row, column] / beams[scale, scale, hy, hx])
        positions[k, 0], positions[k, 1], positions[k, 2] = scale, row, column
        fluxes[k] = flux
        slack = 1e-6 * abs(flux) / gain  # rounding
        for s in range(scales):
            for i in range(max(0, row - hy), min(rows, row + hy + 1)):
                bounds[s, i] += abs(flux) * lines[scale, s, i - row + hy] + slack
    for s in range(scales):
        for i in range(rows):
            _catch_up(residual[s, i], beams, s, i, positions, fluxes, max(0, current[s, i]), count)
    return count


@njit(nogil=True, cache=True)
def _listed(values, where, beam, gain, limit, outside, sign, positions, fluxes):  # type: ignore[no-untyped-def]
    """Find components in a list of pixels, each subtracted within a patch of the beam (Clark)."""
    hy, hx = beam.shape[0] // 2, beam.shape[1] // 2
    center = beam[hy, hx]
    best, at, total = values[0] * 0, -1, values[0] * 0
    for n in range(values.shape[0]):
        size = max(values[n], sign * values[n])
        if size > best:
            best, at = size, n
    for k in range(fluxes.shape[0]):
        if at < 0 or best / center <= max(limit, outside * total):
            return k
        row, column = where[at, 0], where[at, 1]
        flux = gain * (values[at] / center)
        positions[k, 0], positions[k, 1], positions[k, 2] = 0, row, column
        fluxes[k] = flux
        total += abs(flux)
        best, at = values[0] * 0, -1
        for n in range(values.shape[0]):
            i, j = where[n, 0] - row + hy, where[n, 1] - column + hx
            if 0 <= i < beam.shape[0] and 0 <= j < beam.shape[1]:
                values[n] -= flux * beam[i, j]
            size = max(values[n], sign * values[n])
            if size > best:
                best, at = size, n
    return fluxes.shape[0]


def compiled(residual: Tensor) -> bool:
    """Return whether the compiled kernels support this residual."""
    return residual.device.type == "cpu" and residual.dtype in (torch.float32, torch.float64)


def whole(
    residual: Tensor,
    beams: Tensor,
    *,
    preference: Tensor,
    allowed: Tensor | None,
    gain: float,
    limit: float,
    count: int,
    positive: bool,
) -> Components:
    """Find at most ``count`` components, each where ``preference`` of the scale times |residual| is largest.

    Stops when no peak of the first scale, in units of flux, exceeds ``limit``. ``residual`` changes in place.
    """
    if not compiled(residual):
        return _whole_torch(residual, beams, preference, allowed, gain, limit, count, positive)
    image, kernels = residual.numpy(), np.ascontiguousarray(beams.numpy())
    kind, integer = image.dtype.type, np.dtype(f"i{image.itemsize}")
    window = np.zeros((0, 0, 0), integer) if allowed is None else -(allowed > 0).numpy().astype(integer)
    peaks = np.zeros(image.shape[:2], image.dtype)
    positions, fluxes = np.zeros((count, 3), np.int64), np.zeros(count, image.dtype)
    found = _whole(
        image,
        image.view(integer),
        kernels,
        preference.cpu().numpy().astype(image.dtype),
        window,
        kind(gain),
        kind(limit),
        integer.type(-1 if positive else np.iinfo(integer).max),
        peaks,
        peaks.view(integer),
        positions,
        fluxes,
    )
    return Components(torch.from_numpy(positions[:found]), torch.from_numpy(fluxes[:found]))


def listed(
    residual: Tensor,
    beam: Tensor,
    *,
    allowed: Tensor | None,
    gain: float,
    limit: float,
    outside: float,
    count: int,
    positive: bool,
) -> Components:
    """Find components as `whole`, for one scale and among the pixels that exceed ``limit`` initially.

    Also stops when no peak exceeds ``outside`` times the flux so far, which is what the beam outside its
    patch may have left. ``residual`` is not changed.
    """
    size = residual.real.clamp_min(0) if positive else residual.abs()
    candidates = size > limit * beam[beam.shape[0] // 2, beam.shape[1] // 2].real
    if allowed is not None:
        candidates = candidates & (allowed > 0)
    where = candidates.nonzero()
    if not compiled(residual):
        return _listed_torch(residual[candidates], where, beam, gain, limit, outside, count, positive)
    values = residual[candidates].numpy().copy()
    positions, fluxes = np.zeros((count, 3), np.int64), np.zeros(count, values.dtype)
    if not len(values):
        return Components(torch.from_numpy(positions[:0]), torch.from_numpy(fluxes[:0]))
    kind = values.dtype.type
    sign = kind(0 if positive else -1)
    kernel = np.ascontiguousarray(beam.numpy())
    found = _listed(
        values,
        where.numpy(),
        kernel,
        kind(gain),
        kind(limit),
        kind(outside),
        sign,
        positions,
        fluxes,
    )
    return Components(torch.from_numpy(positions[:found]), torch.from_numpy(fluxes[:found]))


def _whole_torch(
    residual: Tensor,
    beams: Tensor,
    preference: Tensor,
    allowed: Tensor | None,
    gain: float,
    limit: float,
    count: int,
    positive: bool,
) -> Components:
    _, rows, columns = residual.shape
    hy, hx = beams.shape[2] // 2, beams.shape[3] // 2
    center = beams[:, :, hy, hx].diagonal().real
    unit = preference.to(center)[:, None, None]
    positions, fluxes = [], []
    for _ in range(count):
        size = residual.real.clamp_min(0) if positive else residual.abs()
        size = size if allowed is None else size * allowed
        at = int((size * unit).argmax())
        s, i, j = at // (rows * columns), at // columns % rows, at % columns
        if float(size[0].max() / center[0]) <= limit or not float(size[s, i, j]) > 0:
            break
        value = residual[s, i, j]
        flux = gain * ((value.real if positive else value) / center[s])
        positions.append((s, i, j))
        fluxes.append(flux)
        y, x = slice(max(0, i - hy), i + hy + 1), slice(max(0, j - hx), j + hx + 1)
        part = residual[:, y, x]
        top, left = y.start - i + hy, x.start - j + hx
        part -= flux * beams[s, :, top : top + part.shape[1], left : left + part.shape[2]]
    return _gathered(positions, fluxes, residual)


def _listed_torch(
    values: Tensor,
    where: Tensor,
    beam: Tensor,
    gain: float,
    limit: float,
    outside: float,
    count: int,
    positive: bool,
) -> Components:
    values = values.clone()
    half = torch.tensor([beam.shape[0] // 2, beam.shape[1] // 2], device=where.device)
    ends = torch.tensor(beam.shape, device=where.device)
    center = beam[beam.shape[0] // 2, beam.shape[1] // 2].real
    positions, fluxes, total = [], [], 0.0
    for _ in range(count if len(values) else 0):
        size = values.real.clamp_min(0) if positive else values.abs()
        at = int(size.argmax())
        if float(size[at] / center) <= max(limit, outside * total):
            break
        value = values[at]
        flux = gain * ((value.real if positive else value) / center)
        total += float(flux.abs())
        positions.append((0, int(where[at, 0]), int(where[at, 1])))
        fluxes.append(flux)
        offset = where - where[at] + half
        covered = ((offset >= 0) & (offset < ends)).all(-1)
        values[covered] -= flux * beam[offset[covered, 0], offset[covered, 1]]
    return _gathered(positions, fluxes, values)


def _gathered(positions: list[tuple[int, int, int]], fluxes: list[Tensor], like: Tensor) -> Components:
    if not fluxes:
        return Components(torch.zeros((0, 3), dtype=torch.int64), like.new_zeros(0))
    return Components(torch.tensor(positions), torch.stack(fluxes).to(like.dtype))
