"""Training losses: ``loss(x_hat, x, y, physics, model)`` gives one value for each sample of the batch."""

from ._base import Loss as Loss
from ._supervised import Supervised as Supervised

__all__ = ["Loss", "Supervised"]
