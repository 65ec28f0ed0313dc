"""Checks of FITS files against their headers, before anything is allocated."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from invcore import DataError, InvcoreError


def is_fits(path: str | Path) -> bool:
    """Return whether a file begins with the first card of FITS; never raises."""
    path = Path(path)
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            return file.read(10) == b"SIMPLE  = "
    except OSError:
        return False


def check_extents(path: Path) -> None:
    """Raise `DataError` unless the file is FITS and as long as its headers declare."""
    from astropy.io import fits

    if not path.is_file():
        raise DataError(f"no file {path}")
    size = path.stat().st_size
    if not is_fits(path):
        raise DataError(f"{path} is not a FITS file, or its beginning is damaged")
    if size % 2880:
        raise DataError(f"{path} has {size} bytes; FITS files have a multiple of 2880, it is truncated")
    with fits.open(path, memmap=True, lazy_load_hdus=False) as file:
        end = 0
        for number, hdu in enumerate(file):
            info = hdu.fileinfo()
            end = info["datLoc"] + info["datSpan"]
            if end > size:
                raise DataError(
                    f"{path}: part {number} ({hdu.name}) ends at byte {end}, but the file has {size}: it is "
                    "truncated"
                )
        if end != size:
            raise DataError(
                f"{path}: {size - end} bytes at the end belong to no readable part; it is damaged"
            )


@contextmanager
def damage_named(path: Path, kind: str) -> Iterator[None]:
    """Turn any error of a parser into a `DataError` that names the file; suppress warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InvcoreError:
        raise
    except MemoryError as error:
        raise DataError(f"{path} declares more data than there is memory for") from error
    except Exception as error:  # parsers raise anything
        raise DataError(f"{path} cannot be read as {kind}, it is damaged: {error}") from error
