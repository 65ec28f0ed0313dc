"""Errors of a format's library are the file's fault; our own are not."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._errors import DataError, InvcoreError


@contextmanager
def damage(path: str | os.PathLike[str], kind: str, *libraries: str) -> Iterator[None]:
    """Turn what a format's library raises into a `DataError` that names the file; silence its warnings.

    Parsers raise all sorts of errors on damaged files. An exception is called damage if it comes from or
    through the code of one of the libraries; an error of the reader itself stays what it is, rather than
    accuse the file.

    Parameters
    ----------
    path : path
        The file.
    kind : str
        What it should be, for the message: ``"a TIFF file"``.
    *libraries : str
        Names of the packages that parse it.

    Raises
    ------
    DataError
        For an exception of the libraries, or if memory ran out.

    Examples
    --------
    >>> import json
    >>> with damage("scan.json", "JSON", "json"): json.loads("{")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: scan.json cannot be read as JSON, it is damaged or truncated: ...
    >>> with damage("scan.json", "JSON", "json"): [][0]
    Traceback (most recent call last):
        ...
    IndexError: list index out of range
    """
    try:
        with warnings.catch_warnings():
            for name in libraries:  # what they say of a file that they then refuse; ours are heard
                warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")
            yield
    except InvcoreError:
        raise
    except MemoryError as error:
        raise DataError(f"{path} declares more data than there is memory for") from error
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        if not any(name in Path(f.filename).with_suffix("").parts for f in frames for name in libraries):
            raise
        said = str(error) or type(error).__name__
        raise DataError(f"{path} cannot be read as {kind}, it is damaged or truncated: {said}") from error
