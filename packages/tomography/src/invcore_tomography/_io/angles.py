"""Tables of angles: their unit, and whether they can be angles."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError

from .._geometry.units import RADIANS, looks_like_degrees, other_unit, unit_called, unit_in

_TURNS = 20  # more than so many turns in degrees are believed only of a unit that the user states


def in_radians(
    values: Any, *, where: str, stated: str | None = None, units: str | None = None, notes: list[str]
) -> Tensor:
    """Angles in radians, from a table in some unit.

    Parameters
    ----------
    values : array_like, shape (view)
    where : str
        The table, for messages.
    stated : str, optional
        The unit that the file states.
    units : str, optional
        The unit that the user states, which is believed.
    notes : list of str
        Receives what is remarkable.

    Raises
    ------
    DataError
        If the values cannot be angles, or look like angles in another unit.
    """
    table = np.asarray(values, dtype=np.float64).reshape(-1)
    if not table.size:
        raise DataError(f"{where}: the table of angles is empty")
    bad = int((~np.isfinite(table)).sum())
    if bad:
        raise DataError(f"{where}: {bad} of {table.size} angles are NaN or infinite")
    if table.size > 1 and np.ptp(table) == 0:
        raise DataError(
            f"{where}: all {table.size} angles are {table[0]:g}: the object did not turn, or these are no "
            "angles"
        )
    unit = None if units is None else unit_called(units)
    if units is not None and unit is None:
        raise ParameterError(f"units= is one of {_UNITS}, got {units!r}")
    if unit is None:
        unit = "degrees" if stated is None else unit_called(stated)
        if unit is None:
            raise DataError(f"{where}: the unit of the angles is {stated!r}. Say units=, one of {_UNITS}")
        _require_plausible(table, unit, where, stated is not None, notes)
    return torch.from_numpy(table * RADIANS[unit])


_UNITS = ", ".join(RADIANS)


def _require_plausible(table: np.ndarray, unit: str, where: str, stated: bool, notes: list[str]) -> None:
    low, high = float(table.min()), float(table.max())
    said = f"{where}: the angles go from {low:.5g} to {high:.5g}"
    by = "the file says" if stated else "none is stated, and degrees are usual"
    if unit == "degrees":
        other = other_unit(table)
        if other is not None:
            raise DataError(
                f"{said}, which look like {other}, not degrees ({by}). Say units='{other}' or units='degrees'"
            )
        if np.ptp(table) > 360 * _TURNS or max(abs(low), abs(high)) > 1e5:
            raise DataError(
                f"{said}: as degrees, {np.ptp(table) / 360:.0f} turns. If this is no table of angles, give "
                f"another; else say units=, one of {_UNITS}"
            )
        if _counts_up(table):
            turns = np.ptp(table) / 360
            notes.append(f"the angles count up by one, over {turns:.1f} turns: are they numbers of views?")
    elif unit == "radians" and looks_like_degrees(table):
        raise DataError(
            f"{said}, which look like degrees, not radians ({by}). Say units='degrees' or units='radians'"
        )


def _counts_up(table: np.ndarray) -> bool:
    return len(table) > 362 and table[0] in (0, 1) and bool((np.diff(table) == 1).all())


def read_table(path: str | Path) -> tuple[np.ndarray, str | None]:
    """The last number of each line of a text file, and the unit that a comment or a title names."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"no file of angles {path}: one angle a line, in degrees")
    if path.stat().st_size > 10_000_000:
        raise DataError(f"{path} is too large for a list of angles")
    text = path.read_bytes().decode("utf-8-sig", "replace")
    lines = [line.partition("#") for line in text.splitlines()]
    comments = " ".join(comment for _, _, comment in lines)
    rows = [row.strip() for row, _, _ in lines if row.strip()]
    if len(rows) > 1 and not _numbers(rows[0]):  # the titles of the columns
        comments += " " + re.split(r"[,;\t]", rows.pop(0))[-1]
    if len(rows) == 1:  # all on one line
        rows = [word for word in re.split(r"[,;\s]+", rows[0]) if word]
    if _decimal_commas(rows):
        rows = [row.replace(",", ".") for row in rows]
    try:
        values = [float(re.split(r"[,;\s]+", row.rstrip(",;"))[-1]) for row in rows]
    except ValueError as error:
        raise DataError(f"{path} is not a list of angles: {error}") from error
    if not values or not np.isfinite(values).all():
        raise DataError(f"{path} holds no angles, or some that are not finite")
    return np.array(values), unit_in(comments)


def _numbers(row: str) -> bool:
    try:
        return [float(word) for word in re.split(r"[,;\s]+", row.strip(",;"))] != []
    except ValueError:
        return False


def _decimal_commas(rows: list[str]) -> bool:
    """True if all rows are like 0,5: a decimal comma, unless what is before it numbers the rows."""
    parts = [re.fullmatch(r"([+-]?\d+),(\d+)", row) for row in rows]
    if len(rows) < 2 or not all(parts):
        return False
    first = [int(part[1]) for part in parts if part]
    return any(b - a != 1 for a, b in itertools.pairwise(first))


def read_angles(path: str | Path, units: str | None = None) -> Tensor:
    """Read angles from a text file, one a line, the last number of each; # begins a comment.

    Parameters
    ----------
    path : str or Path
    units : {"degrees", "radians", ...}, optional
        Their unit; by default what a comment or the title of the column says, else degrees.

    Returns
    -------
    Tensor, shape (view)
        In radians.

    Raises
    ------
    DataError
        If it is no list of angles, or they look like angles in another unit.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "angles.txt"
    ...     _ = file.write_text("# tilt\\n0 -60\\n1 0\\n")
    ...     read_angles(file).tolist()
    [-1.0471975511965976, 0.0]
    """
    values, stated = read_table(path)
    return in_radians(values, where=str(path), stated=stated, units=units, notes=[])
