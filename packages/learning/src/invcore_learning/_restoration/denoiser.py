"""A network as a denoiser."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import Module

import invcore
from invcore import Denoiser
from invcore.denoisers import ComplexParts

from .._networks.base import Network


def require_dimensions(holder: Any, network: Module) -> None:
    """Raise a `ParameterError` unless a `Network` has the dimensions that the denoiser states."""
    if isinstance(network, Network) and network.spatial_dims != holder.spatial_dims:
        raise invcore.ParameterError(
            f"{type(holder).__name__}: the network has {network.spatial_dims} spatial dimensions, stated are "
            f"{holder.spatial_dims}: set spatial_dims={network.spatial_dims}"
        )


class NetworkDenoiser(Denoiser):
    """Denoise with a network, called live: gradients reach its weights, and training changes the denoiser.

    The real and the imaginary part of a complex image are denoised apart (`invcore.denoisers.ComplexParts`),
    unless by a `ComplexNetwork`: ``sigma`` is the level of each. The network computes in the precision of its
    weights.

    Parameters
    ----------
    network : Module
        ``network(x, sigma)`` for images ``(n, channel, *spatial)`` and one noise level each; ``network(x)``
        if ``blind``.
    channels : int, optional
        The number of channels it takes.
    value_range : tuple of float or None
        The values it was trained for; None for a network that adapts to any scale.
    sigma_range : tuple of float
        The noise levels it was trained for.
    blind : bool
        Whether the network is called without the noise level.
    spatial_dims : int
    precision : {"weights", "bfloat16"}
        What the network computes in: the precision of its weights, or mixed with bfloat16.

    Examples
    --------
    >>> import torch
    >>> D = NetworkDenoiser(torch.nn.AvgPool2d(3, 1, 1), blind=True)
    >>> D(torch.ones(1, 5, 5), 0.1)[0, 2, 2]
    tensor(1.)
    """

    network: Module
    channels: int | None = None  # type: ignore[misc]
    value_range: tuple[float, float] | None = (0.0, 1.0)  # type: ignore[misc]
    sigma_range: tuple[float, float] = (0.0, float("inf"))  # type: ignore[misc]
    blind: bool = False
    spatial_dims: int = 2
    precision: Literal["weights", "bfloat16"] = "weights"
    identity_at_zero: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_dimensions(self, self.network)
        if self.precision not in ("weights", "bfloat16"):
            raise invcore.ParameterError(
                f"NetworkDenoiser: precision must be 'weights' or 'bfloat16', got {self.precision!r}"
            )

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """See `Denoiser.denoise`."""
        batch = x.ndim - self.spatial_dims - 1
        level = sigma.expand(*x.shape[:batch], *(1,) * (self.spatial_dims + 1)).reshape(-1)

        weights = next((p for p in self.network.parameters() if p.is_floating_point()), level)
        own = weights.dtype if weights.dtype in (torch.float32, torch.float64) else level.dtype

        def restored(part: Tensor) -> Tensor:
            flat = part.reshape(-1, *part.shape[batch:])
            flat = flat.to(own.to_complex() if part.is_complex() else own)
            with self._mixed(x.device.type):
                out = self.network(flat) if self.blind else self.network(flat, level.to(own))
            return out.reshape(part.shape).to(part.dtype)

        if not x.numel():
            return x.clone()
        if not x.is_complex() or getattr(self.network, "complex", False):
            return restored(x)
        return ComplexParts(self)(x, sigma.reshape(x.shape[:batch]) if sigma.ndim else sigma)

    def _mixed(self, device: str) -> AbstractContextManager[Any]:
        """The precision asked for; a context around it, as in training, holds otherwise."""
        return torch.autocast(device, torch.bfloat16) if self.precision == "bfloat16" else nullcontext()
