"""Series of echoes: T2 of spin echoes, T2* and off-resonance of gradient echoes."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from invcore import ParameterError

from .signals import SignalModel, decay, ratio


class SpinEcho(SignalModel):
    r"""Spin echoes of one or several refocusing pulses, :math:`S(t) = M_0 \, e^{-t / T_2}`.

    Perfect refocusing is assumed: stimulated echoes of imperfect pulses make the first echo too small [1]_.

    Parameters
    ----------
    times : Tensor, shape (..., frame)
        Echo times in seconds. Leading dimensions are batch.
    shape : tuple of int
        Spatial dimensions.

    Raises
    ------
    ShapeError, DtypeError, ParameterError

    Notes
    -----
    Domain: blocks M0 (complex) and log T2, each ``(1, *spatial)``. Range ``(1, frame, *spatial)``, complex.

    References
    ----------
    .. [1] S. Meiboom and D. Gill, "Modified spin-echo method for measuring nuclear relaxation times", Rev.
       Sci. Instrum. 29 (1958).

    Examples
    --------
    >>> A = SpinEcho(torch.tensor([0.0, 0.1]), (1, 1))
    >>> x = A.coordinates(M0=torch.ones(1, 1, 1), T2=torch.full((1, 1, 1), 0.1))
    >>> A(x).real.flatten()
    tensor([1.0000, 0.3679])
    """

    names: ClassVar[tuple[str, ...]] = ("M0", "T2")
    times: Tensor
    shape: tuple[int, ...]
    params = ("times",)

    def __post_init__(self) -> None:
        check_times("SpinEcho", self.times)

    @property
    def _settings(self) -> Tensor:
        return self.times

    def _signal(self, *x: Tensor) -> Tensor:
        m0, log_t2 = x
        return m0 * decay(self._over_pixels(self.times), log_t2)

    def _start(self, images: Tensor) -> tuple[Tensor, ...]:
        log_t2 = log_linear(self, images, self.times)
        e = decay(self._over_pixels(self.times), log_t2)
        return ratio(self._sum(e * images), self._sum(e * e)), log_t2


class GradientEcho(SignalModel):
    r"""Several gradient echoes, :math:`S(t) = M_0 \, e^{-t / T_2^*} \, e^{2 \pi i \, \Delta f \, t}`.

    Parameters
    ----------
    times : Tensor, shape (..., frame)
        Echo times in seconds. Leading dimensions are batch.
    shape : tuple of int
        Spatial dimensions.

    Raises
    ------
    ShapeError, DtypeError, ParameterError

    Notes
    -----
    Domain: blocks M0 (complex), log T2* and the off-resonance Δf in Hz, each ``(1, *spatial)``. Range
    ``(1, frame, *spatial)``, complex. `start` takes Δf from the phase between the closest echoes: beyond half
    the inverse of their distance it is off by a multiple of that inverse, as the field of fat and water may
    be [1]_.

    References
    ----------
    .. [1] S. Reeder et al., "Multicoil Dixon chemical species separation with an iterative least-squares
       estimation method", Magn. Reson. Med. 51 (2004).

    Examples
    --------
    >>> A = GradientEcho(torch.tensor([0.0, 0.01]), (1, 1))
    >>> one = torch.ones(1, 1, 1)
    >>> images = A(A.coordinates(M0=one, T2s=0.01 * one, df=25 * one)).flatten()
    >>> images.abs(), images.angle()  # a quarter of a turn
    (tensor([1.0000, 0.3679]), tensor([0.0000, 1.5708]))
    """

    names: ClassVar[tuple[str, ...]] = ("M0", "T2s", "df")
    times: Tensor
    shape: tuple[int, ...]
    params = ("times",)

    def __post_init__(self) -> None:
        check_times("GradientEcho", self.times)

    @property
    def _settings(self) -> Tensor:
        return self.times

    def _signal(self, *x: Tensor) -> Tensor:
        m0, log_t2s, df = x
        t = self._over_pixels(self.times)
        e = decay(t, log_t2s)
        angle = 2 * math.pi * t * df
        return m0 * torch.complex(e * angle.cos(), e * angle.sin())

    def _start(self, images: Tensor) -> tuple[Tensor, ...]:
        log_t2s = log_linear(self, images, self.times)
        order = self.times.argsort()
        steps = self.times[order].diff()
        closest = steps <= 1.01 * steps.min()
        ordered = images.index_select(-len(self.shape) - 1, order)
        first = ordered.narrow(-len(self.shape) - 1, 0, len(order) - 1)
        second = ordered.narrow(-len(self.shape) - 1, 1, len(order) - 1)
        turned = self._sum(self._over_pixels(closest) * first.conj() * second)
        df = torch.angle(turned) / (2 * math.pi * float(steps[closest].mean()))
        e = self._signal(torch.ones_like(turned), log_t2s, df)
        return ratio(self._sum(e.conj() * images), self._sum(e.abs().square())), log_t2s, df


def log_linear(model: SignalModel, images: Tensor, times: Tensor) -> Tensor:
    """log T of a decay, by a line through log magnitudes weighted with their squares (their precision)."""
    size = images.abs()
    weight = size.square()
    t, log_size = model._over_pixels(times), size.clamp_min(torch.finfo(size.dtype).tiny).log()
    total = model._sum(weight)
    mean_t, mean_log = ratio(model._sum(weight * t), total), ratio(model._sum(weight * log_size), total)
    rate = -ratio(
        model._sum(weight * (t - mean_t) * (log_size - mean_log)),
        model._sum(weight * (t - mean_t).square()),
    )
    span = times.amax() - times.amin()
    return -rate.clamp(1e-3 / span, 20 / span).log()


def check_times(name: str, times: Tensor) -> None:
    """Refuse what cannot be times in seconds."""
    t = times.detach()
    if not bool((torch.isfinite(t) & (t >= 0)).all()):
        raise ParameterError(f"{name}: times are in seconds, finite and not negative; got {times!r:.120}")
    if not bool(((t.amax(-1) - t.amin(-1)) > 0).all()):
        raise ParameterError(f"{name}: all times are the same: nothing decays between them")
    if bool((t > 60).any()):
        raise ParameterError(
            f"{name}: {float(t.max()):.4g} s is no time of a sequence: give seconds, not milliseconds"
        )
