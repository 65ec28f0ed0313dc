"""What may stand in a problem: checked where it is read, so that a mistake is named by section and key."""

from __future__ import annotations

import ast
import datetime
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .._errors import DataError

_DEPTH = 32
_COMPONENTS = {"Prior", "Fidelity", "Denoiser", "Noise", "Solver", "Operator", "LinearOperator"}


def check_values(value: Any, where: str, name: str, depth: int = 0) -> None:
    """Refuse values that no entry takes: dates, numbers beyond 64 bits, nesting without end.

    Parameters
    ----------
    value : mapping, sequence or value
    where : str
        The entry, such as ``solver.prior``.
    name : str
        The problem, for the message.
    """
    at = f"{name}: {where}"
    if depth > _DEPTH:
        raise DataError(f"{name}: {where.split('.')[0]} is nested more than {_DEPTH} deep")
    if isinstance(value, datetime.date | datetime.time):
        raise DataError(f"{at} must not be a date or a time, got {value}")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise DataError(f"{at} is a number of {len(str(value))} digits; whole numbers have at most 64 bits")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise DataError(f"{at} has the key {key!r}; keys are texts")
            check_values(item, f"{where}.{key}" if where else key, name, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            check_values(item, where, name, depth + 1)


def fits(annotation: str, value: Any) -> bool:
    """Return whether a value from a table is of the type of a field; True for types not known here.

    Examples
    --------
    >>> fits("float | Tensor", 0.1), fits("float | Tensor", "a"), fits("tuple[int, ...] | None", (1, 2.5))
    (True, False, False)
    """
    return any(_fits(part, value) for part in _split(annotation, "|"))


def hint(annotation: str) -> str:
    """Describe how a table writes a value of this type."""
    tensor = ', a tensor as { tensor = [...] } or { file = "x.npy" }' if "Tensor" in annotation else ""
    known = {name.lower() for name in _COMPONENTS if name in re.findall(r"\w+", annotation)}
    component = f', a component as {{ name = "..." }} (`invcore list {min(known)}`)' if known else ""
    return f"{annotation}{tensor}{component}"


def _fits(kind: str, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind in ("int", "float"):
        return number and (kind == "float" or isinstance(value, int))
    if kind in ("bool", "str"):
        return isinstance(value, bool if kind == "bool" else str)
    if kind == "None":
        return value is None
    if kind == "Tensor":
        return isinstance(value, Tensor)
    if kind in _COMPONENTS:
        return not isinstance(value, bool | int | float | str | list | tuple)
    if match := re.fullmatch(r"Literal\[(.*)\]", kind):
        return value in ast.literal_eval(f"[{match[1]}]") if isinstance(value, str | int | float) else False
    if match := re.fullmatch(r"tuple\[(.*)\]", kind):
        parts = _split(match[1], ",")
        if not isinstance(value, list | tuple):
            return False
        parts = parts[:1] * len(value) if parts[-1] == "..." else parts
        return len(parts) == len(value) and all(fits(p, v) for p, v in zip(parts, value))
    return True


def _split(text: str, mark: str) -> list[str]:
    """Split where no bracket is open."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == mark and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
