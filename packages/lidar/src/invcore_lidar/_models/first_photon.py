"""Exact distribution of counts with pile-up: the first photon after each pulse is recorded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.special import xlogy

from invcore import DataError, DtypeError, ParameterError
from invcore.fidelities import Fidelity
from invcore.noises import EntryNoise


class FirstPhoton(Fidelity):
    r"""Negative log-likelihood of the counts of first photons as a function of ideal rates,

    .. math:: f(u; y) = \sum_b \left[ s_b \frac{u_b}{N} - y_b \log(e^{u_b/N} - 1) \right] + \mathrm{const},
        \quad s_b = N - \sum_{j<b} y_j,

    for y_b ~ Binomial(s_b, 1 - exp(-u_b/N)): s of N pulses have no photon before bin b. Zero at the minimum,
    the estimate of Coates; infinite for negative rates. Convex, and separable although the counts depend on
    each other.

    Parameters
    ----------
    pulses : float or Tensor, shape (batch...)
        N, a whole number.
    axis : int
        Time axis, counted from the end; that of ``(bin, y, x)`` by default.

    Notes
    -----
    Data must be nonnegative counts, in total at most the number of pulses; others give NaN. The proximal
    operator is computed by Newton's method.

    Raises
    ------
    ParameterError
        If the number of pulses is not positive, or the axis is not counted from the end.

    References
    ----------
    P. B. Coates, "The correction for photon 'pile-up' in the measurement of radiative lifetimes", J. Phys. E
    1 (1968). F. Heide, S. Diamond, D. B. Lindell, G. Wetzstein, "Sub-picosecond photon-efficient 3D imaging
    using single-photon sensors", Sci. Rep. 8 (2018).

    Examples
    --------
    >>> f = FirstPhoton(pulses=100, axis=-1)
    >>> y = torch.tensor([20.0, 40.0, 10.0])
    >>> u = -100 * torch.log1p(-y / torch.tensor([100.0, 80.0, 40.0]))  # Coates
    >>> round(f.value(u, y).item(), 5), f.grad(u, y).abs().max().item() < 1e-6
    (0.0, True)
    """

    pulses: float | Tensor
    axis: int = -3
    params = ("pulses",)

    def __post_init__(self) -> None:
        _check(self, self.pulses, self.axis)

    def value(self, u: Any, y: Any, space: Any = None) -> Tensor:
        n = _shaped(self, self.pulses, u, space)
        left = self._left(y, n)
        v = u / n
        lit = y > 0
        good = torch.where(lit, u > 0, u >= 0)
        q = -torch.expm1(-torch.where(good & lit, v, 1.0))
        silent = left - y
        part = xlogy(y, torch.where(lit, y / (left * q), 1.0)) + silent * v
        part = part + xlogy(silent, silent / torch.where(left > 0, left, 1.0))
        cost = torch.where(good | y.isnan(), part, torch.inf)
        return cost.sum() if space is None else cost.sum(tuple(range(-len(space.shape), 0)))

    def grad(self, u: Any, y: Any, space: Any = None) -> Tensor:
        n = _shaped(self, self.pulses, u, space)
        lit = y > 0
        pull = torch.where(lit, y / torch.expm1(torch.where(lit, u / n, 1.0)), 0.0)
        return (self._left(y, n) - y - pull) / n

    def prox(self, u: Any, y: Any, step: float | Tensor, space: Any = None) -> Tensor:
        """Return the root of z - u + (step/N) (s - y - y / (e^(z/N) - 1)).

        The function is concave and increasing, so that Newton's method converges monotonically from the left.
        """
        n = _shaped(self, self.pulses, u, space)
        pace = _shaped(self, step, u, space) / n
        lit = y > 0
        fall, rise = pace * (self._left(y, n) - y), pace * torch.where(lit, y, 1.0)
        with torch.no_grad():  # 1/(e^v - 1) >= 1/v - 1/2 starts it
            half, product = (u - fall - rise / 2) / 2, rise * n
            root = (half.square() + product).sqrt()
            z = torch.where(half < 0, product / torch.where(half < 0, root - half, 1.0), half + root)
            for _ in range(60):
                new = z - _ratio(z, u, fall, rise, n)
                done = bool(((new - z).abs() <= 4 * torch.finfo(z.dtype).eps * new.abs()).all())
                z = torch.where(new > 0, new, z)
                if done:
                    break
        z = z - _ratio(z, u, fall, rise, n)  # carries the derivatives
        return torch.where(lit, z, (u - fall).clamp_min(0))

    def _left(self, y: Tensor, n: Any) -> Tensor:
        """Return the pulses without a photon before each bin."""
        return n - (y.cumsum(self.axis) - y)


def _ratio(z: Tensor, u: Tensor, fall: Tensor, rise: Tensor, n: Any) -> Tensor:
    """Return value over slope; the slope carries no derivative."""
    grown = torch.expm1(z / n)
    slope = (1 + rise / n * (1 / grown + 1 / grown.square())).detach()
    return (z - u + fall - rise / grown) / slope


class FirstPhotonNoise(EntryNoise):
    r"""Counts of the first photon after each pulse, drawn from ideal rates: the exact law of pile-up,

    .. math:: y_b \sim \mathrm{Binomial}\Bigl(N - \sum_{j<b} y_j,\; 1 - e^{-u_b/N}\Bigr).

    The mean is that of `PileUp`. In a `Physics` with `TCSPC`, solvers fit the likelihood of the recorded
    counts without correcting them.

    Parameters
    ----------
    pulses : float or Tensor, shape (batch...)
        N, a whole number.
    axis : int
        Time axis, counted from the end; that of ``(bin, y, x)`` by default.

    Raises
    ------
    DataError
        If the clean data has negative entries.
    ParameterError
        If the number of pulses is not positive, or the axis is not counted from the end.

    References
    ----------
    P. B. Coates, "The correction for photon 'pile-up' in the measurement of radiative lifetimes", J. Phys. E
    1 (1968).

    Examples
    --------
    >>> noise = FirstPhotonNoise(pulses=1000)
    >>> y = noise(torch.full((3, 50, 50), 500.0), generator=torch.Generator().manual_seed(0))
    >>> y.mean((1, 2)).round()
    tensor([393., 239., 145.])
    """

    pulses: float | Tensor
    axis: int = -3
    params = ("pulses",)

    def __post_init__(self) -> None:
        _check(self, self.pulses, self.axis)

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        if y.is_complex():
            raise DtypeError(f"FirstPhotonNoise is a model of real data, got {y.dtype}")
        if bool((y < 0).any()):
            raise DataError(f"FirstPhotonNoise needs clean data >= 0, got {float(y.min()):.3g}")
        chance = -torch.expm1(-(y.detach() / self.pulses)).to(generator.device, y.dtype)
        left = torch.zeros_like(chance.select(self.axis, 0)) + torch.as_tensor(self.pulses).to(chance)
        counts = []
        for q in chance.unbind(self.axis):
            counts.append(torch.binomial(left, q, generator=generator))
            left = left - counts[-1]
        return torch.stack(counts, self.axis).to(y.device)

    def likelihood(self) -> FirstPhoton:
        return FirstPhoton(pulses=self.pulses, axis=self.axis)


def _shaped(holder: Any, value: Any, u: Tensor, space: Any) -> Any:
    """Return a value per sample shaped to broadcast against the data."""
    if u.is_complex():
        raise DtypeError(f"{type(holder).__name__} is a model of real data, got {u.dtype}")
    if not isinstance(value, Tensor):
        return value
    value = value.to(u.dtype)
    return value if space is None or not value.ndim else value.reshape(*value.shape, *(1,) * len(space.shape))


def _check(holder: Any, pulses: float | Tensor, axis: int) -> None:
    name = type(holder).__name__
    if isinstance(pulses, Tensor):
        good = pulses.device.type == "meta" or bool((pulses.detach() > 0).all())
    else:
        good = isinstance(pulses, int | float) and pulses > 0
    if not good:
        raise ParameterError(f"{name}: pulses must be a positive number, got {pulses!r}")
    if not isinstance(axis, int) or axis >= 0:
        raise ParameterError(f"{name}: axis is counted from the end and must be negative, got {axis!r}")
