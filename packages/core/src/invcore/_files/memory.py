"""Is there memory for an array? Asked before it is allocated."""

from __future__ import annotations

from pathlib import Path

from .._errors import DataError


def room_for(nbytes: int, what: str) -> None:
    """Raise unless there is memory for ``nbytes``, so that nothing is allocated that cannot be held.

    Parameters
    ----------
    nbytes : int
    what : str
        Begins the message: the file and the part of it.

    Raises
    ------
    DataError

    Examples
    --------
    >>> room_for(1000, "scan.h5: 'data'")
    >>> room_for(10**18, "scan.h5: 'data'")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: scan.h5: 'data' needs 1000000000.0 GB of memory, ... GB are free...
    """
    free = free_memory()
    if nbytes > (2**62 if free is None else free):
        told = "and there are fewer" if free is None else f"{free / 1e9:.1f} GB are free"
        raise DataError(f"{what} needs {nbytes / 1e9:.1f} GB of memory, {told}. Read a part of it")


def free_memory() -> int | None:
    """Return the bytes that can still be allocated on Linux, by the system or its container; else None."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    try:
        held = Path("/sys/fs/cgroup")
        limit = int((held / "memory.max").read_text()) - int((held / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit
        return free
    return max(0, min(free, limit))
