"""The ODE of a flow, ẋ = v(x, t), in steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

from torch import Tensor

from invcore import ParameterError

Field = Callable[[Tensor, float], Tensor]
Method = Literal["euler", "midpoint", "heun"]
METHODS = ("euler", "midpoint", "heun")


def evenly(steps: int, start: float = 0.0) -> list[float]:
    """Times from ``start`` to exactly 1, in so many steps."""
    return [start + (1 - start) * k / steps for k in range(steps)] + [1.0]


def moved(field: Field, x: Any, t: float, following: float, method: Method) -> Any:
    """One step; none of the methods asks for the velocity at the end of the flow, t = 1.

    Euler's step to t = 1 is exact where the field is: x + (1 - t) v is the mean of the image given x. Heun's
    last step is one of Euler.
    """
    h = following - t
    slope = field(x, t)
    if method == "midpoint":
        return x + h * field(x + h / 2 * slope, t + h / 2)
    if method == "heun" and following < 1:
        return x + h / 2 * (slope + field(x + h * slope, following))
    return x + h * slope


def transported(field: Field, x: Tensor, times: Sequence[float], method: Method = "midpoint") -> Tensor:
    """x at the last of the times, given at the first."""
    for t, following in pairwise(times):
        x = moved(field, x, t, following, method)
    return x


def check_flow(name: str, steps: int, method: str) -> None:
    """Raise a `ParameterError` unless the options of an ODE make sense."""
    if method not in METHODS:
        raise ParameterError(f"{name}: method must be one of {METHODS}, got {method!r}")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ParameterError(f"{name}: steps must be a whole number from 1 on, got {steps!r}")
