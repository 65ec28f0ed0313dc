"""Writing files so that a reader sees the whole of one or nothing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._errors import DataError


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path in the folder of ``target`` and rename it to ``target`` when the block ends well.

    The data are flushed to the disk before the renaming. If the block raises, Ctrl-C included, the
    temporary file is removed and an existing ``target`` stays as it was. The temporary name ends like the
    target, for writers that look at the extension.

    Parameters
    ----------
    target : path
        The folder must exist.

    Yields
    ------
    Path
        An existing empty file to overwrite.

    Raises
    ------
    DataError
        If the folder does not exist or cannot be written, or ``target`` is a folder.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder) / "a.txt") as path:
    ...         _ = path.write_text("whole")
    ...     (Path(folder) / "a.txt").read_text(), len(os.listdir(folder))
    ('whole', 1)
    """
    target = Path(target)
    if target.is_dir():
        raise DataError(f"cannot write {target}: it is a folder. Give the name of a file.")
    partial = target.with_name(f".{secrets.token_hex(6)}.{target.name}")
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        hint = (
            "" if target.parent.is_dir() else f" The folder {target.parent} does not exist; create it first."
        )
        raise DataError(
            f"cannot write {target}: "
            f"{error.strerror or error}.{hint or ' Choose a folder that can be written.'}"
        ) from error
    try:
        yield partial
        _flush(partial)
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        _flush(target.parent)


def _flush(path: Path) -> None:
    """Force a file, or on POSIX the entries of a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
