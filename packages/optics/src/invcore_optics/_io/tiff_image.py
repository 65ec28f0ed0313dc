"""TIFF files of one picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import DataError
from invcore.io import damage, is_tiff, regular_file, room_for

from .acquire import check_finite


def tiff_shape(path: Path) -> tuple[int, ...]:
    """Return the pixels (y, x) of the first image."""
    import tifffile

    with damage(path, "a TIFF file", "tifffile"), tifffile.TiffFile(regular_file(path)) as file:
        return tuple(file.pages[0].shape)[:2]


def single_image(path: Path) -> Tensor:
    """Return the one image of a TIFF file, (1 or 3, y, x)."""
    import tifffile

    if not is_tiff(regular_file(path)):
        raise DataError(f"{path} is not a TIFF file")
    with damage(path, "a TIFF file", "tifffile"), tifffile.TiffFile(path) as file:
        if len(file.pages) != 1:
            raise DataError(f"{path} has {len(file.pages)} images, expected one")
        page: Any = file.pages[0]
        shape = tuple(page.shape)
        if not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)) or page.dtype is None:
            raise DataError(f"{path} holds {page.dtype} {shape}, expected (y, x) or (y, x, 3)")
        need = math.prod(shape) * page.dtype.itemsize
        if page.compression == 1 and need > path.stat().st_size:
            raise DataError(f"{path} declares {shape} pixels of {page.dtype}, more than the file holds")
        room_for(4 * need, str(path))
        array = page.asarray()
    if array.dtype.kind not in "iuf":
        raise DataError(f"{path} holds {array.dtype}, expected numbers")
    image = torch.from_numpy(np.atleast_3d(array).astype(np.float32)).movedim(-1, 0).contiguous()
    check_finite(image, str(path))
    return image
