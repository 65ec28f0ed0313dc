"""MATLAB files of version 5 to 7.2, opened in one place."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from invcore import DataError
from invcore.io import atomic_path, damage, matlab_variables


def mat_names(path: str | Path) -> set[str]:
    """Return the variables of a MATLAB file of version 5 to 7.2, for ``sniff``; none of another file."""
    try:
        return set(matlab_variables(path, whole=False))
    except DataError:
        return set()


def load_mat(path: Path, *names: str) -> dict[str, Any]:
    """Return variables of a MATLAB file of version 5 to 7.2, all of them unless names are given.

    Raises
    ------
    DataError
        If the file is damaged, or has none of these variables.
    """
    from scipy.io import loadmat

    held = list(matlab_variables(path))
    wanted = [name for name in held if not names or name in names]
    if not wanted:
        raise DataError(f"{path} holds {sorted(held) or 'no variables'}, not {' or '.join(names)}")
    with damage(path, "a MATLAB file", "scipy"):
        found = loadmat(str(path), squeeze_me=False, variable_names=wanted)
    return {name: found[name] for name in wanted}


def save_mat(path: str | os.PathLike[str], held: Mapping[str, Any]) -> Path:
    """Write a MATLAB file of version 5 atomically, the same bytes at any time of day."""
    from scipy.io import savemat

    path, buffer = Path(path), io.BytesIO()
    savemat(buffer, dict(held), do_compression=True)
    with atomic_path(path) as partial:
        partial.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + buffer.getvalue()[116:])
    return path
