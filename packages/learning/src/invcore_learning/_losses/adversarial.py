"""Adversarial losses: least-squares GANs of images, of measurements (AmbientGAN), and UAIR."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Module

import invcore
from invcore import Space
from invcore.spaces import batch_shape, check

from .._data.sample import noisy
from .base import StochasticLoss, mean_square


class GeneratorLoss(StochasticLoss):
    r"""How far a discriminator takes reconstructions for real: the loss of the reconstructor.

    .. math:: L = (D(\hat x) - 1)^2 \quad \text{or} \quad (D(\hat y) - 1)^2 + w \|A R(\hat y) - \hat y\|^2/m,
       \quad \hat y = A \hat x + n,

    with the least-squares GAN [1]_. ``of="image"`` compares with images, as for deblurring [2]_;
    ``of="data"`` with measurements, without any image [3]_; w > 0 also reconstructs the new measurement [4]_.
    No gradient goes to the weights of the discriminator: train it by `DiscriminatorLoss`.

    Parameters
    ----------
    discriminator : Module
        D, from images (n, channel, *spatial) to scores (n, ...), which are averaged. Complex images come as
        twice as many channels.
    of : {"image", "data"}
    consistency : float
        w.

    References
    ----------
    .. [1] X. Mao, Q. Li, H. Xie, R. Y. K. Lau, Z. Wang, S. P. Smolley, Least squares generative adversarial
       networks, ICCV 2017.
    .. [2] O. Kupyn, V. Budzan, M. Mykhailych, D. Mishkin, J. Matas, DeblurGAN: blind motion deblurring using
       conditional adversarial networks, CVPR 2018.
    .. [3] A. Bora, E. Price, A. G. Dimakis, AmbientGAN: generative models from lossy measurements, ICLR 2018.
    .. [4] A. Pajot, E. de Bézenac, P. Gallinari, Unsupervised adversarial image reconstruction, ICLR 2019.

    Examples
    --------
    >>> from invcore.operators import Identity
    >>> class Mean(Module):
    ...     def forward(self, x): return x.mean((-3, -2, -1))
    >>> physics, x = invcore.Physics(Identity((1, 2, 2))), torch.full((3, 1, 2, 2), 0.5)
    >>> GeneratorLoss(discriminator=Mean())(x, None, x, physics, None)
    tensor([0.2500, 0.2500, 0.2500])
    """

    discriminator: Module = field(kw_only=True)
    of: Literal["image", "data"] = "image"
    consistency: float = 0.0

    def __post_init__(self) -> None:
        _check(self)
        if not self.consistency >= 0 or (self.consistency and self.of == "image"):
            raise invcore.ParameterError(
                f"GeneratorLoss: consistency must be >= 0, and needs of='data'; got {self.consistency!r}"
            )

    @property
    def stochastic(self) -> bool:
        """True for measurements, which are drawn."""
        return self.of == "data"

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`."""
        check(y, physics.range, "y")
        check(x_hat, physics.domain, "x_hat")
        frozen = {name: p.detach() for name, p in self.discriminator.named_parameters()}
        D = lambda z: torch.func.functional_call(self.discriminator, frozen, (z,))
        if self.of == "image":
            return _scored(D, x_hat, physics.domain, 1.0)
        measured = _measured(self, x_hat, physics)
        value = _scored(D, measured, physics.range, 1.0)
        if self.consistency:
            again = physics.operator(model(measured, physics))
            value = value + self.consistency * mean_square(again - measured, physics.range)
        return value


class DiscriminatorLoss(StochasticLoss):
    r"""How well a discriminator tells reconstructions from what is real: the loss of its own training.

    .. math:: L = \tfrac12 (D(x) - 1)^2 + \tfrac12 D(\hat x)^2 \quad \text{or} \quad
       \tfrac12 (D(y) - 1)^2 + \tfrac12 D(A \hat x + n)^2.

    No gradient goes to the reconstructor.

    Parameters
    ----------
    discriminator : Module
        As of `GeneratorLoss`.
    of : {"image", "data"}

    Raises
    ------
    DataError
        If it compares images, and there is no reference.

    References
    ----------
    X. Mao, Q. Li, H. Xie, R. Y. K. Lau, Z. Wang, S. P. Smolley, Least squares generative adversarial
    networks, ICCV 2017.

    Examples
    --------
    >>> from invcore.operators import Identity
    >>> class Mean(Module):
    ...     def forward(self, x): return x.mean((-3, -2, -1))
    >>> physics, x = invcore.Physics(Identity((1, 2, 2))), torch.ones(1, 2, 2)
    >>> DiscriminatorLoss(discriminator=Mean())(0.5 * x, x, x, physics, None)
    tensor(0.1250)
    """

    discriminator: Module = field(kw_only=True)
    of: Literal["image", "data"] = "image"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def needs_reference(self) -> bool:  # type: ignore[override]
        """True for images."""
        return self.of == "image"

    @property
    def stochastic(self) -> bool:
        """True for measurements, which are drawn."""
        return self.of == "data"

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`."""
        check(y, physics.range, "y")
        check(x_hat, physics.domain, "x_hat")
        if self.of == "image":
            if x is None:
                raise invcore.DataError(
                    "DiscriminatorLoss: there is no reference x; of='data' compares measurements"
                )
            real, fake, space = x, x_hat.detach(), physics.domain
        else:
            real, fake, space = y, _measured(self, x_hat.detach(), physics), physics.range
        D = self.discriminator
        return 0.5 * _scored(D, real, space, 1.0) + 0.5 * _scored(D, fake, space, 0.0)


def _check(loss: Any) -> None:
    name = type(loss).__name__
    if not isinstance(loss.discriminator, Module):
        raise invcore.ParameterError(f"{name}: discriminator must be a module, got {loss.discriminator!r}")
    if loss.of not in ("image", "data"):
        raise invcore.ParameterError(f"{name}: of must be 'image' or 'data', got {loss.of!r}")


def _measured(loss: Any, x: Tensor, physics: Any) -> Any:
    u = physics.operator(x)
    return noisy(physics, u, loss.generators("noise", batch_shape(u, physics.range)))


def _scored(D: Any, x: Tensor, space: Any, target: float) -> Tensor:
    """Mean of (D(x) - target)² over the scores of each sample."""
    if not isinstance(space, Space):
        raise invcore.ParameterError("a discriminator takes one tensor; these data are several blocks")
    batch = batch_shape(x, space)
    flat = x.reshape(-1, *space.shape)
    scores = D(torch.cat([flat.real, flat.imag], 1) if flat.is_complex() else flat)
    value: Tensor = (scores - target).square().reshape(len(flat), -1).mean(-1).reshape(batch)
    return value
