"""The U-Net."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from .base import Network
from .layers import ACTIVATIONS, CONVOLUTION, UPWARDS, ResidualBlock, chosen, require_counts, with_level


class UNet(Network):
    """U-Net: residual blocks on several scales, joined by skips [1]_.

    Each scale has half the size and more features than the one above. Where input and output have as many
    channels the network adds what it computes to its input, and starts as the identity (as zero, if not
    ``residual``). Without biases it is homogeneous, R(a x) = a R(x) for a > 0, and generalizes over noise
    levels [2]_.

    Parameters
    ----------
    in_channels, out_channels : int
    features : tuple of int
        Features on each scale, the finest first.
    blocks : int
        Residual blocks on each scale, on the way down and on the way up.
    spatial_dims : int
        1, 2 or 3.
    bias : bool
        Whether convolutions have biases.
    noise_level : bool
        Whether the noise level, or a map of it, is an additional channel of the input.
    residual : bool
        Whether the input is added, where it has as many channels as the output.
    activation : {"relu", "elu", "softplus"}
        With ELU the network is differentiable, as `GradientStepDenoiser` needs, and no longer homogeneous.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer, T. Brox, U-Net: convolutional networks for biomedical image
       segmentation, MICCAI 2015.
    .. [2] S. Mohan, Z. Kadkhodaie, E. P. Simoncelli, C. Fernandez-Granda, Robust and interpretable blind
       image denoising via bias-free convolutional neural networks, ICLR 2020.

    Examples
    --------
    >>> import torch
    >>> UNet(features=(4, 8))(torch.zeros(2, 1, 9, 7)).shape
    torch.Size([2, 1, 9, 7])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        features: tuple[int, ...] = (32, 64, 128, 256),
        blocks: int = 2,
        spatial_dims: int = 2,
        bias: bool = True,
        noise_level: bool = False,
        residual: bool = True,
        activation: Literal["relu", "elu", "softplus"] = "relu",
    ) -> None:
        super().__init__()
        conv = chosen("UNet", "spatial_dims", spatial_dims, CONVOLUTION)
        chosen("UNet", "activation", activation, ACTIVATIONS)
        require_counts("UNet", in_channels=in_channels, out_channels=out_channels, blocks=blocks)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.features, self.blocks, self.spatial_dims = tuple(features), blocks, spatial_dims
        self.bias, self.noise_level, self.residual = bias, noise_level, residual
        self.activation = activation
        self.multiple = 2 ** (len(features) - 1)
        up = UPWARDS[spatial_dims]

        def scale(n: int) -> nn.Sequential:
            return nn.Sequential(*(ResidualBlock(n, conv, bias, activation) for _ in range(blocks)))

        pairs = list(pairwise(features))
        self.head = conv(in_channels + noise_level, features[0], 3, padding=1, bias=bias)
        self.encoder = nn.ModuleList(scale(n) for n in features[:-1])
        self.down = nn.ModuleList(conv(a, b, 2, stride=2, bias=bias) for a, b in pairs)
        self.bottom = scale(features[-1])
        self.up = nn.ModuleList(up(b, a, 2, stride=2, bias=bias) for a, b in pairs)
        self.decoder = nn.ModuleList(scale(n) for n in features[:-1])
        self.tail = conv(features[0], out_channels, 3, padding=1, bias=bias)
        if in_channels == out_channels:
            for p in self.tail.parameters():
                nn.init.zeros_(p)

    def restore(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        """See `Network.restore`."""
        h = self.head(with_level(x, sigma))
        skips = []
        for scale, down in zip(self.encoder, self.down):
            skips.append(h)
            h = down(scale(h))
        h = self.bottom(h)
        for scale, up in zip(reversed(self.decoder), reversed(self.up)):
            h = scale(up(h).add_(skips.pop()))
        h = self.tail(h)
        return x + h if self.residual and self.in_channels == self.out_channels else h
