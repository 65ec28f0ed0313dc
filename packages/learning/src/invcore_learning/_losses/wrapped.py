"""Losses that wrap the model: what it sees in training differs from what it does afterwards."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Module

import invcore
from invcore import Physics
from invcore.generators import seeded
from invcore.spaces import SpaceLike, batch_shape, check, tree_map

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


def at_step(model: Any, k: int) -> None:
    """Set the training step of the modules in a model that draw random numbers, in place.

    Those are `WrappedModel`, `EquivariantModel`, and any other with a method ``set_step(k)``.

    Parameters
    ----------
    model : Module
        Also one that a parallel engine has wrapped.
    k : int

    Examples
    --------
    >>> from invcore_learning import R2R, UNet
    >>> model = R2R().wrap(UNet(features=(4, 8)))
    >>> at_step(model, 7)
    >>> model.loss.k
    7
    """
    for module in model.modules() if isinstance(model, Module) else ():
        step = getattr(module, "set_step", None)
        if callable(step):
            step(k)


class WrappingLoss(StochasticLoss, abstract=True):
    """Base class of losses that train a `WrappedModel`.

    Each step: ``at_step(model, k)``, ``x_hat = model(y, physics)``, ``loss.at(k)(x_hat, None, y, physics,
    model)`` with ``model = loss.wrap(network)`` in training mode. In evaluation mode the loss does not use
    ``x_hat``, which has seen all data, but reconstructs as in training.
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
        if (found[0].loss.seed, found[0].loss.k) != (self.seed, self.k):
            raise invcore.ParameterError(
                f"{name}: the loss is of seed {self.seed} and step {self.k}, the model of seed "
                f"{found[0].loss.seed} and step {found[0].loss.k}: invcore_learning.at_step(model, k) before "
                "the model is called, loss.at(k) after"
            )
        return found[0]


def averaged(loss: StochasticLoss, samples: int, reconstruct: Any) -> Tensor:
    """Mean of ``reconstruct(generator, ...)`` over draws that do not depend on the step."""
    total = reconstruct(evaluation(loss, 0))
    for i in range(1, samples):
        total = total + reconstruct(evaluation(loss, i))
    return cast(Tensor, total / samples)


def evaluation(loss: StochasticLoss, i: int) -> torch.Generator:
    """The generator of the i-th draw after training."""
    return seeded(f"{type(loss).__name__}, seed {loss.seed}, evaluation {i}")


def sample_by_sample(draw: Any, y: Any, space: SpaceLike, generator: torch.Generator, same: bool) -> Any:
    """Apply ``draw(sample, index, generator)`` to each sample, and stack what it gives.

    Each sample has a generator of its own, so that its draws depend on its place in the batch only; with
    ``same`` they are those of the first.
    """
    batch = batch_shape(y, space)
    flat = tree_map(lambda t, s: t.reshape(-1, *s.shape), y, space)
    drawn: list[Any] = []
    seed = 0
    for i in range(batch.numel()):
        if not (same and drawn):
            seed = int(torch.randint(2**31, (), generator=generator))
        own = torch.Generator().manual_seed(seed)
        drawn.append(draw(tree_map(lambda t, i=i: t[i], flat), i, own))
    if not drawn:
        return y
    return tree_map(lambda *parts: torch.stack(parts).reshape(*batch, *parts[0].shape), *drawn)
