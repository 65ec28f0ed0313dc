"""The contract of losses."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Loss(Protocol):
    """Anything that scores a reconstruction for training, one value per sample, smaller is better.

    All losses are called alike, so that a supervised one can be exchanged for a self-supervised one.
    """

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """Score ``x_hat``.

        Parameters
        ----------
        x_hat : Tensor, shape (batch..., channel, *spatial)
            The reconstruction ``model(y, physics)``.
        x : Tensor or None
            The reference, where there is one.
        y : Tensor or tuple of Tensor
            The measurements.
        physics : Physics
            What produced ``y``.
        model : callable
            The reconstructor, for losses that evaluate it again.

        Returns
        -------
        Tensor, shape (batch...)
        """
        ...
