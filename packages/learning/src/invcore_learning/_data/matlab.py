"""MATLAB files of version 5 to 7.2, opened in one place."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from invcore import DataError, MissingDependencyError
from invcore.io import damage, matlab_variables

_NUMBERS = ("double", "single", "uint8", "int16", "uint16", "int32", "uint32")


def matlab_array(path: Path, name: str, ndim: int) -> Tensor:
    """A variable of a MATLAB file, as float32."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingDependencyError("NBU reads MATLAB files with SciPy: pip install scipy") from error
    held = matlab_variables(path)
    if name not in held or len(held[name].shape) != ndim or held[name].kind not in _NUMBERS:
        what = {key: tuple(found.shape) for key, found in held.items()}
        raise DataError(f"{path} has no array {name!r} with {ndim} dimensions, but {what or 'nothing'}")
    with damage(path, "a MATLAB file", "scipy"):
        values = loadmat(str(path), variable_names=[name])[name]
    return torch.from_numpy(values.astype("float32"))
