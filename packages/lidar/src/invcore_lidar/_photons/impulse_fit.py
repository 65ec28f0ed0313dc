"""Impulse responses estimated from time tags."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError, ShapeError

from .impulse import ExponentialGaussianResponse, GaussianResponse, ImpulseResponse, MeasuredResponse
from .tags import TimeTags
from .units import time_of_flight

_PIXELS = 4096  # largest number of pixels to align
_BINS = 2**26  # largest number of bins in all of them


def estimate_impulse(
    tags: TimeTags, *, depth: Tensor | None = None, fwhm: float | None = None, iterations: int = 4
) -> MeasuredResponse:
    """Estimate the impulse response from the photons of a scene.

    With known depths, delays after the time of flight are counted and the background is subtracted. Without,
    aligning the brightest pixels by cross-correlation with the current response alternates with counting; the
    initial response is a Gaussian whose width comes from the time differences between photons of a pixel
    (`estimate_width`).

    Parameters
    ----------
    tags : TimeTags
    depth : Tensor, shape (y, x) or (1, y, x), optional
        Meters. It sets the time origin of the result; without, the origin is the mode of the response.
    fwhm : float, optional
        Initial guess of the full width at half maximum in seconds.
    iterations : int
        Number of alignments, if no depth is given.

    Returns
    -------
    MeasuredResponse
        Covers 2.5 widths before the time of flight to 6 after it.

    Raises
    ------
    DataError
        If no pixel has the five photons that alignment needs, or no surface stands out of the background.
    ShapeError, ParameterError
        If an argument does not suit the tags.

    Notes
    -----
    Each pixel is aligned by its own photons, which makes the response narrower: with n signal photons by a
    factor of √(1 - 1/n) for a Gaussian. Calibrate with a bright target, or give the depth, to avoid this.

    Examples
    --------
    >>> from invcore_lidar import simulate_tags, still_life
    >>> scene, truth = still_life((16, 16)), ImpulseResponse.gaussian(fwhm=400e-12)
    >>> tags = simulate_tags(*scene, impulse=truth, photons=400.0, signal_to_background=5.0,
    ...     generator=torch.Generator().manual_seed(0))
    >>> round(estimate_impulse(tags, depth=scene.depth).fwhm * 1e12, -1)
    400.0
    """
    if fwhm is not None and not 0 < fwhm < math.inf:
        raise ParameterError(f"estimate_impulse: fwhm must be a positive time in seconds, got {fwhm!r}")
    if depth is not None:
        depth = depth[0] if depth.ndim == 3 and depth.shape[0] == 1 else depth
        if tuple(depth.shape) != tags.shape:
            raise ShapeError(
                f"estimate_impulse: depth must be {tags.shape}, one surface, got {tuple(depth.shape)}"
            )
        flight = time_of_flight(depth.double().reshape(-1))
        late = tags.times() - flight[tags.pixels()]
        first = _counted(late, flight, fwhm or estimate_width(tags), tags)
        return first if fwhm is not None else _counted(late, flight, first.fwhm, tags)  # the guess was rough
    counts = tags.counts().reshape(-1)
    bright = counts.argsort(descending=True, stable=True)[:_PIXELS]
    bright = bright[counts[bright] >= 5]
    if not len(bright):
        raise DataError(
            "estimate_impulse: no pixel has five photons; combine pixels with tags.bin(n), or give the depth"
        )
    width = guess = fwhm or estimate_width(tags)
    h: ImpulseResponse = ImpulseResponse.gaussian(fwhm=width)
    for _ in range(max(1, iterations)):
        h = counted = _counted(*_aligned(tags, bright, h, width), width, tags)
        width = h.fwhm
        if width < guess / 2:
            raise DataError(
                "estimate_impulse: pixels have too few photons to align them. Give the depth, or take a "
                f"Gaussian of {guess:.3g} s, the width estimated from pairs of photons"
            )
    return ImpulseResponse.measured(samples=counted.samples, spacing=counted.spacing)


def estimate_width(tags: TimeTags) -> float:
    """Estimate the width of the impulse response from the time differences between photons of a pixel.

    No depths are needed, and only a few pixels with two signal photons. The number of pairs closer than d is
    a background, known from the distant pairs, plus N erf(d / 2σ) for a Gaussian response. N is taken where
    the excess is most significant, the width where the excess is N/2.

    Parameters
    ----------
    tags : TimeTags

    Returns
    -------
    float
        Full width at half maximum in seconds, accurate to about 15 % for a Gaussian-like response and too
        large for one with a tail.

    Raises
    ------
    DataError
        If the pairs show only background.

    Examples
    --------
    >>> from invcore_lidar import simulate_tags, still_life
    >>> h, g = ImpulseResponse.gaussian(fwhm=400e-12), torch.Generator().manual_seed(0)
    >>> tags = simulate_tags(
    ...     *still_life((32, 32)), impulse=h, photons=3.0, signal_to_background=0.5, generator=g
    ... )
    >>> 300e-12 < estimate_width(tags) < 500e-12
    True
    """
    counts = tags.counts().reshape(-1)
    some = counts.argsort(descending=True, stable=True)[:_PIXELS]
    some = some[counts[some] > 1]
    if not len(some):
        raise DataError("estimate_width: no pixel has two photons; combine pixels with tags.bin(n)")
    most = min(int(counts[some].max()), 64)
    rank = torch.arange(most)
    held = rank < counts[some, None]
    times = tags.tags[(tags.indptr[some, None] + rank).clamp_max(len(tags.tags) - 1)]
    differences: list[Tensor] = []
    for one in range(1, most):
        both = held[:, one:] & held[:, :-one]
        differences.append((times[:, one:] - times[:, :-one])[both].abs())
    apart = torch.cat(differences).double()
    gate = tags.stop - tags.start
    edges = 2 ** (torch.arange(0, 8 * math.log2(gate) - 7, dtype=torch.float64) / 8)
    within = torch.searchsorted(apart.sort().values, edges).double()
    long = edges[-1] / 4, edges[-1]
    # of two uniform times the difference has the density 2 (1 - d / gate) / gate
    share = 2 * (edges / gate) - (edges / gate) ** 2
    far = (apart > long[0]).sum() - (apart > long[1]).sum()
    weight = share[-1] - (2 * (long[0] / gate) - (long[0] / gate) ** 2)
    excess = within - far / weight * share
    near = edges < gate / 8
    signal = torch.where(near, excess / within.clamp_min(1).sqrt(), -1.0)
    best = int(signal.argmax())
    if signal[best] < 5:
        raise DataError(
            "estimate_width: photons of a pixel are no closer to each other than background photons"
        )
    # interpolate where the excess reaches N/2; at the best distance 4 % of the pairs are still missing
    level = 0.52 * float(excess[best])
    i = int(torch.nonzero(excess >= level)[0])
    part = (level - excess[i - 1]) / (excess[i] - excess[i - 1]) if i else torch.tensor(1.0)
    half = (edges[max(i - 1, 0)] + part * (edges[i] - edges[max(i - 1, 0)])).item()
    return max(2.47 * half, 2.0) * tags.tick  # erf(d / 2σ) = 1/2 at d = 0.954 σ


def fit_impulse(measured: MeasuredResponse) -> ExponentialGaussianResponse | GaussianResponse:
    """Fit a parametric impulse response to a measured one, up to a shift.

    Both kinds are fitted by maximum likelihood, with the samples as counts in bins; the tail is kept if it is
    longer than a fifth of the standard deviation of the Gaussian.

    Parameters
    ----------
    measured : MeasuredResponse
        A single response, not a batch.

    Returns
    -------
    ExponentialGaussianResponse or GaussianResponse

    Raises
    ------
    ShapeError
        If there are fewer than five samples, or a batch.

    Examples
    --------
    >>> t = torch.arange(-40, 120, dtype=torch.float64)
    >>> truth = ImpulseResponse.exponential_gaussian(sigma=8.0, decay=15.0)
    >>> found = fit_impulse(MeasuredResponse(samples=truth.density(t), spacing=1.0, origin=-40.0))
    >>> round(found.sigma, 1), round(found.decay, 1)
    (8.0, 15.0)
    """
    from scipy.optimize import minimize

    samples = measured.samples.detach().double().cpu()
    if samples.ndim != 1 or len(samples) < 5:
        raise ShapeError(f"fit_impulse: five samples or more are needed, got {tuple(samples.shape)}")
    weights = samples / samples.sum()
    t = torch.arange(len(samples), dtype=torch.float64)  # in steps, to keep the numbers near 1
    edges = torch.arange(len(samples) + 1, dtype=torch.float64) - 0.5
    width = max(1.0, measured.fwhm / measured.spacing) / 2.355

    def misfit(p: np.ndarray, tail: bool) -> tuple[float, np.ndarray]:
        leaf = torch.tensor(p, requires_grad=True)
        sigma = leaf[1].clamp(-6, 12).exp()
        h: ImpulseResponse = GaussianResponse(sigma=sigma)
        if tail:
            h = ExponentialGaussianResponse(sigma=sigma, decay=leaf[2].clamp(-6, 12).exp())
        share = h.cumulative(edges - leaf[0]).diff()
        loss = -(weights * (share.clamp_min(1e-30) / share.sum().clamp_min(1e-30)).log()).sum()
        (slope,) = torch.autograd.grad(loss, leaf)
        return loss.item(), slope.numpy()

    peak = float(weights.argmax())
    starts = [[peak, math.log(width), math.log(share * width)] for share in (0.1, 0.7, 2.0)]
    fits = [minimize(misfit, s, args=(True,), jac=True, method="L-BFGS-B") for s in starts]
    best = min(fits, key=lambda fit: fit.fun)
    sigma, decay = math.exp(best.x[1]), math.exp(best.x[2])
    if decay > sigma / 5:
        return ExponentialGaussianResponse(sigma=sigma * measured.spacing, decay=decay * measured.spacing)
    mean = float((weights * t).sum())
    plain = minimize(misfit, [mean, math.log(width)], args=(False,), jac=True, method="L-BFGS-B")
    return GaussianResponse(sigma=math.exp(plain.x[1]) * measured.spacing)


def _aligned(tags: TimeTags, bright: Tensor, h: ImpulseResponse, width: float) -> tuple[Tensor, Tensor]:
    """Return the delays of photons in bright pixels after the best fit of the response, and its times."""
    step = max(1, round(width / 8 / tags.tick))
    bins = -(-(tags.stop - tags.start) // step)
    bright = bright[: max(1, _BINS // (2 * bins))]
    place = torch.full((len(tags.indptr) - 1,), -1)
    place[bright] = torch.arange(len(bright))
    row = place[tags.pixels()]
    kept = row >= 0
    row, column = row[kept], (tags.tags[kept] - tags.start) // step
    low, high = h.interval(1e-4)
    reach = math.ceil(max(-low, high) / (step * tags.tick))
    t = torch.arange(-reach, reach + 1, dtype=torch.float64) * (step * tags.tick)
    kernel = h.density(t).clamp_min(0)
    kernel = (
        1 + kernel * (bins * step * tags.tick)
    ).log()  # log-likelihood ratio, for equally many signal and background photons
    size = bins + 2 * reach
    spectrum = torch.fft.rfft(kernel.flip(0).float(), size)
    best = torch.empty(len(bright), dtype=torch.float64)
    for at in range(0, len(bright), 256):
        part = (row >= at) & (row < at + 256)
        dense = torch.zeros(min(256, len(bright) - at), size)
        dense.index_put_((row[part] - at, column[part]), torch.ones(()), accumulate=True)
        score = torch.fft.irfft(torch.fft.rfft(dense) * spectrum, size)[:, reach : reach + bins]
        i = score.argmax(1)
        sides = [score.gather(1, (i + d).clamp(0, bins - 1)[:, None])[:, 0].double() for d in (-1, 0, 1)]
        bend = sides[0] - 2 * sides[1] + sides[2]
        shift = torch.where(bend < 0, 0.5 * (sides[0] - sides[2]) / bend.clamp_max(-1e-12), 0.0)
        best[at : at + 256] = i + shift.clamp(-0.5, 0.5)
    when = (tags.start + (best + 0.5) * step) * tags.tick
    return tags.times()[kept] - when[row], when


def _counted(late: Tensor, zeros: Tensor, width: float, tags: TimeTags) -> MeasuredResponse:
    """Return the histogram of the delays less background; ``zeros`` are the time origins of the pixels."""
    spacing = max(width / 10, tags.tick)
    before, after = math.ceil(2.5 * width / spacing), math.ceil(6 * width / spacing)
    index = (late / spacing + 0.5).floor().long() + before
    held = index[(index >= 0) & (index <= before + after)]
    counts = torch.bincount(held, minlength=before + after + 1).double()
    opens, closes = (
        (tags.start * tags.tick - zeros).sort().values,
        (tags.stop * tags.tick - zeros).sort().values,
    )

    def exposed(t: Tensor) -> Tensor:
        """Return the number of pixels whose gate is open at a delay."""
        return (torch.searchsorted(opens, t, right=True) - torch.searchsorted(closes, t, right=True)).double()

    # the background is measured where the response is over or has not begun
    far = ((late < -3 * width) & (late > -30 * width)) | ((late > 8 * width) & (late < 30 * width))
    grid = torch.linspace(-30 * width, 30 * width, 6001, dtype=torch.float64)
    quiet = exposed(grid) * ((grid < -3 * width) | (grid > 8 * width))
    rate = float(far.sum()) / max(float(quiet.sum()) * (0.01 * width), 1e-300) if bool(quiet.any()) else 0.0
    flat = rate * spacing * exposed((torch.arange(before + after + 1) - before).double() * spacing)
    counts = counts - flat
    noise = float(flat.mean().clamp_min(1.0).sqrt())
    if counts.max() < 5 * noise:
        raise DataError("estimate_impulse: no surface stands out of the background; gate the tags around it")
    # set noise far from the peak to zero
    peak = int(counts.argmax())
    smooth = torch.nn.functional.avg_pool1d(counts[None, None], 5, 1, 2, count_include_pad=False)[0, 0]
    dark = torch.nonzero(smooth < noise).reshape(-1)
    left = int(dark[dark < peak].max()) + 1 if bool((dark < peak).any()) else 0
    right = int(dark[dark > peak].min()) if bool((dark > peak).any()) else len(counts)
    kept = counts[left:right].clamp_min(0)
    return MeasuredResponse(samples=kept, spacing=spacing, origin=(left - before) * spacing)
