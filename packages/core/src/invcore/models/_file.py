"""Models in files: weights as safetensors, and how to build what they belong to, by registered names.

A description is plain JSON. What a registered class makes is a table: kind, name and the table of its
parameters, which it holds in attributes of the same names (as frozen values do, and scikit-learn's
estimators).
Nothing is unpickled; only registered components, and values and networks of installed plugins, are built.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from .._errors import DataError, InvcoreError, MissingDependencyError, ParameterError
from .._files.atomic import atomic_path
from .._registry.lookup import create, get
from .._registry.registry import Registered, registry
from .._value import Value
from ..plugin import KINDS
from ..spaces import Space

_KEY, _FORMAT = "invcore", 1  # one key: the library writes several in an order that changes
_COMPLEX = ":complex"
"""Ends the name of a complex tensor, stored with its real and imaginary parts in the last dimension."""
_REFUSALS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def save(
    model: Module | Value, path: str | os.PathLike[str], *, card: Mapping[str, Any] | None = None
) -> Path:
    """Write a model, or a value that holds networks, to one file that `load` opens.

    Parameters
    ----------
    model : torch.nn.Module or Value
        Of a registered class, and so are the networks, solvers, priors … that it is made of; each holds the
        parameters of its constructor in attributes of the same names.
    path : str or Path
        Ends with ``.safetensors``. It is replaced at once, when all is written.
    card : dict, optional
        What a user of the model should know, as JSON: data, license, figures.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ParameterError
        If a part is of no registered class, or does not hold what it was made of.
    MissingDependencyError
        If safetensors is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from invcore.models import GaussianRestorer
    >>> R = GaussianRestorer(mean=torch.zeros(1, 4), spectrum=torch.ones(1, 4))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load(save(R, f"{folder}/model.safetensors")).mean.shape
    torch.Size([1, 4])
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ParameterError(f"save: the name of a model's file ends with .safetensors, got {path.name!r}")
    tensors = {key: t.detach().cpu().clone() for key, t in _state(model).items()}
    table = _described(model, tensors, type(model).__name__)
    text = json.dumps({"format": _FORMAT, "model": table, "card": dict(card or {})})
    whole = dict(map(_plain, tensors.items()))
    with atomic_path(path) as temporary:
        mode = temporary.stat().st_mode
        _safetensors("save").torch.save_file(whole, temporary, {_KEY: text})
        temporary.chmod(mode)  # that library leaves a file to its owner alone
    return path


def load(path: str | os.PathLike[str], *, sha256: str | None = None) -> Any:
    """Open a model that `save` wrote.

    ``invcore.model(path)`` is this function. Only registered components are built, weights are read as plain
    numbers, and nothing in the file is executed.

    Parameters
    ----------
    path : str or Path
    sha256 : str, optional
        Refuse a file with another SHA-256.

    Returns
    -------
    torch.nn.Module or Value
        As it was saved, in float64 if its weights are; a module is in evaluation mode.

    Raises
    ------
    DataError
        If the file is missing, truncated, of another format, or its weights do not fit the model that it
        describes.
    UnknownComponentError
        If a part is not registered here; the message says what to install.
    MissingDependencyError
        If safetensors is not installed.
    """
    table, _, tensors = _read(Path(path), sha256)
    try:
        model = _built(table, tensors)
    except InvcoreError as error:
        raise type(error)(f"{path}: {error}") from error
    except RecursionError as error:
        raise DataError(f"{path}: the description is nested too deep") from error
    state = {key: t for key, t in tensors.items() if not key.startswith("description.")}
    for prefix, module in _modules(model).items():
        own = {key.removeprefix(prefix): t for key, t in state.items() if key.startswith(prefix)}
        if any(own[name].dtype == torch.float64 for name, _ in module.named_parameters() if name in own):
            module.double()
        try:
            module.load_state_dict(own)
        except RuntimeError as error:
            raise DataError(f"{path}: the weights do not fit {type(module).__name__}: {error}") from error
        module.eval()
    return model


