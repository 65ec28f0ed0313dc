"""Parts of generative adversarial networks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import Tensor, nn

import invcore

from .._networks.layers import CONVOLUTION, UPWARDS, chosen, require_counts

BATCH_NORM: dict[int, Any] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE_NORM: dict[int, Any] = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


class DCGANGenerator(nn.Module):
    """The generator of DCGAN: images of 64 pixels a side from a vector of noise [1]_.

    Transposed convolutions 4 x 4 with batch normalization and ReLU from 1 to 4, 8 … pixels, and a last one
    with tanh: values from -1 to 1.

    Parameters
    ----------
    channels : int
    latent_size : int
        Length of the vector.
    features : int
        Of the last layer but one; each layer before has twice as many.
    size : int
        Pixels along each axis: 8, 16, 32 …
    spatial_dims : int
        2 or 3.

    References
    ----------
    .. [1] A. Radford, L. Metz, S. Chintala, Unsupervised representation learning with deep convolutional
       generative adversarial networks, ICLR 2016.

    Examples
    --------
    >>> import torch
    >>> DCGANGenerator(features=4, size=16)(torch.zeros(2, 100)).shape
    torch.Size([2, 3, 16, 16])
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        latent_size: int = 100,
        features: int = 64,
        size: int = 64,
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        up = chosen("DCGANGenerator", "spatial_dims", spatial_dims, UPWARDS)
        require_counts("DCGANGenerator", channels=channels, latent_size=latent_size, features=features)
        self.channels, self.latent_size, self.features = channels, latent_size, features
        self.size, self.spatial_dims = size, spatial_dims
        sizes = _halvings("DCGANGenerator", size, features)[::-1]
        layers: list[nn.Module] = []
        for k, (a, b) in enumerate(pairwise([latent_size, *sizes])):
            layers += [up(a, b, 4, 1 if k == 0 else 2, 0 if k == 0 else 1, bias=False)]
            layers += [BATCH_NORM[spatial_dims](b), nn.ReLU()]
        self.layers = nn.Sequential(*layers, up(sizes[-1], channels, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """Make images of vectors z, shape (n, latent_size): shape (n, channel, *spatial)."""
        if z.ndim != 2 or z.shape[1] != self.latent_size:
            raise invcore.ShapeError(
                f"DCGANGenerator: expected vectors (n, {self.latent_size}), got {tuple(z.shape)}"
            )
        return self.layers(z.reshape(*z.shape, *(1,) * self.spatial_dims))


class DCGANDiscriminator(nn.Module):
    """The discriminator of DCGAN: one number for an image of 64 pixels a side [1]_.

    Strided convolutions 4 x 4 with batch normalization and leaky ReLU. The number is a logit: its sigmoid is
    the probability that the image is real.

    Parameters
    ----------
    channels : int
    features : int
        Of the first layer; each one after has twice as many.
    size : int
        Pixels along each axis: 8, 16, 32 …
    spatial_dims : int
        2 or 3.

    References
    ----------
    .. [1] A. Radford, L. Metz, S. Chintala, Unsupervised representation learning with deep convolutional
       generative adversarial networks, ICLR 2016.

    Examples
    --------
    >>> import torch
    >>> DCGANDiscriminator(features=4, size=16)(torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2])
    """

    def __init__(
        self, *, channels: int = 3, features: int = 64, size: int = 64, spatial_dims: int = 2
    ) -> None:
        super().__init__()
        conv = chosen("DCGANDiscriminator", "spatial_dims", spatial_dims, CONVOLUTION)
        require_counts("DCGANDiscriminator", channels=channels, features=features)
        self.channels, self.features, self.size, self.spatial_dims = channels, features, size, spatial_dims
        sizes = _halvings("DCGANDiscriminator", size, features)
        layers: list[nn.Module] = []
        for k, (a, b) in enumerate(pairwise([channels, *sizes])):
            norm = [BATCH_NORM[spatial_dims](b)] if k else []
            layers += [conv(a, b, 4, 2, 1, bias=False), *norm, nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, conv(sizes[-1], 1, 4, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Judge images x, shape (n, channel, *spatial): logits, shape (n,)."""
        _require_images("DCGANDiscriminator", x, (self.channels, *(self.size,) * self.spatial_dims))
        return self.layers(x).flatten()


class PatchGANDiscriminator(nn.Module):
    """PatchGAN: one number for each overlapping patch of an image [1]_.

    Convolutions 4 x 4, ``layers`` of them and the first one with stride 2, with leaky ReLU and instance
    normalization after all but the first. With three layers a number judges 70 x 70 pixels.

    Parameters
    ----------
    channels : int
    features : int
        Of the first layer; doubled in each one after, up to eight times as many.
    layers : int
        Number of strided layers.
    spatial_dims : int
        1, 2 or 3.

    References
    ----------
    .. [1] P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, Image-to-image translation with conditional adversarial
       networks, CVPR 2017.

    Examples
    --------
    >>> import torch
    >>> PatchGANDiscriminator(features=4)(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 1, 6, 6])
    """

    def __init__(
        self, *, channels: int = 3, features: int = 64, layers: int = 3, spatial_dims: int = 2
    ) -> None:
        super().__init__()
        conv = chosen("PatchGANDiscriminator", "spatial_dims", spatial_dims, CONVOLUTION)
        require_counts("PatchGANDiscriminator", channels=channels, features=features, layers=layers)
        self.channels, self.features, self.layers, self.spatial_dims = (
            channels,
            features,
            layers,
            spatial_dims,
        )
        sizes = [features * min(2**k, 8) for k in range(layers + 1)]
        parts: list[nn.Module] = [conv(channels, features, 4, 2, 1), nn.LeakyReLU(0.2)]
        for k, (a, b) in enumerate(pairwise(sizes), 1):
            parts += [
                conv(a, b, 4, 2 if k < layers else 1, 1),
                INSTANCE_NORM[spatial_dims](b),
                nn.LeakyReLU(0.2),
            ]
        self.network = nn.Sequential(*parts, conv(sizes[-1], 1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Judge images x, shape (n, channel, *spatial): logits, shape (n, 1, *patches)."""
        _require_images("PatchGANDiscriminator", x, (self.channels, *x.shape[2:]))
        if x.ndim != self.spatial_dims + 2 or min(x.shape[2:]) < 3 * 2**self.layers:
            raise invcore.ShapeError(
                f"PatchGANDiscriminator: expected {self.spatial_dims} spatial dimensions of at least "
                f"{3 * 2**self.layers} pixels, got {tuple(x.shape)}"
            )
        return self.network(x)


def _halvings(name: str, size: int, features: int) -> list[int]:
    """Numbers of features from half the size down to 4 pixels."""
    steps = size.bit_length() - 3
    if size < 8 or size != 2 ** (steps + 2):
        raise invcore.ParameterError(f"{name}: size must be 8, 16, 32 …, got {size!r}")
    return [features * 2**k for k in range(steps)]


def _require_images(name: str, x: Tensor, shape: tuple[int, ...]) -> None:
    if x.ndim < 2 or tuple(x.shape[1:]) != shape:
        raise invcore.ShapeError(
            f"{name}: expected images (n, {', '.join(map(str, shape))}), got {tuple(x.shape)}"
        )
