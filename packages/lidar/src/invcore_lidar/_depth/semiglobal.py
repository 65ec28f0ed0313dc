"""Initial surfaces by semi-global matching of all pixels at once."""

from __future__ import annotations

import numpy as np

from invcore import ParameterError

from .detections import Detections, Table

_LARGEST = 2**28  # entries of the cost volume


def find_surfaces_together(
    data: Detections,
    table: Table,
    beta: np.ndarray,
    surfaces: int,
    *,
    slope: float,
    jump: float,
    rounds: int = 2,
) -> tuple[np.ndarray, np.ndarray]:
    """Return times of flight in bins and signal photons, (K, pixels) each.

    Surfaces are found one by one, given the others. Approximately minimizes the negative log-likelihood plus
    min(slope · steps, jump) over all neighbors, by dynamic programming along eight directions (H.
    Hirschmüller, "Stereo processing by semiglobal matching and mutual information", IEEE Trans. Pattern Anal.
    Mach. Intell. 30 (2008)). A step is one label, half the width of the response.
    """
    from . import kernels

    ny, nx = data.shape
    pixels, spacing = ny * nx, table.fwhm() / 2
    labels = int(data.bins / spacing) + 1
    if labels * pixels > _LARGEST:
        raise ParameterError(
            f"a gate of {labels} times the resolution in {pixels} pixels is too large to search: gate the "
            "data (find_gate, range_gate), or take wider bins"
        )
    mean = max(float(data.photons().mean() - beta.mean() * data.bins), 0.01) / surfaces
    tau = np.full((surfaces, pixels), -1e9)  # far outside: no surface yet
    photons = np.zeros((surfaces, pixels))
    expected, rest = np.empty_like(tau), np.empty((surfaces, len(data.times)))
    rows = data.rows()
    bright = smooth(np.maximum(data.photons() - beta * data.bins, 0) / surfaces, data.shape, 9)
    for _ in range(rounds):
        for k in range(surfaces):
            kernels.shares(*data.entries, tau, photons, beta, *table, expected, rest)
            guess = photons[k] if photons[k].any() else np.maximum(bright, 0.1 * mean)
            cost = np.zeros((pixels, labels), np.float32)
            ratio = guess[rows] / rest[k]
            kernels.volume(*data.entries, ratio, *table, spacing, labels, cost)
            total = np.zeros((ny, nx, labels), np.float32)
            kernels.aggregate(cost.reshape(ny, nx, labels), slope, jump, total)
            tau[k] = total.reshape(pixels, labels).argmin(1) * spacing
            photons[k] = guess
            for _ in range(3):
                kernels.shares(*data.entries, tau, photons, beta, *table, expected, rest)
                photons[k] = np.maximum(smooth(expected[k], data.shape, 3), 0.05 * mean)
    return tau, photons


def smooth(values: np.ndarray, shape: tuple[int, int], size: int) -> np.ndarray:
    """Return the mean over a square neighborhood of each pixel, (pixels,)."""
    from scipy.ndimage import uniform_filter

    return uniform_filter(values.reshape(shape), min(size, *shape), mode="reflect").reshape(-1)
