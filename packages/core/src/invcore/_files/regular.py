"""Regular files only: a pipe or a device has no end, and waits for ever."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .._errors import DataError


def regular_file(path: str | os.PathLike[str]) -> Path:
    """Return the path of a regular file that can be opened; every reader and loader asks before it opens one.

    Opening a named pipe waits for somebody to write into it, and a device may never end. Links to regular
    files are fine.

    Parameters
    ----------
    path : path

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If there is no such file, it is a folder, a pipe, a socket or a device, or may not be read.

    Examples
    --------
    >>> regular_file("/dev/null")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: /dev/null is a device, not a file
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            with path.open("rb"):
                return path
    except FileNotFoundError:
        raise DataError(f"no file {path}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    raise DataError(f"{path} is {_kind(mode)}, not a file")


def is_regular_file(path: str | os.PathLike[str]) -> bool:
    """Return whether `regular_file` accepts the path; for ``sniff``, which must not raise."""
    try:
        regular_file(path)
    except DataError:
        return False
    return True


def _kind(mode: int) -> str:
    kinds = {"a folder": stat.S_ISDIR, "a named pipe": stat.S_ISFIFO, "a socket": stat.S_ISSOCK}
    return next((name for name, holds in kinds.items() if holds(mode)), "a device")
