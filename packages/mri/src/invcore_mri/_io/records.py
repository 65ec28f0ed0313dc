"""Complex numbers as HDF5 files hold them."""

from __future__ import annotations

from typing import Any

import numpy as np


def record_parts(dtype: np.dtype[Any]) -> tuple[str, str] | None:
    """Names of the real and imaginary part of a record, as MATLAB and others store complex numbers."""
    names = dtype.names or ()
    short = [name.lower()[:1] for name in names]
    return (names[short.index("r")], names[short.index("i")]) if sorted(short) == ["i", "r"] else None


def complex_values(values: np.ndarray[Any, Any], pairs: bool) -> np.ndarray[Any, Any]:
    """Samples as complex64, from complex numbers, records, or pairs on the last axis."""
    if pairs:
        values = values[..., 0] + 1j * values[..., 1]
    elif (parts := record_parts(values.dtype)) is not None:
        values = values[parts[0]] + 1j * values[parts[1]]
    return values.astype(np.complex64)
