"""Pile-up and dead time: maps from the expected counts of an ideal detector to those of a real one."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from invcore import Operator, ParameterError, ShapeError, Space
from invcore.operators import under_transform
from invcore.spaces import broadcast_shapes

from .readiness import solve_readiness, window


class PileUp(Operator):
    r"""Expected counts with pile-up: at most the first photon after each laser pulse is recorded,

    .. math:: y_b = N e^{-\sum_{j<b} λ_j/N} (1 - e^{-λ_b/N}),

    where λ are the counts of an ideal detector over N pulses: early photons hide later ones.

    Parameters
    ----------
    pulses : float
        N, laser pulses per pixel.
    bins : int
        Number of bins; they begin when the detector is armed.
    shape : tuple of int
        Pixels (ny, nx).

    Notes
    -----
    Domain and range ``(bin, y, x)``. Rates must be nonnegative to be meaningful. ``correct`` is the inverse
    due to Coates. Compose it with `TCSPC`: ``PileUp(...) @ TCSPC(...)``. The recorded counts are not
    independent; `FirstPhotonNoise` is their exact distribution.

    Raises
    ------
    ParameterError, ShapeError
        If a field is out of range.

    References
    ----------
    P. B. Coates, "The correction for photon 'pile-up' in the measurement of radiative lifetimes", J. Phys. E
    1 (1968).

    Examples
    --------
    >>> A = PileUp(pulses=1000, bins=3, shape=(1, 1))
    >>> y = A(torch.tensor([500.0, 500.0, 500.0]).reshape(3, 1, 1))
    >>> y.flatten().round()
    tensor([393., 239., 145.])
    >>> A.correct(y).flatten().round()
    tensor([500., 500., 500.])
    """

    pulses: float
    bins: int
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        _check(self)

    @property
    def domain(self) -> Space:
        return Space((self.bins, *self.shape))

    @property
    def range(self) -> Space:
        return Space((self.bins, *self.shape))

    def forward(self, x: Tensor) -> Tensor:
        per_pulse = x / self.pulses
        before = per_pulse.cumsum(-3) - per_pulse
        return -self.pulses * torch.exp(-before) * torch.expm1(-per_pulse)

    def correct(self, y: Tensor) -> Tensor:
        """Return the ideal rates with expected counts y: λ_b = -N log(1 - y_b / (N - Σ_{j<b} y_j)).

        Parameters
        ----------
        y : Tensor, shape (..., bin, y, x)
            Counts; for noisy counts the result is the maximum likelihood estimate.

        Returns
        -------
        Tensor, shape (..., bin, y, x)
            Infinite where all remaining pulses had a photon.

        Raises
        ------
        ShapeError
            If y is not of that shape.
        """
        _check_counts(self, y)
        left = self.pulses - (y.cumsum(-3) - y)
        return -self.pulses * torch.log1p(-(y / left.clamp_min(torch.finfo(y.dtype).tiny)).clamp_max(1))


class DeadTime(Operator):
    r"""Expected counts of a detector that is blind for some time after each count.

    .. math:: y_b = N (1 - e^{-λ_b/N}) L_b, \quad L_b = 1 - \frac1N \sum_i w_i y_{b-i},

    where λ are the counts of an ideal detector over N periods of the laser, L the probability that the
    detector is ready, and w counts the bins within the dead time before bin b: two counts within one dead
    time exclude each other, so that their probabilities add. Photons during the dead time do not prolong it.

    Parameters
    ----------
    dead_time : float or Tensor, shape (batch...)
        Seconds, at least a bin. Gradients reach a tensor.
    pulses : float
        N.
    bins : int
        Bins of the histogram.
    bin_width : float
        Seconds.
    shape : tuple of int
        Pixels (ny, nx).
    mode : {"free", "synchronous"}
        A free-running detector carries its dead time into the next period: the bins must fill the whole
        period of the laser, and L is the stationary state of a Markov chain. A synchronous one is rearmed
        before each pulse.

    Notes
    -----
    Domain and range ``(bin, y, x)``. The linear system for L is solved to round-off in double precision, bin
    by bin, preconditioning GMRES for a free-running detector; derivatives are implicit. Negative rates, which
    are meaningless, are continued linearly. ``correct`` is the inverse in closed form. A synchronous detector
    whose dead time exceeds the gate is `PileUp`.

    Photons are distributed uniformly within their bins, so that the model is exact to second order in λ/N,
    the photons per bin and period. In simulations of single photons over 200,000 periods its error stays
    within the noise up to λ/N = 0.2; it reaches 2 % for 0.45 where the end of the dead time falls into the
    next return.

    Raises
    ------
    ParameterError, ShapeError
        If a field is out of range.

    Warns
    -----
    ConvergenceWarning
        If the stationary state is not found: rates are negative, or far beyond any detector.

    References
    ----------
    J. Rapp, Y. Ma, R. M. A. Dawson, V. K. Goyal, "Dead time compensation for high-flux ranging", IEEE Trans.
    Signal Process. 67 (2019). S. Isbaner et al., "Dead-time correction of fluorescence lifetime measurements
    and fluorescence lifetime imaging", Opt. Express 24 (2016).

    Examples
    --------
    >>> A = DeadTime(dead_time=75e-9, pulses=1000, bins=100, bin_width=1e-9, shape=(1, 1))
    >>> y = A(torch.full((100, 1, 1), 20.0, dtype=torch.float64))  # 2 photons in a period of 100 ns
    >>> round(y.sum().item() * (1 + 2 * 0.75) / 2000, 4)
    1.0
    >>> round(A.correct(y).mean().item(), 6)
    20.0
    """

    dead_time: float | Tensor
    pulses: float
    bins: int
    bin_width: float
    shape: tuple[int, int]
    mode: Literal["free", "synchronous"] = "free"
    params: ClassVar[tuple[str, ...]] = ("dead_time",)

    def __post_init__(self) -> None:
        _check(self)
        if self.mode not in ("free", "synchronous"):
            raise ParameterError(f"DeadTime: mode must be 'free' or 'synchronous', got {self.mode!r}")
        if not (isinstance(self.bin_width, int | float) and 0 < self.bin_width < math.inf):
            raise ParameterError(
                f"DeadTime: bin_width must be a positive time in seconds, got {self.bin_width!r}"
            )
        held = self.dead_time
        if isinstance(held, Tensor):
            if under_transform() or held.device.type == "meta":
                return
            low, high = (float(v) for v in held.detach().aminmax()) if held.numel() else (self.bin_width,) * 2
        else:
            low = high = float(held)
        if not (low >= (1 - 1e-6) * self.bin_width and (high < math.inf or self.mode == "synchronous")):
            raise ParameterError(
                f"DeadTime: dead_time must be at least a bin, {self.bin_width:.4g} s, and finite, "
                f"got {low:.4g} ... {high:.4g}"
            )

    @property
    def domain(self) -> Space:
        return Space((self.bins, *self.shape))

    @property
    def range(self) -> Space:
        return Space((self.bins, *self.shape))

    def forward(self, x: Tensor) -> Tensor:
        rates, length = self._columns(x)
        per_pulse = rates / self.pulses
        q = torch.where(per_pulse > 0, -torch.expm1(-per_pulse.clamp_min(0)), per_pulse)
        ready = solve_readiness(torch.ones_like(q), q, length, self.mode == "free")
        return self._image(self.pulses * q * ready, x)

    def correct(self, y: Tensor) -> Tensor:
        """Return the ideal rates with expected counts y: λ_b = -N log(1 - y_b / (N L_b)).

        Parameters
        ----------
        y : Tensor, shape (..., bin, y, x)
            Counts, possibly noisy.

        Returns
        -------
        Tensor, shape (..., bin, y, x)
            Infinite where the detector counted whenever it was ready.

        Raises
        ------
        ShapeError
            If y is not of that shape.
        """
        _check_counts(self, y)
        counts, length = self._columns(y)
        p = counts / self.pulses
        ready = 1 - window(p, length, self.mode == "free")
        return self._image(-self.pulses * torch.log1p(-(p / ready.clamp_min(1e-300)).clamp_max(1)), y)

    def ready(self, x: Tensor) -> Tensor:
        """Return L, the probability that the detector is ready, for ideal rates x (..., bin, y, x)."""
        y = self(x)
        counts, length = self._columns(y)
        return self._image(1 - window(counts / self.pulses, length, self.mode == "free"), y)

    def _columns(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``x`` as (bin, column) in double precision, and the dead time of each column in bins."""
        length = torch.as_tensor(self.dead_time, dtype=torch.float64, device=x.device) / self.bin_width
        batch = broadcast_shapes(x.shape[:-3], length.shape)
        columns = x.double().expand(*batch, *x.shape[-3:]).movedim(-3, 0)
        length = length.clamp_min(1)[..., None, None].expand(*batch, *self.shape)
        return columns.flatten(1), length.flatten()

    def _image(self, columns: Tensor, like: Tensor) -> Tensor:
        length = self.dead_time.shape if isinstance(self.dead_time, Tensor) else ()
        batch = broadcast_shapes(like.shape[:-3], length)
        return columns.reshape(self.bins, *batch, *self.shape).movedim(0, -3).to(like.dtype)


def _check(holder: PileUp | DeadTime) -> None:
    name = type(holder).__name__
    if not (isinstance(holder.pulses, int | float) and 0 < holder.pulses < math.inf):
        raise ParameterError(f"{name}: pulses must be a positive number, got {holder.pulses!r}")
    if not isinstance(holder.bins, int) or holder.bins < 1:
        raise ParameterError(f"{name}: bins must be a positive int, got {holder.bins!r}")
    if len(holder.shape) != 2:
        raise ShapeError(f"{name}: shape must be the pixels (ny, nx), got {holder.shape!r}")


def _check_counts(holder: PileUp | DeadTime, y: Tensor) -> None:
    if tuple(y.shape[-3:]) != (holder.bins, *holder.shape):
        wanted = ", ".join(map(str, (holder.bins, *holder.shape)))
        raise ShapeError(
            f"{type(holder).__name__}.correct: counts must be (..., {wanted}), got {tuple(y.shape)}"
        )
