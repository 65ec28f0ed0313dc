"""What the iterative engines of ptychography and of Fourier ptychography share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invcore import ParameterError


def check_engine(solver: Any, unknowns: tuple[str, ...], counts: tuple[str, ...]) -> None:
    """Raise unless ``update``, ``alpha``, ``group`` and the numbers of first steps can be meant."""
    name = type(solver).__name__
    if not solver.update or not set(solver.update) <= set(unknowns):
        raise ParameterError(f"{name}: update must name some of {unknowns}, got {solver.update!r}")
    if not 0 < solver.alpha <= 1:
        raise ParameterError(f"{name}: alpha must lie in (0, 1], got {solver.alpha!r}")
    for count in ("group", *counts):
        held, least = getattr(solver, count), int(count == "group")
        if not isinstance(held, int) or held < least:
            raise ParameterError(f"{name}: {count} must be a whole number >= {least}, got {held!r}")


def floored(dose: Tensor, alpha: float) -> Tensor:
    """The denominators (1 - α) p + α max p."""
    largest = dose.amax((-2, -1), keepdim=True)
    return ((1 - alpha) * dose + alpha * largest).clamp_min(torch.finfo(dose.dtype).tiny)
