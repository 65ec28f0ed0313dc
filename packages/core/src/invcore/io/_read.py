"""`read`: one entry for every file format."""

from __future__ import annotations

import difflib
import os
import warnings
from pathlib import Path
from typing import Any

from .._errors import DataError, InvcoreError, MissingDependencyError
from .._files.regular import regular_file
from .._finite import check_fields_finite, check_finite
from .._registry.loader import describe
from .._registry.lookup import check_parameters, create
from .._registry.registry import MISSING, Registered, registry
from ._acquisition import Acquisition, NearMiss
from ._unrecognized import said_of


def read(
    path: str | os.PathLike[str], *, format: str | None = None, plugin: str | None = None, **options: Any
) -> Acquisition:
    """Read measurements: the format is recognized by asking every registered reader.

    Parameters
    ----------
    path : path
        A file, or a folder for formats made of several files.
    format : str, optional
        The registered name of a reader, such as ``"mri.cfl"``, instead of recognizing the format.
    plugin : str, optional
        The distribution to take ``format`` from, where several offer it.
    **options
        Passed to the reader; ``invcore info NAME`` lists what it takes.

    Returns
    -------
    Acquisition

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If no reader, or more than one, recognizes the file, or it is damaged.
    ParameterError
        If the reader has no such option.
    UnknownComponentError
        If there is no reader called ``format``.
    MissingDependencyError
        If the format is known, and a package that its reader needs is not installed.

    Warns
    -----
    RuntimeWarning
        If another reader failed while it was asked.

    Examples
    --------
    >>> read("no-such-file.h5")
    Traceback (most recent call last):
        ...
    FileNotFoundError: no-such-file.h5 does not exist...
    """
    path = Path(path)
    if format is not None:
        name, reader = format, create("reader", format, plugin=plugin)
        check_exists(path)
    else:
        check_exists(path)
        found, reader = recognize(path)
        name = found.name
    check_parameters("reader", name, reader.Options, options)
    try:
        acquisition = reader.read(path, **options)
    except (InvcoreError, OSError):
        raise
    except Exception as error:
        raise DataError(
            f"reader {name} could not read {path}: {type(error).__name__}: {error}. That is a fault of the "
            "reader, whatever the file is: please report it. If the file is of another format, name that "
            "with --format NAME or format=..."
        ) from error
    if not isinstance(acquisition, Acquisition):
        raise DataError(
            f"reader {name} returned {type(acquisition).__name__} for {path}, not an Acquisition."
        )
    _check_finite(acquisition, path)
    return acquisition


def _check_finite(acquisition: Acquisition, path: Path) -> None:
    """Refuse what a reader's own scaling made infinite, and what it did not look at."""
    physics, advice = acquisition.physics, "Samples that are no data must be left out, or given weight 0."
    check_finite(acquisition.y, f"{path}: y", advice)
    check_fields_finite(physics.operator, f"{path}: physics.operator")
    check_fields_finite(physics.noise, f"{path}: physics.noise", nan_only=True)


def is_there(path: Path) -> bool:
    """Return whether a path exists, or is the common name of several files, as of BART's .cfl and .hdr."""
    return path.exists() or (
        bool(path.name)
        and path.parent.is_dir()
        and sum(entry.stem == path.name and entry.is_file() for entry in path.parent.iterdir()) > 1
    )


def check_exists(path: Path) -> None:
    if is_there(path):
        if path.exists() and not path.is_dir():
            regular_file(path)
        return
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{path} does not exist: there is no folder {folder}.")
    names = sorted(entry.name for entry in folder.iterdir())
    near = [n for n in names if n.startswith(path.name + ".")][:3] or difflib.get_close_matches(
        path.name, names, n=3
    )
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise FileNotFoundError(f"{path} does not exist.{hint}")


def reader_of(path: Path) -> Any:
    """The reader that recognizes an existing file."""
    return recognize(path)[1]


def recognize(path: Path) -> tuple[Registered, Any]:
    """Query every reader's `sniff`; exactly one must match.

    Readers whose optional packages are missing are included if they import.
    """
    if path.exists() and not path.is_dir():
        regular_file(path)
    claims: list[tuple[Registered, Any]] = []
    asked: list[Registered] = []
    near: list[tuple[Registered, str]] = []
    troubles: list[str] = []
    lacking: list[str] = []
    for found in registry().components("reader"):
        try:
            reader: Any = found.load(anyway=True)
            reader = reader()
            claimed = reader.sniff(path)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a reader that fails, or exits, must not take the others with it
            text = str(error) if isinstance(error, InvcoreError) else describe(error)
            known = found.status == MISSING
            (lacking if known else troubles).append(
                f"{found.name} ({found.plugin}) could not be asked: {found.reason if known else text}"
            )
            continue
        asked.append(found)
        if isinstance(claimed, NearMiss):
            near.append((found, claimed.reason))
        elif claimed:
            claims.append((found, reader))
    if len(claims) == 1:
        for trouble in troubles:
            warnings.warn(f"reading {path}: reader {trouble}", RuntimeWarning, stacklevel=3)
        if claims[0][0].status == MISSING:
            raise MissingDependencyError(f"{path}: {claims[0][0].reason}")
        return claims[0]
    if claims:
        names = ", ".join(f"{found.name} ({found.plugin})" for found, _ in claims)
        same = len({found.name for found, _ in claims}) < len(claims)
        advice = f"format={claims[0][0].name!r}" + (f", plugin={claims[0][0].plugin!r}" if same else "")
        raise DataError(
            f"{path} is recognized by several readers: {names}. Choose one, for example {advice}, or "
            f"--format {claims[0][0].name} on the command line."
        )
    raise DataError(said_of(path, asked, near, troubles + lacking))
