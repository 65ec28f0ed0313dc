"""The gradient-step denoiser."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import Module

import invcore
from invcore import Denoiser
from invcore.priors import GradientStep

from .denoiser import NetworkDenoiser, require_dimensions


class GradientStepDenoiser(Denoiser):
    r"""Gradient-step denoiser [1]_: a gradient descent step on the squared residual of a network.

    .. math:: D(x, σ) = x - α ∇g(x), \qquad g(x) = \tfrac12 \|x - N(x, σ)\|^2

    `prior` is the explicit function g: plug-and-play iterations with it minimize a known objective. With a
    `DRUNet` of ELUs this is GS-DRUNet. Gradients reach the weights, through second derivatives, where a graph
    is recorded.

    Parameters
    ----------
    network : Module
        N: ``network(x, sigma)`` for images ``(n, channel, *spatial)`` and one noise level each;
        ``network(x)`` if ``blind``. Differentiable once more than it is used: ELU rather than ReLU.
    step : float
        α > 0.
    channels : int, optional
        The number of channels it takes.
    value_range : tuple of float or None
        The values it was trained for; None for a network that adapts to any scale.
    sigma_range : tuple of float
        The noise levels it was trained for.
    blind : bool
        Whether the network is called without the noise level.
    spatial_dims : int

    References
    ----------
    .. [1] S. Hurault, A. Leclaire, N. Papadakis, Gradient step denoiser for convergent plug-and-play, ICLR
       2022.

    Examples
    --------
    >>> import torch
    >>> D = GradientStepDenoiser(torch.nn.AvgPool2d(3, 1, 1), blind=True)
    >>> x = torch.rand(1, 5, 5, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(D(x, 0.1), x - D.prior(0.1).grad(x))
    True
    """

    network: Module
    step: float = 1.0
    channels: int | None = None  # type: ignore[misc]
    value_range: tuple[float, float] | None = (0.0, 1.0)  # type: ignore[misc]
    sigma_range: tuple[float, float] = (0.0, float("inf"))  # type: ignore[misc]
    blind: bool = False
    spatial_dims: int = 2
    identity_at_zero: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.step > 0:
            raise invcore.ParameterError(f"GradientStepDenoiser: step must be positive, got {self.step!r}")
        require_dimensions(self, self.network)

    def prior(self, sigma: float | Tensor) -> GradientStep:
        """The potential g at a noise level, a number or one per sample, with value and gradient."""
        inner = NetworkDenoiser(
            self.network,
            channels=self.channels,
            value_range=self.value_range,
            sigma_range=self.sigma_range,
            blind=self.blind,
            spatial_dims=self.spatial_dims,
        )
        return GradientStep(inner, sigma=sigma)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """See `Denoiser.denoise`."""
        if not x.numel():
            return x.clone()
        d = self.spatial_dims + 1
        level = sigma.reshape(x.shape[:-d]) if sigma.ndim else sigma
        space = invcore.Space(tuple(x.shape[-d:]), "complex" if x.is_complex() else "real")
        return x - self.step * self.prior(level).grad(x, space)
