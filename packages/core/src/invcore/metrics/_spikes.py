"""Metrics of point sources off the grid: lists of spikes (spike, 1 + d) of amplitudes and positions."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._errors import DataError, DtypeError, ParameterError, ShapeError


class Matching(NamedTuple):
    """Pairs of spikes: ``pairs`` (n, 2), rows in the result and in the reference; ``distances`` (n,)."""

    pairs: Tensor
    distances: Tensor


class _Spikes(ABC):
    """A metric of two lists, which may differ in length; rows of amplitude zero are empty places."""

    def __call__(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Compare the list ``x_hat`` with the reference ``x``, (batch..., spike, 1 + d)."""
        name = type(self).__name__
        for label, given in (("x_hat", x_hat), ("x", x)):
            if not given.is_floating_point():
                raise DtypeError(f"{name}: {label} must be real and floating, got {given.dtype}")
            if given.ndim < 2 or not 2 <= given.shape[-1] <= 4:
                raise ShapeError(
                    f"{name}: {label} must be lists of spikes (batch..., spike, 1 + d) with d = 1 to 3, got "
                    f"{tuple(given.shape)}"
                )
        if x_hat.shape[:-2] != x.shape[:-2] or x_hat.shape[-1] != x.shape[-1]:
            raise ShapeError(
                f"{name}: the lists must agree in batch and in dimensions, got {tuple(x_hat.shape)} and "
                f"{tuple(x.shape)}"
            )
        if not bool(torch.isfinite(x).all()):
            raise DataError(f"{name}: the reference x contains NaN or infinity")
        batch = x.shape[:-2]
        count = math.prod(batch)
        lists = zip(x_hat.reshape(count, *x_hat.shape[-2:]), x.reshape(count, *x.shape[-2:]))
        values = [self._of_one(a, b) if bool(torch.isfinite(a).all()) else math.nan for a, b in lists]
        return torch.tensor(values, dtype=x_hat.dtype, device=x.device).reshape(batch)

    @abstractmethod
    def _of_one(self, x_hat: Tensor, x: Tensor) -> float:
        """The value of one pair of lists."""


@dataclass(frozen=True, kw_only=True)
class SpikeMatching(_Spikes):
    """How well a list of spikes matches a reference: by what share of them, or how far off they are.

    Spikes are matched one to one within ``tolerance``, as many as possible, and of all such matchings that
    with the least sum of squared distances (`match_spikes`). With n pairs, the Jaccard index is n over the
    number of different spikes, found + true - n: 1 is perfect, 0 none. The root mean square distance of the
    pairs is NaN where there is none.

    Parameters
    ----------
    tolerance : float
        The largest distance of a pair, in the units of the positions.
    measure : {"jaccard", "rmse"}

    References
    ----------
    D. Sage et al., "Quantitative evaluation of software packages for single-molecule localization
    microscopy", Nat. Methods 12 (2015).

    Examples
    --------
    >>> true = torch.tensor([[1.0, 0.2], [1.0, 0.7]])
    >>> found = torch.tensor([[0.9, 0.21], [0.2, 0.5], [0.0, 0.0]])
    >>> SpikeMatching(tolerance=0.1)(found, true)
    tensor(0.3333)
    """

    tolerance: float
    measure: Literal["jaccard", "rmse"] = "jaccard"

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < math.inf:
            raise ParameterError(
                f"SpikeMatching: tolerance must be positive and finite, got {self.tolerance!r}"
            )
        if self.measure not in ("jaccard", "rmse"):
            raise ParameterError(f"SpikeMatching: measure must be 'jaccard' or 'rmse', got {self.measure!r}")

    @property
    def higher_is_better(self) -> bool:
        """True for the Jaccard index."""
        return self.measure == "jaccard"

    def _of_one(self, x_hat: Tensor, x: Tensor) -> float:
        found, distances = match_spikes(x_hat, x, self.tolerance)
        if self.measure == "rmse":
            return float(distances.double().square().mean().sqrt())
        different = int((x_hat[:, 0] != 0).sum()) + int((x[:, 0] != 0).sum()) - len(found)
        return len(found) / different if different else 1.0


