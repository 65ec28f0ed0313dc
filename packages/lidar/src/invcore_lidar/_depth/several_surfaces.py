"""Several surfaces per pixel: behind glass, foliage, nets, fog."""

from __future__ import annotations

import numpy as np

from invcore import ParameterError

from .._photons.impulse import ImpulseResponse
from .._photons.tags import Histogram, TimeTags
from .detections import Detections, Table, detections, tabulate
from .estimate import DepthEstimate
from .matched_filter import assemble, background_of, signal_photons

_SPAN = 1e-9  # precision of a prior, small enough to have no effect


def find_surfaces(
    data: TimeTags | Histogram,
    impulse: ImpulseResponse,
    *,
    surfaces: int = 2,
    background: float | None = None,
    significance: float = 6.0,
) -> DepthEstimate:
    r"""Estimate the depths of up to K surfaces per pixel, by peak search and maximum likelihood.

    The log-matched filter finds the strongest surface; each next one matches the photons best given those
    found. Depths and reflectivities of all are then refined alternately. A surface counts if it raises the
    log-likelihood by ``significance``.

    Parameters
    ----------
    data : TimeTags or Histogram
        Data of one image.
    impulse : ImpulseResponse
    surfaces : int
        K.
    background : float, optional
        Background photons per bin (per tick); by default measured.
    significance : float
        Natural logarithm of the likelihood ratio. Background may match at any depth, so it should be at least
        the logarithm of the length of the gate in response widths.

    Returns
    -------
    DepthEstimate
        Nearest surface first; NaN where a pixel has fewer.

    Raises
    ------
    ParameterError
        If ``surfaces`` is not positive.

    References
    ----------
    D. Shin, F. Xu, F. N. C. Wong, J. H. Shapiro, V. K. Goyal, "Computational multi-depth single-photon
    imaging", Optics Express 24 (2016). A. M. Wallace et al., "Full waveform analysis for long-range 3D
    imaging laser radar", EURASIP J. Adv. Signal Process. (2010).

    Examples
    --------
    >>> h = ImpulseResponse.gaussian(fwhm=100e-12)
    >>> cell = [9980, 10010, 10000, 20010, 19990, 20000, 20040]
    >>> tags = TimeTags.from_cells([[cell, cell[:3]]], tick=1e-12, start=0, stop=30000)
    >>> find_surfaces(tags, h, background=1e-5).depth.round(decimals=2).tolist()
    [[[1.5, 1.5]], [[3.0, nan]]]
    """
    if not (isinstance(surfaces, int) and surfaces > 0):
        raise ParameterError(f"find_surfaces: surfaces must be a positive number, got {surfaces!r}")
    photons = detections(data)
    table = tabulate(impulse, photons.bin_width)
    beta = background_of(photons, background)
    tau, light = _search(photons, table, beta, surfaces, significance)
    order = np.argsort(np.where(np.isfinite(tau), tau, np.inf), axis=0)
    return assemble(
        photons, table, np.take_along_axis(tau, order, 0), np.take_along_axis(light, order, 0), beta
    )


