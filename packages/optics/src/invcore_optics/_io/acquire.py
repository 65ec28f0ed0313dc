"""What the readers of this package share: from arrays of a file to an `Acquisition`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError, Physics, ShapeError
from invcore.io import (
    Acquisition,
    Output,
    is_regular_file,
)
from invcore.noises import GaussianNoise, Noise
from invcore.operators import Operator


def acquire(
    y: Tensor,
    operator: Operator,
    *,
    sigma: float | None = None,
    noise: Noise | None = None,
    metadata: Mapping[str, Any],
    solver: Mapping[str, Any],
    left_out: tuple[str, ...] = (),
    output: Output | None = None,
) -> Acquisition:
    """Combine data and an instrument's model into an acquisition.

    Parameters
    ----------
    y : Tensor
        An element of ``operator.range``, with any batch dimensions in front.
    operator : Operator
    sigma : float, optional
        Standard deviation of Gaussian noise; kept in the metadata.
    noise : Noise, optional
        Another noise, such as photons. Exactly one of ``sigma`` and ``noise``.
    metadata : mapping
        Facts of the file.
    solver, left_out, output
        As of `Acquisition`.

    Returns
    -------
    Acquisition

    Raises
    ------
    DataError
        If there are NaN or infinite values, or all data are equal.
    ParameterError
        If sigma is not positive.
    """
    check_finite(y, "the data")
    if y.numel() == 0 or bool((y == y.flatten()[0]).all()):
        raise DataError(f"the data {tuple(y.shape)} are empty or constant")
    if (sigma is None) == (noise is None):
        raise ParameterError("acquire: give either sigma= or noise=")
    facts, held = dict(metadata), noise
    if sigma is not None:
        if not 0 < sigma < math.inf:
            raise ParameterError(f"sigma= is a positive standard deviation, got {sigma!r}")
        facts["sigma"], held = float(sigma), GaussianNoise(sigma=float(sigma))
    assert held is not None
    return Acquisition(
        y=y,
        physics=Physics(operator=operator, noise=held),
        metadata=facts,
        solver=solver,
        left_out=left_out,
        output=Output() if output is None else output,
    )


def check_finite(values: Tensor, what: str) -> None:
    """Raise a `DataError` if there are NaN or infinite values."""
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        raise DataError(f"{what} have {bad} NaN or infinite values")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the name of the file to errors about its data."""
    try:
        yield
    except DataError as error:
        if path.name in str(error):
            raise
        raise DataError(f"{path}: {error}") from error


def matrix(value: Any, what: str, *, ndim: int = 2) -> Tensor:
    """Return an array of numbers with ``ndim`` axes as a tensor in single precision.

    Raises
    ------
    DataError
        If it is something else, empty, or has values that are not finite.
    """
    array = np.asarray(value)
    if array.ndim != ndim or array.dtype.kind not in "fiu" or 0 in array.shape:
        raise DataError(f"{what} must be numbers along {ndim} axes, got {array.dtype} {array.shape}")
    values = torch.from_numpy(np.array(array, dtype=np.float32))
    check_finite(values, what)
    return values


def whole_number(value: Any, what: str) -> int:
    """Return a single whole number of a MATLAB file."""
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fiu" or array.flat[0] != np.rint(array.flat[0]):
        raise DataError(f"{what} must be one whole number, got {array.dtype} {array.shape}")
    return int(array.flat[0])


@contextmanager
def from_file() -> Iterator[None]:
    """Call it the file's fault if an operator cannot be made of what it says."""
    try:
        yield
    except (ParameterError, ShapeError) as error:
        raise DataError(str(error)) from error


def text(value: Any, what: str) -> str:
    """Return a text of a MATLAB file."""
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "US":
        raise DataError(f"{what} must be a text, got {array.dtype} {array.shape}")
    return str(array.flat[0])


def beside(path: Path, role: str) -> Path | None:
    """Return ``NAME_role.ext`` for a file ``NAME_anything.ext`` beside it, if there is one."""
    name, mark, last = path.stem.rpartition("_")
    found = path.with_name(f"{name}_{role}{path.suffix}")
    return found if mark and last != role and is_regular_file(found) else None


def span(text: str | None, size: int, name: str) -> slice:
    """Return the part ``"start:stop"`` of an axis.

    Raises
    ------
    ParameterError
        If that is not a part of ``size`` samples.
    """
    if text is None:
        return slice(0, size)
    parts = str(text).split(":")
    good = len(parts) == 2 and all(part.strip().isdigit() for part in parts)
    if not good or not 0 <= int(parts[0]) < int(parts[1]) <= size:
        raise ParameterError(f"{name}= is 'start:stop' within 0:{size}, got {text!r}")
    return slice(int(parts[0]), int(parts[1]))
