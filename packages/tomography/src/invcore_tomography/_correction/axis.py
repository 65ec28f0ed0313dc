"""Position of the axis of rotation on the detector."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError, ShapeError

_Array = np.ndarray


def center_of_rotation(
    sinogram: Tensor,
    angles: Tensor,
    *,
    method: Literal["auto", "opposite", "wedge", "moments", "sharpness"] = "auto",
    search: tuple[float, float] | None = None,
) -> float:
    """Find the column onto which the axis of a parallel-beam scan projects, to a fraction of a column.

    * ``"opposite"``: views half a turn apart are mirror images about the axis; the mirror position with the
      smallest squared difference over the overlap of all such pairs, refined with band-limited shifts.
    * ``"wedge"``: the sinogram continued to a full turn by mirroring has a spectrum inside the double wedge
      |m| <= R |ω| only if mirrored at the right place; the position with the least amplitude outside it.
      Needs half a turn.
    * ``"moments"``: the center of mass of the views moves on a sinusoid around the axis. Exact and immediate,
      for objects that no view truncates and views without a background.
    * ``"sharpness"``: away from the axis every point smears into a crescent. The views are low-pass filtered
      (a Gaussian of two columns), backprojected around each candidate, and the image with the least total
      variation is the sharpest. Robust against noise, but takes seconds. ``search`` should be about ten
      columns wide; by default it is around the results of the two previous methods.
    * ``"auto"``: ``"opposite"`` if at least one pair of views is half a turn apart to a fifth of the angular
      step. Else ``"wedge"``, and where ``"moments"`` disagrees by more than a column, ``"sharpness"`` around
      both.

    Parameters
    ----------
    sinogram : Tensor, shape (..., view, column)
        Line integrals; leading axes, such as detector rows, share one axis of rotation.
    angles : Tensor, shape (view)
        In radians.
    method : {"auto", "opposite", "wedge", "moments", "sharpness"}
    search : tuple of float, optional
        Lowest and highest column to consider; by default the middle half of the detector, or nearly all of it
        if most views have one half a turn away: the axis may then be near an end, to see a wider field.

    Returns
    -------
    float
        In columns, 0 being the center of the first one; ``(columns - 1)/2`` is a centered axis.

    Raises
    ------
    DataError
        If the scan has no opposite views, or less than half a turn, and the method needs them; or the best
        position is at an end of the search range.

    References
    ----------
    N. T. Vo, M. Drakopoulos, R. C. Atwood, C. Reinhard, "Reliable method for calculating the center of
    rotation in parallel-beam tomography", Optics Express 22 (2014).

    Examples
    --------
    >>> from invcore_tomography import ellipses
    >>> angles = torch.arange(90) * torch.pi / 90
    >>> blob = ellipses(center=[(20.0, 5.0)], axes=[(4.0, 3.0)], density=[1.0], profile="gaussian")
    >>> s = torch.arange(101) - 47.3
    >>> normal = torch.stack([angles.cos(), angles.sin()], -1)
    >>> along = torch.stack([-angles.sin(), angles.cos()], -1)
    >>> sinogram = blob.line_integrals(s[:, None] * normal[:, None], along[:, None])
    >>> round(center_of_rotation(sinogram, angles, method="moments"), 1)
    47.3
    """
    views = _checked(sinogram, angles)
    theta = angles.detach().double().cpu().numpy()
    n = views.shape[-1]
    margin = 0.04 if 2 * len(_pairs(theta)) > 0.8 * len(theta) else 0.25
    low, high = search or (margin * (n - 1), (1 - margin) * (n - 1))
    if not 0 <= low < high <= n - 1:
        raise ParameterError(f"search must be two columns between 0 and {n - 1}, got {search!r}")
    if method == "auto":
        return _agreed(views, theta, low, high, search is not None)
    if method == "sharpness":
        around = [(low, high)] if search else _suggested(views, theta, low, high)
        return _sharpest_view(views, theta, around)
    if method == "moments":
        return _moments(views, theta)
    if method == "opposite":
        return _opposite(views, theta, low, high)
    if method == "wedge":
        return _wedge(views, theta, low, high)
    raise ParameterError(
        f"method must be 'auto', 'opposite', 'wedge', 'moments' or 'sharpness', got {method!r}"
    )


def _agreed(views: _Array, theta: _Array, low: float, high: float, given: bool) -> float:
    """Axis from opposite views; else from two agreeing methods; else by sharpness."""
    if _pairs(theta):
        return _opposite(views, theta, low, high)
    try:
        found = _wedge(views, theta, low, high)
    except DataError:
        if given:
            raise
        return _sharpest_view(views, theta, _suggested(views, theta, low, high))
    try:
        other = _moments(views, theta)
    except DataError:
        return found
    if abs(other - found) <= 1 or not low <= other <= high:
        return found
    return _sharpest_view(views, theta, _around([found, other], low, high))


def _suggested(views: _Array, theta: _Array, low: float, high: float) -> list[tuple[float, float]]:
    """Ranges to search for the sharpest image, around the results of wedge and moments."""
    found, reasons = [], []
    for search in (lambda: _wedge(views, theta, low, high), lambda: _moments(views, theta)):
        try:
            found.append(search())
        except DataError as error:
            reasons.append(str(error))
    inside = [c for c in found if low <= c <= high]
    if not inside:
        raise DataError("; ".join(reasons) or "no method found the axis; give search=")
    return _around(inside, low, high)


def _around(guesses: list[float], low: float, high: float) -> list[tuple[float, float]]:
    """Three columns to either side of each guess, joined where they meet."""
    out: list[tuple[float, float]] = []
    for guess in sorted(guesses):
        a, b = max(low, guess - 3), min(high, guess + 3)
        if out and a <= out[-1][1] + 1:
            a = out.pop()[0]
        out.append((a, b))
    return out


def _sharpest_view(views: _Array, theta: _Array, around: list[tuple[float, float]]) -> float:
    """The position whose image has the least total variation.

    The views are moved, not the geometry: their noise then reaches the pixels in the same way for all
    candidates.
    """
    from .._fbp.fbp import FBP
    from .._geometry.scans import parallel

    n = views.shape[-1]
    middle = (n - 1) / 2
    rows = views[np.linspace(0, len(views) - 1, min(len(views), 4)).round().astype(int)]
    smooth = _shifted(rows, 0.0, blur=2.0)
    fbp = FBP(geometry=parallel(torch.from_numpy(theta), columns=n))
    away = np.hypot(*np.meshgrid(np.arange(1, n) - middle, np.arange(1, n) - middle))
    seen = torch.from_numpy(away < middle - max(abs(c - middle) for ends in around for c in ends) - 2)

    def cost(c: float) -> float:
        moved = torch.from_numpy(_shifted(smooth, c - middle)).float().unsqueeze(1)
        image = fbp(moved)[:, 0]
        across, along = image.diff(dim=-1)[:, 1:], image.diff(dim=-2)[..., 1:]
        return float((across.square() + along.square()).sqrt()[:, seen].double().mean())

    tried: dict[float, float] = {}
    for low, high in around:
        for c in np.linspace(low, high, max(3, math.ceil(high - low) + 1)):
            tried[float(c)] = cost(float(c))
    best = min(tried, key=tried.__getitem__)
    if any(best in ends for ends in around):
        raise DataError(
            f"the image is sharpest for column {best:.1f}, an end of the range "
            f"{[tuple(round(e, 1) for e in r) for r in around]}: give search=, or the center by hand"
        )
    # twice a parabola: noise makes single values jump
    for reach in (2.05, 1.05):
        at = best
        for c in at + np.linspace(-1, 1, 5) if reach < 2 else ():
            tried[float(c)] = cost(float(c))
        near = [c for c in tried if abs(c - at) <= reach]
        curve = np.polyfit(np.array(near) - at, [tried[c] for c in near], 2)
        if curve[0] > 0:
            best = at + float(np.clip(-curve[1] / (2 * curve[0]), -1, 1))
    return best


def _checked(sinogram: Tensor, angles: Tensor) -> _Array:
    """Check the sinogram, and return it as numpy, (row, view, column)."""
    if sinogram.ndim < 2 or angles.ndim != 1 or sinogram.shape[-2] != angles.shape[0]:
        raise ShapeError(
            f"expected a sinogram (..., view, column) and as many angles as views; got "
            f"{tuple(sinogram.shape)} and {tuple(angles.shape)}"
        )
    views = sinogram.detach().double().cpu().numpy().reshape(-1, *sinogram.shape[-2:])
    if not np.isfinite(views).all():
        raise DataError("the sinogram has NaN or infinite values")
    if views.shape[-1] < 8:
        raise ShapeError(
            f"a detector of {views.shape[-1]} columns is too short to find an axis; 8 is the least"
        )
    return views


def _step(theta: _Array) -> float:
    return float(np.median(np.abs(np.diff(np.sort(theta))))) if len(theta) > 1 else math.pi


def _pairs(theta: _Array) -> list[tuple[int, int]]:
    """Views half a turn apart, to a fifth of a step."""
    apart = (theta[None, :] - theta[:, None]) % (2 * math.pi)
    error = np.abs(apart - math.pi)
    near = error.argmin(axis=1)
    limit = max(0.2 * _step(theta), 1e-6)
    return [(i, int(j)) for i, j in enumerate(near) if i < j and error[i, j] <= limit]


def _shifted(views: _Array, shift: float, *, blur: float = 0.0) -> _Array:
    """Views at column + shift, by band-limited interpolation with repeated ends, blurred by a Gaussian."""
    n = views.shape[-1]
    pad = int(abs(shift)) + 8
    wide = np.pad(views, [(0, 0)] * (views.ndim - 1) + [(pad, pad)], mode="edge")
    wide = np.concatenate([wide, wide[..., ::-1]], axis=-1)  # periodic without a jump
    frequency = np.fft.rfftfreq(wide.shape[-1])
    turn = np.exp(2j * np.pi * frequency * shift - 2 * (np.pi * frequency * blur) ** 2)
    moved = np.fft.irfft(np.fft.rfft(wide) * turn, n=wide.shape[-1])
    return moved[..., pad : pad + n]


def _opposite(views: _Array, theta: _Array, low: float, high: float) -> float:
    pairs = _pairs(theta)
    if not pairs:
        raise DataError(
            "no two views are half a turn apart (to a fifth of the angular step): use method='wedge' or "
            "'moments'"
        )
    return _minimized(_mirror_cost(views, pairs), low, high, 0.5)


def _mirror_cost(views: _Array, pairs: list[tuple[int, int]]) -> Callable[[float], float]:
    """Cost of an axis: the difference of opposite views, one of them mirrored about it."""
    first = np.stack([views[:, i] for i, _ in pairs])
    mirrored = np.stack([views[:, j, ::-1] for _, j in pairs])  # column k of it is first's k + 2c - (n - 1)
    n = views.shape[-1]

    def cost(c: float) -> float:
        shift = 2 * c - (n - 1)
        inside = np.arange(n) + shift
        inside = (inside >= 0) & (inside <= n - 1)
        a, b = _shifted(first, shift)[..., inside], mirrored[..., inside]
        a, b = (
            a - a.mean(-1, keepdims=True),
            b - b.mean(-1, keepdims=True),
        )  # a drift of the beam between the two
        return float(((a - b) ** 2).mean() / max(1e-300, float((a**2).mean() + (b**2).mean())))

    return cost


def _wedge(views: _Array, theta: _Array, low: float, high: float) -> float:
    order = np.argsort(theta)
    span = theta[order[-1]] - theta[order[0]]
    step = _step(theta)
    if span < math.pi - 2.5 * step:
        raise DataError(f"the scan covers {math.degrees(span):.0f} degrees; method='wedge' needs half a turn")
    half = order[theta[order] < theta[order[0]] + math.pi - 0.5 * step]
    data = views[:, half]
    if high - low > 24:  # coarse: the two views that come closest to being opposite
        apart = (theta[None, :] - theta[:, None]) % (2 * math.pi)
        i, j = np.unravel_index(np.abs(apart - math.pi).argmin(), apart.shape)
        guess = _minimized(_mirror_cost(views, [(int(i), int(j))]), low, high, 0.5)
        reach = max(8.0, 0.1 * views.shape[-1] * abs(apart[i, j] - math.pi))
        low, high = max(low, guess - reach), min(high, guess + reach)
    return _minimized(_wedge_cost(data, low, high), low, high, 0.5)


def _wedge_cost(data: _Array, low: float, high: float) -> Callable[[float], float]:
    """Cost of an axis: the amplitude outside the double wedge, from half a turn of views."""
    n = data.shape[-1]
    reach = min(low, n - 1 - high)
    width = int(2 * reach) if reach > 0.1 * n else int(0.2 * n)
    columns = np.arange(width) - (width - 1) / 2
    m = np.fft.fftfreq(2 * data.shape[1], 1 / (2 * data.shape[1]))[:, None]  # harmonic of the full turn
    omega = 2 * np.pi * np.fft.rfftfreq(width)[None, :]
    outside = (np.abs(m) > 0.5 * width * omega) & (np.abs(m) > 4) & (omega > 4 * np.pi / width)
    if not outside.any():
        raise DataError(
            "too few views for method='wedge': there is nothing outside the double wedge; use 'moments'"
        )
    taper = np.hanning(width + 2)[1:-1]

    def cost(c: float) -> float:
        start = round(c + columns[0])
        piece = _shifted(data, c + columns[0] - start)
        piece = piece[..., np.clip(np.arange(start, start + width), 0, n - 1)] * taper
        full = np.concatenate([piece, piece[..., ::-1]], axis=1)
        return float(np.abs(np.fft.fft(np.fft.rfft(full), axis=1))[:, outside].mean())

    return cost


def _minimized(cost: Callable[[float], float], low: float, high: float, step: float) -> float:
    """Minimize from coarse to fine, then by golden sections; refuse a minimum at an end."""
    from scipy.optimize import minimize_scalar

    grid = np.arange(low, high + step / 2, 2 * step)
    costs = np.array([cost(c) for c in grid])
    best = int(costs.argmin())
    if best in (0, len(grid) - 1):
        raise DataError(
            f"no axis of rotation between columns {low:.1f} and {high:.1f}: the best is at the end of the "
            "range. Give search=, or the center by hand"
        )
    around = (grid[best - 1], grid[best + 1])
    fine = np.linspace(*around, 9)
    values = [cost(c) for c in fine]
    at = int(np.argmin(values))
    bounds = (fine[max(0, at - 1)], fine[min(8, at + 1)])
    return float(minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 0.005}).x)


def _moments(views: _Array, theta: _Array) -> float:
    mass = views.sum(axis=(0, 2))
    if not (mass > 0).all():
        raise DataError("method='moments' needs views with positive total attenuation")
    column = np.arange(views.shape[-1])
    middle = (views.sum(0) * column).sum(-1) / mass
    model = np.stack([np.ones_like(theta), np.cos(theta), np.sin(theta)], axis=1)
    if len(theta) < 3:
        raise DataError("method='moments' needs at least three views")
    return float(np.linalg.lstsq(model, middle, rcond=None)[0][0])
