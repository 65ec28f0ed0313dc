"""Projection along arbitrary rays in a plane by Joseph's rule, sixteen rays at a time.

A ray with axis 0 crosses row r of the image at c = c0 + slope (r - (rows-1)/2), where the image is linearly
interpolated, and the crossings of all rows are summed (Joseph 1982). Rows are the outer loop and a detector's
columns the inner one, cut into blocks of 128 columns by 16 rows. The positions at a block's first row are
found in double precision; within the block they are kept relative to it, so that single precision suffices.

The adjoint adds a ray's value y to two sums a pixel, A[i] += y and B[i] += f y, for the left pixel i alone;
row = A - B + B shifted by one pixel. One load and store serve both. Rays k, k + 1, k + 2 and k + 3 have their
own sums, since a processor that adds to a number it has just stored must wait for it. Every row belongs to
one piece of work, so the order of all additions is fixed.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from invcore import threads

from .buffers import BEFORE, Array, Jobs, call, contiguous, merges, padded, stride
from .vector import COPIES, VECTOR, add_pairs, cross_rays, read_rays

__all__ = ["rays_adjoint", "rays_forward"]

DOWN = 16  # rows of a block
ACROSS = 128  # columns of a block


class _Runs(NamedTuple):
    """Stretches of neighboring rays with the same main axis, in the frame where that axis is the rows."""

    view: NDArray[np.int64]
    first: NDArray[np.int64]
    end: NDArray[np.int64]
    rows: int
    cols: int


def _runs(main: int, axis: NDArray[np.uint8], shape: tuple[int, int]) -> _Runs:
    views, columns = axis.shape
    inside = np.zeros((views, columns + 2), np.int8)
    inside[:, 1:-1] = axis == main
    change = np.diff(inside, axis=1)
    view, first = np.nonzero(change == 1)
    _, end = np.nonzero(change == -1)
    # cut into blocks, so that work is shared out evenly
    blocks = -(-(end - first) // ACROSS)
    number = np.arange(blocks.sum()) - np.repeat(np.cumsum(blocks) - blocks, blocks)
    view = np.repeat(view, blocks)
    end = np.repeat(end, blocks)
    first = np.repeat(first, blocks) + ACROSS * number
    rows, cols = shape if main == 0 else shape[::-1]
    return _Runs(view, first, np.minimum(first + ACROSS, end), rows, cols)


@njit(nogil=True, cache=True)
def _start(c0, slope, row, last, middle, cols, base, start):  # type: ignore[no-untyped-def]
    """Positions at a block's first row as integer and fraction; True if a ray of it meets the image."""
    meets = 0
    for k in range(c0.size):
        c = c0[k] + slope[k] * (row - middle)
        end = c0[k] + slope[k] * (last - middle)
        meets |= (max(c, end) > -1.0) & (min(c, end) < cols)
        c = min(max(c, -1e8), 1e8)
        whole = np.floor(c)
        base[k] = np.int32(whole) + np.int32(BEFORE)
        start[k] = c - whole
    return meets != 0


@njit(nogil=True, cache=True)
def _forward(buffer, out, c0, slope, weight, view, first, end, rows, cols, image, low, high):  # type: ignore[no-untyped-def]
    """Runs low..high of one image."""
    base = np.zeros(ACROSS, np.int32)
    start = np.zeros(ACROSS, buffer.dtype)
    step = np.zeros(ACROSS, buffer.dtype)
    sums = np.zeros(ACROSS, buffer.dtype)
    middle = 0.5 * (rows - 1)
    stride = buffer.shape[2]
    x = buffer[image].reshape(-1)
    least, most = np.int32(BEFORE - 2), np.int32(BEFORE + cols)
    for run in range(low, high):
        v, a, b = view[run], first[run], end[run]
        size = b - a
        positions, slopes = c0[v, a:b], slope[v, a:b]
        for k in range(size):
            step[k] = slopes[k]
        sums[:] = 0
        for top in range(0, rows, DOWN):
            bottom = min(top + DOWN, rows)
            if not _start(positions, slopes, float(top), float(bottom - 1), middle, cols, base, start):
                continue
            for row in range(top, bottom):
                down = buffer.dtype.type(row - top)
                for k in range(0, size, VECTOR):
                    read_rays(sums, k, x, row * stride, base, start, step, down, least, most)
        for k in range(size):
            out[image, v, a + k] = sums[k] * weight[v, a + k]


