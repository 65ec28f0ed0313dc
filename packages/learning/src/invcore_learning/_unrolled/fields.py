"""Fields inside a frozen value, by dotted paths such as ``"prior.sigma"``; a tuple is entered by index."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor


def found_at(value: Any, path: str) -> tuple[Any, Any]:
    """What stands at a path, and the value that has it as a field; None twice where there is nothing."""
    owner = None
    for part in path.split("."):
        if isinstance(value, tuple) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif part in getattr(type(value), "__dataclass_fields__", {}):
            owner, value = value, getattr(value, part)
        else:
            return None, None
    return value, owner


def kind_of(owner: Any, name: str) -> str:
    """The annotation of a field, as text."""
    return next((str(f.type) for f in dataclasses.fields(owner) if f.name == name), "")


def with_fields(value: Any, fields: Mapping[str, Any]) -> Any:
    """A copy of a frozen value with other fields, by their paths."""
    if "" in fields:
        return fields[""]
    below: dict[str, dict[str, Any]] = {}
    for path, new in fields.items():
        first, _, rest = path.partition(".")
        below.setdefault(first, {})[rest] = new
    if isinstance(value, tuple):
        return tuple(with_fields(v, below[str(i)]) if str(i) in below else v for i, v in enumerate(value))
    changed = {name: with_fields(getattr(value, name), own) for name, own in below.items()}
    return dataclasses.replace(value, **changed) if changed else value


def numbers_in(value: Any, prefix: str = "") -> Iterator[str]:
    """Paths of the real numbers and tensors that may be learned, for messages."""
    if isinstance(value, tuple):
        for i, part in enumerate(value):
            yield from numbers_in(part, f"{prefix}{i}.")
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            held = getattr(value, field.name)
            if isinstance(held[0] if isinstance(held, tuple) and held else held, float | Tensor):
                yield prefix + field.name
            else:
                yield from numbers_in(held, f"{prefix}{field.name}.")
