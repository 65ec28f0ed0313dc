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
) -> Acquisition:
    """An acquisition from a stack (view, row, column), with frames ``flat`` and ``dark`` likewise."""
    values, stated = read_table(listed)
    if len(values) != len(stack):
        raise DataError(f"{path}: {len(stack)} views, but {len(values)} angles in {listed.name}")
    notes: list[str] = []
    theta = in_radians(values, where=str(listed), stated=stated, units=options.units, notes=notes)
    facts = {**facts, "angles_from": listed.name, "notes": notes}
    for name, frame in frames.items():
        if frame.shape[1:] != stack.shape[1:]:
            raise DataError(f"{path}: the {name} frames are {frame.shape[1:]}, the views {stack.shape[1:]}")
    rows = chosen_rows(options.slice, stack.shape[1], path)
    part = {name: torch.from_numpy(frame[:, rows].astype(np.float32)) for name, frame in frames.items()}
    views = torch.from_numpy(stack[:, rows].astype(np.float32))
    top = float(np.iinfo(stack.dtype).max) if stack.dtype.kind in "iu" else None
    facts = {**facts, **rows_used(rows, stack.shape[1])}
    with naming(path):
        counts = Frames(views=views, flat=part.get("flat"), dark=part.get("dark"), top=top)
        lines, kept = line_integrals(counts, options, facts)
        return parallel_scan(lines, theta[kept], options=options, pitch=pitch, metadata=facts)


def without_angles(path: Path, what: str, reader: str) -> NearMiss:
    """Say that a stack, or a folder of views, has no list of its angles, and where one may be."""
    ends = "angles.txt in it" if path.is_dir() else f"{path.stem}.angles.txt, .tlt or .rawtlt beside it"
    return NearMiss(
        f"{what} without angles of the views. A text file has them, in degrees, one a line: {ends}; or any "
        f"other that is named, --format {reader} --option angles=FILE (format=, angles= in Python)."
    )


def angles_beside(path: Path) -> Path | None:
    """The file of angles beside a stack."""
    names = (path.with_suffix(end) for end in (".angles.txt", ".tlt", ".rawtlt"))
    return next((name for name in names if name.is_file()), None)
