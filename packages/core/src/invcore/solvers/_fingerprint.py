"""Fingerprint of a solve: everything it depends on, as short texts that can be compared."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import os
import types
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._errors import ParameterError

_PLAIN = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    torch.dtype,
    torch.device,
    enum.Enum,
    os.PathLike,
    np.generic,
)


def fingerprint(inputs: dict[str, Any]) -> dict[str, str]:
    """A text for every part of ``inputs``, by its path: numbers as they are, tensors by shape and digest."""
    found = {"torch": str(torch.__version__)}
    for name, value in inputs.items():
        _describe(value, name, found, ())
    return found


def digest(tensor: Tensor) -> str:
    """Kind, shape, device, and the beginning of a SHA-256 of the bytes."""
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    if plain.is_complex():
        plain = torch.view_as_real(plain)
    data = plain.reshape(-1).view(torch.uint8).numpy()
    kind = str(tensor.dtype).removeprefix("torch.")
    return f"{kind}{list(tensor.shape)} {tensor.device.type} {hashlib.sha256(data.data).hexdigest()[:16]}"


def _describe(value: Any, path: str, found: dict[str, str], above: tuple[int, ...]) -> None:
    if id(value) in above:  # a cycle
        return
    above = (*above, id(value))

    def below(name: str, part: Any) -> None:
        _describe(part, f"{path}.{name}", found, above)

    if value is None or isinstance(value, _PLAIN):
        found[path] = repr(value)
    elif isinstance(value, Tensor):
        found[path] = digest(value)
    elif isinstance(value, np.ndarray):
        found[path] = f"{value.dtype}{list(value.shape)} {hashlib.sha256(value.tobytes()).hexdigest()[:16]}"
    elif isinstance(value, torch.Generator):
        found[path] = digest(value.get_state())
    elif isinstance(value, torch.nn.Module):
        found[path] = f"{value!r} training={value.training}"
        for name, tensor in value.state_dict().items():
            below(name, tensor)
    elif isinstance(value, type):
        found[path] = _name(value)
    elif isinstance(value, tuple | list):
        found[path] = f"{type(value).__name__} of {len(value)}"
        for i, item in enumerate(value):
            below(str(i), item)
    elif isinstance(value, dict):
        found[path] = f"dict of {len(value)}"
        for key, item in value.items():
            below(repr(key), item)
    elif dataclasses.is_dataclass(value):
        found[path] = _name(type(value))
        for f in dataclasses.fields(value):
            below(f.name, getattr(value, f.name))
    elif isinstance(value, functools.partial):
        found[path] = "partial"
        below("call", (value.func, value.args, value.keywords))
    elif isinstance(value, types.MethodType):
        found[path] = _name(value.__func__)
        below("self", value.__self__)
    elif callable(value) and hasattr(value, "__qualname__"):
        found[path] = _name(value)
        _describe_code(value, found, path, below)
    else:
        _describe_other(value, found, path, below)


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _describe_code(function: Any, found: dict[str, str], path: str, below: Any) -> None:
    """The code of a Python function, and the values it holds; a built-in one is known by its name."""
    code = getattr(function, "__code__", None)
    if code is None:
        return
    parts = [code.co_code, repr(code.co_names).encode()]
    constants = [
        sorted(map(repr, c)) if isinstance(c, frozenset) else c  # sets have no order to rely on
        for c in code.co_consts
        if not isinstance(c, types.CodeType)
    ]
    inner = [c.co_code for c in code.co_consts if isinstance(c, types.CodeType)]
    parts += [repr(constants).encode(), *inner]
    found[path] += " " + hashlib.sha256(b"".join(parts)).hexdigest()[:16]
    below("defaults", function.__defaults__)
    if function.__closure__:
        below("closure", tuple(cell.cell_contents for cell in function.__closure__))


def _describe_other(value: Any, found: dict[str, str], path: str, below: Any) -> None:
    """Any other object by what pickle would store of it (nothing is pickled)."""
    try:
        reduced = value.__reduce_ex__(2)
    except TypeError as error:
        raise ParameterError(
            f"checkpoint: {path} is a {type(value).__name__}, whose content cannot be compared ({error}): "
            "solve without checkpoint"
        ) from error
    found[path] = _name(type(value))
    if isinstance(reduced, tuple):
        below("content", tuple(list(p) if isinstance(p, types.GeneratorType) else p for p in reduced[1:]))
