"""Instances of core's losses for the conformance kit: the first of each is tiny."""

from __future__ import annotations

from ..losses import Supervised
from ..metrics import PSNR


def supervised() -> dict[str, object]:
    """Instances of the loss ``supervised``."""
    return {"mse": Supervised(), "psnr": Supervised(metric=PSNR(data_range=1.0, complex="complex"))}
