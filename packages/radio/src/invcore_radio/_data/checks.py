"""Validation of `Visibilities`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from invcore import DataError, DtypeError, ShapeError

if TYPE_CHECKING:
    from .visibilities import Visibilities


def check_parts(vis: Visibilities) -> None:
    """Raise if the parts do not fit together, or a value is not finite."""
    if not isinstance(vis.data, Tensor) or not vis.data.is_complex():
        kind = getattr(vis.data, "dtype", type(vis.data).__name__)
        raise DtypeError(f"Visibilities: data must be a complex tensor, got {kind}")
    if vis.data.ndim != 3:
        raise ShapeError(
            f"Visibilities: data must be (row, frequency, correlation), got {tuple(vis.data.shape)}"
        )
    rows, channels, correlations = vis.data.shape
    for name in ("antenna_names", "polarizations"):
        held: Any = getattr(vis, name)
        if not isinstance(held, tuple) or not all(isinstance(n, str) for n in held):
            raise DtypeError(f"Visibilities: {name} must be a tuple of str, got {held!r}")
    if len(vis.polarizations) != correlations or len(set(vis.polarizations)) != correlations:
        raise ShapeError(
            f"Visibilities: polarizations must be {correlations} different names, one for each correlation, "
            f"got {vis.polarizations}"
        )
    cube = (rows, channels, correlations)
    expected: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
        "uvw": ((rows, 3), torch.float64),
        "frequencies": ((channels,), torch.float64),
        "weight": (cube, vis.data.real.dtype),
        "flag": (cube, torch.bool),
        "time": ((rows,), torch.float64),
        "interval": ((rows,), torch.float64),
        "antenna1": ((rows,), torch.int64),
        "antenna2": ((rows,), torch.int64),
        "antenna_positions": ((len(vis.antenna_names), 3), torch.float64),
        "channel_width": ((channels,), torch.float64),
    }
    for name, (shape, dtype) in expected.items():
        held = getattr(vis, name)
        if held is None and name in ("antenna_positions", "channel_width"):
            continue
        if not isinstance(held, Tensor) or held.dtype != dtype:
            kind = getattr(held, "dtype", type(held).__name__)
            raise DtypeError(f"Visibilities: {name} must be a tensor of {dtype}, got {kind}")
        if tuple(held.shape) != shape:
            raise ShapeError(f"Visibilities: {name} must be {shape}, got {tuple(held.shape)}")
        if not bool(held.isfinite().all()):
            raise DataError(f"Visibilities: {name} has entries that are not finite")
    if not bool(torch.view_as_real(vis.data).isfinite().all()):
        raise DataError("Visibilities: data has entries that are not finite; put 0 where it is flagged")
    if not bool((vis.weight >= 0).all()):
        raise DataError("Visibilities: weight has negative entries; flag them and put 0")
    if not bool((vis.frequencies > 0).all()):
        raise DataError("Visibilities: frequencies must be positive, in Hz")
    for name in ("antenna1", "antenna2"):
        held = getattr(vis, name)
        if rows and not 0 <= int(held.min()) <= int(held.max()) < len(vis.antenna_names):
            raise DataError(
                f"Visibilities: {name} must index the {len(vis.antenna_names)} antenna_names, "
                f"got {int(held.min())} to {int(held.max())}"
            )
    center: Any = vis.phase_center
    if not (isinstance(center, tuple) and len(center) == 2 and all(math.isfinite(a) for a in center)):
        raise DataError(f"Visibilities: phase_center must be (ra, dec) in radians, got {center!r}")
