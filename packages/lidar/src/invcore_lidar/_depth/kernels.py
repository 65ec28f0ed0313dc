"""Loops of the estimators over photons and pixels (numba)."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def mass_at(u: float, first: float, step: float, mass: np.ndarray) -> float:
    """Evaluate the response table, linear between samples, zero outside."""
    x = (u - first) / step
    if x < 0.0 or x > mass.shape[0] - 1:
        return 0.0
    i = min(int(x), mass.shape[0] - 2)
    f = x - i
    return (1.0 - f) * mass[i] + f * mass[i + 1]


@njit(nogil=True, cache=True)
def _score(tau, lo, hi, times, counts, ratio, first, step, mass, kind):  # type: ignore[no-untyped-def]
    """Score a time of flight: log-likelihood ratio to background alone (kind 0) or correlation (kind 1)."""
    total = 0.0
    for i in range(lo, hi):
        m = mass_at(times[i] - tau, first, step, mass)
        if m > 0.0:
            if kind == 0:
                total += counts[i] * math.log1p(ratio[i] * m)
            else:
                total += counts[i] * m
    return total


@njit(nogil=True, cache=True)
def _refine(tau, width, lo, hi, times, counts, ratio, first, step, mass, kind, center, rho, evaluations):  # type: ignore[no-untyped-def]
    """Search the best time within ``width`` of ``tau`` by golden sections, pulled to ``center``.

    Return ``tau`` itself if it is better.
    """
    top = _score(tau, lo, hi, times, counts, ratio, first, step, mass, kind) - 0.5 * rho * (tau - center) ** 2
    golden = 0.6180339887498949
    a, b = tau - width, tau + width
    c, d = b - golden * (b - a), a + golden * (b - a)
    at_c = _score(c, lo, hi, times, counts, ratio, first, step, mass, kind) - 0.5 * rho * (c - center) ** 2
    at_d = _score(d, lo, hi, times, counts, ratio, first, step, mass, kind) - 0.5 * rho * (d - center) ** 2
    for _ in range(evaluations):
        if at_c > at_d:
            b, d, at_d = d, c, at_c
            c = b - golden * (b - a)
            at_c = _score(c, lo, hi, times, counts, ratio, first, step, mass, kind)
            at_c -= 0.5 * rho * (c - center) ** 2
        else:
            a, c, at_c = c, d, at_d
            d = a + golden * (b - a)
            at_d = _score(d, lo, hi, times, counts, ratio, first, step, mass, kind)
            at_d -= 0.5 * rho * (d - center) ** 2
    best, value = (c, at_c) if at_c > at_d else (d, at_d)
    return (best, value) if value > top else (tau, top)


@njit(nogil=True, cache=True)
def match(indptr, times, counts, ratio, first, step, mass, peak, fwhm, bins, kind, out, value):  # type: ignore[no-untyped-def]
    """Find the best time of flight of each pixel; NaN without photons.

    ``ratio`` is signal over background, per entry.
    """
    last = first + (mass.shape[0] - 1) * step
    for p in range(indptr.shape[0] - 1):
        a, b = indptr[p], indptr[p + 1]
        best, top = np.nan, -np.inf
        lo = a
        hi = a
        for i in range(a, b):
            tau = min(max(times[i] - peak, 0.0), float(bins))
            while lo < i and times[lo] < tau + first:
                lo += 1
            if hi < i:
                hi = i
            while hi < b and times[hi] <= tau + last:
                hi += 1
            s = _score(tau, lo, hi, times, counts, ratio, first, step, mass, kind)
            if s > top:
                best, top = tau, s
        if b > a:
            best, top = _refine(
                best, 0.5 * fwhm, a, b, times, counts, ratio, first, step, mass, kind, 0.0, 0.0, 16
            )
            best = min(max(best, 0.0), float(bins))
        out[p] = best
        value[p] = top


@njit(nogil=True, cache=True)
def near_prox(indptr, times, counts, ratio, first, step, mass, center, rho, reach, spacing, bins, tau):  # type: ignore[no-untyped-def]
    """Replace ``tau`` by argmax over t of log-likelihood(t) - rho/2 (t - center)² in each pixel.

    Searched within ``reach`` of the center, and at the present ``tau``.
    """
    last = first + (mass.shape[0] - 1) * step
    half = math.ceil(reach / spacing)
    largest = mass.max()
    for p in range(indptr.shape[0] - 1):
        a, b = indptr[p], indptr[p + 1]
        c, present = center[p], tau[p]
        low, high = min(c - reach, present - spacing), max(c + reach, present + spacing)
        while a < b and times[a] < low + first:
            a += 1
        while b > a and times[b - 1] > high + last:
            b -= 1
        if a == b:
            tau[p] = min(max(c, 0.0), float(bins))
            continue
        best = c
        top = _score(c, a, b, times, counts, ratio, first, step, mass, 0)
        s = _score(present, a, b, times, counts, ratio, first, step, mass, 0) - 0.5 * rho * (present - c) ** 2
        if s > top:
            best, top = present, s
        ceiling = 0.0
        for i in range(a, b):
            ceiling += counts[i] * math.log1p(ratio[i] * largest)
        for j in range(1, half + 1):
            pull = 0.5 * rho * (j * spacing) ** 2
            if ceiling - pull < top:
                break  # no match can outweigh the distance
            for side in (-1.0, 1.0):
                t = c + side * j * spacing
                if t < 0.0 or t > bins:
                    continue
                s = _score(t, a, b, times, counts, ratio, first, step, mass, 0) - pull
                if s > top:
                    best, top = t, s
        best, top = _refine(best, spacing, a, b, times, counts, ratio, first, step, mass, 0, c, rho, 8)
        tau[p] = min(max(best, 0.0), float(bins))


@njit(nogil=True, cache=True)
def shares(indptr, times, counts, tau, photons, background, first, step, mass, expected, rest):  # type: ignore[no-untyped-def]
    """Attribute photons to surfaces, given the image (the E step).

    ``expected`` (K, pixels): expected photons from each surface. ``rest`` (K, photons): rate of everything
    but the surface, at each photon.
    """
    surfaces = tau.shape[0]
    m = np.empty(surfaces)
    for p in range(indptr.shape[0] - 1):
        for k in range(surfaces):
            expected[k, p] = 0.0
        for i in range(indptr[p], indptr[p + 1]):
            total = background[p]
            for k in range(surfaces):
                m[k] = photons[k, p] * mass_at(times[i] - tau[k, p], first, step, mass)
                total += m[k]
            for k in range(surfaces):
                rest[k, i] = max(total - m[k], 1e-300)
                if m[k] > 0.0:
                    expected[k, p] += counts[i] * m[k] / total


@njit(nogil=True, cache=True)
def volume(indptr, times, counts, ratio, first, step, mass, spacing, labels, out):  # type: ignore[no-untyped-def]
    """Subtract from ``out`` (pixels, labels) the log-likelihood ratio of surfaces at label · spacing."""
    last = first + (mass.shape[0] - 1) * step
    for p in range(indptr.shape[0] - 1):
        for i in range(indptr[p], indptr[p + 1]):
            low = max(math.ceil((times[i] - last) / spacing), 0)
            high = min(math.floor((times[i] - first) / spacing), labels - 1)
            for j in range(low, high + 1):
                m = mass_at(times[i] - j * spacing, first, step, mass)
                if m > 0.0:
                    out[p, j] -= counts[i] * math.log1p(ratio[i] * m)


@njit(fastmath=True, nogil=True, cache=True)
def _along(cost, out, y, x, dy, dx, slope, jump):  # type: ignore[no-untyped-def]
    """Add the costs of the best labels along a path: a move of n labels costs n slope, at most jump."""
    ny, nx, labels = cost.shape
    before, now = np.zeros(labels, np.float32), np.zeros(labels, np.float32)
    started = False
    while 0 <= y < ny and 0 <= x < nx:
        c, o = cost[y, x], out[y, x]
        if started:
            low = before[0]
            for b in range(labels):
                low = min(low, before[b])
            for b in range(labels):
                now[b] = min(before[b] - low, jump)
            for b in range(1, labels):
                now[b] = min(now[b], now[b - 1] + slope)
            for b in range(labels - 2, -1, -1):
                now[b] = min(now[b], now[b + 1] + slope)
            for b in range(labels):
                now[b] += c[b]
        else:
            for b in range(labels):
                now[b] = c[b]
            started = True
        for b in range(labels):
            o[b] += now[b]
        before, now = now, before
        y += dy
        x += dx


@njit(nogil=True, cache=True)
def aggregate(cost, slope, jump, out):  # type: ignore[no-untyped-def]
    """Sum the path costs of eight directions (semi-global matching), (y, x, labels)."""
    ny, nx, _ = cost.shape
    for d in range(8):
        dy = (0, 0, 1, -1, 1, -1, 1, -1)[d]
        dx = (1, -1, 0, 0, 1, -1, -1, 1)[d]
        s = np.float32(slope if d < 4 else slope * 1.4142135)
        y0 = 0 if dy >= 0 else ny - 1
        x0 = 0 if dx >= 0 else nx - 1
        if dy == 0:
            for y in range(ny):
                _along(cost, out, y, x0, dy, dx, s, np.float32(jump))
            continue
        for x in range(nx):
            _along(cost, out, y0, x, dy, dx, s, np.float32(jump))
        if dx != 0:
            for y in range(ny):
                if y != y0:
                    _along(cost, out, y, x0, dy, dx, s, np.float32(jump))


@njit(nogil=True, cache=True)
def fullest_window(indptr, times, counts, ny, nx, light, radius, similar, width, wanted, middle, count, size):  # type: ignore[no-untyped-def]
    """Find the window of ``width`` bins with most photons, for each wanted pixel with its superpixel.

    A superpixel holds the neighbors of similar light within ``radius``. Results are the mean time of the
    photons in the window, their number, and the pixels in the superpixel.
    """
    longest = 0
    for p in range(ny * nx):
        longest = max(longest, indptr[p + 1] - indptr[p])
    side = 2 * radius + 1
    t, c = np.empty(longest * side * side), np.empty(longest * side * side)
    for p in range(ny * nx):
        if not wanted[p]:
            continue
        y, x = p // nx, p % nx
        n, members = 0, 0
        for yy in range(max(y - radius, 0), min(y + radius + 1, ny)):
            for xx in range(max(x - radius, 0), min(x + radius + 1, nx)):
                q = yy * nx + xx
                if q != p and abs(light[q] - light[p]) > similar:
                    continue
                members += 1
                for i in range(indptr[q], indptr[q + 1]):
                    t[n], c[n] = times[i], counts[i]
                    n += 1
        order = np.argsort(t[:n])
        most, inside, lo = 0.0, 0.0, 0
        for hi in range(n):
            inside += c[order[hi]]
            while t[order[hi]] - t[order[lo]] > width:
                inside -= c[order[lo]]
                lo += 1
            if inside > most:
                most = inside
                total = 0.0
                for i in range(lo, hi + 1):
                    total += c[order[i]] * t[order[i]]
                middle[p] = total / inside
        count[p], size[p] = most, members