def card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what the file of a model says about it; the weights are not read.

    Raises
    ------
    DataError
        As `load`.
    """
    return _header(Path(path))[1]


def _state(model: Any) -> dict[str, Tensor]:
    return {
        f"{prefix}{key}": t
        for prefix, module in _modules(model).items()
        for key, t in module.state_dict().items()
    }


def _modules(model: Any) -> dict[str, Module]:
    """The modules that hold the weights, by the prefix of their names in the file."""
    if isinstance(model, Module):
        return {"": model}
    return {f"{path}.": network for path, network in model.networks().items()}


def _described(held: Any, tensors: dict[str, Tensor], path: str) -> Any:
    """As JSON; tensors go to ``tensors``."""
    if held is None or isinstance(held, bool | int | float | str):
        return held
    if isinstance(held, tuple | list) and not hasattr(held, "_fields"):
        return [_described(v, tensors, f"{path}[{i}]") for i, v in enumerate(held)]
    if isinstance(held, Mapping):
        return {"dict": {str(k): _described(v, tensors, f"{path}[{k!r}]") for k, v in held.items()}}
    if isinstance(held, Space):
        return {"shape": list(held.shape), "kind": held.kind}
    if isinstance(held, Tensor):
        key = f"description.{len(tensors)}"
        tensors[key] = held.detach().cpu().clone()
        return {"tensor": key}
    component = component_of(type(held))
    table: dict[str, Any]
    if component is not None:
        table = {"kind": component.kind, "name": component.name}
    elif isinstance(held, Value | Module) and type(held).__module__.partition(".")[0] in _roots():
        table = {"class": f"{type(held).__module__}:{type(held).__qualname__}"}
    else:
        raise ParameterError(
            f"save: {path} is a {type(held).__name__}, which is not registered: a file names what it is "
            "made of, and never holds code. Register the class in a plugin (invcore new-plugin makes one), "
            "or save the state_dict() of the network only."
        )
    table["parameters"] = {}
    for name in inspect.signature(type(held)).parameters:
        if not hasattr(held, name):
            raise ParameterError(
                f"save: {path} is a {type(held).__name__} without an attribute {name!r}: hold each parameter "
                "of the constructor in an attribute of its name"
            )
        table["parameters"][name] = _described(getattr(held, name), tensors, f"{path}.{name}")
    return table


def component_of(cls: type) -> Registered | None:
    """The component whose target is this class."""
    for found in registry().components():
        if found.target.rpartition(":")[2] == cls.__name__ and found.load() is cls:
            return found
    return None


def _roots() -> set[str]:
    """The top-level packages of the installed plugins."""
    return {found.target.partition(".")[0].partition(":")[0] for found in registry().components()}


def _part_class(target: str) -> type[Value | Module]:
    """An unregistered class of a plugin, such as a node of the algebra or a network in a prior."""
    module, _, name = target.partition(":")
    if module.partition(".")[0] in _roots():
        try:
            cls = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            cls = None
        if isinstance(cls, type) and issubclass(cls, Value | Module):
            return cls
    raise DataError(f"the description names {target!r}, which is no value or network of an installed plugin")


def _built(table: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(table, list):
        return tuple(_built(v, tensors) for v in table)
    if not isinstance(table, dict):
        return table
    if set(table) == {"dict"} and isinstance(table["dict"], dict):
        return {k: _built(v, tensors) for k, v in table["dict"].items()}
    if set(table) == {"tensor"} and table["tensor"] in tensors:
        return tensors[table["tensor"]]
    if set(table) == {"shape", "kind"}:
        return Space(tuple(table["shape"]), table["kind"])
    parameters = table.get("parameters", {})
    if not isinstance(parameters, dict):
        raise DataError(f"the parameters of the description are no table: {str(table)[:80]}")
    given = {k: _built(v, tensors) for k, v in parameters.items()}
    if "class" in table:
        cls = _part_class(str(table["class"]))
        return _made(cls.__name__, functools.partial(cls, **given), given)
    kind, name = table.get("kind"), table.get("name")
    if kind not in KINDS or not isinstance(name, str):
        raise DataError(f"the description has a table that names no component: {str(table)[:80]}")
    if not isinstance(cls := get(kind, name), type):
        raise DataError(f"{kind} {name} is no class, so it cannot be part of a model")
    return _made(cls.__name__, functools.partial(create, kind, name, **given), given)


def _made(name: str, make: Callable[[], Any], given: dict[str, Any]) -> Any:
    try:
        return make()
    except InvcoreError:
        raise
    except _REFUSALS as error:
        raise DataError(f"{name} cannot be made of {str(given)[:200]}: {error}") from error


def _header(path: Path) -> tuple[Any, dict[str, Any]]:
    """The description and the card."""
    with _opened(path) as file:
        metadata = file.metadata() or {}
    if _KEY not in metadata:
        raise DataError(
            f"{path} holds weights, but not what they belong to: invcore.models.save writes files with both. "
            "Make the network yourself, and give it safetensors.torch.load_file(path)."
        )
    try:
        held = json.loads(metadata[_KEY])
        if held["format"] != _FORMAT:
            raise DataError(f"{path} has format {held['format']!r}; this invcore opens {_FORMAT}: update it")
        return held["model"], dict(held["card"])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: the description of the model is damaged: {error}") from error


def _read(path: Path, sha256: str | None) -> tuple[Any, dict[str, Any], dict[str, Tensor]]:
    table, said = _header(path)
    if sha256 is not None:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256.lower():
            raise DataError(
                f"{path}: its SHA-256 is {found}, expected {sha256}. It was changed, or is another version."
            )
    with _opened(path) as file:
        return table, said, dict(_restored(key, file.get_tensor(key)) for key in file.keys())  # noqa: SIM118


def _plain(item: tuple[str, Tensor]) -> tuple[str, Tensor]:
    key, t = item
    return (key + _COMPLEX, torch.view_as_real(t).contiguous()) if t.is_complex() else (key, t.contiguous())


def _restored(key: str, t: Tensor) -> tuple[str, Tensor]:
    return (key.removesuffix(_COMPLEX), torch.view_as_complex(t)) if key.endswith(_COMPLEX) else (key, t)


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    library = _safetensors("load")
    try:
        return library.safe_open(path, framework="pt", device="cpu")
    except (library.SafetensorError, OSError, ValueError) as error:
        raise DataError(
            f"{path} is not a safetensors file, or truncated: {error}. Only such files are opened: formats "
            "that hold code (.pt, .pth, .pkl) are not."
        ) from error


def _safetensors(what: str) -> ModuleType:
    try:
        import safetensors
        import safetensors.torch
    except ImportError as error:
        raise MissingDependencyError(
            f'{what}: models are stored with safetensors: pip install "invcore[learning]"'
        ) from error
    return safetensors
