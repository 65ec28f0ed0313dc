"""The folder of a result: replaced as a whole, by one process at a time, and cleaned of what was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .._errors import DataError
from ..io import atomic_path, load_reconstruction

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

RESULT = "reconstruction.h5"
"""Written last: it lists the other files, and a folder without it holds no result."""

_STAGE = ".invcore-"


@contextlib.contextmanager
def output_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a folder if needed and check that it can be written; remove it again if nothing came of it."""
    folder = Path(path)
    known = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot make the output folder {folder}: {error.strerror}. Choose another one with -o DIR."
        ) from error
    try:
        with atomic_path(folder / ".invcore-probe"):
            pass
        (folder / ".invcore-probe").unlink(missing_ok=True)
        _clean(folder)
        yield folder
    except BaseException:
        if not known:
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()
        raise


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give a folder to write into; when the block ends well its files replace the result in ``folder``.

    The files of the earlier result are moved away, then the new ones come, the one that lists them last. Two
    processes take turns, so that the last result is there, whole. A process that is killed in between leaves
    what `_clean` turns back into the earlier result.
    """
    with contextlib.ExitStack() as ours:
        with _locked(folder):  # no other process cleans up what is made and not yet locked
            stage = Path(tempfile.mkdtemp(prefix=_STAGE, dir=folder))
            ours.enter_context(_locked(stage))
        try:
            yield stage
            with _locked(folder):
                try:
                    _replace(folder, stage)
                except BaseException:
                    _undo(folder, stage)
                    raise
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def _replace(folder: Path, stage: Path) -> None:
    new = sorted((file.name for file in stage.iterdir()), key=lambda name: (name == RESULT, name))
    old = stage / "old"
    old.mkdir()
    (stage / "names").write_text("\n".join(new))
    for name in sorted(_files_of(folder / RESULT) | {n for n in new if (folder / n).is_file()}):
        if (folder / name).is_file():
            os.replace(folder / name, old / name)
    for name in new:
        os.replace(stage / name, folder / name)


def _clean(folder: Path) -> None:
    """Remove what killed processes left in a folder; a result that was half replaced comes back."""
    if fcntl is None:
        return
    with _locked(folder):
        for stage in folder.glob(f"{_STAGE}*"):
            if stage.is_dir() and not stage.is_symlink():
                with _locked(stage, wait=False) as ours:
                    if ours:
                        _undo(folder, stage)
                        shutil.rmtree(stage, ignore_errors=True)


def _undo(folder: Path, stage: Path) -> None:
    if not (stage / "old").is_dir() or not (stage / "names").is_file():
        return
    new = [Path(name).name for name in (stage / "names").read_text().splitlines()]
    left = {name for name in new if (stage / name).exists()}
    if left:  # otherwise all had come
        for name in set(new) - left:
            (folder / name).unlink(missing_ok=True)
        for file in (stage / "old").iterdir():
            os.replace(file, folder / file.name)


def _files_of(image: Path) -> set[str]:
    """Return the names of the files that were written with an earlier result, that one among them."""
    try:
        names = load_reconstruction(image)[1].get("files", [])
    except (DataError, OSError):
        return set()
    return {name for name in names if isinstance(name, str) and name == Path(name).name}


@contextlib.contextmanager
def _locked(folder: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a folder's lock, which ends with the process; yield whether it is ours."""
    if fcntl is None:
        yield True
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = True
        except OSError:  # somebody's, or a file system without locks
            ours = False
        yield ours
    finally:
        os.close(handle)