@dataclass(frozen=True)
class Hausdorff(_Spikes):
    """The Hausdorff distance of the places of two lists of spikes, whatever their amplitudes.

    The largest distance of a spike, in either list, to the nearest one in the other: 0 is perfect, and
    infinity where only one list is empty.

    Examples
    --------
    >>> true = torch.tensor([[1.0, 0.2], [1.0, 0.7]])
    >>> Hausdorff()(torch.tensor([[0.5, 0.25]]), true)
    tensor(0.4500)
    """

    higher_is_better: ClassVar[bool] = False

    def _of_one(self, x_hat: Tensor, x: Tensor) -> float:
        a, b = x_hat[x_hat[:, 0] != 0, 1:], x[x[:, 0] != 0, 1:]
        if not len(a) or not len(b):
            return 0.0 if len(a) == len(b) else math.inf
        apart = (a.unsqueeze(1) - b).norm(dim=-1)
        return float(torch.maximum(apart.amin(1).amax(), apart.amin(0).amax()))


def match_spikes(x_hat: Tensor, x: Tensor, tolerance: float) -> Matching:
    """Match spikes one to one within a distance: as many as possible, then as close as possible.

    Parameters
    ----------
    x_hat, x : Tensor, shape (spike, 1 + d)
        Lists of amplitudes and positions; rows of amplitude zero are no spikes.
    tolerance : float
        The largest distance of a pair.

    Returns
    -------
    Matching
        Rows of the pairs, and their distances.

    References
    ----------
    H. Kuhn, "The Hungarian method for the assignment problem", Nav. Res. Logist. Q. 2 (1955).

    Examples
    --------
    >>> a = torch.tensor([[1.0, 0.0], [1.0, 0.3]])
    >>> match_spikes(a, torch.tensor([[1.0, 0.32], [0.0, 0.0]]), 0.1).pairs
    tensor([[1, 0]])
    """
    rows, columns = ((v[:, 0] != 0).nonzero().squeeze(-1) for v in (x_hat, x))
    apart = (x_hat[rows, None, 1:] - x[columns, 1:]).norm(dim=-1)
    swapped = apart.shape[0] > apart.shape[1]
    table = apart.T if swapped else apart
    within = table <= tolerance
    # a pair that is too far costs more than all pairs that are not
    far = 2.0 * (min(table.shape) + 1) * tolerance**2
    chosen = _assigned(torch.where(within, table.double() ** 2, far).detach().cpu().numpy())
    pairs = [(i, j) for i, j in enumerate(chosen) if bool(within[i, j])]
    pairs = [(j, i) for i, j in pairs] if swapped else pairs
    index = torch.tensor(pairs, dtype=torch.long, device=x.device).reshape(-1, 2)
    distances = apart[index[:, 0], index[:, 1]]
    return Matching(torch.stack([rows[index[:, 0]], columns[index[:, 1]]], -1), distances)


def _assigned(cost: np.ndarray) -> list[int]:
    """The column of each row in the cheapest assignment, of no more rows than columns: Hungarian method."""
    n, m = cost.shape
    rows, columns = np.zeros(n + 1), np.zeros(m + 1)  # the dual variables
    owner = np.zeros(m + 1, dtype=int)  # of each column, counted from 1; column 0 is where a row starts
    for i in range(1, n + 1):
        owner[0], j = i, 0
        slack, way, used = np.full(m + 1, np.inf), np.zeros(m + 1, dtype=int), np.zeros(m + 1, dtype=bool)
        while owner[j]:
            used[j] = True
            reduced = cost[owner[j] - 1] - rows[owner[j]] - columns[1:]
            better = ~used[1:] & (reduced < slack[1:])
            slack[1:][better], way[1:][better] = reduced[better], j
            j = int(np.where(used, np.inf, slack).argmin())
            delta = slack[j]
            rows[owner[used]] += delta
            columns[used] -= delta
            slack[~used] -= delta
        while j:
            owner[j], j = owner[way[j]], int(way[j])
    found = np.zeros(n, dtype=int)
    found[owner[1:][owner[1:] > 0] - 1] = np.nonzero(owner[1:] > 0)[0]
    return found.tolist()
