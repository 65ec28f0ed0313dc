"""Failures of torch inside an operator, explained in terms of the operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import DataError, DtypeError, ShapeError
from .._value import real_dtype
from ..spaces import Vector, batch_shape, device_of, dtype_of

if TYPE_CHECKING:
    from ._base import Operator

BROADCASTING = (
    "must match the size",
    "not broadcastable",
    "Incompatible shapes",
    "Attempting to broadcast",
    "does not broadcast with",
    "cannot be broadcast",  # torch 2.6
)


PRECISION = ("expected scalar type", "same dtype", "have the same type")


def explained(error: RuntimeError, op: Operator, x: Vector) -> Exception | None:
    """The two commonest torch failures inside an operator, explained in its terms; None for others."""
    text = str(error)
    name = type(op).__name__
    if "same device" in text or ("device" in text and op.device != device_of(x)):
        return DataError(
            f"Input of {name} is on {device_of(x)}, the operator on {op.device}. "
            f"Move one of them: A.to({str(device_of(x))!r}) or x.to({str(op.device)!r})."
        )
    if any(words in text for words in PRECISION):
        return DtypeError(
            f"Input of {name} is {dtype_of(x)}, the operator {op.dtype}. Bring both to one precision: "
            f"A.to({real_dtype(dtype_of(x))}) or x.to(...)."
        )
    if any(words in text for words in BROADCASTING):
        shapes = {n: tuple(p.shape) for n, p in op.parameters().items()}
        return ShapeError(
            f"The batch of the input {tuple(batch_shape(x, op.domain))} does not broadcast against the batch "
            f"of the parameters of {name} {shapes}: {text}"
        )
    return None
