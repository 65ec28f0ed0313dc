"""Checkpoints: the position of a running solve in an HDF5 file, and the proof that it belongs to this solve.

Nothing in the file is executed when it is read: it holds numbers, and the names of state classes that the
solver itself provides.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import torch
from torch import Tensor

from .._errors import DataError, ParameterError, SolverError
from .._files.hdf5 import open_hdf5, own_dataset, own_node, own_values
from .._files.hdf5_write import write_hdf5
from .._files.memory import room_for
from .._value import Value
from ._fingerprint import fingerprint

_FORMAT = 2


@dataclass
class Run:
    """State of a running solve: everything the driver's loop needs to go on."""

    state: Any
    done: Tensor
    k: int = 0
    steps: int | Tensor = 0
    changes: list[Tensor | float] = field(default_factory=list)
    objectives: list[Tensor] = field(default_factory=list)


class Checkpoint:
    """Writes a `Run` to a file from time to time, and reads it back.

    Parameters
    ----------
    path : str or Path
    every : float
        Seconds between writes.
    inputs : dict of str to object
        What the solve depends on; a file written for other inputs is refused.
    """

    def __init__(self, path: str | os.PathLike[str], every: float, inputs: dict[str, Any]) -> None:
        if not every >= 0:
            raise ParameterError(f"checkpoint_every must be a number of seconds >= 0, got {every!r}")
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise DataError(f"checkpoint: there is no directory {str(self.path.parent)!r}")
        self.every = every
        self.inputs = fingerprint(inputs)
        self._last = time.monotonic()

    def load(self, start: Run, solver: Any) -> Run:
        """The run in the file, or ``start`` if there is no file."""
        if not self.path.exists():
            return start
        try:
            with open_hdf5(self.path, digest=True) as file:
                if file.attrs.get("invcore_checkpoint") != _FORMAT:
                    raise DataError("it is not a checkpoint of this version of invcore")
                self._compare(json.loads(file.attrs["inputs"]))
                decoder = _Decoder(_state_types(start.state, solver), start.done.device)
                held = decoder.decode(file, "run", {"state": start.state})
        except SolverError:
            raise
        except (
            AttributeError,
            KeyError,
            OSError,
            RecursionError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            raise DataError(
                f"{str(self.path)!r} cannot be used as a checkpoint: {error}. Name another file, or delete it"
            ) from error
        for name in ("changes", "objectives"):
            stored = held.get(name, {"numbers": torch.zeros(0)})
            held[name] = stored["numbers"].tolist() if isinstance(stored, dict) else list(stored.unbind())
        return Run(**held)

    def due(self) -> bool:
        """True if it is time to write."""
        return time.monotonic() - self._last >= self.every

    def save(self, run: Run) -> None:
        """Write ``run``, replacing the file atomically: a reader finds the old run or the new one."""
        held: dict[str, Any] = {"state": run.state, "done": run.done, "k": run.k, "steps": run.steps}
        for name in ("changes", "objectives"):
            recorded = getattr(run, name)
            if recorded and isinstance(recorded[0], Tensor):
                held[name] = torch.stack(recorded)
            elif recorded:
                held[name] = {"numbers": torch.tensor(recorded, dtype=torch.float64)}

        def fill(file: h5py.File) -> None:
            file.attrs["invcore_checkpoint"] = _FORMAT
            file.attrs["inputs"] = json.dumps(self.inputs)
            _encode(file, "run", held)

        try:
            write_hdf5(self.path, fill, digest=True)
        except (DataError, OSError, MemoryError) as error:
            warnings.warn(
                f"the checkpoint {str(self.path)!r} could not be written ({error}); the solve goes on",
                stacklevel=4,
            )
        self._last = time.monotonic()

    def _compare(self, then: dict[str, str]) -> None:
        names = sorted({*then, *self.inputs})
        different = [
            f"{n}: {then.get(n, 'absent')} in the file, {self.inputs.get(n, 'absent')} now"
            for n in names
            if then.get(n) != self.inputs.get(n)
        ]
        if different:
            more = f"; and {len(different) - 4} more" if len(different) > 4 else ""
            raise SolverError(
                f"the checkpoint {str(self.path)!r} belongs to another solve. "
                + "; ".join(different[:4])
                + more
                + ". Name another file, or delete this one to start anew."
            )


# -- values to HDF5 and back ------------------------------------------------------------------------------

_SCALARS = {"bool": bool, "int": int, "float": float, "str": str}


def _encode(parent: h5py.Group, name: str, value: Any) -> None:
    if isinstance(value, Tensor):
        _encode_tensor(parent, name, value)
        return
    node = parent.create_group(name, track_order=True)
    kind = "none" if value is None else type(value).__name__
    if kind in _SCALARS:
        node.attrs["value"] = value
    elif isinstance(value, torch.Generator):
        kind = "generator"
        node.attrs["device"] = str(value.device)
        _encode_tensor(node, "state", value.get_state())
    elif isinstance(value, dict) and all(isinstance(k, str) for k in value):
        kind = "dict"
        for key, item in value.items():
            _encode(node, key, item)
    elif _is_record(type(value)):
        kind = "record"
        node.attrs["type"] = _type_name(type(value))
        for key in _record_fields(type(value)):
            _encode(node, key, getattr(value, key))
    elif type(value) in (tuple, list):
        for i, item in enumerate(value):
            _encode(node, str(i), item)
        node.attrs["length"] = len(value)
    elif value is not None:
        kind = "kept"  # an operator or a function: the first state of the same solve holds it as well
    node.attrs["kind"] = kind


def _encode_tensor(parent: h5py.Group, name: str, value: Tensor) -> None:
    value = value.detach().resolve_conj().resolve_neg()
    base = value
    for d, stride in enumerate(value.stride()):
        if stride == 0 and value.shape[d] > 1:
            base = base.narrow(d, 0, 1)
    plain = base.cpu().contiguous()
    if value.dtype == torch.bfloat16:
        plain = plain.view(torch.int16)
    node = parent.create_dataset(name, data=plain.numpy())
    node.attrs["kind"] = "tensor"
    node.attrs["dtype"] = str(value.dtype).removeprefix("torch.")
    node.attrs["device"] = value.device.type
    node.attrs["shape"] = list(value.shape)
    node.attrs["stride"] = list(base.stride())  # sums depend on the layout in their last bit


@dataclass
class _Decoder:
    types: dict[str, type]
    device: torch.device

    def decode(self, parent: h5py.Group, name: str, template: Any) -> Any:
        """The value that `_encode` wrote under this name; ``template`` is the one of the first state."""
        node = own_node(parent, name)
        if node is None:
            raise KeyError(name)
        kind = node.attrs["kind"]
        if kind == "tensor":
            return self._tensor(parent, name)
        if kind == "none":
            return None
        if kind in _SCALARS:
            return _SCALARS[kind](node.attrs["value"])
        if kind == "generator":
            generator = torch.Generator(device=node.attrs["device"])
            generator.set_state(self._tensor(node, "state"))
            return generator
        if kind in ("tuple", "list"):
            old = template if isinstance(template, tuple | list) else ()
            items = [
                self.decode(node, str(i), old[i] if i < len(old) else None)
                for i in range(node.attrs["length"])
            ]
            return items if kind == "list" else tuple(items)
        if kind == "dict":
            return {k: self.decode(node, k, template.get(k) if template else None) for k in node}
        if kind == "record":
            record = node.attrs["type"]
            if record not in self.types:
                raise SolverError(f"the checkpoint holds a {record}, which the solver does not use")
            return self.types[record](**{k: self.decode(node, k, getattr(template, k, None)) for k in node})
        if template is None:
            raise SolverError(
                f"the state of this solver holds a {kind}, which a checkpoint cannot store: solve without "
                "checkpoint"
            )
        return template

    def _tensor(self, parent: h5py.Group, name: str) -> Tensor:
        node = own_dataset(parent, name)
        if node is None:
            raise TypeError(f"{name} is no array")
        dtype = getattr(torch, node.attrs["dtype"])
        data = torch.from_numpy(own_values(node).copy())
        data = data.view(dtype) if dtype == torch.bfloat16 else data.to(dtype)
        device = (
            self.device if node.attrs["device"] == self.device.type else torch.device(node.attrs["device"])
        )
        stride = tuple(int(n) for n in node.attrs["stride"])
        room_for(sum(n * s for n, s in zip(data.shape, stride, strict=True)) * data.itemsize, name)
        laid = torch.empty_strided(tuple(data.shape), stride, dtype=dtype, device=device)
        return laid.copy_(data).expand(tuple(int(n) for n in node.attrs["shape"]))


def _is_record(kind: type) -> bool:
    named = issubclass(kind, tuple) and hasattr(kind, "_fields")
    return named or (dataclasses.is_dataclass(kind) and not issubclass(kind, Value))


def _record_fields(kind: Any) -> tuple[str, ...]:
    return kind._fields if hasattr(kind, "_fields") else tuple(f.name for f in dataclasses.fields(kind))


def _type_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _state_types(state: Any, solver: Any) -> dict[str, type]:
    """The record classes of the first state, and those in the modules of these and of the solver."""
    found: set[type] = set()

    def walk(value: Any) -> None:
        if _is_record(type(value)):
            found.add(type(value))
            for name in _record_fields(type(value)):
                walk(getattr(value, name))
        elif isinstance(value, tuple | list):
            for item in value:
                walk(item)

    walk(state)
    for module in {type(solver).__module__, *(kind.__module__ for kind in found)}:
        for held in vars(sys.modules[module]).values():
            if isinstance(held, type) and _is_record(held):
                found.add(held)
    return {_type_name(kind): kind for kind in found}
