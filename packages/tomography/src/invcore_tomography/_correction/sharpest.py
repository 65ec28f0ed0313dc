"""`sharpest`: a parameter of a scan, found by the quality of the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from invcore import ParameterError


def sharpest(
    reconstruct: Callable[[float], Tensor],
    low: float,
    high: float,
    *,
    score: Literal["negativity", "entropy", "variation"] = "negativity",
    tolerance: float = 0.05,
    candidates: int = 9,
) -> float:
    """Find a parameter of a scan, of any geometry, by the quality of the image it gives.

    A wrong axis smears edges into negative streaks. The score is evaluated on a grid, then minimized around
    the best value by golden sections:

    * ``"negativity"``: Σ max(-f, 0)/Σ |f|, for attenuation images;
    * ``"entropy"``: of the histogram of the image in 256 bins between its 0.1 and 99.9 percentiles;
    * ``"variation"``: Σ |∇f|/Σ |f|.

    Parameters
    ----------
    reconstruct : callable
        From the parameter (the axis column, a tilt, …) to an image ``(..., y, x)``.
    low, high : float
        Range to search.
    score : {"negativity", "entropy", "variation"}
    tolerance : float
        Tolerance of the result.
    candidates : int
        Number of equally spaced values tried first.

    Returns
    -------
    float

    References
    ----------
    T. Donath, F. Beckmann, A. Schreyer, "Automated determination of the center of rotation in tomography
    data", J. Opt. Soc. Am. A 23 (2006).

    Examples
    --------
    >>> round(sharpest(lambda c: torch.tensor([[1.0, -abs(c - 1.7)]]), 0.0, 4.0), 1)
    1.7
    """
    from scipy.optimize import minimize_scalar

    scores = {"negativity": _negativity, "entropy": _entropy, "variation": _variation}
    if score not in scores:
        raise ParameterError(f"score must be one of {sorted(scores)}, got {score!r}")
    if not low < high or candidates < 3 or not tolerance > 0:
        raise ParameterError("sharpest needs low < high, three or more candidates and a positive tolerance")

    def cost(c: float) -> float:
        with torch.no_grad():
            return scores[score](reconstruct(float(c)).detach().double())

    grid = np.linspace(low, high, candidates)
    costs = [cost(c) for c in grid]
    best = int(np.argmin(costs))
    bounds = (grid[max(0, best - 1)], grid[min(candidates - 1, best + 1)])
    found = minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": tolerance / 3})
    return float(found.x if found.fun <= costs[best] else grid[best])


def _negativity(image: Tensor) -> float:
    return float((-image).clamp_min(0).sum() / image.abs().sum().clamp_min(1e-300))


def _entropy(image: Tensor) -> float:
    low, high = np.percentile(image.cpu().numpy(), (0.1, 99.9))
    counts = torch.histc(image.cpu(), bins=256, min=low, max=max(high, low + 1e-300))
    p = counts[counts > 0] / counts.sum()
    return float(-(p * p.log()).sum())


def _variation(image: Tensor) -> float:
    total = image.diff(dim=-1).abs().sum() + image.diff(dim=-2).abs().sum()
    return float(total / image.abs().sum().clamp_min(1e-300))
