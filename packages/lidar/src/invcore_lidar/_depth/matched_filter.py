"""Pixelwise estimates of depth: log-matched filter and cross-correlation."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from invcore import ParameterError, Physics, Solver
from invcore.solvers import Problem

from .._photons.impulse import ImpulseResponse
from .._photons.tags import Histogram, TimeTags
from .detections import Detections, Table, background_map, detections, tabulate
from .estimate import DepthEstimate
from .samples import Prepared, prepared, require_tcspc
from .uncertainty import information


def matched_filter(
    data: TimeTags | Histogram,
    impulse: ImpulseResponse,
    *,
    kind: Literal["log", "correlation"] = "log",
    background: float | None = None,
) -> DepthEstimate:
    r"""Estimate the depth of each pixel separately, where the impulse response fits its photons best,

    .. math:: \hat d = \frac{c}{2} \arg\max_t \sum_i f\bigl(h(t_i - t)\bigr), \qquad
       f(h) = \log(1 + h\,r/β) \text{ or } f(h) = h,

    the log-matched filter, which is maximum likelihood for r signal photons over a background β, or the
    cross-correlation of the histogram with the response. The maximum is located to a thousandth of the
    response width, independently of the bins. The response is integrated over the bins, so that tags and
    histograms of any width are treated exactly.

    Parameters
    ----------
    data : TimeTags or Histogram
        Data of one image, ``(bin, y, x)``.
    impulse : ImpulseResponse
    kind : {"log", "correlation"}
    background : float, optional
        Background photons per bin (per tick); by default the median over the gate in each neighborhood.

    Returns
    -------
    DepthEstimate
        One surface. Reflectivity is the maximum-likelihood number of signal photons at that depth. Depths of
        pixels without photons are NaN.

    Raises
    ------
    ParameterError
        If ``kind`` is unknown or the background negative.

    References
    ----------
    D. Snyder, "Random Point Processes", Wiley (1975). D. Shin, A. Kirmani, V. K. Goyal, J. H. Shapiro,
    "Photon-efficient computational 3-D and reflectivity imaging with single-photon detectors", IEEE Trans.
    Comput. Imaging 1 (2015).

    Examples
    --------
    >>> h = ImpulseResponse.gaussian(fwhm=100e-12)
    >>> tags = TimeTags.from_cells([[[9990, 10010, 3000], [20000]]], tick=1e-12, start=0, stop=30000)
    >>> matched_filter(tags, h, background=1e-5).depth.round(decimals=3).tolist()
    [[[1.499, 2.998]]]
    """
    _check_kind(kind)
    photons = detections(data)
    table = tabulate(impulse, photons.bin_width)
    beta = background_of(photons, background)
    return assemble(photons, table, *match_pixels(photons, table, beta, kind), beta)


class Found(NamedTuple):
    """Image of a sample, and its last change."""

    image: Tensor  # (..., 3, y, x)
    change: Tensor  # (...)


class State(NamedTuple):
    """The state of a solve."""

    x: Tensor
    change: Tensor
    found: Found


class MatchedFilter(Solver):
    """`matched_filter` as a solver: pixelwise, one surface, one step.

    Pixels without photons get the median depth and no reflectivity.

    Parameters
    ----------
    kind : {"log", "correlation"}
        Log-matched filter, or cross-correlation with the impulse response.
    background : float, optional
        Background photons per bin, if known.
    max_steps : int
        One step suffices.

    Raises
    ------
    ParameterError
        If the operator is not a `TCSPC` with one surface, or has a point spread function or delays.

    Examples
    --------
    >>> from invcore_lidar import TCSPC
    >>> A = TCSPC(impulse=ImpulseResponse.gaussian(fwhm=400e-12), bins=60, bin_width=200e-12, shape=(1, 2))
    >>> depth, light = torch.tensor([[[0.4, 0.9]]]), torch.full((1, 1, 2), 50.0)
    >>> x = A.image(depth=depth, reflectivity=light, background=0.05)
    >>> MatchedFilter()(A(x), A.physics())[0].round(decimals=2)
    tensor([[0.4000, 0.9000]])
    """

    kind: Literal["log", "correlation"] = "log"
    background: float | None = None
    max_steps: int = 1

    def __post_init__(self) -> None:
        _check_kind(self.kind)

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        """Return the problem; see `Solver.problem`."""
        operator = require_tcspc(self, physics)
        if operator.surfaces != 1:
            raise ParameterError(
                f"MatchedFilter finds one surface, the operator has {operator.surfaces}: use "
                "'lidar.regularized'"
            )
        return Problem(physics=physics, y=y, fidelity=physics.likelihood(), x0=x0)

    def init(self, problem: Problem) -> State:
        made = prepared(problem)
        blank = torch.zeros(made.operator.domain.shape, dtype=torch.float64)
        return _state(problem, made, [Found(blank, torch.tensor(torch.inf)) for _ in made.data])

    def step(self, problem: Problem, state: State) -> State:
        made = prepared(problem)
        found = []
        for data in made.data:
            beta = background_of(data, self.background)
            estimate = assemble(data, made.table, *match_pixels(data, made.table, beta, self.kind), beta)
            found.append(Found(estimate.image(), torch.zeros(())))
        return _state(problem, made, found)

    def converged(self, problem: Problem, state: State) -> Tensor:
        return state.change == 0


def _state(problem: Problem, made: Prepared, found: list[Found]) -> State:
    return State(*made.stacked(problem.y, [f.image for f in found], found))


def _check_kind(kind: str) -> None:
    if kind not in ("log", "correlation"):
        raise ParameterError(f"matched filter: kind must be 'log' or 'correlation', got {kind!r}")


def background_of(data: Detections, background: float | None) -> np.ndarray:
    """Return the background per bin of each pixel, given or measured."""
    if background is None:
        return background_map(data)
    if not background >= 0:
        raise ParameterError(f"background must be photons per bin >= 0, got {background!r}")
    return np.full(len(data.indptr) - 1, max(float(background), 1e-12))


def match_pixels(
    data: Detections, table: Table, beta: np.ndarray, kind: str = "log"
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best time of flight, NaN without photons, and the signal photons, (1, pixels) each."""
    from . import kernels

    pixels = len(beta)
    mean = max(float(data.photons().mean() - beta.mean() * data.bins), 0.01)
    ratio = (mean / beta)[data.rows()]
    tau, value = np.empty(pixels), np.empty(pixels)
    kernels.match(
        *data.entries, ratio, *table, table.peak, table.fwhm(), data.bins, int(kind != "log"), tau, value
    )
    return tau[None], signal_photons(data, table, tau[None], beta)


