"""Images in buffers with zero margins, so that no loop of a kernel tests for the border.

Views whose main axis is the columns see a transposed buffer.
"""

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from invcore import threads

Array = NDArray[np.floating]
Jobs = list[tuple[object, ...]]

SPREAD = 16  # rows summed together are shifted by at most this much against each other
BEFORE = SPREAD  # zero margin of a buffer row
AFTER = 2 * SPREAD


def contiguous(array: Array) -> Array:
    """C-contiguous and writable (as numba's compiled types want), float32 or float64."""
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"float32 or float64 expected, got {array.dtype}")
    return np.require(array, requirements=["C", "W", "A"])


def call(function, *arguments):  # type: ignore[no-untyped-def]
    """Run a job whose first part is its function."""
    return function(*arguments)


def stride(cols: int) -> int:
    return -(-(BEFORE + cols + AFTER) // 16) * 16


@njit(nogil=True, cache=True)
def _pad(images, out, n, low, high):  # type: ignore[no-untyped-def]
    """Copy rows low..high of image n between zero margins."""
    cols = images.shape[2]
    for r in range(low, high):
        row = out[n, r]
        row[:BEFORE] = 0
        row[BEFORE : BEFORE + cols] = images[n, r]
        row[BEFORE + cols :] = 0


@njit(nogil=True, cache=True)
def _pad_transposed(images, out, n, low, high):  # type: ignore[no-untyped-def]
    """Copy columns low..high of image n as rows between zero margins, in tiles of 16."""
    rows = images.shape[1]
    for c in range(low, high):
        out[n, c, :BEFORE] = 0
        out[n, c, BEFORE + rows :] = 0
    for r0 in range(0, rows, 16):
        r1 = min(r0 + 16, rows)
        for c0 in range(low, high, 16):
            for c in range(c0, min(c0 + 16, high)):
                for r in range(r0, r1):
                    out[n, c, BEFORE + r] = images[n, r, c]


def padded(images: Array, rows: int, cols: int, *, transposed: bool, spare: int = 0) -> tuple[Array, Jobs]:
    """Make a buffer of images for one main axis, with ``spare`` rows of zeros at its end.

    Returns
    -------
    buffer : ndarray, shape (n, rows + spare, stride(cols))
        Not filled yet, except for the spare rows.
    jobs : list
        To be run by `call`; they fill it.
    """
    n = len(images)
    out = np.empty((n, rows + spare, stride(cols)), images.dtype)
    out[:, rows:] = 0
    fill = _pad_transposed if transposed else _pad
    jobs: Jobs = [(fill, images, out, k, a, b) for k in range(n) for a, b in threads.pieces(rows, least=64)]
    return out, jobs


@njit(nogil=True, cache=True)
def _merge(straight, turned, use_straight, use_turned, out, n, low, high):  # type: ignore[no-untyped-def]
    """Rows low..high of image n: the straight buffer's plus the transposed buffer's, without margins."""
    cols = out.shape[2]
    for r0 in range(low, high, 16):
        r1 = min(r0 + 16, high)
        for r in range(r0, r1):
            if use_straight:
                out[n, r] = straight[n, r, BEFORE : BEFORE + cols]
            else:
                out[n, r] = 0
        if use_turned:
            for c0 in range(0, cols, 16):
                for r in range(r0, r1):
                    for c in range(c0, min(c0 + 16, cols)):
                        out[n, r, c] += turned[n, c, BEFORE + r]


def merges(straight: Array, turned: Array, used: list[bool], out: Array) -> tuple[Callable[..., None], Jobs]:
    """The function and the jobs that add the buffers of both main axes up to images."""
    pieces = threads.pieces(out.shape[1], least=64)
    return _merge, [(straight, turned, *used, out, k, a, b) for k in range(len(out)) for a, b in pieces]
