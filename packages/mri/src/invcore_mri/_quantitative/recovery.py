"""Recovery of the longitudinal magnetization: T1 of inversion recovery and of variable flip angles."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from invcore import DataError, ParameterError, ShapeError

from .echoes import check_times
from .signals import SignalModel, decay, ratio

_CANDIDATES = 40  # T1 that a start tries


class InversionRecovery(SignalModel):
    r"""Inversion recovery with an inversion that may be incomplete.

    .. math:: S(t) = M_0 \left(1 - 2 \eta \, e^{-t / T_1} + (2 \eta - 1) \, e^{-T_R / T_1}\right)

    at the time t after the inversion, read by a pulse of 90° (or its spin echo) every T_R [1]_. η is the
    efficiency: 1 where the pulse inverts, 1/2 where it saturates. Images keep their sign: complex ones, not
    magnitudes.

    Parameters
    ----------
    times : Tensor, shape (..., frame)
        Inversion times in seconds. Leading dimensions are batch.
    shape : tuple of int
        Spatial dimensions.
    repetition_time : float, optional
        T_R in seconds; infinite by default.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
    DataError
        By `start`, for magnitudes.

    Notes
    -----
    Domain: blocks M0 (complex), log T1 and η, each ``(1, *spatial)``. Range ``(1, frame, *spatial)``,
    complex. `start` solves for two linear coefficients at each of 40 T1.

    References
    ----------
    .. [1] J. Barral, E. Gudmundson, N. Stikov, M. Etezadi-Amoli, P. Stoica, D. Nishimura, "A robust
       methodology for in vivo T1 mapping", Magn. Reson. Med. 64 (2010).

    Examples
    --------
    >>> A = InversionRecovery(torch.tensor([0.0, 0.6931, 60.0]), (1, 1))
    >>> one = torch.ones(1, 1, 1)
    >>> A(A.coordinates(M0=one, T1=one, eta=one)).real.flatten().round(decimals=3) + 0.0
    tensor([-1.,  0.,  1.])
    """

    names: ClassVar[tuple[str, ...]] = ("M0", "T1", "eta")
    times: Tensor
    shape: tuple[int, ...]
    repetition_time: float = math.inf
    params = ("times",)

    def __post_init__(self) -> None:
        check_times("InversionRecovery", self.times)
        longest = float(self.times.detach().max())
        if not self.repetition_time > longest:
            raise ParameterError(
                f"InversionRecovery: repetition_time {self.repetition_time!r} s must be longer than the "
                f"longest inversion time, {longest:.4g} s"
            )

    @property
    def _settings(self) -> Tensor:
        return self.times

    def _signal(self, *x: Tensor) -> Tensor:
        m0, log_t1, eta = x
        e = decay(self._over_pixels(self.times), log_t1)
        return m0 * (1 - 2 * eta * e + (2 * eta - 1) * self._at_repetition(log_t1))

    def _refuse_magnitudes(self, images: Tensor) -> None:
        """A recovering magnetization only grows; magnitudes fall first."""
        if bool((images.imag != 0).any()) or bool((images.real < 0).any()):
            return
        ordered = images.real.index_select(-len(self.shape) - 1, self.times.argsort())
        bright = self._sum(ordered) > 0.1 * self._sum(ordered).amax()
        falls = (ordered.diff(dim=-len(self.shape) - 1) < 0).any(-len(self.shape) - 1, keepdim=True)
        if bool(bright.any()) and float((falls & bright).sum()) > 0.5 * float(bright.sum()):
            raise DataError(
                "InversionRecovery: the images look like magnitudes, which fall before they recover: give "
                "complex images, or the signed ones of a phase-sensitive reconstruction"
            )

    def _at_repetition(self, log_t1: Tensor) -> Tensor:
        """exp(-T_R / T1)."""
        if math.isinf(self.repetition_time):
            return torch.zeros_like(log_t1)
        return decay(torch.full((), self.repetition_time, dtype=log_t1.dtype), log_t1)

    def _start(self, images: Tensor) -> tuple[Tensor, ...]:
        self._refuse_magnitudes(images)
        t = self._over_pixels(self.times)
        shortest, longest = float(self.times.min()), float(self.times.max())
        low, high = math.log(max(shortest, longest / 50) / 3), math.log(3 * longest)
        best = torch.full_like(self._sum(images.real), math.inf)
        constant, slope, log_t1 = (torch.zeros_like(v) for v in (self._sum(images), self._sum(images), best))
        mean = self._sum(images) / len(self.times)
        for candidate in torch.linspace(low, high, _CANDIDATES).tolist():
            e = decay(t, torch.full_like(best, candidate))
            e = e - (center := self._sum(e) / len(self.times))
            b = ratio(self._sum(e * images), self._sum(e * e))
            left = self._sum((images - mean - e * b).abs().square())
            better = left < best
            best = torch.where(better, left, best)
            log_t1 = torch.where(better, candidate, log_t1)
            constant = torch.where(better, mean - b * center, constant)
            slope = torch.where(better, b, slope)
        # M0 (1 + (2η - 1) E) = constant and -2 η M0 = slope
        q = ratio((slope * constant.conj()).real, constant.abs().square())
        late = self._at_repetition(log_t1)
        eta = ratio(-q * (1 - late), 2 * (1 + q * late)).clamp(0.3, 1.2)
        return constant / (1 + (2 * eta - 1) * late), log_t1, eta


class SpoiledGradientEcho(SignalModel):
    r"""Spoiled gradient echoes at several flip angles α, the signal of Ernst.

    .. math:: S(\alpha) = M_0 \sin(b \alpha) \frac{1 - E}{1 - E \cos(b \alpha)}, \quad E = e^{-T_R / T_1}

    With two angles or more T1 follows [1]_. An error of the transmit field b of a percent is two percent of
    T1: give the measured one.

    Parameters
    ----------
    angles : Tensor, shape (..., frame)
        Nominal flip angles in radians. Leading dimensions are batch.
    shape : tuple of int
        Spatial dimensions.
    repetition_time : float
        T_R in seconds.
    transmit : Tensor, shape (..., 1, *spatial), optional
        b, the transmit field over the nominal one; 1 by default.

    Raises
    ------
    ShapeError, DtypeError, ParameterError

    Notes
    -----
    Domain: blocks M0 (complex; with the decay at the echo time) and log T1, each ``(1, *spatial)``. Range
    ``(1, frame, *spatial)``, complex.

    References
    ----------
    .. [1] R. Gupta, "A new look at the method of variable nutation angle for the measurement of spin-lattice
       relaxation times using Fourier transform NMR", J. Magn. Reson. 25 (1977); S. Deoni, B. Rutt, T. Peters,
       "Rapid combined T1 and T2 mapping using gradient recalled acquisition in the steady state", Magn.
       Reson. Med. 49 (2003).

    Examples
    --------
    >>> A = SpoiledGradientEcho(torch.tensor([0.05, 0.3]), (1, 1), repetition_time=0.01)
    >>> one = torch.ones(1, 1, 1)
    >>> A(A.coordinates(M0=one, T1=one)).real.flatten().round(decimals=4)
    tensor([0.0445, 0.0543])
    """

    names: ClassVar[tuple[str, ...]] = ("M0", "T1")
    varied: ClassVar[str] = "angles"
    positional: ClassVar[int | None] = 2
    angles: Tensor
    shape: tuple[int, ...]
    repetition_time: float
    transmit: Tensor | None = None
    params = ("angles", "transmit")

    def __post_init__(self) -> None:
        a = self.angles.detach()
        if not bool(((a > 0) & (a < math.pi)).all()):
            raise ParameterError(
                f"SpoiledGradientEcho: flip angles are in radians, between 0 and pi; got {self.angles!r:.120}"
            )
        if not (math.isfinite(self.repetition_time) and self.repetition_time > 0):
            raise ParameterError(
                "SpoiledGradientEcho: repetition_time is in seconds and positive, got "
                f"{self.repetition_time!r}"
            )
        if self.transmit is not None and tuple(self.transmit.shape[-len(self.shape) - 1 :]) != (
            1,
            *self.shape,
        ):
            raise ShapeError(
                f"SpoiledGradientEcho: transmit must be (..., *{(1, *self.shape)}), got "
                f"{tuple(self.transmit.shape)}"
            )

    @property
    def _settings(self) -> Tensor:
        return self.angles

    @property
    def _played(self) -> Tensor:
        """Flip angles of each pixel, (..., 1, frame, *spatial)."""
        a = self._over_pixels(self.angles)
        return a if self.transmit is None else a * self.transmit.unsqueeze(-len(self.shape) - 1)

    def _signal(self, *x: Tensor) -> Tensor:
        m0, log_t1 = x
        a = self._played
        e = decay(torch.full((), self.repetition_time, dtype=log_t1.dtype, device=log_t1.device), log_t1)
        return m0 * (a.sin() * (1 - e) / (1 - e * a.cos()))

    def _start(self, images: Tensor) -> tuple[Tensor, ...]:
        a, n = self._played, self.angles.shape[-1]
        x, y = images / a.tan(), images / a.sin()
        x, y = x - self._sum(x) / n, y - self._sum(y) / n
        e = ratio(self._sum((x.conj() * y).real), self._sum(x.abs().square())).clamp(1e-3, 1 - 1e-4)
        log_t1 = math.log(self.repetition_time) - (-e.log()).log()
        shape = self._signal(torch.ones_like(e), log_t1)
        return ratio(self._sum(shape * images), self._sum(shape * shape)), log_t1
