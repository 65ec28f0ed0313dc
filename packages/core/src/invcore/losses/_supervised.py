"""Distance to a reference."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from .._errors import DataError, ParameterError
from .._registry.lookup import create
from ..metrics import Metric
from ..metrics._base import scored


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """A metric between the reconstruction and the reference, as a loss.

    Where larger values of the metric are better its negative is taken.

    Parameters
    ----------
    metric : str or Metric
        A metric, or the name of one that needs no other option (``"mse"``, ``"mae"``, ``"nmse"``,
        ``"nrmse"``); complex images are then compared with their phase.
    spatial_dims : int
        Number of trailing spatial dimensions, for a metric given by name.

    Raises
    ------
    DataError
        If it is called without a reference.

    Examples
    --------
    >>> import torch
    >>> x = torch.ones(2, 1, 4, 4)
    >>> Supervised()(0.5 * x, x, None, None, None)
    tensor([0.2500, 0.2500])
    """

    metric: str | Metric = "mse"
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str) and not callable(self.metric):
            raise ParameterError(f"Supervised: metric must be a name or a metric, got {self.metric!r}.")

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """Score ``x_hat`` against ``x``; the other arguments are not used."""
        if x is None:
            raise DataError(
                "Supervised: there is no reference x. Give one, or train with a loss that needs none."
            )
        metric = self.metric
        if isinstance(metric, str):
            metric = _named(metric, self.spatial_dims)
        value = scored(metric, x_hat, x)
        return -value if metric.higher_is_better else value


@functools.lru_cache
def _named(name: str, spatial_dims: int) -> Metric:
    """A metric by its name, looked up once: a loss is called in each step of a training."""
    return cast(Metric, create("metric", name, complex="complex", spatial_dims=spatial_dims))