def _search(
    data: Detections, table: Table, beta: np.ndarray, surfaces: int, significance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return times of flight in bins, strongest first, NaN for none, and photons, (K, pixels) each."""
    from . import kernels

    pixels, rows, fwhm = len(beta), data.rows(), table.fwhm()
    tau, light = np.full((surfaces, pixels), np.nan), np.zeros((surfaces, pixels))
    mean = max(float(data.photons().mean() - beta.mean() * data.bins), 0.01) / surfaces
    reached = np.zeros(pixels)
    for k in range(surfaces):
        held = np.where(np.isfinite(tau[: k + 1]), tau[: k + 1], -1e9)
        expected, rest = np.empty((k + 1, pixels)), np.empty((k + 1, len(data.times)))
        kernels.shares(*data.entries, held, light[: k + 1], beta, *table, expected, rest)
        found, value = np.empty(pixels), np.empty(pixels)
        kernels.match(*data.entries, mean / rest[k], *table, table.peak, fwhm, data.bins, 0, found, value)
        held[k] = np.where(np.isfinite(found), found, -1e9)
        trial = signal_photons(data, table, held, beta)
        for j in (*range(k + 1), *range(k + 1)):
            kernels.shares(*data.entries, held, trial, beta, *table, expected, rest)
            ratio = trial[j][rows] / rest[j]
            center = held[j].copy()
            kernels.near_prox(*data.entries, ratio, *table, center, _SPAN, fwhm, fwhm / 4, data.bins, held[j])
            held[j] = np.where(center < 0, center, held[j])
        trial = signal_photons(data, table, held, beta)
        gain = _log_likelihood(data, table, held, trial, beta) - reached
        good = (gain >= significance) & (held[k] >= 0) & np.isfinite(tau[:k]).all(0)
        tau[k] = np.where(good, held[k], np.nan)
        for j in range(k):  # accept the joint refinement, or restore the others
            tau[j] = np.where(good, held[j], tau[j])
        settled = np.where(np.isfinite(tau[: k + 1]), tau[: k + 1], -1e9)
        light[: k + 1] = signal_photons(data, table, settled, beta)
        reached = _log_likelihood(data, table, settled, light[: k + 1], beta)
    return tau, light


def _log_likelihood(
    data: Detections, table: Table, tau: np.ndarray, light: np.ndarray, beta: np.ndarray
) -> np.ndarray:
    """Return the log-likelihood of each pixel relative to background alone, (pixels,)."""
    rows, grid = data.rows(), table.first + np.arange(len(table.mass)) * table.step
    rate = np.ones(len(rows))
    for t, r in zip(tau, light):
        mass = np.interp(data.times - t[rows], grid, table.mass, left=0.0, right=0.0)
        rate += (r / beta)[rows] * mass
    return np.bincount(rows, data.counts * np.log(rate), minlength=len(beta)) - light.sum(0)


def count_surfaces(
    data: TimeTags | Histogram, impulse: ImpulseResponse, *, limit: int = 3, share: float = 0.25
) -> int:
    """Return the largest number of surfaces that a share of the nonempty pixels have.

    A surface counts if it is at least 2.5 response widths from the others, and has at least 15 % of the
    photons of the strongest.

    Parameters
    ----------
    data : TimeTags or Histogram
        Data of one image; a subset of the pixels of a large image is used.
    impulse : ImpulseResponse
    limit : int
        Largest number to look for.
    share : float
        Share of the pixels with any surface.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> h = ImpulseResponse.gaussian(fwhm=100e-12)
    >>> cell = [9980, 10010, 10000, 20010, 19990, 20000, 20040]
    >>> count_surfaces(TimeTags.from_cells([[cell] * 4] * 4, tick=1e-12, start=0, stop=30000), h)
    2
    """
    photons = detections(data)
    table = tabulate(impulse, photons.bin_width)
    beta = background_of(photons, None)
    every = max(1, len(beta) // 4096)
    chosen = np.arange(0, len(beta), every)
    sizes = np.diff(photons.indptr)[chosen]
    index = np.repeat(photons.indptr[chosen] - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes)
    index = index + np.arange(sizes.sum())
    part = photons._replace(
        indptr=np.concatenate([[0], np.cumsum(sizes)]),
        times=photons.times[index],
        counts=photons.counts[index],
        shape=(1, len(chosen)),
    )
    tau, light = _search(part, table, beta[chosen], limit, 8.0)
    seen = np.isfinite(tau) & (light >= 0.15 * light[0])
    for k in range(1, limit):  # tails of an inaccurate response are not surfaces
        apart = np.abs(tau[k] - tau[:k]) > 2.5 * table.fwhm()
        seen[k] &= seen[k - 1] & (apart | ~np.isfinite(tau[:k])).all(0)
    lit = max(int(seen[0].sum()), 1)
    return max([1, *(k + 1 for k in range(limit) if seen[k].sum() >= share * lit)])
