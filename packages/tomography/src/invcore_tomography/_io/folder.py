"""Folders of views: their order, and which files are flat and dark frames."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

_FLAT = {"flat", "flats", "flatfield", "flatfields", "ff", "white", "whites", "openbeam", "ob"}
_DARK = {"dark", "darks", "darkfield", "darkfields", "df"}
_BEFORE = {"before", "pre", "start", "begin", "beginning"}
_AFTER = {"after", "post", "end"}


@dataclass
class Files:
    """Files of a folder in natural order.

    Attributes
    ----------
    views, flat, dark : list of Path
    early, late : set of Path
        Flat frames whose names say that they were taken before or after the views.
    """

    views: list[Path] = field(default_factory=list)
    flat: list[Path] = field(default_factory=list)
    dark: list[Path] = field(default_factory=list)
    early: set[Path] = field(default_factory=set)
    late: set[Path] = field(default_factory=set)


def sorted_files(folder: Path, suffixes: tuple[str, ...]) -> Files:
    """The views of a folder, and the frames that names tell from them: ``flat_0001.tif``, ``dark.tif``.

    Frames may also lie in folders of such names.
    """
    found = Files()
    inside = sorted(folder.iterdir(), key=natural)
    files = [file for file in inside if file.suffix.lower() in suffixes]
    for file in files:
        words = _words(file.stem)
        place = found.dark if words & _DARK else found.flat if words & _FLAT else found.views
        place.append(file)
    if not found.views:  # all are called flat or dark: the name of the sample
        found.views, found.flat, found.dark = files, [], []
    for below in inside:
        words = _words(below.name) if below.is_dir() else set()
        if words & (_FLAT | _DARK):
            frames = sorted((f for f in below.iterdir() if f.suffix.lower() in suffixes), key=natural)
            (found.dark if words & _DARK else found.flat).extend(frames)
    for file in found.flat:
        words = _words(file.stem) | _words(file.parent.name if file.parent != folder else "")
        if words & _BEFORE:
            found.early.add(file)
        elif words & _AFTER:
            found.late.add(file)
    return found


def natural(path: Path) -> list[tuple[int, int, str]]:
    """Key that sorts numbers in names by their value: view_2 before view_10.

    Examples
    --------
    >>> sorted([Path("v10.tif"), Path("v2.tif"), Path("v1.tif")], key=natural)[1].name
    'v2.tif'
    """
    parts = re.split(r"(\d+)", path.stem)
    key = [(0, int(p), "") if p.isdecimal() else (1, 0, p.lower()) for p in parts if p]
    return [*key, (-1, 0, path.name)]


def numbers(files: list[Path]) -> list[int] | None:
    """The running numbers of files that are called alike but for one number, or None."""
    parts = [re.split(r"(\d+)", file.stem) for file in files]
    if len({len(p) for p in parts}) != 1:
        return None
    varying = [k for k in range(len(parts[0])) if len({p[k] for p in parts}) > 1]
    if len(varying) != 1 or varying[0] % 2 == 0:
        return None
    return [int(p[varying[0]]) for p in parts]


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", name.lower()))
