"""Distance and time of flight."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

SPEED_OF_LIGHT = 299_792_458.0  # m/s

_T = TypeVar("_T", float, Tensor)


def time_of_flight(depth: _T) -> _T:
    """Return the time of flight to a surface and back, t = 2 d / c.

    Parameters
    ----------
    depth : float or Tensor
        Meters.

    Returns
    -------
    float or Tensor
        Seconds.

    Examples
    --------
    >>> round(time_of_flight(15.0) * 1e9, 2)
    100.07
    """
    return depth * (2 / SPEED_OF_LIGHT)


def depth_of(time: _T) -> _T:
    """Return the distance of the surface with a given time of flight, d = c t / 2.

    Parameters
    ----------
    time : float or Tensor
        Seconds from pulse to return.

    Returns
    -------
    float or Tensor
        Meters.

    Examples
    --------
    >>> round(depth_of(100e-9), 3)
    14.99
    """
    return time * (SPEED_OF_LIGHT / 2)