def signal_photons(
    data: Detections, table: Table, tau: np.ndarray, beta: np.ndarray, steps: int = 30
) -> np.ndarray:
    """Return the maximum-likelihood signal photons (K, pixels) at known times of flight, by EM."""
    from . import kernels

    known = np.where(np.isfinite(tau), tau, -1e9)
    expected, rest = np.empty_like(known), np.empty((len(tau), len(data.times)))
    r = np.broadcast_to(np.maximum(data.photons() / len(tau), 1e-12), tau.shape).copy()
    for _ in range(steps):
        kernels.shares(*data.entries, known, r, beta, *table, expected, rest)
        r = expected.copy()
    return r


def assemble(
    data: Detections,
    table: Table,
    tau: np.ndarray,
    photons: np.ndarray,
    beta: np.ndarray,
    std: np.ndarray | None = None,
) -> DepthEstimate:
    """Convert times in bins to an estimate in meters."""
    if std is None:
        std = np.where(photons > 0, information(table, photons, beta[None]) ** -0.5, np.inf)
    shape = (-1, *data.shape)

    def picture(v: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(v.reshape(shape)))

    return DepthEstimate(
        depth=picture(data.depth(tau)),
        reflectivity=picture(np.where(np.isfinite(tau), photons, 0.0)),
        background=picture(beta),
        std=picture(np.where(np.isfinite(tau), std * data.meters, np.inf)),
    )
