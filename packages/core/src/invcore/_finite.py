"""Numbers that are NaN or infinite: found, counted and named where they enter."""

from __future__ import annotations

import cmath
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ._errors import DataError
from ._value import Value


def is_finite(x: Any) -> bool:
    """True if all entries of a tensor, or of all blocks of a tuple, are finite.

    A finite sum proves it in one pass; any other may only have overflowed.
    """
    if isinstance(x, tuple):
        return all(is_finite(part) for part in x)
    return cmath.isfinite(x.detach().sum().item()) or bool(torch.isfinite(x).all())


def check_finite(x: Any, what: str, advice: str) -> None:
    """Raise a `DataError` that counts and locates what is not finite in ``x``, which ``what`` names."""
    for i, block in enumerate(x if isinstance(x, tuple) else (x,)):
        if isinstance(block, tuple):
            check_finite(block, f"{what}, block {i}", advice)
        elif not is_finite(block):
            _refuse(
                block, ~torch.isfinite(block), f"{what}, block {i}" if isinstance(x, tuple) else what, advice
            )


def check_fields_finite(value: Value, what: str, *, nan_only: bool = False) -> None:
    """Raise a `DataError` if a tensor of this value, or of one that it holds, is not finite.

    ``what`` is the name of the value; the message names the field, as in ``physics.operator.kernel``.
    ``nan_only`` lets infinity pass: a bound that does not bind, the noise of a pixel that was not measured.
    """
    for path, held in _tensors(value, what):
        if not (held.is_floating_point() or held.is_complex()) or is_finite(held):
            continue
        bad = torch.isnan(held) if nan_only else ~torch.isfinite(held)
        if bool(bad.any()):
            _refuse(held, bad, path, "Repair it, or make the value again without them.")


def _tensors(held: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a value and their paths, through tuples and the values that it holds."""
    if isinstance(held, Tensor):
        yield path, held
    elif isinstance(held, Value):
        for name in held.__getstate__():
            yield from _tensors(getattr(held, name), f"{path}.{name}")
    elif isinstance(held, torch.nn.Module):
        for name, parameter in held.named_parameters():
            yield f"{path}.{name}", parameter
    elif isinstance(held, tuple | list):
        for i, item in enumerate(held):
            yield from _tensors(item, f"{path}[{i}]")


def _refuse(x: Tensor, bad: Tensor, what: str, advice: str) -> None:
    count, first = int(bad.sum()), tuple(bad.nonzero()[0].tolist())
    raise DataError(
        f"{what} has {count} value{'s that are' if count > 1 else ' that is'} NaN or infinite, "
        f"of {x.numel()}; the first is at index {first}. {advice}"
    )
