"""Checks for the noise levels of diffusions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch

from .._errors import ParameterError
from ..samplers import Schedule
from . import _values
from ._checks import fail, require_refused

_STEPS = (1, 2, 3, 10, 50)


def check_levels(schedule: Schedule) -> None:
    """``levels(n)`` are n + 1 finite numbers in double precision that decrease to 0, which is the last."""
    for steps in _STEPS:
        levels = schedule.levels(steps)
        if levels.dtype != torch.float64 or tuple(levels.shape) != (steps + 1,):
            got = f"{levels.dtype} of shape {tuple(levels.shape)}"
            fail(f"levels({steps}) are {got}, not float64 of shape ({steps + 1},)")
        if not bool(torch.isfinite(levels).all()):
            fail(f"levels({steps}) are not finite: {levels.tolist()[:4]}")
        if float(levels[-1]) != 0:
            fail(f"the last of levels({steps}) is {float(levels[-1]):g}, not 0")
        if not bool((levels[1:] < levels[:-1]).all()):
            fail(f"levels({steps}) do not decrease: {[round(v, 4) for v in levels.tolist()[:6]]}")


def check_more_steps_are_shorter(schedule: Schedule) -> None:
    """With more steps the longest one falls, in the angle arctan σ, so that integrators converge."""
    few, many = (float(-schedule.levels(n)[:-1].atan().diff().min()) for n in (20, 80))
    if not many < 0.6 * few:
        fail(
            f"the longest of 20 steps is {few:.2g} in arctan σ, of 80 it is {many:.2g}: however "
            "many levels, the steps stay long"
        )


def check_repeats(schedule: Schedule) -> None:
    """The same number of steps gives the same levels again."""
    if not torch.equal(schedule.levels(10), schedule.levels(10)):
        fail("levels(10) are others the second time")


def check_scale(schedule: Schedule) -> None:
    """The scale of the process is a positive number at every level."""
    for sigma in schedule.levels(10).tolist():
        s = float(schedule.scale(sigma))
        if not 0 < s < math.inf:
            fail(f"scale({sigma:g}) is {s:g}")


def check_wrong_steps_raise(schedule: Schedule) -> None:
    """A number of steps that is none raises a ParameterError."""
    for steps in (0, -3, 2.5, True, "ten"):
        require_refused(
            f"levels({steps!r})",
            (ParameterError,),
            functools.partial(schedule.levels, steps),  # type: ignore[arg-type]
        )


def checks(schedule: Schedule) -> list[Callable[[Any], None]]:
    """The checks for a schedule."""
    own = (check_levels, check_more_steps_are_shorter, check_repeats, check_scale, check_wrong_steps_raise)
    return [*own, *_values.CHECKS]
