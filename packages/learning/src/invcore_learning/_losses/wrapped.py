"""Losses that wrap the model: what it sees in training differs from what it does afterwards."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Module

import invcore
from invcore import Physics
from invcore.generators import seeded
from invcore.spaces import check

from .base import StochasticLoss


class WrappedModel(Module):
    """A model together with the loss that it is trained by: ``loss.wrap(model)`` makes it.

    In training mode it reconstructs from the part or the corrupted version of the data that the loss draws
    for its step; in evaluation mode it does what the method prescribes at test time, such as an average over
    several draws, which are the same in every call and for every sample.

    Parameters
    ----------
    model : Module
        A model R(y, physics).
    loss : WrappingLoss
        Its step is set by `at_step`.

    Examples
    --------
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> from invcore_learning import R2R, UNet
    >>> model = R2R().wrap(UNet(features=(4, 8)))
    >>> physics = invcore.Physics(Identity((1, 8, 8)), GaussianNoise(sigma=0.1))
    >>> model.eval()(torch.zeros(2, 1, 8, 8), physics).shape
    torch.Size([2, 1, 8, 8])
    """

    def __init__(self, model: Module, loss: WrappingLoss) -> None:
        super().__init__()
        if not isinstance(loss, WrappingLoss):
            raise invcore.ParameterError(
                f"WrappedModel: {type(loss).__name__} does not wrap a model; losses such as R2R and "
                "Splitting do"
            )
        self.model, self.loss = model, loss

    def set_step(self, k: int) -> None:
        """Draw for training step ``k``."""
        self.loss = self.loss.at(k)

    def set_positions(self, positions: tuple[int, ...]) -> None:
        """Draw for the samples of these positions in the step."""
        self.loss = self.loss.of_samples(positions)

    def forward(self, y: Any, physics: Physics) -> Tensor:
        """Reconstruct.

        Parameters
        ----------
        y : Tensor or tuple of Tensor, shape (batch..., *range.shape)
        physics : Physics

        Returns
        -------
        Tensor, shape (batch..., *domain.shape)
        """
        check(y, physics.range, "data")
        return (self.loss.reconstruct if self.training else self.loss.restore)(self.model, y, physics)


def at_step(model: Any, k: int, positions: tuple[int, ...] = ()) -> None:
    """Set the training step of the modules in a model that draw random numbers, in place.

    Those are `WrappedModel`, `EquivariantModel`, and any other with a method ``set_step(k)``, and where
    draws differ from sample to sample ``set_positions(positions)``.

    Parameters
    ----------
    model : Module
        Also one that a parallel engine has wrapped.
    k : int
    positions : tuple of int
        Of the samples of the next batch in the step, as in `TrainingLoss.of_samples`; by default the first.

    Examples
    --------
    >>> from invcore_learning import R2R, UNet
    >>> model = R2R().wrap(UNet(features=(4, 8)))
    >>> at_step(model, 7)
    >>> model.loss.k
    7
    """
    for module in model.modules() if isinstance(model, Module) else ():
        for name, value in (("set_step", k), ("set_positions", positions)):
            if callable(method := getattr(module, name, None)):
                method(value)


class WrappingLoss(StochasticLoss, abstract=True):
    """Base class of losses that train a `WrappedModel`.

    Each step: ``at_step(model, k)``, ``x_hat = model(y, physics)``, ``loss.at(k)(x_hat, None, y, physics,
    model)`` with ``model = loss.wrap(network)`` in training mode; where a step is several batches, with the
    positions of the samples in it. In evaluation mode the loss does not use ``x_hat``, which has seen all
    data, but reconstructs as in training.
    """

    @abstractmethod
    def reconstruct(self, model: Any, y: Any, physics: Physics) -> Tensor:
        """Reconstruct as in training, with the draws of this step."""

    @abstractmethod
    def restore(self, model: Any, y: Any, physics: Physics) -> Tensor:
        """Reconstruct as after training."""

    @abstractmethod
    def compare(self, x_hat: Tensor, y: Any, physics: Physics, model: Any) -> Tensor:
        """Score what `reconstruct` gave, with the same draws."""

    def wrap(self, model: Any) -> WrappedModel:
        """Return the model to train, evaluate and save."""
        if isinstance(model, WrappedModel) and type(model.loss) is type(self):
            model = model.model
        return WrappedModel(model, self)

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`."""
        check(y, physics.range, "y")
        wrapped = self._wrapped(model)
        if not wrapped.training:
            x_hat = self.reconstruct(wrapped.model, y, physics)
        check(x_hat, physics.domain, "x_hat")
        return self.compare(x_hat, y, physics, wrapped.model)

    def _wrapped(self, model: Any) -> WrappedModel:
        """The wrapped model of this loss and step, also within that of a parallel engine."""
        name = type(self).__name__
        parts = model.modules() if isinstance(model, Module) else ()
        found = [m for m in parts if isinstance(m, WrappedModel) and type(m.loss) is type(self)]
        if not found:
            raise invcore.ParameterError(
                f"{name} changes what the model sees in training: train model = loss.wrap(model), and call "
                f"the loss with it; got a {type(model).__name__}"
            )
        held = found[0].loss
        if (held.seed, held.k, held.positions) != (self.seed, self.k, self.positions):
            raise invcore.ParameterError(
                f"{name}: the loss is of seed {self.seed} and {_step(self)}, the model of seed {held.seed} "
                f"and {_step(held)}: invcore_learning.at_step(model, k) before the model is called, "
                "loss.at(k) after; of the same positions, where they are given"
            )
        return found[0]


def _step(loss: StochasticLoss) -> str:
    """Its step in words."""
    return f"step {loss.k}" + (f" at positions {loss.positions}" if loss.positions else "")


def averaged(loss: StochasticLoss, samples: int, batch: Sequence[int], reconstruct: Any) -> Tensor:
    """Mean of ``reconstruct(generators)`` over draws that do not depend on the step or the sample."""
    total = reconstruct(evaluation(loss, 0, batch))
    for i in range(1, samples):
        total = total + reconstruct(evaluation(loss, i, batch))
    return cast(Tensor, total / samples)


def evaluation(loss: StochasticLoss, i: int, batch: Sequence[int]) -> list[torch.Generator]:
    """The generators of the i-th draw after training: one for each sample, all alike."""
    name = f"{type(loss).__name__}, seed {loss.seed}, evaluation {i}"
    return [seeded(name) for _ in range(math.prod(batch))]
