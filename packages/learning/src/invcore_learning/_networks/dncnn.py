"""DnCNN: a plain residual convolutional network."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

import invcore

from .base import Network
from .layers import CONVOLUTION, chosen, require_counts


class DnCNN(Network):
    """DnCNN: convolutions 3 x 3 with ReLU that estimate the noise, R(x) = x - f(x) [1]_.

    Batch normalization, which the paper trains with, is an affine map at inference; here it is part of the
    convolutions. A pixel of the result depends on pixels at most ``depth`` away.

    Parameters
    ----------
    in_channels, out_channels : int
        The input is subtracted from where they are equal; else R(x) = -f(x).
    depth : int
        Number of convolutions, at least 2. In the paper 17 for one noise level, 20 for a range of them.
    features : int
    spatial_dims : int
        1, 2 or 3.
    bias : bool
        Whether convolutions have biases. Without, R(a x) = a R(x) for a > 0.

    References
    ----------
    .. [1] K. Zhang, W. Zuo, Y. Chen, D. Meng, L. Zhang, Beyond a Gaussian denoiser: residual learning of deep
       CNN for image denoising, IEEE Trans. Image Process. 26 (2017).

    Examples
    --------
    >>> import torch
    >>> network = DnCNN()
    >>> sum(p.numel() for p in network.parameters())
    555137
    >>> DnCNN(depth=3, features=4)(torch.zeros(2, 1, 9, 7)).shape
    torch.Size([2, 1, 9, 7])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        depth: int = 17,
        features: int = 64,
        spatial_dims: int = 2,
        bias: bool = True,
    ) -> None:
        super().__init__()
        conv = chosen("DnCNN", "spatial_dims", spatial_dims, CONVOLUTION)
        require_counts("DnCNN", in_channels=in_channels, out_channels=out_channels, features=features)
        if depth < 2:
            raise invcore.ParameterError(f"DnCNN: depth must be at least 2, got {depth!r}")
        self.in_channels, self.out_channels, self.depth = in_channels, out_channels, depth
        self.features, self.spatial_dims, self.bias = features, spatial_dims, bias
        sizes = [in_channels, *[features] * (depth - 1), out_channels]
        self.layers = nn.ModuleList(conv(a, b, 3, padding=1, bias=bias) for a, b in itertools.pairwise(sizes))

    def restore(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        """See `Network.restore`."""
        noise = in_sequence(self.layers, x)
        return x - noise if self.in_channels == self.out_channels else -noise


def in_sequence(layers: nn.ModuleList, x: Tensor) -> Tensor:
    """Apply layers with ReLU between them, in place: no derivative needs what it is given."""
    for layer in layers[:-1]:
        x = layer(x).relu_()
    return layers[-1](x)
