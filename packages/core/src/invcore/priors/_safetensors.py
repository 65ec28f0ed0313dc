"""Tensors in a file of the safetensors format: a length, a header in JSON, the bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .._errors import DataError

_NAMES = {"F16": torch.float16, "F32": torch.float32, "F64": torch.float64}
_LIMIT = 2**26


def write(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, str]) -> None:
    """Write real tensors, with ``card`` as the metadata of the file."""
    kinds = {dtype: name for name, dtype in _NAMES.items()}
    header: dict[str, object] = {"__metadata__": dict(card)}
    blocks: list[bytes] = []
    offset = 0
    for name, tensor in tensors.items():
        array = tensor.detach().cpu().contiguous().numpy()
        block = array.astype(array.dtype.newbyteorder("<")).tobytes()
        header[name] = {
            "dtype": kinds[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(block)],
        }
        blocks.append(block)
        offset += len(block)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blocks))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file, and its metadata.

    Raises
    ------
    DataError
        If the file is not of this format, is cut short, or holds other than real floating-point tensors.
    """
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or size > min(len(raw) - 8, _LIMIT):
        raise DataError(f"{path}: not a safetensors file, or cut short")
    try:
        header = json.loads(raw[8 : 8 + size])
        card = {str(k): str(v) for k, v in header.pop("__metadata__", {}).items()}
        tensors = {name: _tensor(raw[8 + size :], entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: a damaged safetensors file, or one of other types than real floats: {error}"
        ) from error
    return tensors, card


def _tensor(data: bytes, entry: dict[str, list[int]]) -> Tensor:
    dtype = _NAMES[str(entry["dtype"])]
    first, last = entry["data_offsets"]
    count = math.prod(entry["shape"])
    if not 0 <= first <= last <= len(data) or last - first != count * dtype.itemsize:
        raise ValueError("the offsets do not fit the shape or the file")
    array = np.frombuffer(data, f"<f{dtype.itemsize}", count, first)
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="))).reshape(entry["shape"])
