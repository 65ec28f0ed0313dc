"""ConvDecoder: an underparametrized network that makes one image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

import invcore
from invcore import Space

from .._networks.layers import CONVOLUTION, require_counts

NORMALIZATION: dict[int, Any] = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


class ConvDecoder(nn.Module):
    """Make an image from a few noise pixels: enlarge, convolve, rectify and normalize, layer by layer [1]_.

    Sizes grow by a constant factor a layer. Fitted to one measurement by `DeepImagePrior`; with few features
    it cannot fit noise, and needs no early stopping.

    Parameters
    ----------
    shape : tuple of int
        (channel, *spatial) of the image, with 1 to 3 spatial dimensions.
    start : int
        Pixels along each axis at the beginning.
    features : int
    layers : int

    References
    ----------
    .. [1] M. Z. Darestani, R. Heckel, Accelerated MRI with un-trained neural networks, IEEE Trans. Comput.
       Imaging 7 (2021).

    Examples
    --------
    >>> import torch
    >>> network = ConvDecoder((1, 12, 9), features=8, layers=3)
    >>> g = torch.Generator().manual_seed(0)
    >>> network(network.latent(Space((1, 12, 9)), generator=g)).shape
    torch.Size([1, 12, 9])
    """

    def __init__(
        self, shape: tuple[int, ...], *, start: int = 4, features: int = 64, layers: int = 7
    ) -> None:
        super().__init__()
        require_counts("ConvDecoder", start=start, features=features, layers=layers)
        dims = len(shape) - 1
        if dims not in CONVOLUTION or min(shape) < 1:
            raise invcore.ParameterError(
                f"ConvDecoder: shape must be (channel, *spatial), 1 to 3 spatial dimensions, got {shape!r}"
            )
        self.shape, self.start, self.features, self.layers = tuple(shape), start, features, layers
        conv, normalize = CONVOLUTION[dims], NORMALIZATION[dims]
        self.convolutions = nn.ModuleList(conv(features, features, 3, padding=1) for _ in range(layers))
        self.normalizations = nn.ModuleList(normalize(features, affine=True) for _ in range(layers))
        self.tail = conv(features, shape[0], 1)

    def latent(self, space: Space, *, generator: torch.Generator) -> Tensor:
        """Draw the noise pixels, shape (features, *start), uniform in (0, 1)."""
        size = (self.features, *(self.start,) * (len(self.shape) - 1))
        return torch.rand(size, generator=generator, dtype=torch.float64).to(self.tail.weight)

    def forward(self, u: Tensor) -> Tensor:
        """Make the image of noise pixels ``u``, shape (features, *spatial): shape (channel, *spatial)."""
        h = u[None]
        for k, (conv, normalize) in enumerate(zip(self.convolutions, self.normalizations), 1):
            size = [round(a * (n / a) ** (k / self.layers)) for a, n in zip(u.shape[1:], self.shape[1:])]
            h = normalize(torch.relu(conv(interpolate(h, size=size, mode="nearest"))))
        return self.tail(h)[0]
