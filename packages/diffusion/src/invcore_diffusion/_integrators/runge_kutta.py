"""Steps as long as the error allows."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError, SolverError
from invcore.samplers import Integrator

_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_PLACES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_ORDER = 5
_MOST = 10_000
"""Estimates between two levels; an error of 1e-12 takes some hundreds."""


class Work(NamedTuple):
    """What `RungeKutta` keeps.

    Attributes
    ----------
    evaluations : int
        Number of estimates so far.
    length : float
        Length of the next step, in log σ.
    """

    evaluations: int = 0
    length: float = 0.1


class RungeKutta(Integrator):
    """The probability flow by the pair of Dormand and Prince, of orders 5 and 4, with control of the error.

    Between two levels of the schedule it takes as many steps in log σ as the tolerance asks for, so that few
    levels suffice. The number of estimates is in its memory, `Work.evaluations`. The step is common to a
    batch, and the largest error of a pixel decides; so images depend on their batch within the tolerance. The
    last step, to σ = 0, is the estimate itself.

    Parameters
    ----------
    rtol, atol : float
        The error of a step may be ``atol + rtol |x|`` in each pixel.

    References
    ----------
    J. R. Dormand, P. J. Prince, A family of embedded Runge-Kutta formulae, J. Comput. Appl. Math. 6 (1980).

    Examples
    --------
    >>> D = lambda x, sigma: x / (1 + sigma**2)
    >>> x, work = RungeKutta().step(D, torch.ones(1), 2.0, 1.0, None, torch.Generator())
    >>> x, 0.4**0.5, work.evaluations
    (tensor([0.6325]), 0.6324555320336759, 19)
    """

    rtol: float = 1e-4
    atol: float = 1e-4

    def __post_init__(self) -> None:
        if not (0 <= self.rtol < 1 and 0 < self.atol < math.inf):
            raise ParameterError(
                f"RungeKutta: expected 0 <= rtol < 1 and atol > 0, got {self.rtol!r} and {self.atol!r}"
            )

    def step(
        self,
        estimate: Any,
        x: Tensor,
        sigma: float,
        following: float,
        memory: Any,
        generator: torch.Generator,
    ) -> tuple[Tensor, Any]:
        """See `Integrator.step`."""
        calls, length = memory or Work()
        if following == 0:
            return estimate(x, sigma), Work(calls + 1, length)
        place, end = 0.0, math.log(sigma / following)

        def slope(x: Tensor, place: float) -> Tensor:
            level = following if place >= end else sigma * math.exp(-place)
            return estimate(x, level) - x

        first = slope(x, 0.0)
        before, calls = calls, calls + 1
        while place < end:
            last = place + length >= end * (1 - 1e-12)
            h = end - place if last else length
            slopes, ahead = [first], x
            for row, share in zip(_STAGES, _PLACES):
                ahead = x + h * _combined(row, slopes)
                slopes.append(slope(ahead, end if last and share == 1 else place + share * h))
            calls += len(_STAGES)
            allowed = self.atol + self.rtol * torch.maximum(x.abs(), ahead.abs())
            error = h * float((_combined(_ERROR, slopes).abs() / allowed).max()) if x.numel() else 0.0
            if math.isnan(error):
                raise SolverError("RungeKutta: the estimate became NaN")
            if error <= 1:
                x, first, place = ahead, slopes[-1], end if last else place + h
            longest = 5.0 if error <= 1 else 1.0
            wanted = h * min(longest, max(0.2, 0.9 * error ** (-1 / _ORDER))) if error else h * longest
            length = max(wanted, length) if last and error <= 1 else wanted
            if calls - before > _MOST:
                raise SolverError(
                    f"RungeKutta: {_MOST} estimates did not reach rtol = {self.rtol:g}, atol = {self.atol:g} "
                    f"from sigma = {sigma:.3g} to {following:.3g}: raise them above the rounding of the "
                    "image, and do not use estimates that are drawn at random"
                )
        return x, Work(calls, length)


def _combined(row: tuple[float, ...], slopes: list[Tensor]) -> Any:
    return sum(a * k for a, k in zip(row, slopes) if a)
