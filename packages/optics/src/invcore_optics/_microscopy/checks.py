"""Checks of the images that the estimators of this room take."""

from __future__ import annotations

import torch
from torch import Tensor

from invcore import DataError, DtypeError, ShapeError


def image_stack(y: Tensor, what: str, *, least: int = 1) -> None:
    """Raise unless ``y`` is a finite real stack (..., frame, y, x) of at least ``least`` images."""
    if not isinstance(y, Tensor) or not y.is_floating_point():
        got = getattr(y, "dtype", type(y).__name__)
        raise DtypeError(f"{what}: the images must be a real floating tensor, got {got}")
    if y.ndim < 3 or 0 in y.shape[-3:] or y.shape[-3] < least:
        raise ShapeError(
            f"{what}: expected images (..., frame, y, x) with at least {least} of them, got {tuple(y.shape)}"
        )
    bad = int((~torch.isfinite(y)).sum())
    if bad:
        raise DataError(f"{what}: {bad} of {y.numel()} pixels are not finite; fill them in first")
