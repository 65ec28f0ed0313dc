"""DRUNet: a bias-free residual U-Net with a map of the noise level."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from .base import Network
from .layers import ACTIVATIONS, CONVOLUTION, UPWARDS, ResidualBlock, chosen, require_counts, with_level


class DRUNet(Network):
    """DRUNet: residual blocks on four scales, without biases, with a map of the noise level [1]_.

    With ReLU it is homogeneous, R(a x, a σ) = a R(x, σ) for a > 0. With ELU it is differentiable, as
    `GradientStepDenoiser` needs [2]_. The level may vary over the image.

    Parameters
    ----------
    in_channels, out_channels : int
    features : tuple of int
        Features on each scale, the finest first.
    blocks : int
        Residual blocks on each scale, on the way down and on the way up.
    spatial_dims : int
        1, 2 or 3.
    activation : {"relu", "elu", "softplus"}
    noise_level : bool
        Whether the noise level is an additional channel of the input.

    References
    ----------
    .. [1] K. Zhang, Y. Li, W. Zuo, L. Zhang, L. Van Gool, R. Timofte, Plug-and-play image restoration with
       deep denoiser prior, IEEE Trans. Pattern Anal. Mach. Intell. 44 (2021).
    .. [2] S. Hurault, A. Leclaire, N. Papadakis, Gradient step denoiser for convergent plug-and-play, ICLR
       2022.

    Examples
    --------
    >>> import torch
    >>> DRUNet(features=(4, 8), blocks=1)(torch.zeros(2, 1, 9, 7), 0.1).shape
    torch.Size([2, 1, 9, 7])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        features: tuple[int, ...] = (64, 128, 256, 512),
        blocks: int = 4,
        spatial_dims: int = 2,
        activation: Literal["relu", "elu", "softplus"] = "relu",
        noise_level: bool = True,
    ) -> None:
        super().__init__()
        conv = chosen("DRUNet", "spatial_dims", spatial_dims, CONVOLUTION)
        chosen("DRUNet", "activation", activation, ACTIVATIONS)
        require_counts("DRUNet", in_channels=in_channels, out_channels=out_channels, blocks=blocks)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.features, self.blocks, self.spatial_dims = tuple(features), blocks, spatial_dims
        self.activation, self.noise_level = activation, noise_level
        self.multiple = 2 ** (len(features) - 1)
        up = UPWARDS[spatial_dims]

        def scale(n: int) -> nn.Sequential:
            return nn.Sequential(*(ResidualBlock(n, conv, False, activation) for _ in range(blocks)))

        pairs = list(pairwise(features))
        self.head = conv(in_channels + noise_level, features[0], 3, padding=1, bias=False)
        self.encoder = nn.ModuleList(scale(n) for n in features[:-1])
        self.down = nn.ModuleList(conv(a, b, 2, stride=2, bias=False) for a, b in pairs)
        self.bottom = scale(features[-1])
        self.up = nn.ModuleList(up(b, a, 2, stride=2, bias=False) for a, b in pairs)
        self.decoder = nn.ModuleList(scale(n) for n in features[:-1])
        self.tail = conv(features[0], out_channels, 3, padding=1, bias=False)

    def restore(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        """See `Network.restore`."""
        skips = [self.head(with_level(x, sigma))]
        for scale, down in zip(self.encoder, self.down):
            skips.append(down(scale(skips[-1])))
        h = self.bottom(skips[-1])
        for scale, up in zip(reversed(self.decoder), reversed(self.up)):
            h = scale(up(h + skips.pop()))
        return self.tail(h + skips.pop())
