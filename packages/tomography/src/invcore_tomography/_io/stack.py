"""Stacks of views with their angles beside them, whatever their format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from invcore import DataError
from invcore.io import Acquisition, NearMiss

from .acquire import chosen_rows, naming, parallel_scan, rows_used
from .angles import in_radians, read_table
from .counts import Frames, line_integrals
from .mdoc import read_mdoc
from .options import CountOptions


@dataclass(frozen=True, kw_only=True)
class StackOptions(CountOptions):
    """Options of stacks of views, in addition to those of `CountOptions`.

    Parameters
    ----------
    angles : str or Path, optional
        Text file of the angles; by default the one beside the stack.
    """

    angles: str | Path | None = None


def stack_scan(
    stack: np.ndarray,
    listed: Path,
    frames: dict[str, np.ndarray],
    *,
    options: StackOptions,
    pitch: float | None = None,
    path: Path,
    facts: dict[str, Any],
    numbers: list[int] | None = None,
    flat_at: np.ndarray | None = None,
) -> Acquisition:
    """An acquisition from a stack (view, row, column), with frames ``flat`` and ``dark`` likewise.

    ``numbers`` are those in the names of the views, ``flat_at`` the positions of the flat frames.
    """
    values, stated = listed_angles(listed)
    notes: list[str] = facts.setdefault("notes", [])
    if len(values) != len(stack):
        values = _of_numbers(values, numbers, len(stack), path, listed, frames, facts)
    theta = in_radians(values, where=str(listed), stated=stated, units=options.units, notes=notes)
    facts = {**facts, "angles_from": listed.name}
    for name, frame in frames.items():
        if frame.shape[1:] != stack.shape[1:]:
            raise DataError(f"{path}: the {name} frames are {frame.shape[1:]}, the views {stack.shape[1:]}")
    rows = chosen_rows(options.slice, stack.shape[1], path)
    part = {name: torch.from_numpy(frame[:, rows].astype(np.float32)) for name, frame in frames.items()}
    views = torch.from_numpy(stack[:, rows].astype(np.float32))
    top = float(np.iinfo(stack.dtype).max) if stack.dtype.kind in "iu" else None
    left_out = facts.get("left_out", [])
    facts |= rows_used(rows, stack.shape[1])
    facts["left_out"] = [*left_out, *facts.get("left_out", [])]
    with naming(path):
        counts = Frames(views=views, flat=part.get("flat"), dark=part.get("dark"), flat_at=flat_at, top=top)
        lines, kept = line_integrals(counts, options, facts)
        return parallel_scan(lines, theta[kept], options=options, pitch=pitch, metadata=facts)


def without_angles(path: Path, what: str, reader: str) -> NearMiss:
    """Say that a stack, or a folder of views, has no list of its angles, and where one may be."""
    ends = (
        "angles.txt in it" if path.is_dir() else f"{path.stem}.angles.txt, .tlt, .rawtlt or .mdoc beside it"
    )
    return NearMiss(
        f"{what} without angles of the views. A text file has them, in degrees, one a line: {ends}; or any "
        f"other that is named, --format {reader} --option angles=FILE (format=, angles= in Python)."
    )


def _of_numbers(
    values: np.ndarray,
    numbers: list[int] | None,
    count: int,
    path: Path,
    listed: Path,
    frames: dict[str, np.ndarray],
    facts: dict[str, Any],
) -> np.ndarray:
    """The angles of views that are a part of those listed, by the numbers in their names."""
    if numbers is not None and len(numbers) == count and numbers[-1] - numbers[0] + 1 == len(values):
        facts.setdefault("left_out", []).append(
            f"{len(values) - count} of {len(values)} angles have no view, by the numbers in the views' names"
        )
        return values[np.array(numbers) - numbers[0]]
    found = ", ".join(f"{len(frame)} {name}" for name, frame in frames.items()) or "none"
    raise DataError(
        f"{path}: {count} views, but {len(values)} angles in {listed.name} (frames by their names: {found})"
    )


def listed_angles(path: Path) -> tuple[np.ndarray, str | None]:
    """The angles of a text file or of SerialEM's description, and their unit if it is stated."""
    if path.suffix.lower() == ".mdoc" and path.is_file():
        return read_mdoc(path).angles, "degrees"
    return read_table(path)


_ENDS = (".angles.txt", ".tlt", ".rawtlt", ".mdoc")


def angles_beside(path: Path) -> Path | None:
    """The file of angles beside a stack: ``scan.tlt`` or ``scan.mrc.tlt``, or one in a folder of views."""
    if path.is_dir():
        names = [path / name for name in ("angles.txt", "angles.csv", "theta.txt", "angles.dat")]
        if not any(name.is_file() for name in names):
            names = [file for file in path.iterdir() if file.suffix.lower() in (".tlt", ".rawtlt")]
            names = names if len(names) == 1 else []
    else:
        names = [path.with_suffix(end) for end in _ENDS] + [path.with_name(path.name + end) for end in _ENDS]
    return next((name for name in names if name.is_file()), None)
