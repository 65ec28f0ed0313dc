"""Unmixing of signal and background with superpixels: the method of Rapp and Goyal."""

from __future__ import annotations

import math

import numpy as np
import torch

from invcore import ParameterError
from invcore.priors import TV

from .._photons.impulse import ImpulseResponse
from .._photons.tags import Histogram, TimeTags
from .detections import Detections, Table, detections, tabulate
from .estimate import DepthEstimate
from .matched_filter import assemble, background_of
from .uncertainty import information


def unmixed(
    data: TimeTags | Histogram,
    impulse: ImpulseResponse,
    *,
    background: float | None = None,
    false_alarm: float = 0.01,
    radius: int = 4,
    similarity: float = 0.5,
    depth_weight: float = 0.5,
    reflectivity_weight: float = 0.5,
) -> DepthEstimate:
    r"""Estimate depth and reflectivity after censoring likely background [1]_.

    In each pixel, the window of the length of the impulse response with most photons is signal if background
    alone would fill some window of the gate as much with at most the probability ``false_alarm`` (Alm's
    approximation of the scan statistic [2]_). Other pixels borrow photons from neighbors of similar
    reflectivity, in a superpixel that grows until there are enough. All photons outside of the windows are
    censored. Reflectivity is the rest less the background in the window, under a Poisson likelihood with
    total variation; depth is the log-matched filter of the rest, followed by total variation weighted by the
    information of each pixel.

    Parameters
    ----------
    data : TimeTags or Histogram
        Data of one image.
    impulse : ImpulseResponse
    background : float, optional
        Background photons per bin (per tick); by default measured.
    false_alarm : float
        Probability per pixel.
    radius : int
        Largest half width of a superpixel, in pixels.
    similarity : float
        Largest difference of reflectivity in a superpixel, as a share of the mean.
    depth_weight, reflectivity_weight : float
        Weights of the total variations: of depths in units of the deviation from one signal photon, and of
        photons.

    Returns
    -------
    DepthEstimate
        One surface. Pixels without significant signal in the largest superpixel have depths filled in from
        their neighbors, and infinite ``std``.

    Raises
    ------
    ParameterError
        If an option is out of its range.

    References
    ----------
    .. [1] J. Rapp and V. K. Goyal, "A few photons among many: unmixing signal and noise for photon-efficient
       active imaging", IEEE Trans. Comput. Imaging 3 (2017).
    .. [2] S. E. Alm, "On the distribution of scan statistics of a Poisson process", in Probability and
       Mathematical Statistics (1997).

    Examples
    --------
    >>> from invcore_lidar import simulate_tags
    >>> depth, light = torch.full((1, 12, 12), 1.5), torch.ones(1, 12, 12)
    >>> h = ImpulseResponse.gaussian(fwhm=300e-12)
    >>> g = torch.Generator().manual_seed(0)
    >>> tags = simulate_tags(
    ...     depth, light, impulse=h, photons=3.0, signal_to_background=0.5, generator=g, gate=(0.0, 40e-9)
    ... )
    >>> bool((unmixed(tags, h).depth - 1.5).abs().max() < 0.05)
    True
    """
    if not 0 < false_alarm < 1:
        raise ParameterError(f"unmixed: false_alarm must be a probability, got {false_alarm!r}")
    if not (isinstance(radius, int) and radius >= 0):
        raise ParameterError(f"unmixed: radius must be a number of pixels >= 0, got {radius!r}")
    if not min(similarity, depth_weight, reflectivity_weight) >= 0:
        raise ParameterError("unmixed: similarity and weights must be nonnegative")
    photons = detections(data)
    table = tabulate(impulse, photons.bin_width)
    beta = background_of(photons, background)
    return _unmix(photons, table, beta, false_alarm, radius, similarity, depth_weight, reflectivity_weight)


_SHARE = 0.8664  # share of the response in a window: three standard deviations of a Gaussian


