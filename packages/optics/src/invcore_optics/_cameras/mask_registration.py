"""Where the pattern of a mask is in a snapshot: which displacements, how it is stretched, how blurred."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.optimize import nnls

Array = NDArray[np.float64]
Whole = NDArray[np.signedinteger]

_SMOOTH = 5.0  # pixels; coarser structure is the scene's
_REACH = 20  # rows that the pattern may be off; far from its peak this also tells the noise
_FOUND = 8.0  # a peak of the correlation, in standard deviations of its noise
_STRIP = 40  # rows of a strip whose offset is measured
_TILE, _TILES = (40, 48), 6  # where the blur is measured
_WIDTHS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.7, 2.0)  # of the blur, in pixels


class MaskRegistration(NamedTuple):
    """Where the pattern of the mask is in the snapshot.

    The displacement along x is that of the dispersion. Row p of the snapshot shows row
    p − offset − stretch · (p − center) of the mask, blurred by a Gaussian of standard deviation ``blur``.
    """

    displacements: Array  # all at which the pattern is found, in pixels along x
    grain: float  # pixels along x over which the pattern resembles itself
    offset: float
    stretch: float
    center: float
    blur: float


def registered(snapshot: Array, mask: Array) -> MaskRegistration | None:
    """Find the pattern of a mask in a snapshot by local correlation.

    Parameters
    ----------
    snapshot : array, shape (y, x + d)
        Without background.
    mask : array, shape (y, x)

    Returns
    -------
    MaskRegistration or None
        None where no displacement from −d to 2 d correlates by more than noise does, or the mask has fewer
        than 60 rows or columns.
    """
    if min(mask.shape) < 3 * _REACH:
        return None
    longer = snapshot.shape[1] - mask.shape[1]
    along = np.arange(-longer - _REACH, 2 * longer + _REACH + 1)
    seen, pattern = _relative(snapshot), _relative(mask)
    correlation = _correlation(seen, pattern, along)
    peak, noise = _near(correlation).max(0), _noise(correlation)
    if not peak.max() > _FOUND * noise:
        return None
    found = peak > max(_FOUND * noise, 0.3 * peak.max())
    itself = _correlation(pattern, pattern, np.arange(-_REACH, _REACH + 1))
    weights = np.where(found, peak, 0)
    rows, offsets, strengths = _strips(seen, pattern, along, weights)
    center = (len(mask) - 1) / 2
    offset, stretch = _line(rows - center, offsets, strengths, len(mask))
    result = MaskRegistration(
        displacements=along[found].astype(float),
        grain=float((itself[_REACH] > 0.3 * itself[_REACH].max()).sum()) / 2,
        offset=offset,
        stretch=stretch,
        center=center,
        blur=0.0,
    )
    return result._replace(blur=_blur(snapshot, mask, result))


def moved(mask: Array, found: MaskRegistration) -> Array:
    """Return the mask as the snapshot shows it."""
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(float)
    rows = rows - found.offset - found.stretch * (rows - found.center)
    there = map_coordinates(mask, (rows, columns), order=1, mode="nearest")
    return gaussian_filter(there, found.blur) if found.blur else there


def _relative(image: Array) -> Array:
    """Return fine structure over local brightness, which is not divided by where it is dark."""
    smooth = gaussian_filter(image, _SMOOTH)
    return (image - smooth) / (smooth + 0.05 * max(smooth.max(), np.finfo(float).tiny))


def _correlation(a: Array, b: Array, along: Whole) -> Array:
    """Return Σ_pq a(p + i, q + j) b(p, q) for i from −_REACH to _REACH and j in ``along``."""
    n = tuple(next_fast_len(i + j, real=True) for i, j in zip(a.shape, b.shape))
    full = irfft2(rfft2(a, n) * rfft2(b, n).conj(), n)
    return full[np.arange(-_REACH, _REACH + 1)[:, None] % n[0], along % n[1]]


def _near(correlation: Array) -> Array:
    return correlation[_REACH - _REACH // 4 : _REACH + _REACH // 4 + 1]


def _noise(correlation: Array) -> float:
    """Return the standard deviation of the rows that are far from the pattern's own."""
    far = np.concatenate((correlation[: _REACH // 2], correlation[-(_REACH // 2) :]))
    return float(np.sqrt(np.mean(far**2))) or np.finfo(float).tiny


def _strips(seen: Array, pattern: Array, along: Whole, weights: Array) -> tuple[Array, Array, Array]:
    """Return the middle rows, offsets and correlations of the strips that show the pattern."""
    held = []
    for top in range(0, len(seen), _STRIP):
        strip = np.zeros_like(seen)
        strip[top : top + _STRIP] = seen[top : top + _STRIP]
        profile = (_correlation(strip, pattern, along) * weights).sum(1)
        best = int(_near(profile).argmax()) + _REACH - _REACH // 4
        if profile[best] > _FOUND * _noise(profile):
            below, here, above = profile[best - 1 : best + 2]
            shift = best - _REACH + 0.5 * (below - above) / (below - 2 * here + above)
            middle = (top + min(top + _STRIP, len(seen)) - 1) / 2
            held.append((middle, shift, here))
    if not held:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    rows, offsets, strengths = zip(*held)
    return np.array(rows), np.array(offsets), np.array(strengths)


def _line(rows: Array, offsets: Array, weights: Array, size: int) -> tuple[float, float]:
    """Return offset and stretch: a line through the offsets, or their mean if a few rows show them."""
    if not len(rows):
        return 0.0, 0.0
    if len(rows) < 3 or np.ptp(rows) < size / 5:
        return float(np.average(offsets, weights=weights)), 0.0
    slope, constant = np.polyfit(rows, offsets, 1, w=np.sqrt(weights))
    return float(constant), float(slope)


def _blur(snapshot: Array, mask: Array, found: MaskRegistration) -> float:
    """Return the width for which positive sums of displaced patterns best explain the clearest tiles."""
    rows, columns = _TILE
    seen, d = _relative(snapshot), found.displacements.astype(int)
    first, last = max(0, int(d.min()) - 8), min(int(d.max()) + 8, snapshot.shape[1] - mask.shape[1])
    moves = range(first, last + 1)
    patterns = [_relative(moved(mask, found._replace(blur=w))) for w in _WIDTHS]
    inside = [
        (top, left)
        for top in range(0, len(mask) - rows + 1, rows)
        for left in range(last, mask.shape[1] - columns + 1, columns)
    ]
    alike = {
        (top, left): max(
            float(
                (
                    seen[top : top + rows, left : left + columns]
                    * patterns[0][top : top + rows, left - k : left - k + columns]
                ).sum()
            )
            for k in moves
        )
        for top, left in inside
    }
    misfits = np.zeros(len(_WIDTHS))
    for top, left in sorted(inside, key=alike.__getitem__)[-_TILES:]:
        data = seen[top : top + rows, left : left + columns].ravel()
        for i, pattern in enumerate(patterns):
            each = [pattern[top : top + rows, left - k : left - k + columns].ravel() for k in moves]
            misfits[i] += nnls(np.stack(each, 1), data)[1] ** 2 / (data @ data)
    return _WIDTHS[int(misfits.argmin())]
