"""The record of how a result was made."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import hashlib
import math
import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

_DEPTH = 12


def provenance(
    *,
    command: str | Sequence[str] | None = None,
    seed: int | None = None,
    components: Mapping[str, str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Record versions, components, parameters, seed and command, as plain JSON types.

    Names of the machine and of the user are not recorded.

    Parameters
    ----------
    command : str or sequence of str, optional
        What was typed.
    seed : int, optional
        Seed of the generator behind all randomness.
    components : mapping of str to str, optional
        Registered names by role: ``{"solver": "fista", "prior": "wavelet"}``.
    parameters : mapping, optional
        Configuration by role. Dataclasses (operators, solvers, priors, metrics) are taken apart field by
        field; tensors are summarized by shape, dtype and hash.
    data : mapping, optional
        Facts about the input: file, metadata.

    Returns
    -------
    dict
        With keys ``date`` (UTC), ``command``, ``seed``, ``components``, ``parameters``, ``data``,
        ``versions``, ``plugins`` and ``platform``.

    Examples
    --------
    >>> record = provenance(seed=3, components={"solver": "cg"}, parameters={"solver": {"max_steps": 20}})
    >>> record["seed"], record["components"]["solver"], record["parameters"]["solver"]["max_steps"]
    (3, 'cg', 20)
    """
    from .. import __version__
    from .._registry.registry import registry

    line = command if command is None or isinstance(command, str) else shlex.join(command)
    installed = {p.name: p.version for p in registry().installed if p.version and p.status != "disabled"}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": line,
        "seed": seed,
        "components": plain(components or {}),
        "parameters": plain(parameters or {}),
        "data": plain(data or {}),
        "versions": {
            "invcore": __version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "plugins": dict(sorted(installed.items())),
        "platform": {
            "system": platform.system(),
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
        },
    }


def plain(value: Any, _depth: int = 0) -> Any:
    """Turn a value into JSON types; not-a-number and infinity become text, arrays a summary."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, complex | np.complexfloating):
        return {"re": plain(value.real), "im": plain(value.imag)}
    if isinstance(value, Tensor | np.ndarray):
        return _summary(value)
    if isinstance(value, bytes):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()[:16]}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, torch.dtype | torch.device | np.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if _depth >= _DEPTH:
        return f"{type(value).__name__} (not recorded: nested more than {_DEPTH} deep)"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: plain(getattr(value, f.name), _depth + 1) for f in dataclasses.fields(value)}
        return {"class": f"{type(value).__module__}.{type(value).__qualname__}", **fields}
    if isinstance(value, torch.nn.Module):
        weights = {name: _summary(p) for name, p in value.state_dict().items() if isinstance(p, Tensor)}
        return {"class": f"{type(value).__module__}.{type(value).__qualname__}", "weights": weights}
    if isinstance(value, Mapping):
        return {str(k): plain(v, _depth + 1) for k, v in value.items()}
    if isinstance(value, Sequence | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [plain(v, _depth + 1) for v in items]
    if callable(value):
        name = getattr(value, "__qualname__", type(value).__qualname__)
        return f"{getattr(value, '__module__', '')}.{name}"
    return type(value).__qualname__


def _summary(value: Tensor | np.ndarray) -> Any:
    """A number for a single element, else shape, dtype and the first 64 bits of the SHA-256 of the bytes."""
    if isinstance(value, Tensor):
        value = value.detach().resolve_conj().resolve_neg().cpu()
        kind = str(value.dtype).removeprefix("torch.")
        if value.dtype == torch.bfloat16:
            value = value.float()
        value = value.contiguous().numpy()
    else:
        kind = str(value.dtype)
    if value.dtype == object:
        return {"shape": list(value.shape), "dtype": "object"}
    if value.size == 1:
        return plain(value.item())
    digest = hashlib.sha256(np.ascontiguousarray(value).data).hexdigest() if value.size else ""
    return {"shape": list(value.shape), "dtype": kind, "sha256": digest[:16]}
