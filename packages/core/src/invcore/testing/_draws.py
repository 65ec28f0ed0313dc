"""How far draws are from a density known in closed form, and how far exact draws are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..priors import GaussianMixture
from ._known import log_parts, moments_of
from ._probes import distance, seeded

_DIRECTIONS = 32
_REPEATS = 4
COVERED = 0.9


@dataclass(frozen=True)
class DrawErrors:
    """Differences between draws and the density that they should have.

    Attributes
    ----------
    mean : float
        The largest of the whitened coordinates: in standard deviations of the density.
    covariance : float
        Relative error in the Frobenius norm.
    variance : float
        Relative error of the variance in the direction where it is largest.
    ratio : float
        The variance of the draws in that direction, over the right one.
    weights : float
        The largest error of the probability of a mode; 0 for a single one.
    coverage : float
        The share of the draws in the smallest set that should hold 90 % of them, minus 0.9.
    distance : float
        Sliced Wasserstein-1 distance to as many exact draws, in whitened coordinates.
    """

    mean: float
    covariance: float
    variance: float
    ratio: float
    weights: float
    coverage: float
    distance: float


class Truth:
    """A density with what draws are compared with, computed once.

    Parameters
    ----------
    density : GaussianMixture
        Of images as vectors.
    draws : int
        Number of draws that will be compared.
    """

    def __init__(self, density: GaussianMixture, draws: int) -> None:
        self.density, self.draws = density, draws
        self.mean, self.covariance = moments_of(density)
        self._factor = torch.linalg.cholesky(self.covariance)
        g = seeded(141)
        self._exact = [density.sample(draws, g) for _ in range(1 + _REPEATS)]
        directions = torch.randn(len(self.mean), _DIRECTIONS, generator=g, dtype=torch.float64)
        self._directions = directions / directions.norm(dim=0)
        self._sorted = self._projected(self._exact[0])
        self._level = log_parts(density, torch.cat(self._exact))[0].logsumexp(0).quantile(1 - COVERED)

    def errors(self, v: Tensor) -> DrawErrors:
        """Compare vectors, shape (draws, n), with the density."""
        z = self._white(v)
        away = z - z.mean(0)
        ratios = torch.linalg.eigvalsh(away.mT @ away / (len(z) - 1))
        worst = int((ratios - 1).abs().argmax())
        logs, _ = log_parts(self.density, v)
        found = logs.softmax(0).mean(1)
        return DrawErrors(
            mean=float(z.mean(0).abs().max()),
            covariance=distance(v.mT.cov().view_as(self.covariance), self.covariance),
            variance=float((ratios[worst] - 1).abs()),
            ratio=float(ratios[worst]),
            weights=float((found - self.density.weights).abs().max()),
            coverage=float((logs.logsumexp(0) >= self._level).double().mean()) - COVERED,
            distance=float((self._projected(v) - self._sorted).abs().mean()),
        )

    def allowed(self, tolerance: float) -> DrawErrors:
        """What draws may differ by that have a relative error ``tolerance``, and that of as many draws.

        The mean may be off by ``tolerance`` standard deviations, variances and probabilities of modes by
        ``tolerance``; the statistical error is twice the largest one of several sets of exact draws.
        """
        exact = [self.errors(v) for v in self._exact[1:]]
        chance = {n: 2 * max(abs(getattr(e, n)) for e in exact) for n in DrawErrors.__dataclass_fields__}
        root = self.draws**0.5
        stretched = [
            self.errors(self.mean + (v - self.mean) * (1 + sign * tolerance) ** 0.5).coverage
            for v in self._exact[1:]
            for sign in (-1, 1)
        ]
        return DrawErrors(
            mean=tolerance + 5 / root,
            covariance=tolerance + chance["covariance"],
            variance=tolerance + chance["variance"],
            ratio=math.nan,
            weights=tolerance + chance["weights"],
            coverage=max(map(abs, stretched)) + 5 * (COVERED * (1 - COVERED)) ** 0.5 / root,
            distance=tolerance + chance["distance"],
        )

    def _white(self, v: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self._factor, (v - self.mean).mT, upper=False).mT

    def _projected(self, v: Tensor) -> Tensor:
        return (self._white(v) @ self._directions).sort(0).values
