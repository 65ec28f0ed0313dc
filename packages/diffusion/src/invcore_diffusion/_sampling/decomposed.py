"""Operators by their singular value decomposition."""

from __future__ import annotations

from typing import Any

from invcore import ParameterError, Physics, ShapeError
from invcore.operators import SVD, LinearOperator
from invcore.spaces import dtype_of, real_size_of

_LARGEST_MATRIX = 2**22
"""Entries of a matrix whose decomposition takes a few seconds."""


def decomposed(physics: Physics, y: Any, name: str) -> Physics:
    """The physics with the operator by its singular value decomposition, in the precision of the data."""
    A = physics.operator
    if not isinstance(A, LinearOperator):
        raise ParameterError(f"{name} needs a linear operator; {type(A).__name__} is not linear")
    entries = real_size_of(A.domain) * real_size_of(A.range)
    if entries > _LARGEST_MATRIX and A._svd() is None:
        raise ShapeError(
            f"{name} needs the singular value decomposition of the operator: {type(A).__name__} has none "
            f"in closed form, and its matrix of {entries} entries is too large to find it (at most "
            f"{_LARGEST_MATRIX}). Write it as invcore.operators.SVD, or take diffusion.pigdm."
        )
    return Physics(SVD.of(A).to(dtype_of(y)), physics.noise)
