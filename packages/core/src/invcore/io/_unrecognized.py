"""What to say of a file that no reader recognizes: what it is, what it lacks, what to install, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py

from .._errors import DataError
from .._files.hdf5 import is_hdf5, open_hdf5
from .._files.regular import is_regular_file
from .._registry.hints import install
from .._registry.registry import MISSING, Registered, registry

_NAMESPACES = {
    "mri": ".cfl .hdr .h5 .mrd .dat .mat",
    "tomography": ".tif .tiff .mrc .mrcs .st .ali .h5 .hdf5 .nxs .mat .txrm .dcm .ima",
    "radio": ".uvfits .fits .oifits .ms",
    "lidar": ".ptu .mat",
}
"""The package that reads files of these names."""

_FOREIGN = {
    ".npy": "An array alone has no physics: in Python, a solver takes it with a Physics.",
    ".npz": "Arrays alone have no physics: in Python, a solver takes them with a Physics.",
    ".toml": "A problem file: `invcore run {path}` carries it out.",
    ".zip": "An archive: unpack it first.",
    ".gz": "It is compressed: unpack it first.",
    ".bz2": "It is compressed: unpack it first.",
}
"""What files of these names are, and what to do with them."""

_IMAGES = (".png", ".jpg", ".jpeg", ".nii", ".nii.gz", ".bmp", ".gif")


def said_of(
    path: Path, asked: Sequence[Registered], near: Iterable[tuple[Registered, str]], troubles: Iterable[str]
) -> str:
    """Return the message. ``near`` has the readers that a file nearly suits, and what it lacks."""
    what, known = "folder" if path.is_dir() else "file", _known(path)
    lines = [f"{path}: no installed reader recognizes this {what}. {known}".rstrip()]
    lines += [f"Nearly {found.name}: {reason}" for found, reason in near]
    lines += _to_install(path)
    if len(lines) == 1 and not known:
        lines += _formats(asked)
    return "\n".join([*lines, *(f"Reader {trouble}" for trouble in troubles)])


def _known(path: Path) -> str:
    """Return a sentence on what a file is, as far as its name or its first bytes say."""
    if path.is_dir():
        if (path / "reconstruction.h5").is_file():
            return f"It holds a result of invcore: `invcore run {path}` repeats it."
        return "Give one of the files in it."
    if not is_regular_file(path):
        return "It is no regular file."
    name = path.name.lower()
    if name.endswith(_IMAGES):
        return (
            f"It is an image, not measured data: `invcore evaluate {path} REFERENCE` compares it, and "
            "[image] in a problem file simulates measurements of it."
        )
    for end, text in _FOREIGN.items():
        if name.endswith(end):
            return text.format(path=path)
    if path.stat().st_size == 0:
        return "It is empty."
    return _hdf5(path) if is_hdf5(path) else ""


def _hdf5(path: Path) -> str:
    """Return a sentence on what an HDF5 file holds."""
    try:
        with open_hdf5(path) as file:
            names = sorted(map(str, file))
            inside = list(file["dataset"]) if isinstance(file.get("dataset"), h5py.Group) else []
    except (DataError, OSError, RuntimeError, KeyError):
        return "It is HDF5, and damaged."
    if {"x", "provenance"} <= set(names):
        return (
            f"It is a result of invcore: `invcore run {path}` repeats it, "
            f"`invcore evaluate {path} REFERENCE` compares it."
        )
    if "problem" in names:
        return f"It was written by `invcore simulate`: `invcore run {path}` carries its problem out."
    if {"data", "xml"} <= set(inside):
        return "It is ISMRMRD raw data, which invcore-mri reads."
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return (
        f"It is HDF5 and holds {shown or 'nothing'}, which no reader knows: `invcore list reader` shows the "
        "formats."
    )


def _to_install(path: Path) -> list[str]:
    """Return the commands that install packages which read files of this name."""
    name = path.name.lower()
    commands = (
        install(namespace, registry().installed)
        for namespace, ends in _NAMESPACES.items()
        if name.endswith(tuple(ends.split()))
    )
    return [f"Files of this name are read by what this brings: {command}" for command in commands if command]


def _formats(asked: Sequence[Registered]) -> list[str]:
    if not asked:
        return ['No reader is installed; the formats come with the domains: pip install "invcore[mri]".']
    lines = ["Installed formats:"]
    for found in asked:
        lines.append(f"  {found.name}: {found.summary or 'no description'} ({found.plugin})")
        lines += [f"    {found.reason}"] if found.status == MISSING else []
    example = asked[0].name
    lines.append(
        f"If it is one of them, name it, as in --format {example} or format={example!r}, to see why it "
        "cannot be read."
    )
    return lines