def _unmix(
    data: Detections,
    table: Table,
    beta: np.ndarray,
    false_alarm: float,
    radius: int,
    similarity: float,
    depth_weight: float,
    reflectivity_weight: float,
) -> DepthEstimate:
    from . import kernels

    low, high = table.window(_SHARE)
    pixels, width = len(beta), max(high - low, 1.0)
    u, mass = table.first + np.arange(len(table.mass)) * table.step, table.mass / table.mass.sum()
    within = (u >= low) & (u <= high)
    late = float((u * mass)[within].sum() / mass[within].sum())  # mean delay in the window
    share = float(mass[np.abs(u - late) <= width].sum())
    middle = np.full(pixels, np.nan)  # center of the window of each pixel, in bins
    inside = np.zeros(pixels)
    light = np.maximum(data.photons() - beta * data.bins, 0)
    for r in range(radius + 1):
        size = np.ones(pixels)
        found, count = np.full(pixels, np.nan), np.zeros(pixels)
        todo = np.isnan(middle)
        kernels.fullest_window(
            *data.entries, *data.shape, light, r, similarity * light.mean(), width, todo, found, count, size
        )
        enough = todo & (count >= _threshold(beta * size, data.bins, width, false_alarm))
        middle[enough] = found[enough]
        inside[todo] = count[todo] / size[todo]
        light = _smooth_light(inside, beta * width, data.shape, reflectivity_weight) / _SHARE
        if not np.isnan(middle).any():
            break
    known = ~np.isnan(middle)
    if not known.any():
        empty = np.zeros((1, pixels))
        return assemble(data, table, np.full((1, pixels), np.nan), empty, beta, empty + np.inf)
    # log-matched filter of the pixels' own photons in their windows
    tau = np.where(known, middle - late, 0.0)
    rows = data.rows()
    kept = known[rows] & (np.abs(data.times - tau[rows] - late) <= width)
    own = np.bincount(rows[kept], data.counts[kept], minlength=pixels)
    # the fullest windows are biased upwards: count again in windows twice as long
    counted, around = np.where(known, own, inside), np.where(known, 2 * width, width) * beta
    light = _smooth_light(counted, around, data.shape, reflectivity_weight) / np.where(known, share, _SHARE)
    ratio = (np.maximum(light, 1e-3 * light.mean()) / beta)[rows]
    refined = tau.copy()
    kernels.near_prox(
        data.indptr,
        data.times,
        np.where(kept, data.counts, 0.0),
        ratio,
        *table,
        tau,
        1e-9,
        width,
        table.fwhm() / 4,
        data.bins,
        refined,
    )
    refined = np.where(own > 0, refined, tau)
    info = np.where(known, information(table, np.maximum(light, 1e-6), beta), 0.0)
    unit = table.width()
    smooth = _smooth_depth(refined / unit, info * unit**2, known, data.shape, depth_weight) * unit
    std = np.where(known, np.maximum(info, 1e-300) ** -0.5, np.inf)
    return assemble(data, table, smooth[None], light[None], beta, std[None])


def _threshold(beta: np.ndarray, bins: int, width: float, false_alarm: float) -> np.ndarray:
    """Return the count that background reaches in any window with probability ``false_alarm`` at most."""
    from scipy.stats import poisson

    levels = np.geomspace(max(float(beta.min()), 1e-12), max(float(beta.max()), 1e-12) * 1.001, 60)
    wanted = []
    for b in levels:
        mean = b * width
        k = np.arange(1, int(10 + 5 * mean + 20 * math.sqrt(mean)))
        none = poisson.cdf(k - 1, mean) * np.exp(
            -np.maximum(k - mean, 0) / k * b * (bins - width) * poisson.pmf(k - 1, mean)
        )
        good = np.flatnonzero((1 - none <= false_alarm) & (k > mean))
        wanted.append(k[good[0]] if len(good) else k[-1])
    # the next larger level, to be conservative
    return np.asarray(wanted)[np.minimum(np.searchsorted(levels, beta), len(levels) - 1)]


def _smooth_light(counts: np.ndarray, noise: np.ndarray, shape: tuple[int, int], weight: float) -> np.ndarray:
    """Denoise windowed counts by total variation and subtract their background.

    Poisson noise is stabilized to variance 1 by 2 √(n + 3/8).
    """
    stable = torch.from_numpy(2 * np.sqrt(counts + 0.375)).reshape(1, *shape)
    z = TV(rtol=1e-3).prox(stable, weight)[0].numpy().reshape(-1)
    return np.maximum((z / 2) ** 2 - 0.125 - noise, 0.0)


def _smooth_depth(
    depth: np.ndarray, info: np.ndarray, known: np.ndarray, shape: tuple[int, int], weight: float
) -> np.ndarray:
    """Return argmin of Σ info |z - d|²/2 + weight TV(z) by ADMM, starting with unknown pixels filled in."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~known.reshape(shape), return_distances=False, return_indices=True)
    start = depth.reshape(shape)[tuple(nearest)]
    d = torch.from_numpy(start).unsqueeze(0)
    w = torch.from_numpy(info.reshape(1, *shape))
    rho = max(float(w.mean()), 1e-6)
    z, u, field = d, torch.zeros_like(d), None
    tv = TV(rtol=1e-3, max_steps=2000)
    for _ in range(30):
        x = (w * d + rho * (z - u)) / (w + rho)
        made = tv.denoise(x + u, weight / rho, dual=field)
        z, field = made.x, made.dual
        u = u + x - z
    return z[0].numpy().reshape(-1)
