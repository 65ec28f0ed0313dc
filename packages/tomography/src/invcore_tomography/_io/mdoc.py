"""SerialEM's description of a tilt series (``.mdoc``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from invcore import DataError


@dataclass
class Mdoc:
    """What is read of a description.

    Attributes
    ----------
    angles : array, shape (section)
        Tilts in degrees, in the order of the sections of the stack.
    axis : float, optional
        Angle of the tilt axis from the vertical in degrees, counterclockwise.
    pixel : float, optional
        In meters.
    """

    angles: np.ndarray
    axis: float | None = None
    pixel: float | None = None


def read_mdoc(path: Path) -> Mdoc:
    """Read tilts, the angle of the tilt axis, and the pixel."""
    if path.stat().st_size > 50_000_000:
        raise DataError(f"{path} is too large for the description of a tilt series")
    text = path.read_bytes().decode("utf-8", "replace")
    head, *sections = re.split(r"^\[ZValue\s*=\s*(\d+)\]", text, flags=re.MULTILINE)
    tilts: dict[int, float] = {}
    for number, section in zip(sections[::2], sections[1::2], strict=True):
        tilt = _number(section, "TiltAngle")
        if tilt is None:
            raise DataError(f"{path}: section {number} has no TiltAngle")
        tilts[int(number)] = tilt
    if not tilts or sorted(tilts) != list(range(len(tilts))):
        raise DataError(f"{path} describes no sections numbered from 0, each [ZValue = n] with a TiltAngle")
    axis = re.search(r"tilt axis angle\s*=\s*([-+.\d]+)", head, flags=re.IGNORECASE)
    pixel = _number(head, "PixelSpacing")
    return Mdoc(
        angles=np.array([tilts[k] for k in sorted(tilts)]),
        axis=None if axis is None else float(axis[1]),
        pixel=pixel * 1e-10 if pixel is not None and pixel > 0 else None,
    )


def _number(text: str, name: str) -> float | None:
    found = re.search(rf"^{name}\s*=\s*([-+.\deE]+)\s*$", text, flags=re.MULTILINE)
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None
