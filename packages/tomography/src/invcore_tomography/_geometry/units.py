"""Units of angles, by name and by what a table of angles looks like."""

from __future__ import annotations

import math
import re

import numpy as np

DEGREE = math.pi / 180
RADIANS = {
    "degrees": DEGREE,
    "radians": 1.0,
    "milliradians": 1e-3,
    "millidegrees": 1e-3 * DEGREE,
    "turns": 2 * math.pi,
    "gradians": math.pi / 200,
    "arcminutes": DEGREE / 60,
    "arcseconds": DEGREE / 3600,
}
"""Units of angles, in radians."""

_WORDS = {
    "degrees": ("deg", "degs", "degree", "°", "deg.", "dd"),
    "radians": ("rad", "rads", "radian", "rad."),
    "milliradians": ("mrad", "mrads", "milliradian", "millirad"),
    "millidegrees": ("mdeg", "millidegree", "millidegs"),
    "turns": ("turn", "rev", "revs", "revolution", "revolutions", "rotation", "rotations", "cycle", "cycles"),
    "gradians": ("grad", "grads", "gradian", "gon", "gons", "grade"),
    "arcminutes": ("arcmin", "arcminute"),
    "arcseconds": ("arcsec", "arcsecond", "asec"),
}
_UNIT = {word: unit for unit, words in _WORDS.items() for word in (unit, *words)}


def unit_called(word: str) -> str | None:
    """The unit of a name such as ``"deg"``, or None.

    Examples
    --------
    >>> unit_called("Rad"), unit_called("mm")
    ('radians', None)
    """
    return _UNIT.get(word.strip().lower())


def unit_in(text: str) -> str | None:
    """The only unit that a comment or a column title names, or None.

    Examples
    --------
    >>> unit_in("angle [deg]"), unit_in("tilt_angle_rad"), unit_in("degrees or radians")
    ('degrees', 'radians', None)
    """
    found = {_UNIT[word] for word in re.split(r"[^a-z°.]+", text.lower()) if word in _UNIT}
    return found.pop() if len(found) == 1 else None


def looks_like_degrees(values: np.ndarray, *, turns: bool = False) -> bool:
    """True if values said to be radians are degrees: over two turns, in coarse steps.

    Equal steps that do not end at a round number are those of a golden-angle scan; small ones, of many turns.
    Where ``turns`` are usual, as in a helix, unequal steps may be radians too.

    Examples
    --------
    >>> looks_like_degrees(np.arange(180.0)), looks_like_degrees(2.39996 * np.arange(180))
    (True, False)
    """
    span = float(np.ptp(values)) if values.size else 0.0
    if span <= 4 * math.pi + 1e-6:
        return False
    # a helix may be told in any order; a golden-angle scan is known by its own
    steps = np.diff(np.sort(values.reshape(-1)) if turns else values.reshape(-1))
    typical = float(np.median(np.abs(steps)))
    if typical < 0.02:
        return False
    if typical > math.pi:
        return True
    constant = float(np.abs(np.abs(steps) - typical).max()) < 1e-3 * typical
    return _ends(span, typical, 0.5) if constant else not turns


def other_unit(values: np.ndarray) -> str | None:
    """The unit in which values said to be degrees make sense, where degrees make none."""
    span = float(np.ptp(values))
    typical = float(np.median(np.abs(np.diff(values)))) if len(values) > 1 else 0.0
    round_steps = abs(typical * 100 - round(typical * 100)) < 1e-4
    if span <= 1 + typical and len(values) > 20 and not _ends(span, typical, math.pi / 2):
        return "turns"
    if span < 7 and len(values) > 8:
        return "radians"
    if not round_steps and span < 40 and _ends(span, typical, math.pi, 1e-4):
        return "radians"
    if not round_steps and 1000 < span < 40000 and _ends(span, typical, 1000 * math.pi, 1e-4):
        return "milliradians"
    return None


def _ends(span: float, step: float, unit: float, accuracy: float = 1e-6) -> bool:
    """True if a scan of that span ends, with or without its last step, at a multiple of a unit."""
    return any(
        end > unit / 2 and abs(end / unit - round(end / unit)) * unit < max(accuracy * end, 1e-6 * unit)
        for end in (span, span + step)
    )
