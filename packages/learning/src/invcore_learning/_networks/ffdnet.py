"""FFDNet: convolutions at half the size, with the noise level as an input."""

from __future__ import annotations

import itertools

from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

import invcore

from .base import Network
from .dncnn import in_sequence
from .layers import require_counts, with_level


class FFDNet(Network):
    """FFDNet: convolutions 3 x 3 on four half-size images, with a map of the noise level [1]_.

    The four sub-images of every second pixel are channels, which doubles the receptive field and takes a
    quarter of the time. The level may vary over the image.

    Parameters
    ----------
    in_channels, out_channels : int
    depth : int
        Number of convolutions, at least 2. In the paper 15 for gray and 12 for color images.
    features : int
        64 for gray and 96 for color images in the paper.
    bias : bool
        Whether convolutions have biases. Without, R(a x, a σ) = a R(x, σ) for a > 0.

    References
    ----------
    .. [1] K. Zhang, W. Zuo, L. Zhang, FFDNet: toward a fast and flexible solution for CNN based image
       denoising, IEEE Trans. Image Process. 27 (2018).

    Examples
    --------
    >>> import torch
    >>> FFDNet(depth=3, features=4)(torch.zeros(2, 1, 9, 7), 0.1).shape
    torch.Size([2, 1, 9, 7])
    """

    spatial_dims, multiple, noise_level = 2, 2, True

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        depth: int = 15,
        features: int = 64,
        bias: bool = True,
    ) -> None:
        super().__init__()
        require_counts("FFDNet", in_channels=in_channels, out_channels=out_channels, features=features)
        if depth < 2:
            raise invcore.ParameterError(f"FFDNet: depth must be at least 2, got {depth!r}")
        self.in_channels, self.out_channels, self.depth = in_channels, out_channels, depth
        self.features, self.bias = features, bias
        sizes = [4 * in_channels + 1, *[features] * (depth - 1), 4 * out_channels]
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, bias=bias) for a, b in itertools.pairwise(sizes)
        )

    def restore(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        """See `Network.restore`."""
        assert sigma is not None
        if sigma[0].numel() > 1:
            sigma = nn.functional.avg_pool2d(sigma, 2)
        return pixel_shuffle(in_sequence(self.layers, with_level(pixel_unshuffle(x, 2), sigma)), 2)