@njit(nogil=True, cache=True)
def _backward(sino, buffer, c0, slope, weight, view, first, end, rows, cols, image, low, high):  # type: ignore[no-untyped-def]
    """Blocks low..high of DOWN rows of one image, from all runs."""
    base = np.zeros(ACROSS, np.int32)
    start = np.zeros(ACROSS, buffer.dtype)
    step = np.zeros(ACROSS, buffer.dtype)
    values = np.zeros(ACROSS, buffer.dtype)
    middle = 0.5 * (rows - 1)
    indices = np.zeros(ACROSS, np.int32)
    both = np.zeros(2 * ACROSS, buffer.dtype)
    entry = 2 * COPIES
    width = entry * buffer.shape[2]
    pairs = np.empty(DOWN * width, buffer.dtype)
    least, most = np.int32(BEFORE - 2), np.int32(BEFORE + cols)
    for block in range(low, high):
        top = block * DOWN
        bottom = min(top + DOWN, rows)
        pairs[:] = 0
        for run in range(len(view)):
            v, a, b = view[run], first[run], end[run]
            size = b - a
            positions, slopes = c0[v, a:b], slope[v, a:b]
            if not _start(positions, slopes, float(top), float(bottom - 1), middle, cols, base, start):
                continue
            for k in range(size):
                step[k] = slopes[k]
                values[k] = sino[image, v, a + k] * buffer.dtype.type(weight[v, a + k])
            values[size:] = 0
            for row in range(top, bottom):
                down = buffer.dtype.type(row - top)
                for k in range(0, size, VECTOR):
                    cross_rays(indices, both, values, k, base, start, step, down, least, most)
                for k in range(0, size, VECTOR):
                    add_pairs(pairs, (row - top) * width, indices, both, k)
        for row in range(top, bottom):
            line = pairs[(row - top) * width : (row - top + 1) * width]
            for c in range(BEFORE, BEFORE + cols):
                value = buffer.dtype.type(0)
                for i in range(0, entry, 2):
                    here = entry * c + i
                    value += (line[here] - line[here + 1]) + line[here - entry + 1]
                buffer[image, row, c] = value


def _positions(*arrays: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    out = [np.ascontiguousarray(a, dtype=np.float64) for a in arrays]
    if not all(np.isfinite(a).all() for a in out):
        raise ValueError("c0, slope and weight must be finite")
    out[1] = np.clip(out[1], -1e6, 1e6)
    return out


def rays_forward(
    image: Array,
    axis: NDArray[np.uint8],
    c0: NDArray[np.float64],
    slope: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> Array:
    """Projections (n, views, columns) of images (n, rows, cols) along single rays, arrays (views, columns).

    A ray with axis 0 crosses row r at ``c0 + slope (r - (rows-1)/2)``, in pixels; with axis 1 rows and
    columns change roles. The value is ``weight`` times the sum over the rows of the image there. Meant for
    ``|slope| <= 1``; steeper rays are correct too, up to 1e6.

    >>> import numpy as np
    >>> one = np.ones((1, 2))
    >>> rays_forward(np.ones((1, 4, 3)), np.zeros((1, 2), np.uint8), one, 0 * one, one)
    array([[[4., 4.]]])
    """
    image = contiguous(image)
    n = len(image)
    c0, slope, weight = _positions(c0, slope, weight)
    out = np.empty((n, *axis.shape), image.dtype)
    if out.size == 0:
        return out
    fills: Jobs = []
    jobs: Jobs = []
    for main in (0, 1):
        runs = _runs(main, axis, image.shape[1:])
        if len(runs.view) == 0:
            continue
        buffer, pieces = padded(image, runs.rows, runs.cols, transposed=bool(main))
        fills += pieces
        jobs += [
            (_forward, buffer, out, c0, slope, weight, *runs, k, a, b)
            for k in range(n)
            for a, b in threads.pieces(len(runs.view), least=16, per_thread=8)
        ]
    threads.run(call, fills)
    threads.run(call, jobs)
    return out


def rays_adjoint(
    sino: Array,
    axis: NDArray[np.uint8],
    c0: NDArray[np.float64],
    slope: NDArray[np.float64],
    weight: NDArray[np.float64],
    shape: tuple[int, int],
) -> Array:
    """The exact adjoint of `rays_forward`: sinograms (n, views, columns) to images (n, rows, cols)."""
    sino = contiguous(sino)
    n = len(sino)
    c0, slope, weight = _positions(c0, slope, weight)
    out = np.empty((n, *shape), sino.dtype)
    if out.size == 0:
        return out
    buffers = [np.empty((0, 0, 0), sino.dtype)] * 2
    used = [False, False]
    jobs: Jobs = []
    for main in (0, 1):
        runs = _runs(main, axis, shape)
        if len(runs.view) == 0:
            continue
        used[main] = True
        buffers[main] = np.empty((n, runs.rows, stride(runs.cols)), sino.dtype)
        jobs += [
            (_backward, sino, buffers[main], c0, slope, weight, *runs, k, a, b)
            for k in range(n)
            for a, b in threads.pieces(-(-runs.rows // DOWN), per_thread=8)
        ]
    threads.run(call, jobs)
    threads.run(*merges(buffers[0], buffers[1], used, out))
    return out
