"""Components from the tables of a problem."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._errors import DataError, InvcoreError, ParameterError, ShapeError, UnknownComponentError
from .._physics import Physics
from .._registry.lookup import create, get
from ..io._image import load_array
from ..operators import Operator, Space
from ._schema import fits, hint

_KINDS = {"operator", "noise", "fidelity", "prior", "solver", "denoiser", "metric", "transform", "generator"}
_KINDS |= {"model", "loss", "dataset", "sampler", "schedule", "integrator", "guidance"}
_REFUSALS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a component may raise when it is made of values that do not suit it."""


def fields(kind: str, name: str) -> dict[str, str]:
    """Return the fields of a registered dataclass with their annotations; none of another component."""
    cls = get(kind, str(name))
    return {f.name: str(f.type) for f in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else {}


def build(kind: str, table: Mapping[str, Any], generator: torch.Generator) -> Any:
    """Make a component of its table: ``name`` and parameters.

    A parameter that is a table is a component (``{name = ...}``), a tensor from a file (``{file = ...}``) or
    from numbers (``{tensor = [...]}``), a tensor drawn by a registered generator (``{generator = ...}``) or a
    space (``{shape = [...], kind = "real"}``). Lists are tuples.
    """
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        raise DataError(f"[{kind}] needs a name, such as one that `invcore list {kind}` shows")
    name = table["name"]
    parameters: dict[str, Any] = {}
    for key, value in table.items():
        try:
            parameters |= {} if key == "name" else {key: _value(key, value, generator)}
        except (DataError, ParameterError, ShapeError, UnknownComponentError) as error:
            raise type(error)(f"[{kind}] {name}: {key}: {error}") from error
    for key, annotation in fields(kind, name).items():
        if key in parameters and not fits(annotation, parameters[key]):
            raise ParameterError(f"[{kind}] {name}: {key} takes {hint(annotation)}; got {table[key]!r:.200}")
    try:
        return create(kind, name, **parameters)
    except InvcoreError:
        raise
    except _REFUSALS as error:
        raise ParameterError(f"[{kind}] {name} cannot be made of {dict(table)!r:.200}: {error}") from error


def physics_of(problem: Mapping[str, Any], x: Tensor, generator: torch.Generator) -> Physics:
    """Make the physics of a problem; the operator's domain is that of the image unless given."""
    table = dict(problem["operator"])
    if "domain" not in table and "name" in table and "domain" in fields("operator", table["name"]):
        table["domain"] = Space(tuple(x.shape), "complex" if x.is_complex() else "real")
    operator = build("operator", table, generator)
    if not isinstance(operator, Operator):
        raise ParameterError(f"[operator] {table['name']} is not an operator")
    if "noise" not in problem:
        return Physics(operator=operator)
    return Physics(operator=operator, noise=build("noise", problem["noise"], generator))


def _value(key: str, value: Any, generator: torch.Generator) -> Any:
    if key in _KINDS and isinstance(value, str):
        return build(key, {"name": value}, generator)
    if isinstance(value, list):
        return tuple(_value(key, v, generator) for v in value)
    if not isinstance(value, Mapping):
        return value
    if "name" in value:
        kind = value.get("kind", key)
        if kind not in _KINDS:
            raise DataError(
                f"{key}: say what kind {value['name']!r} is, as in {{kind = 'denoiser', name = ...}}"
            )
        return build(kind, {k: v for k, v in value.items() if k != "kind"}, generator)
    try:
        if "file" in value:
            return load_array(Path(value["file"]).expanduser())
        if "tensor" in value:
            return torch.tensor(value["tensor"], dtype=torch.get_default_dtype())
        if "generator" in value:
            table = {"name": value["generator"], **{k: v for k, v in value.items() if k != "generator"}}
            return build("generator", table, generator)(generator=generator)
        if "shape" in value:
            return Space(tuple(value["shape"]), value.get("kind", "real"))
    except (InvcoreError, OSError):
        raise
    except _REFUSALS as error:
        raise ParameterError(f"{key} cannot be made of {dict(value)!r:.200}: {error}") from error
    raise DataError(
        f"{key}: a table must have one of name, file, tensor, generator or shape; got {sorted(value)}"
    )
