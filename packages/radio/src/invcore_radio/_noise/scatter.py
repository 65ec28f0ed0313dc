"""Noise level estimated from the scatter of consecutive visibilities."""

from __future__ import annotations

import math

import torch

from .._data.visibilities import Visibilities

_LOW_SNR, _ENOUGH = 3.0, 100


def scatter_scale(visibilities: Visibilities) -> float:
    """Estimate the ratio of the actual noise to the one that the weights state.

    The estimate is √(median |ΔV|²/(σ₁² + σ₂²) / (2 ln 2)) over the differences ΔV of consecutive data of a
    baseline. Only baselines with a median |V|/σ below 3 enter: on them atmospheric phase fluctuations, which
    change the signal, are negligible.

    Parameters
    ----------
    visibilities : Visibilities
        Visibilities of one correlation.

    Returns
    -------
    float
        The ratio, or 1 if there are fewer than 100 such differences.
    """
    vis = visibilities
    data, sigma, mask = vis.data[..., 0], vis.sigma[..., 0], vis.mask[..., 0]
    found = []
    baseline = vis.antenna1 * len(vis.antenna_names) + vis.antenna2
    for b in torch.unique(baseline):
        rows = (baseline == b).nonzero()[:, 0]
        rows = rows[vis.time[rows].argsort()]
        snr = (data[rows].abs() / sigma[rows])[mask[rows]]
        if not len(snr) or float(snr.median()) >= _LOW_SNR:
            continue
        first, second = rows[:-1], rows[1:]
        near = vis.time[second] - vis.time[first] < 0.75 * (vis.interval[first] + vis.interval[second])
        first, second = first[near], second[near]
        both = mask[first] & mask[second]
        difference = (data[second] - data[first]).abs().square()
        found.append((difference / (sigma[first].square() + sigma[second].square()))[both])
    ratios = torch.cat(found) if found else torch.zeros(0)
    if len(ratios) < _ENOUGH:
        return 1.0
    return math.sqrt(float(ratios.median()) / (2 * math.log(2)))
