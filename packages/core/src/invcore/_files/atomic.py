"""Writing files so that a reader sees the whole of one or nothing."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._errors import DataError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path in the folder of ``target`` and rename it to ``target`` when the block ends well.

    The data are flushed to the disk before the renaming. If the block raises, Ctrl-C included, the
    temporary file is removed and an existing ``target`` stays as it was. The temporary name is always the
    same, so that the next write removes what a killed process left, and ends like the target, for writers
    that look at the extension. A second process that writes the same target at the same time takes another
    name: the last one wins, whole.

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
    try:
        partial, handle = _claimed(target)
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
    finally:
        if handle is not None:
            os.close(handle)
    if os.name == "posix":
        _flush(target.parent)


def _claimed(target: Path) -> tuple[Path, int | None]:
    """Make a temporary file beside ``target`` that is ours; its handle keeps it locked while we live."""
    fixed = target.with_name(f".part.{target.name}")
    if fcntl is not None:
        with contextlib.suppress(OSError):  # there is none, or it is no file of ours
            old = os.open(fixed, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if _locked(old):  # its writer is gone
                    fixed.unlink(missing_ok=True)
            finally:
                os.close(old)
        with contextlib.suppress(FileExistsError):
            handle = os.open(fixed, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
            if _locked(handle) and _same(handle, fixed):
                return fixed, handle
            os.close(handle)
    other = target.with_name(f".{secrets.token_hex(6)}.part.{target.name}")
    os.close(os.open(other, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return other, None


def _locked(handle: int) -> bool:
    """Lock a file if nobody else has, and return whether it is ours."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False))
    except OSError:
        return False


def _flush(path: Path) -> None:
    """Force a file, or on POSIX the entries of a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
