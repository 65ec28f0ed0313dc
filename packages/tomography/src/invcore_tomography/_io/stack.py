"""Stacks of views with their angles beside them, whatever their format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import Acquisition

from .acquire import chosen_rows, naming, parallel_scan, transmission
from .options import CountOptions


@dataclass(frozen=True, kw_only=True)
class StackOptions(CountOptions):
    """Options of stacks of views, in addition to those of `CountOptions`.

    Parameters
    ----------
    values : {"counts", "transmission", "attenuation"}
        Meaning of the pixels: counts to be normalized, transmission, or line integrals.
    angles : str or Path, optional
        Text file of the angles in degrees; by default the one beside the stack.
    """

    values: Literal["counts", "transmission", "attenuation"] = "counts"
    angles: str | Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.values not in ("counts", "transmission", "attenuation"):
            raise ParameterError(f"values= is 'counts', 'transmission' or 'attenuation', got {self.values!r}")


def stack_scan(
    stack: np.ndarray,
    theta: Tensor,
    frames: dict[str, np.ndarray],
    *,
    options: StackOptions,
    pitch: float | None = None,
    path: Path,
    facts: dict[str, Any],
) -> Acquisition:
    """An acquisition from a stack (view, row, column), with frames ``flat`` and ``dark`` likewise."""
    if len(theta) != len(stack):
        raise DataError(f"{path}: {len(stack)} views, but {len(theta)} angles in {facts['angles_from']}")
    for name, frame in frames.items():
        if frame.shape[1:] != stack.shape[1:]:
            raise DataError(f"{path}: the {name} frames are {frame.shape[1:]}, the views {stack.shape[1:]}")
    values = options.values
    rows = chosen_rows(options.slice, stack.shape[1], path)
    part = {name: torch.from_numpy(frame[:, rows].astype(np.float32)) for name, frame in frames.items()}
    views = torch.from_numpy(stack[:, rows].astype(np.float32))
    facts = {**facts, "values": values, "slices": [rows.start, rows.stop - 1], "slice_count": stack.shape[1]}
    with naming(path):
        if values == "attenuation":
            lines = views
        else:
            flat = torch.ones(1, *views.shape[1:]) if values == "transmission" else part.get("flat")
            dark = part.get("dark") if values == "counts" else None
            lines = transmission(views, flat, dark, zingers=options.zingers, facts=facts)
        return parallel_scan(lines, theta, options=options, pitch=pitch, metadata=facts)


def read_angles(path: str | Path) -> Tensor:
    """Read angles in degrees from a text file, one a line, the last number of each; # begins a comment.

    Returns
    -------
    Tensor, shape (view)
        In radians.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "angles.txt"
    ...     _ = file.write_text("# tilt\\n0 -60\\n1 0\\n")
    ...     read_angles(file).tolist()
    [-1.0471975511965976, 0.0]
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"no file of angles {path}: one angle in degrees a line")
    if path.stat().st_size > 10_000_000:
        raise DataError(f"{path} is too large for a list of angles")
    text = path.read_bytes().decode("utf-8", "replace")
    lines = [line.partition("#")[0].replace(",", " ").split() for line in text.splitlines()]
    try:
        values = [float(words[-1]) for words in lines if words]
    except ValueError as error:
        raise DataError(f"{path} is not a list of angles: {error}") from error
    if not values or not np.isfinite(values).all():
        raise DataError(f"{path} holds no angles, or some that are not finite")
    return torch.deg2rad(torch.tensor(values, dtype=torch.float64))


def angles_beside(path: Path) -> Path | None:
    """The file of angles beside a stack."""
    names = (path.with_suffix(end) for end in (".angles.txt", ".tlt", ".rawtlt"))
    return next((name for name in names if name.is_file()), None)
