"""The state of a training in one file, which is whole or not there."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invcore import DataError
from invcore.io import atomic_path, provenance

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_NAME = "checkpoint.ckpt"


def path_in(folder: Path) -> Path:
    """The checkpoint of a folder."""
    return folder / _NAME


def description(parts: Mapping[str, Any]) -> dict[str, str]:
    """Each part of a configuration as plain text by its path: classes, numbers, hashes of tensors."""
    found: dict[str, str] = {}

    def walk(path: str, value: Any) -> None:
        parts = dict(enumerate(value)) if isinstance(value, list) else value
        if isinstance(parts, dict) and parts:
            for key, below in parts.items():
                walk(f"{path}.{key}" if path else str(key), below)
        else:
            found[path] = str(value)

    walk("", provenance(parameters=parts)["parameters"])
    return found


def write(fabric: Fabric, folder: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint; all processes call it."""
    path = path_in(folder)
    if not fabric.is_global_zero:
        fabric.save(path, dict(state))
        return
    with atomic_path(path) as partial:
        fabric.save(partial, dict(state))


def read(fabric: Fabric, folder: Path, configuration: Mapping[str, str]) -> dict[str, Any] | None:
    """Read the checkpoint of a folder, None if there is none.

    Raises
    ------
    DataError
        If it is damaged, holds anything but numbers and text, or is that of another training.
    """
    path = path_in(folder)
    if not fabric.broadcast(path.exists()):  # the first process decides, for all alike
        return None
    try:
        state = fabric.load(path, weights_only=True)
        made = dict(state["configuration"])
    except (
        pickle.UnpicklingError,
        EOFError,
        RuntimeError,
        KeyError,
        TypeError,
        ValueError,
        OSError,
    ) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{path} is no checkpoint of a training, or damaged: {reason} Delete it to begin anew."
        ) from error
    both = [key for key in made if key in configuration]
    for key in (*both, *made, *configuration):
        if made.get(key) != configuration.get(key):
            was, now = (str(some.get(key, "not there"))[:100] for some in (made, configuration))
            raise DataError(
                f"{path} is of another training: its {key} is {was}, this one's is {now}. Choose another "
                "folder, or delete it to begin anew."
            )
    return dict(state)
