"""No noise."""

from __future__ import annotations

from typing import Any

import torch

from ..fidelities import LeastSquares
from ..operators import SpaceLike
from ._base import Noise


class NoNoise(Noise):
    """Exact measurements; the likelihood is least squares with unit weight.

    Examples
    --------
    >>> NoNoise()(torch.ones(2))
    tensor([1., 1.])
    """

    units = {}

    def sample(self, y: Any, space: SpaceLike, generator: torch.Generator) -> Any:
        return y

    def likelihood(self) -> LeastSquares:
        return LeastSquares()

    @property
    def random(self) -> bool:
        return False
