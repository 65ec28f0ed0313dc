"""Losses of the reconstruction itself: consistency with the data, and regularity."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from invcore import Prior
from invcore.metrics import Metric
from invcore.priors import TV
from invcore.spaces import check

from .base import TrainingLoss, check_metric, distance, expected


class MeasurementConsistency(TrainingLoss):
    """The distance between A x̂, plus the background of counts, and the data.

    It says nothing about the part of the image that A does not see, and fits the noise.

    Parameters
    ----------
    metric : {"mse", "mae", "likelihood"} or Metric
        ``"likelihood"``: the negative log-likelihood of the noise of the physics, up to a constant.

    Examples
    --------
    >>> import invcore, torch
    >>> from invcore.operators import Mask
    >>> physics = invcore.Physics(Mask(torch.tensor([[[1.0, 0.0]]]), (1, 1, 2)))
    >>> x_hat, y = torch.tensor([[[3.0, 5.0]]]), torch.tensor([[[1.0, 0.0]]])
    >>> MeasurementConsistency()(x_hat, None, y, physics, None)
    tensor(2.)
    """

    metric: str | Metric = "mse"

    def __post_init__(self) -> None:
        if self.metric != "likelihood":
            check_metric("MeasurementConsistency", self.metric)

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`."""
        check(y, physics.range, "y")
        u = physics.operator(x_hat)
        if self.metric == "likelihood":
            value: Tensor = physics.likelihood().value(u, y, physics.range)
            return value
        return distance(self.metric, expected(u, physics), y, physics.range)


class Regularity(TrainingLoss):
    """The value of a prior for the reconstruction, per pixel: total variation by default.

    Parameters
    ----------
    prior : Prior

    References
    ----------
    L. Rudin, S. Osher, E. Fatemi, Nonlinear total variation based noise removal algorithms, Physica D 60
    (1992).

    Examples
    --------
    >>> import invcore, torch
    >>> step = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
    >>> physics = invcore.Physics(invcore.operators.Identity((1, 1, 4)))
    >>> Regularity()(step, None, step, physics, None)
    tensor(0.2500)
    """

    prior: Prior = TV()

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`."""
        check(y, physics.range, "y")
        check(x_hat, physics.domain, "x_hat")
        return self.prior.value(x_hat, physics.domain) / physics.domain.size
