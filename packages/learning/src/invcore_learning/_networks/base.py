"""`Network`: what networks from images to images have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

import invcore
from invcore import Physics, Space
from invcore.noises import GaussianMapNoise, GaussianNoise
from invcore.spaces import check


class Network(Module, ABC):
    """Base class of networks that turn an image into an image of the same size.

    A plain module of torch: write ``restore(x, sigma)`` for images ``(n, channel, *spatial)``. The base class
    checks the input, takes any batch dimensions, pads each side to a multiple of `multiple` by reflection,
    and crops. Hold each parameter of the constructor in an attribute of its name, so that
    `invcore.models.save` can describe the network.

    A network is called with an image, with an image and its noise level, or as a model with data and the
    physics that measured them, where both are images in the same space: denoising, deblurring.

    Attributes
    ----------
    in_channels, out_channels : int
    spatial_dims : int
    multiple : int
        Sizes that `restore` takes are multiples of it.
    noise_level : bool
        Whether `restore` uses ``sigma``.
    complex : bool
        Whether images are complex; the noise level is that of the real and of the imaginary part.

    Examples
    --------
    >>> class Sharpen(Network):
    ...     in_channels = out_channels = 1
    ...     spatial_dims, multiple, noise_level = 2, 1, False
    ...     def restore(self, x, sigma): return 2 * x - torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    >>> Sharpen()(torch.ones(1, 5, 5)).shape
    torch.Size([1, 5, 5])
    """

    in_channels: int
    out_channels: int
    spatial_dims: int
    multiple: int = 1
    noise_level: bool = False
    complex: bool = False

    @abstractmethod
    def restore(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        """Compute the image.

        Parameters
        ----------
        x : Tensor, shape (n, in_channels, *spatial)
        sigma : Tensor, shape (n, 1, *spatial) or (n, 1, *1), or None
            Standard deviation of the noise in each image; None unless `noise_level`.
        """

    def forward(self, x: Tensor, noise: float | Tensor | Physics | None = None) -> Tensor:
        """Restore images.

        Parameters
        ----------
        x : Tensor, shape (batch..., in_channels, *spatial)
        noise : float, Tensor or Physics, optional
            Standard deviation of the noise, of shape ``(batch...)`` or a map ``(batch..., 1, *spatial)``; or
            the physics that says it.

        Returns
        -------
        Tensor, shape (batch..., out_channels, *spatial)

        Raises
        ------
        ShapeError, DtypeError, ParameterError
        """
        name, d = type(self).__name__, self.spatial_dims
        if not isinstance(x, Tensor) or not (x.is_complex() if self.complex else x.is_floating_point()):
            kind = "complex" if self.complex else "real floating-point"
            got = x.dtype if isinstance(x, Tensor) else type(x).__name__
            hint = " ComplexNetwork makes a network for complex images." if not self.complex else ""
            raise invcore.DtypeError(f"{name}: expected {kind} images, got {got}.{hint}")
        if x.ndim < d + 1 or x.shape[-d - 1] != self.in_channels:
            raise invcore.ShapeError(
                f"{name}: expected images (batch..., {self.in_channels}, *spatial) with {d} spatial "
                f"dimensions, got {tuple(x.shape)}."
            )
        batch, size = tuple(x.shape[: -d - 1]), tuple(x.shape[-d:])
        if isinstance(noise, Physics):
            check(x, noise.range, f"{name}: data")
            noise = self._level_of(noise, batch)
        level = self._level(noise, batch, x) if self.noise_level else None
        flat = x.reshape(-1, *x.shape[-d - 1 :])
        if not flat.shape[0]:
            return x.new_zeros(*batch, self.out_channels, *size)
        y = self.restore(padded(flat, self.multiple, d), level)
        for dim, n in zip(range(-d, 0), size):
            y = y.narrow(dim, 0, n)
        return y.reshape(*batch, *y.shape[1:])

    def _level_of(self, physics: Physics, batch: tuple[int, ...]) -> Any:
        """The noise level of the physics, whose data are images."""
        name, space = type(self).__name__, physics.domain
        if space != physics.range or not isinstance(space, Space):
            raise invcore.ShapeError(
                f"{name} turns images into images; the data of this physics are in {physics.range}, its "
                f"images in {space}. ArtifactRemoval(network) goes back to an image first."
            )
        if not self.noise_level:
            return None
        noise = physics.noise
        if isinstance(noise, GaussianNoise):
            return noise.per_sample(space, batch).sigma
        if isinstance(noise, GaussianMapNoise) and noise.sigma.shape[-self.spatial_dims - 1] == 1:
            return noise.sigma
        raise invcore.ParameterError(
            f"{name} takes the level of Gaussian noise, the same in all channels; this physics has "
            f"{type(noise).__name__}: call it with an image and the level"
        )

    def _level(self, noise: Any, batch: tuple[int, ...], x: Tensor) -> Tensor:
        """The level, or a map of it, of each image: shape (n, 1, *1) or (n, 1, *spatial)."""
        name, d = type(self).__name__, self.spatial_dims
        if noise is None:
            raise invcore.ParameterError(f"{name} needs the noise level of the images: {name}(...)(x, sigma)")
        level = torch.as_tensor(noise, dtype=x.real.dtype, device=x.device)
        if not bool((level >= 0).all()):
            raise invcore.ParameterError(f"{name}: the noise level must not be negative or NaN")
        if level.ndim == 0 or tuple(level.shape) == batch:
            return level.expand(batch).reshape(-1, 1, *(1,) * d)
        own, one = tuple(level.shape[-d - 1 :]), (1,) * (d + 1)
        if own not in ((1, *x.shape[-d:]), one) or not _broadcasts(level.shape[: -d - 1], batch):
            raise invcore.ShapeError(
                f"{name}: the noise level must be a number, have the batch shape {batch}, or be a map of "
                f"shape {(*batch, 1, *x.shape[-d:])}, got {tuple(level.shape)}"
            )
        maps = level.expand(*batch, *own).reshape(-1, *own)
        return maps if own == one else padded(maps, self.multiple, d)


def _broadcasts(shape: tuple[int, ...], batch: tuple[int, ...]) -> bool:
    return len(shape) <= len(batch) and all(n in (1, m) for n, m in zip(shape[::-1], batch[::-1]))


def padded(x: Tensor, multiple: int, spatial_dims: int) -> Tensor:
    """Pad the end of each spatial dimension by reflection to a multiple of ``multiple``.

    Parameters
    ----------
    x : Tensor, shape (..., *spatial)
    multiple, spatial_dims : int

    Examples
    --------
    >>> padded(torch.tensor([1.0, 2.0, 3.0]), 4, 1)
    tensor([1., 2., 3., 2.])
    """
    for dim in range(-spatial_dims, 0):
        n = x.shape[dim]
        more = -n % multiple
        if more:
            period = max(2 * n - 2, 1)
            index = torch.arange(n + more, device=x.device) % period
            x = x.index_select(dim, torch.where(index < n, index, period - index))
    return x
